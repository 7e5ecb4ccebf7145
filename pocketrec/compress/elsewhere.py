"""What a model keeps of its weights outside its parameters: lists of what to regularise, optimisers.

A list of weights made when the model was built would keep a swapped table alive and go on to add its norm to the loss;
an optimiser would step it for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

_OWN = ("_parameters", "_buffers", "_modules")
_RENEWED = "{} weights in it were swapped, and it holds their memories now"
_SEVERAL = "{} weights in it were swapped for schemes with several parameters: it holds the old ones"
_STEPPED = "an optimiser that steps {} weights that were swapped: make it anew"


def replace_elsewhere(model: nn.Module, swaps: Mapping[Tensor, nn.Module]) -> dict[str, str]:
    """Wherever lists, tuples and dicts of the model's modules hold a swapped weight, put the memory.

    Args:
        model: whose modules' attributes are searched.
        swaps: weight -> the module that serves its rows now.

    Returns:
        Dotted name of an attribute -> what happened there, or what is left to do.
    """
    happened = {}
    for place, module, attribute in _attributes(model):
        renewal = _Renewal(swaps)
        module.__dict__[attribute] = renewal.of(module.__dict__[attribute])
        if renewal.met:
            happened[place] = "; ".join(told.format(count) for told, count in renewal.met.items())
    return happened


def holder_of(model: nn.Module, weight: Tensor) -> str | None:
    """The dotted name of a plain attribute that is `weight`: who made it reads it as a table."""
    return next((place for place, module, name in _attributes(model) if module.__dict__[name] is weight), None)


def _attributes(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    for prefix, module in model.named_modules():
        for attribute in [name for name in vars(module) if name not in _OWN]:
            yield f"{prefix}.{attribute}" if prefix else attribute, module, attribute


class _Renewal:
    """Walks the containers of one attribute, each once."""

    def __init__(self, swaps: Mapping[Tensor, nn.Module]) -> None:
        self.met: Counter[str] = Counter()
        self._swaps = swaps
        self._seen: set[int] = set()

    def of(self, value: Any) -> Any:
        """`value` with memories for the swapped weights in it; lists and dicts are changed in place."""
        if isinstance(value, Tensor):
            return self._memory_for(value)
        if id(value) in self._seen or not (type(value) in (list, tuple, dict) or isinstance(value, Optimizer)):
            return value
        self._seen.add(id(value))
        if isinstance(value, Optimizer):
            steps = [p for group in value.param_groups for p in group["params"]]
            self.met += Counter(_STEPPED for p in steps if p in self._swaps)
            return value
        if type(value) is tuple:
            renewed = tuple(self.of(item) for item in value)
            return renewed if any(a is not b for a, b in zip(value, renewed, strict=True)) else value
        for key, item in list(value.items() if type(value) is dict else enumerate(value)):
            new = self.of(item)
            if new is not item:
                value[key] = new
        return value

    def _memory_for(self, weight: Tensor) -> Tensor:
        if weight not in self._swaps:
            return weight
        parameters = list(self._swaps[weight].parameters())
        self.met[_RENEWED if len(parameters) == 1 else _SEVERAL] += 1
        return parameters[0] if len(parameters) == 1 else weight
