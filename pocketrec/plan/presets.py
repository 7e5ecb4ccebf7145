"""The two public click logs that everyone plans for, by the sizes of their tables."""

from __future__ import annotations

from pocketrec.data.presets import PRESETS as LOGS
from pocketrec.data.tails import Population
from pocketrec.errors import one_of
from pocketrec.plan.workload import TableSize, Workload
from pocketrec.theory import FrequencyProfile

_ABOUT = {
    "criteo-kaggle": (16, "a row for every value of the log, uncapped; D of facebookresearch/dlrm's Kaggle model"),
    "criteo-tb": (
        128,
        "MLPerf's table shapes, ids capped at 40 million a table. The paper speaks of 25+ billion parameters, 100 GB; "
        "HugeCTR's slots under the same cap are 187,767,399 rows (24.0 billion, 96.1 GB); without a cap it is "
        "882,774,559 rows (113 billion, 452 GB)",
    ),
}
PRESETS = tuple(_ABOUT)


def preset(name: str, embedding_dim: int | None = None) -> Workload:
    """The workload called `criteo-kaggle` (33.8 M rows x 16) or `criteo-tb` (204 M rows x 128).

    Its frequencies are those of our synthetic twin: tails under which as many values occur in as many rows.
    Raises UsageError for another name; says the nearest.
    """
    width, rows_are = _ABOUT[one_of("preset", name, PRESETS)]
    log = LOGS[name]
    return Workload(
        name=name,
        tables=tuple(
            TableSize(f"cat_{column}", rows, embedding_dim or width) for column, rows in enumerate(log.cardinalities)
        ),
        profiles=tuple(_twin(column, rows, log.rows) for column, rows in enumerate(log.cardinalities)),
        rows_are=rows_are,
        frequencies_are=f"assumed: those of `pocketrec synth --preset {name}`, Zipf tails in {log.rows:,} rows; "
        "--data has a log's own",
        examples=log.rows,
    )


def _twin(column: int, distinct: int, lookups: int) -> FrequencyProfile:
    """The column as `pocketrec synth` draws it, without blanks."""
    tail = Population.showing(column, distinct, lookups)
    # Where all that exist are seen, the tail may have been found a value too large.
    exist = tail.size if tail.size > 1.001 * distinct else distinct
    return FrequencyProfile.zipf(exist, tail.exponent, lookups)
