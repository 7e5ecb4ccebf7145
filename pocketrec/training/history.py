"""`history.csv`: one row per evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pocketrec.files import write_text

from .state import Row


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, header first, atomically. A resumed run so drops rows newer than its checkpoint."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
