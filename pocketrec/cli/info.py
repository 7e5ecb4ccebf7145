"""Say what a prepared log or a run folder holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pocketrec.cli.show import number, pairs, size, table
from pocketrec.errors import DataError, PocketrecError

EXAMPLE = """examples:
  pocketrec info prepared
  pocketrec info runs/robe-1000x
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR|RUN", help="a folder written by pocketrec prepare or pocketrec train")


def run(args: argparse.Namespace) -> None:
    folder = Path(args.folder)
    if (folder / "manifest.json").exists():
        print(_log(folder))
    elif (folder / "config.json").exists():
        print(_run(folder))
    else:
        raise DataError(f"{folder}: neither a prepared log (manifest.json) nor a run (config.json)")


def _log(folder: Path) -> str:
    from pocketrec.data.manifest import read_manifest

    manifest = read_manifest(folder)
    told = [
        ("format", f"{manifest.format}, split {manifest.split}"),
        ("files", ", ".join(each.name for each in manifest.inputs)),
        *((f"{split} rows", number(rows)) for split, rows in manifest.rows.items()),
        ("dense columns", str(len(manifest.dense_names))),
        ("fingerprint", manifest.fingerprint),
    ]
    told += [(f"skipped: {rule}", number(rows)) for rule, rows in manifest.skipped.items()]
    rows = [
        (name, kind, number(distinct), number(kept))
        for name, kind, distinct, kept in zip(
            manifest.feature_names, manifest.id_kinds, manifest.cardinalities, manifest.kept, strict=True
        )
    ]
    rows.append(("all", "", number(sum(manifest.cardinalities)), number(sum(manifest.kept))))
    columns = ("feature", "ids", "distinct in training", f"seen {manifest.min_count}+ times")
    full = size(sum(manifest.cardinalities) * 16 * 4)
    return f"{pairs(str(folder), told)}\n\n{table(columns, rows)}\n\nfull tables at D=16 in float32: {full}"


def _run(folder: Path) -> str:
    from pocketrec.cli.train import summary
    from pocketrec.files import read_json
    from pocketrec.runs import read_config

    path = folder / "config.json"
    try:
        text = _described(folder, read_config(folder))
        path = folder / "metrics.json"
        if not path.exists():
            return f"{text}\n\nnot finished: go on with the same pocketrec train command and --resume"
        return f"{text}\n\n{summary('results', read_json(path))}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, PocketrecError):
            raise
        raise DataError(f"{path}: damaged, or another version's ({error!r}): train the run again") from None


def _described(folder: Path, about: dict[str, Any]) -> str:
    """What `config.json` holds."""
    settings = {name: value for name, value in about["run"].items() if name != "training"} | about["run"]["training"]
    told = [(name, str(value)) for name, value in settings.items() if value is not None]
    return pairs(str(folder), [*told, ("data", str(about["data"]))])
