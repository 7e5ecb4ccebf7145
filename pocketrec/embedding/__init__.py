"""Embeddings with torch's semantics (floor 4); they own the one memory."""

from pocketrec.embedding.authors import load_authors_
from pocketrec.embedding.bag import Embedding, EmbeddingBag
from pocketrec.embedding.collection import EmbeddingBagCollection
from pocketrec.embedding.dlrm_qr import from_dlrm_qr
from pocketrec.embedding.quantize import quantize_
from pocketrec.embedding.size import full_bytes, stored_bytes
from pocketrec.embedding.tables import SharedTables, owners_in

__all__ = [
    "Embedding",
    "EmbeddingBag",
    "EmbeddingBagCollection",
    "SharedTables",
    "from_dlrm_qr",
    "full_bytes",
    "load_authors_",
    "owners_in",
    "quantize_",
    "stored_bytes",
]
