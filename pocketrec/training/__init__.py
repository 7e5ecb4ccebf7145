"""Training and evaluation: optimisers, schedule, early stopping, checkpoints that resume bit for bit. Floor 6."""

from .api import train as train
from .checkpoint import load_weights as load_weights
from .config import TrainConfig as TrainConfig
from .metrics import Metrics as Metrics, evaluate as evaluate
from .state import Result as Result, ShouldStop as ShouldStop
