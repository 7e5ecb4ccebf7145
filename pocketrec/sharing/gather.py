"""Ids of all processes of a distributed run, so that what is learned from them is the same everywhere."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def from_all_processes(ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """The ids (n,) and tables (n,) of every process, in the order of ranks; one's own where there is only one."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return ids, tables
    own = torch.stack([ids, tables])
    lengths = [torch.zeros_like(ids[:1].new_zeros(1)) for _ in range(distributed.get_world_size())]
    distributed.all_gather(lengths, torch.tensor([own.shape[1]], device=ids.device))
    longest = max(int(length) for length in lengths)
    padded = torch.nn.functional.pad(own, (0, longest - own.shape[1]))
    gathered = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(gathered, padded)
    everyone = torch.cat([part[:, : int(n)] for part, n in zip(gathered, lengths, strict=True)], 1)
    return everyone[0], everyone[1]
