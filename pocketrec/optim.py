"""Optimisers fused with the lookup's backward (floor 5): the gradient of the memory never leaves the kernel.

They step the memory of hashed embeddings as `torch.optim` would, in one pass over it. The price is that `memory.grad`
stays None, so whatever reads gradients between `backward()` and `step()` does not see this one: gradient clipping,
`GradScaler`, hooks, `torch.autograd.grad` for the memory, DistributedDataParallel (refused). Hence they are asked for,
never the default. `step()` reads the batch's ids and gradient: step before anything writes to those.

Example:
    >>> embeddings = EmbeddingBagCollection(tables, compression=1000)
    >>> model = DLRM(embeddings, num_dense=13)
    >>> fused = pocketrec.optim.Adagrad(embeddings, lr=0.03)
    >>> dense = torch.optim.Adagrad([p for p in model.parameters() if p is not embeddings.memory], lr=0.03)
    >>> loss.backward(); fused.step(); dense.step(); fused.zero_grad(); dense.zero_grad()
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec import ops
from pocketrec.embedding import SharedTables, owners_in
from pocketrec.errors import UsageError
from pocketrec.ops import Batch, Constants, Update, Waiting
from pocketrec.ops.reference import accumulator


class _Fused(torch.optim.Optimizer, ABC):
    """What the three have in common; `_rule` and `_state_names` say which step, `_constants` its numbers."""

    _rule: Update
    _state_names: tuple[str, ...] = ()

    def __init__(self, embeddings: nn.Module | Iterable[nn.Module], **defaults: float | tuple[float, float]) -> None:
        for name, value in defaults.items():
            _check_number(name, value)
        self._owners = _owners(embeddings)
        self._waiting: dict[int, Waiting] = {}
        self._scratch: dict[int, tuple[Any, Tensor | None]] = {}
        memories: list[nn.Parameter] = []
        for owner in self._owners:
            memory = owner.get_parameter("memory")
            if id(memory) not in self._waiting:
                memories.append(memory)
                self._waiting[id(memory)] = Waiting()
            owner.defer_gradients(self._waiting[id(memory)])
        super().__init__(memories, dict(defaults))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of each memory that was looked up since the last; the gradients are read once and dropped.

        Raises:
            UsageError: several processes, a CUDA graph being captured, embeddings that a newer optimiser has taken
                over, or a batch that was changed in place since its backward.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._check_alone()
        for group in self.param_groups:
            for memory in group["params"]:
                batches = self._waiting[id(memory)].take()
                if batches or memory.grad is not None:
                    self._step_memory(memory, group, batches)
        return loss

    def _step_memory(self, memory: Tensor, group: dict[str, Any], batches: list[Batch]) -> None:
        states = self._states(memory)
        first, second = (*states, None, None)[:2]
        number = self.state[memory]["step"] + 1
        constants = self._constants(group, int(number))
        if len(batches) == 1 and memory.grad is None:
            grad, *batch = batches[0]
            torch.ops.pocketrec.lookup_update_(
                grad, memory, self._scratch_of(memory), first, second, *batch, int(self._rule), list(constants)
            )
        else:
            # Looked up more than once, or accumulated over several backwards: the gradients meet before the step.
            ops.step_(memory, _sum_of_gradients(memory, batches), first, second, self._rule, constants)
        self.state[memory]["step"] = number

    def _states(self, memory: Tensor) -> list[Tensor]:
        state = self.state[memory]
        if not state:
            state["step"] = torch.tensor(0.0)
            for name in self._state_names:
                state[name] = torch.zeros_like(memory, dtype=accumulator(memory.dtype))
        return [state[name] for name in self._state_names]

    def _scratch_of(self, memory: Tensor) -> Tensor | None:
        serves, scratch = self._scratch.get(id(memory), (None, None))
        if serves != (memory.numel(), memory.device):
            scratch = ops.new_scratch(memory)
            self._scratch[id(memory)] = (memory.numel(), memory.device), scratch
        return scratch

    def _check_alone(self) -> None:
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            raise UsageError(
                "optimisers fused with the backward step each process by its own gradient, so replicas would drift "
                "apart: with several processes use torch.optim on embeddings.parameters()"
            )
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            raise UsageError("a captured step would repeat its learning rate for ever: step outside of the CUDA graph")
        ours = set(map(id, self._waiting.values()))
        if any(id(owner.waiting) not in ours for owner in self._owners):
            raise UsageError("these embeddings are fused with a newer optimiser, which reads their gradients: use that")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop gradients that no step has read. `model.zero_grad()` does not know of them."""
        super().zero_grad(set_to_none)
        for waiting in self._waiting.values():
            waiting.clear()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused after construction: an optimiser is fused with embeddings, not with parameters."""
        if self.param_groups:
            raise UsageError("add_param_group: make another optimiser for other embeddings")
        super().add_param_group(param_group)

    def __reduce__(self) -> Any:
        raise UsageError(
            "a fused optimiser belongs to its embeddings and cannot be copied or pickled: keep its state_dict()"
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state of this optimiser, or of its namesake in `torch.optim`: the names are the same.

        Raises:
            UsageError: the state of another kind of optimiser.
        """
        for saved in state_dict["state"].values():
            missing = sorted({"step", *self._state_names} - saved.keys())
            if missing:
                raise UsageError(f"state_dict: lacks {missing[0]!r}, so another kind of optimiser made it")
        super().load_state_dict(state_dict)
        # torch rounds the state of a half-precision parameter to its type; ours is kept in float32.
        memories = [memory for group in self.param_groups for memory in group["params"]]
        for number, saved in state_dict["state"].items():
            memory = memories[number]
            for name in self._state_names:
                self.state[memory][name] = saved[name].to(memory.device, accumulator(memory.dtype), copy=True)

    @abstractmethod
    def _constants(self, group: dict[str, Any], step: int) -> Constants:
        """The numbers of one step of a group."""


class SGD(_Fused):
    """Plain SGD, `torch.optim.SGD` without momentum.

    Args:
        embeddings: a pocketrec embedding, or modules that hold some; all their hashed memories are stepped, what some
            schemes learn beside them (projections, weights of terms) is not.
        lr: learning rate.
        weight_decay: L2 penalty.

    Raises:
        UsageError: no hashed embedding found, full tables among them, a number out of range.
    """

    _rule = Update.SGD

    def __init__(self, embeddings: nn.Module | Iterable[nn.Module], lr: float = 0.1, weight_decay: float = 0.0) -> None:
        super().__init__(embeddings, lr=lr, weight_decay=weight_decay)

    def _constants(self, group: dict[str, Any], step: int) -> Constants:
        return Constants(group["lr"], group["weight_decay"])


class Adagrad(_Fused):
    """Adagrad, its sum of squares a slot in `state["sum"]`: `torch.optim.Adagrad` without `lr_decay`. Else as SGD."""

    _rule = Update.ADAGRAD
    _state_names = ("sum",)

    def __init__(
        self,
        embeddings: nn.Module | Iterable[nn.Module],
        lr: float = 0.01,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(embeddings, lr=lr, weight_decay=weight_decay, eps=eps)

    def _constants(self, group: dict[str, Any], step: int) -> Constants:
        return Constants(group["lr"], group["weight_decay"], group["eps"])


class Adam(_Fused):
    """Adam over the whole memory, `torch.optim.Adam`: slots without a gradient move too. Arguments as SGD."""

    _rule = Update.ADAM
    _state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        embeddings: nn.Module | Iterable[nn.Module],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(embeddings, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _constants(self, group: dict[str, Any], step: int) -> Constants:
        beta1, beta2 = group["betas"]
        return Constants(
            group["lr"], group["weight_decay"], group["eps"], beta1, beta2, 1 - beta1**step, 1 - beta2**step
        )


def _owners(embeddings: nn.Module | Iterable[nn.Module]) -> list[SharedTables]:
    modules = [embeddings] if isinstance(embeddings, nn.Module) else list(embeddings)
    owners = [owner for module in modules for owner in owners_in(module)]
    if not owners:
        raise UsageError("embeddings: no pocketrec embedding in what was given; for other modules use torch.optim")
    if any(owner.sparse_gradients for owner in owners):
        raise UsageError("embeddings: full tables have row-sparse gradients; step them with torch.optim")
    if not all(hasattr(owner, "memory") for owner in owners):
        raise UsageError("embeddings: some keep no memory, only weights; step them with torch.optim")
    if any(owner.scales is not None for owner in owners):
        raise UsageError("embeddings: an int8 memory has no gradient; train the float model")
    return owners


def _sum_of_gradients(memory: Tensor, batches: list[Batch]) -> Tensor:
    wide = memory.to(accumulator(memory.dtype))  # half precisions are rounded once, after all batches
    total = torch.zeros_like(wide)
    if memory.grad is not None:
        total += memory.grad
    for grad, indices, offsets, weights, layout in batches:
        own_weights = None if weights is None else weights.to(wide.dtype)
        total += torch.ops.pocketrec.lookup_backward(grad.to(wide.dtype), wide, indices, offsets, own_weights, layout)
    return total


def _check_number(name: str, value: float | tuple[float, float]) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        below_one = name != "betas" or number < 1
        if not (math.isfinite(number) and number >= 0 and below_one):
            rule = "in [0, 1)" if name == "betas" else "finite and at least 0"
            raise UsageError(f"{name}: must be {rule}, got {value}")
