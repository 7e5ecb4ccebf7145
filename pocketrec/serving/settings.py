"""What a server allows: sizes, times, how many wait, who may ask."""

from __future__ import annotations

from dataclasses import dataclass

from pocketrec.errors import UsageError, one_of, real_number, whole_number
from pocketrec.runtime.model import ENGINES


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The limits of one server. Raises UsageError, naming the field, for a value that makes no sense."""

    token: str | None = None
    """Who asks for scores, the model or metrics must send `Authorization: Bearer TOKEN`; None asks for nothing."""
    max_body: int = 8_000_000
    """Bytes of one request's body; more is 413."""
    max_rows: int = 4096
    """Rows of one request; more is 413."""
    timeout: float = 10.0
    """Seconds for a body to arrive (else 408), and again for its scores to be ready (else 503)."""
    engine: str = "auto"
    """What scores: `native`, `onnx`, or `auto`, as `pocketrec.runtime.load` chooses for batches."""
    threads: int | None = None
    """Cores that score; None takes those this process may use."""
    max_waiting: int = 256
    """Requests with a body read that wait for scores or get them; one more is 503."""
    max_held: int = 64_000_000
    """Bytes of all bodies being read at once; a body that would exceed it is 503."""
    max_connections: int = 1000
    """Open connections; one more is told 503 and closed."""
    reload_seconds: float = 2.0
    """How often to look whether the artifact was replaced; 0 leaves that to SIGHUP and POST /reload."""
    grace: float = 30.0
    """Seconds that requests in flight have after SIGTERM."""

    def __post_init__(self) -> None:
        for name in ("max_body", "max_rows", "max_waiting", "max_held", "max_connections"):
            whole_number(name, getattr(self, name), at_least=1)
        one_of("engine", self.engine, ENGINES)
        if self.threads is not None:
            whole_number("threads", self.threads, at_least=1)
        for name in ("timeout", "grace"):
            real_number(name, getattr(self, name), "(0, 86400]")
        real_number("reload_seconds", self.reload_seconds, "[0, 86400]")
        if self.max_held < self.max_body:
            raise UsageError(f"max_held must be at least max_body ({self.max_body}), got {self.max_held}")
        if self.token is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            raise UsageError("token must be printable ASCII and not empty (it is not shown here)")
