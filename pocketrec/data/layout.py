"""What the columns of a click log mean: which is the label, which are dense, which are categorical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pocketrec.errors import UsageError, nearest, one_of

FORMATS = ("criteo", "csv", "parquet")
CRITEO_DENSE = tuple(f"int_{i}" for i in range(13))
CRITEO_FEATURES = tuple(f"cat_{i}" for i in range(26))
ID_KINDS = ("hex", "integer", "text")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of every input file of one log."""

    format: str
    """`criteo`, `csv` or `parquet`."""
    label: str = "label"
    """Column of 0 and 1; empty where there is none, which is for scoring."""
    dense: tuple[str, ...] = CRITEO_DENSE
    """Numeric columns."""
    categorical: tuple[str, ...] = CRITEO_FEATURES
    """Columns of ids, one feature each."""
    separator: str = "\t"
    """One byte between the fields of a line (not used for Parquet)."""
    time_column: str | None = None
    """Column that orders the rows, for a split by time."""
    text: tuple[str, ...] = ()
    """Categorical columns whose values are text even where they look like integers."""
    id_kinds: dict[str, str] = field(default_factory=dict)
    """Feature -> how its values become ids: `hex`, `integer` or `text`. Empty until the first file was looked at."""
    time_kind: str = ""
    """`integer` or `datetime`: how the time column is read. Empty until the first file was looked at."""
    columns: tuple[str, ...] = ()
    """Every field of a line of a file without a header; those that are `wanted` unless given."""
    raw: bool = False
    """For scoring: dense values as they are in the log, ids as int64, labels that may be blank (-1 then)."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that is read."""
        names = (*((self.label,) if self.label else ()), *self.dense, *self.categorical)
        return names if self.time_column is None or self.time_column in names else (*names, self.time_column)

    @property
    def id_dtype(self) -> str:
        """NumPy dtype of the raw ids on disk."""
        return "uint32" if self.format == "criteo" and not self.raw else "int64"


def make_layout(
    format: str,
    *,
    label: str | None = None,
    dense: Sequence[str] = (),
    categorical: Sequence[str] = (),
    separator: str | None = None,
    time_column: str | None = None,
    text: Sequence[str] = (),
) -> Layout:
    """Check the declared columns. Raises UsageError."""
    one_of("format", format, FORMATS)
    if format == "criteo":
        if label or dense or categorical or separator or time_column or text:
            raise UsageError(
                "format criteo fixes its columns: "
                "label, dense, categorical, separator, time and text columns are for csv and parquet"
            )
        return Layout(format="criteo", id_kinds=dict.fromkeys(CRITEO_FEATURES, "hex"))
    if not label or not categorical:
        raise UsageError(
            f"format {format} needs a label column and at least one categorical column: pass label and categorical"
        )
    if format == "parquet" and separator is not None:
        raise UsageError("separator is for csv: a Parquet file has none")
    layout = Layout(
        format=format,
        label=label,
        dense=tuple(dense),
        categorical=tuple(categorical),
        separator=one_byte(separator),
        time_column=time_column,
        text=tuple(text),
    )
    _check_names(layout)
    return layout


def one_byte(separator: str | None) -> str:
    """The separator as one byte; `\\t` and `tab` spelled out are understood."""
    separator = {None: ",", "\\t": "\t", "tab": "\t"}.get(separator, separator)
    if separator is None or len(separator.encode()) != 1 or separator in '"\r\n':
        raise UsageError(f"separator must be one ASCII character other than a quote or a line end, got {separator!r}")
    return separator


def _check_names(layout: Layout) -> None:
    names = (layout.label, *layout.dense, *layout.categorical)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"column {repeated[0]!r} is declared twice: a column is label, dense or categorical")
    unknown = sorted(set(layout.text) - set(layout.categorical))
    if unknown:
        raise UsageError(f"text column {unknown[0]!r} is not categorical: {nearest(unknown[0], layout.categorical)}")
