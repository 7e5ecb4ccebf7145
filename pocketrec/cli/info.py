"""Say what a prepared log, a run folder or an artifact holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pocketrec.cli.show import number, pairs, size, table
from pocketrec.errors import DataError, PocketrecError

EXAMPLE = """examples:
  pocketrec info prepared
  pocketrec info runs/robe-1000x
  pocketrec info clicks.pocket
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR|RUN|FILE", help="written by pocketrec prepare, pocketrec train or pocketrec export"
    )


def run(args: argparse.Namespace) -> None:
    folder = Path(args.folder)
    if (folder / "manifest.json").exists():
        print(_log(folder))
    elif (folder / "config.json").exists():
        print(_run(folder))
    elif folder.is_file():
        print(_artifact(folder))
    else:
        raise DataError(f"{folder}: neither a prepared log (manifest.json), nor a run (config.json), nor an artifact")


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


def _artifact(path: Path) -> str:
    from pocketrec.artifact import read_artifact
    from pocketrec.artifact.recipe import KINDS

    artifact = read_artifact(path)
    recipe = artifact.recipe
    memory = recipe.memory
    told = [
        ("file", f"{size(artifact.size)}, sha256 {artifact.sha256}"),
        ("model", f"{recipe.model['ranker']}, {recipe.model['preset']}, over {recipe.sharing['scheme']}"),
        ("memory", f"{size(memory['bytes'])}: {number(memory['slots'])} slots in {memory['dtype']}"),
        ("ids", str(recipe.ids["policy"])),
    ]
    # What only informs may be missing.
    words = {"dense_part_bytes": "dense part", "id_map_bytes": "id map", "full_bytes": "full tables"}
    sizes = {word: recipe.sizes.get(name) for name, word in words.items()}
    told += [(name, size(n)) for name, n in sizes.items() if isinstance(n, int)]
    told += [(f"AUC, {split}", f"{each['auc']:.5f}") for split, each in recipe.metrics.items() if _has_auc(each)]
    told += [("made by", ", ".join(f"{name} {value}" for name, value in recipe.made_by.items()))]
    columns = [("number", ", ".join(recipe.inputs.dense))]
    columns += [
        (kind, ", ".join(each.name for each in recipe.inputs.categorical if each.kind == kind)) for kind in KINDS
    ]
    return f"{pairs(str(path), told)}\n\n{pairs('columns', [each for each in columns if each[1]], 100)}"


def _has_auc(metrics: Any) -> bool:
    return isinstance(metrics.get("auc"), float)


def _described(folder: Path, about: dict[str, Any]) -> str:
    """What `config.json` holds."""
    settings = {name: value for name, value in about["run"].items() if name != "training"} | about["run"]["training"]
    told = [(name, str(value)) for name, value in settings.items() if value is not None]
    return pairs(str(folder), [*told, ("data", str(about["data"]))])
