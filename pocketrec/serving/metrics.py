"""What Prometheus reads at /metrics: requests, times, rows, the model served."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The counters of one app; each app has its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("pocketrec_requests", "Requests answered.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "pocketrec_request_seconds", "Seconds a request took.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.in_flight = Gauge("pocketrec_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.rows = Counter("pocketrec_rows", "Rows scored.", registry=self.registry)
        self.loads = Counter(
            "pocketrec_model_loads", "Artifacts loaded, or refused.", ["outcome"], registry=self.registry
        )
        self.model = Gauge(
            "pocketrec_model_info", "The model served.", ["name", "sha256", "engine"], registry=self.registry
        )
        for outcome in ("loaded", "refused"):
            self.loads.labels(outcome)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request is done."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def serves(self, name: str, sha256: str, engine: str) -> None:
        """This model answers from now on."""
        self.loads.labels("loaded").inc()
        self.model.clear()
        self.model.labels(name, sha256, engine).set(1)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)
