"""What is learned beside the gradients must be the same in every process of a distributed run."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def from_all_processes(ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """The ids (n,) and tables (n,) of every process, in the order of ranks; one's own where there is only one."""
    if not _several():
        return ids, tables
    own = torch.stack([ids, tables])
    lengths = [ids.new_zeros(1) for _ in range(distributed.get_world_size())]
    distributed.all_gather(lengths, torch.tensor([own.shape[1]], device=ids.device))
    longest = max(int(length) for length in lengths)
    padded = torch.nn.functional.pad(own, (0, longest - own.shape[1]))
    gathered = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(gathered, padded)
    everyone = torch.cat([part[:, : int(n)] for part, n in zip(gathered, lengths, strict=True)], 1)
    return everyone[0], everyone[1]


def from_first_process_(*tensors: Tensor) -> None:
    """Overwrite what every process computed by what the first did: sums may end in other bits elsewhere."""
    if _several():
        for tensor in tensors:
            distributed.broadcast(tensor, 0)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
