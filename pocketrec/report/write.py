"""`report.html` and `figures/` of a study folder."""

from __future__ import annotations

import os
from pathlib import Path

from pocketrec.files import remove_parts, write_text
from pocketrec.report.evidence import Evidence
from pocketrec.report.figures import pictures, save
from pocketrec.report.gpu_rows import gpu_table
from pocketrec.report.page import page
from pocketrec.study import read_study

PAGE, FIGURES = "report.html", "figures"


def write_report(folder: str | os.PathLike[str], gpu_rows: str | os.PathLike[str] | None = None) -> Evidence:
    """Read the study in `folder`, finished or not; write its page and its figures there. Returns what was read.

    gpu_rows: a file that `benchmarks/gpu.py` wrote, shown in a section of its own.
    Raises:
        DataError: no study there, a damaged file, or no rows of a GPU in `gpu_rows`.
        UsageError: matplotlib is not installed.
    """
    folder = Path(folder)
    evidence = Evidence(read_study(folder))
    gpu = gpu_table(gpu_rows) if gpu_rows is not None else None
    remove_parts(folder / FIGURES)
    drawn = [(each, save(each, folder / FIGURES) if each.draw else "") for each in pictures(evidence)]
    write_text(folder / PAGE, page(evidence, drawn, gpu))
    return evidence
