"""Sharing schemes (floor 3), one a file: each says how a row is recovered and what it stores."""

from pocketrec.sharing.budget import Budget
from pocketrec.sharing.clustered import Clustered
from pocketrec.sharing.deep_hash import DeepHash
from pocketrec.sharing.full import Full
from pocketrec.sharing.hash_embeddings import HashEmbeddings
from pocketrec.sharing.hashednets import HashedNets
from pocketrec.sharing.hashing_trick import HashingTrick
from pocketrec.sharing.hot_cold import HotCold
from pocketrec.sharing.low_rank import LowRank
from pocketrec.sharing.mixed_dimensions import MixedDimensions
from pocketrec.sharing.multi_hash import MultiHash
from pocketrec.sharing.names import CODED, SCHEMES, scheme_named
from pocketrec.sharing.quotient_remainder import QuotientRemainder
from pocketrec.sharing.recovery import PADDED, Recovery
from pocketrec.sharing.robe import Robe
from pocketrec.sharing.scheme import Placement, Scheme
from pocketrec.sharing.table import Table
from pocketrec.sharing.tensor_train import TensorTrain
from pocketrec.sharing.transform_coding import TransformCoding

__all__ = [
    "CODED",
    "PADDED",
    "SCHEMES",
    "Budget",
    "Clustered",
    "DeepHash",
    "Full",
    "HashEmbeddings",
    "HashedNets",
    "HashingTrick",
    "HotCold",
    "LowRank",
    "MixedDimensions",
    "MultiHash",
    "Placement",
    "QuotientRemainder",
    "Recovery",
    "Robe",
    "Scheme",
    "Table",
    "TensorTrain",
    "TransformCoding",
    "scheme_named",
]
