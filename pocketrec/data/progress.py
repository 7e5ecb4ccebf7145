"""One progress line on stderr for work done by several threads."""

from __future__ import annotations

import threading
from types import TracebackType

from tqdm import tqdm


class Progress:
    """A tqdm line that any thread may move; silent when `enabled` is false."""

    def __init__(self, label: str, total: int, unit: str, enabled: bool = True) -> None:
        self._lock = threading.Lock()
        self._rows = 0
        self._line = tqdm(
            desc=label, total=total, unit=unit, unit_scale=True, unit_divisor=1000, disable=not enabled, leave=False
        )

    def advance(self, amount: int) -> None:
        """Move the line by `amount` units."""
        with self._lock:
            self._line.update(amount)

    def add_rows(self, rows: int) -> None:
        """Show `rows` more rows beside the line."""
        with self._lock:
            self._rows += rows
            self._line.set_postfix_str(f"{self._rows:,} rows", refresh=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()
