"""Flags of `pocketrec train` -> RunConfig. Studies describe their runs in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pocketrec.errors import UsageError
from pocketrec.runs.config import RunConfig
from pocketrec.runs.defaults import defaults_for
from pocketrec.sharing import SCHEMES
from pocketrec.training import TrainConfig

DEFAULT_SHARING, DEFAULT_COMPRESSION = "robe", 100.0
FLAGS = frozenset(f.name for c in (RunConfig, TrainConfig) for f in fields(c)) - {"training"} | {"optimizer"}
"""Every name that `config_from` knows; `optimizer` stands for those of both parts."""


def config_from(flags: Mapping[str, Any]) -> RunConfig:
    """The RunConfig that flags ask for; None and what is not given take the defaults that suit the scheme.

    Other names than those of `FLAGS` are left to whoever else reads the flags. Raises UsageError for flags that make no
    sense, or mean nothing to the scheme.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if "options" in given:
        given["options"] = dict(given["options"])
    if "init" in given:
        given["init"] = _number_or_word(given["init"])
    if "optimizer" in given:
        given = {"embedding_optimizer": given["optimizer"], "dense_optimizer": given["optimizer"]} | given
    sharing = given.get("sharing", DEFAULT_SHARING)
    _refuse_foreign(sharing, given)
    settings = defaults_for(sharing, given)
    if settings.get("sharing") != "full" and not {"compression", "memory_size"} & given.keys():
        settings["compression"] = DEFAULT_COMPRESSION
    own, training = ({f.name for f in fields(cls)} for cls in (RunConfig, TrainConfig))
    return RunConfig(
        **{name: value for name, value in settings.items() if name in own},
        training=TrainConfig(**{name: value for name, value in settings.items() if name in training}),
    )


def _refuse_foreign(sharing: str, given: Mapping[str, Any]) -> None:
    """A flag that would do nothing is a mistake worth telling."""
    for name in ("chunk_size", "hash", "signed", "align"):
        if name in given and sharing in SCHEMES and not {name, "cold"} & SCHEMES[sharing].__dataclass_fields__.keys():
            raise UsageError(f"--{name.replace('_', '-')} means nothing to sharing {sharing!r}: leave it out")


def _number_or_word(value: float | str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
