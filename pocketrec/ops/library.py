"""The torch library our ops register with: `torch.ops.pocketrec`."""

from __future__ import annotations

import torch

library = torch.library.Library("pocketrec", "DEF")
BATCH = "Tensor indices, Tensor? offsets, Tensor? weights, Tensor layout"
