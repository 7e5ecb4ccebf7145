"""How the log that is to be scored is read: the columns of the model, in a file with or without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pocketrec.artifact import Recipe
from pocketrec.data import blocks
from pocketrec.data.layout import CRITEO_DENSE, CRITEO_FEATURES, FORMATS, Layout, one_byte
from pocketrec.errors import UsageError, one_of

_FIRST_BYTES = 1 << 16
CRITEO_LABEL = "label"


def layout_for(
    path: Path, recipe: Recipe, *, format: str | None = None, label: str | None = None, separator: str | None = None
) -> Layout:
    """The layout of a log with the recipe's columns.

    format: `criteo`, `csv` or `parquet`; by default what the file's name says, and for names that say nothing `criteo`
        where the model's columns are Criteo's. label, separator: as `pocketrec prepare` takes them, for csv and
        parquet; without a label no AUC is measured. Criteo's label may be there or not, and blank.
    Raises UsageError for what does not go together, DataError for a file that cannot be read.
    """
    inputs = recipe.inputs
    format = _format_of(path, recipe) if format is None else one_of("format", format, FORMATS)
    kinds = {each.name: each.kind for each in inputs.categorical}
    base = Layout(format=format, label="", dense=inputs.dense, categorical=inputs.features, id_kinds=kinds, raw=True)
    if format == "criteo":
        if label or separator:
            raise UsageError("format criteo fixes its columns: label and separator are for csv and parquet")
        return _criteo(path, recipe, base)
    if format == "parquet" and separator is not None:
        raise UsageError("separator is for csv: a Parquet file has none")
    if label in inputs.names:
        raise UsageError(f"label: {label!r} is one of the model's columns")
    texts = tuple(name for name, kind in kinds.items() if kind == "text")
    return replace(base, label=label or "", separator=one_byte(separator), text=texts)


def _criteo(path: Path, recipe: Recipe, base: Layout) -> Layout:
    """With the label that a line begins with, or without."""
    if not _is_criteo(recipe):
        shown = ", ".join(recipe.inputs.names[:3])
        raise UsageError(f"format: the model's columns ({shown}, ...) are not Criteo's: use csv or parquet")
    fields = (*CRITEO_DENSE, *CRITEO_FEATURES)
    if _first_line(path).count(b"\t") == len(fields) - 1:
        return replace(base, columns=fields)
    return replace(base, label=CRITEO_LABEL, columns=(CRITEO_LABEL, *fields))


def _format_of(path: Path, recipe: Recipe) -> str:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return "parquet"
    return "csv" if name.endswith(".csv") or not _is_criteo(recipe) else "criteo"


def _is_criteo(recipe: Recipe) -> bool:
    return set(recipe.inputs.dense) <= set(CRITEO_DENSE) and set(recipe.inputs.features) <= set(CRITEO_FEATURES)


def _first_line(path: Path) -> bytes:

    for block in blocks.read_blocks(
        path, quoted=False, header=False, on_bytes=lambda _: None, block_bytes=_FIRST_BYTES
    ):
        return block.data.partition(b"\n")[0]
    return b""
