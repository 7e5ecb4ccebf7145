"""How large is an artifact, and what do fewer bits cost? The terabyte preset, on a synthetic twin of Criteo-TB.

    python benchmarks/artifacts.py FOLDER [--rows 400000]

Two models of one epoch: `10 MB`, a memory of 2,621,440 slots, which is what is left of Criteo-TB's 105 GB at 10,000x;
and `10,000x` of the twin's own tables. Of each the bytes of memory, dense part and id map apart, for every dtype, and
the change of validation AUC that the export measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from record import record
from serving_models import SLOTS, run_pocketrec

from pocketrec.artifact import read_artifact

BUDGETS = {"10 MB": ("--memory-size", SLOTS["terabyte"]), "10,000x": ("--compression", 10_000)}
DTYPES = {"fp32": "float32", "fp16": "float16", "int8": "int8", "int4": "int4"}
PARTS = ("memory", "dense_part", "id_map", "full")


def prepared(folder: Path, rows: int) -> Path:
    """A twin of so many lines: a hundredth of Criteo-TB's values, as far as they occur."""
    log, out = folder / "twin.tsv", folder / "twin"
    if not out.exists():
        if not log.exists():
            run_pocketrec("synth", "--preset", "criteo-tb", "--scale", 0.01, "--rows", rows, "--out", log)
        run_pocketrec("prepare", log, "--out", out)
    return out


def run(folder: Path, data: Path, name: str) -> Path:
    """The model of a budget, trained."""
    out = folder / name.replace(" ", "").replace(",", "")
    if not (out / "model.pt").exists():
        options = ("--preset", "terabyte", "--epochs", 1, "--batch-size", 1024, *BUDGETS[name])
        run_pocketrec("train", "--data", data, "--out", out, *options)
    return out


def measure(folder: Path, trained: Path, name: str) -> None:
    """Export in every dtype, and record what the recipe says."""
    for flag, dtype in DTYPES.items():
        path = folder / f"{trained.name}-{flag}.pocket"
        run_pocketrec("export", trained, "--out", path, "--dtype", flag)
        artifact = read_artifact(path)
        recipe = artifact.recipe
        validation: dict[str, Any] = recipe.metrics["validation"]
        shape = f"terabyte, {name}, {recipe.memory['slots']} slots"
        conditions = f"{recipe.data['rows']['train']} rows, one epoch; AUC {validation['auc']:.5f}"
        for part in PARTS:
            record("artifact", f"{shape}, {part.replace('_', ' ')}", dtype, "MB", [recipe.sizes[f"{part}_bytes"] / 1e6])
        record("artifact", f"{shape}, file", dtype, "MB", [artifact.size / 1e6])
        record("artifact", shape, dtype, "AUC change", [validation["auc_change"]], conditions)


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=400_000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    data = prepared(options.folder, options.rows)
    for name in BUDGETS:
        measure(options.folder, run(options.folder, data, name), name)


if __name__ == "__main__":
    main()
