"""Raw click logs -> a prepared folder: memory-mappable arrays, the counted vocabulary and `manifest.json`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pocketrec.data.claim import Claim, check_inputs, finished_manifest
from pocketrec.data.layout import Layout, make_layout
from pocketrec.data.manifest import VERSION, InputFile, Manifest
from pocketrec.data.shard import LABEL_DTYPE
from pocketrec.data.shards import Written, write_shards
from pocketrec.data.source import with_kinds
from pocketrec.data.split import SPLITS, Split, TimeSplit, parse_split
from pocketrec.data.system import os_errors_told, processors
from pocketrec.data.time_bounds import find_time_bounds
from pocketrec.data.verification import write_stamps
from pocketrec.data.vocabulary_files import write_vocabulary
from pocketrec.errors import DataError, UsageError

_Path = str | os.PathLike[str]


def prepare(
    files: _Path | Sequence[_Path],
    out: _Path,
    *,
    format: str = "criteo",
    label: str | None = None,
    dense: Sequence[str] = (),
    categorical: Sequence[str] = (),
    separator: str | None = None,
    split: str = "8/1/1",
    time_column: str | None = None,
    text: Sequence[str] = (),
    min_count: int = 2,
    on_bad_row: str = "stop",
    workers: int | None = None,
    progress: bool = True,
) -> Manifest:
    """Read click logs once, in flat memory, and write what training reads.

    files: one shard each, of one format. `criteo`: label, 13 integers and 26 values of 8 hex digits, separated by
        tabs, no header (.gz as well). `csv`: a header and the columns named by `label`, `dense` and `categorical`
        (`separator` is a comma unless given; .gz as well). `parquet`: the same columns.
    out: a folder that does not exist yet or is empty, for one prepare at a time. Killed half-way, the same call goes
        on and keeps the finished shards; called again when finished, it returns the manifest.
    split: `8/1/1` sends the rows r of each file to train, validation and test by r modulo 10; `file` and
        `train=a,b;validation=c;test=d` send whole files; `time` sends the earliest 80 %, the next and the last 10 %.
    text: categorical columns that are text even if they look like integers.
    min_count: what the manifest reports as `kept`, and the default of `ClickLog.vocabulary`: rarer values, and those
        not seen in training, share its row 0.
    on_bad_row: `stop` at the first, or `skip`: leave bad rows out and count them by rule, the others staying in their
        splits.
    workers: threads, as many as processors unless given.

    A blank is the value 0: in an integer column the id 0 and a blank are one value.

    Raises UsageError for arguments, DataError for what the files hold; nothing is left in `out` then.
    """
    layout = make_layout(
        format,
        label=label,
        dense=dense,
        categorical=categorical,
        separator=separator,
        time_column=time_column,
        text=text,
    )
    workers = processors() if workers is None else workers
    _check_numbers(min_count, workers, on_bad_row)
    paths = [Path(files)] if isinstance(files, str | os.PathLike) else [Path(path) for path in files]
    inputs = check_inputs(paths)
    rule = parse_split(split, paths, time_column)
    options = {**asdict(layout), "split": split, "min_count": min_count, "on_bad_row": on_bad_row}
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    # Found in the files, or for scoring only, and not asked for.
    for name in ("time_kind", "columns", "raw"):
        del options[name]
    with os_errors_told(Path(out)):
        done = finished_manifest(Path(out), paths, options, inputs)
        if done:
            print(f"{out}: already prepared from these files", file=sys.stderr)
            return done
        claim = Claim(Path(out), options, inputs)
    with os_errors_told(Path(out)), _undone_on_error(claim):
        layout = with_kinds(layout, paths[0])
        if isinstance(rule, TimeSplit):
            rule = find_time_bounds(paths, layout, claim.scratch, skip=on_bad_row == "skip", progress=progress)
        written = write_shards(paths, layout, rule, claim, on_bad_row == "skip", workers, progress)
        inputs = [replace(each, sha256=digest) for each, digest in zip(inputs, written.input_hashes, strict=True)]
        manifest = _finish(layout, rule, written, inputs, claim, options, progress)
        manifest.write(claim.folder)
        write_stamps(claim.folder, manifest)
    claim.release()
    return manifest


def _check_numbers(min_count: int, workers: int, on_bad_row: str) -> None:
    if min_count < 1:
        raise UsageError(f"min_count must be at least 1, got {min_count}")
    if workers < 1:
        raise UsageError(f"workers must be at least 1, got {workers}")
    if on_bad_row not in ("stop", "skip"):
        raise UsageError(f"on_bad_row must be 'stop' or 'skip', got {on_bad_row!r}")


@contextmanager
def _undone_on_error(claim: Claim) -> Iterator[None]:
    """Leave nothing behind on an error; an interrupt leaves the finished shards, as `kill -9` does."""
    try:
        yield
    except Exception:
        claim.undo()
        raise
    except BaseException:
        claim.unlock()
        raise


def _finish(
    layout: Layout,
    split: Split,
    written: Written,
    inputs: Sequence[InputFile],
    claim: Claim,
    options: dict[str, Any],
    progress: bool,
) -> Manifest:
    """Count the vocabulary and describe everything. Raises DataError when a split is empty."""
    rows = {name: sum(shard.rows[name] for shard in written.shards) for name in SPLITS}
    skipped = sum((Counter(shard.skipped) for shard in written.shards), Counter[str]())
    if not sum(rows.values()):
        names, told = ", ".join(each.name for each in inputs), "; ".join(f"{n} x {rule}" for rule, n in skipped.items())
        raise DataError(f"{names}: no good row ({told}): is the format right (--format), and the columns?")
    for name in SPLITS:
        if not rows[name] and not split.may_be_empty(name):
            raise DataError(
                f"split {options['split']!r} leaves no {name} rows ({rows}): "
                "give more rows, or another split (8/2/0 asks for no test rows)"
            )
    vocabulary = write_vocabulary(claim.folder, written.runs, layout, options["min_count"], progress)
    return Manifest(
        version=VERSION,
        format=layout.format,
        label_name=layout.label,
        dense_names=layout.dense,
        feature_names=layout.categorical,
        id_kinds=tuple(layout.id_kinds[name] for name in layout.categorical),
        id_dtype=layout.id_dtype,
        id_bits=32 if layout.id_dtype == "uint32" else 62,
        label_dtype=LABEL_DTYPE,
        split=options["split"],
        rows=rows,
        min_count=options["min_count"],
        cardinalities=vocabulary.cardinalities,
        kept=vocabulary.kept,
        skipped=dict(skipped),
        inputs=tuple(inputs),
        shards=tuple(written.shards),
        vocabulary_files=vocabulary.files,
        options=options,
    )
