"""The host's counters, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from deploy.serving.metrics import BUCKETS_S


class HostMetrics:
    """Counters of one host, each by function."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "quadrat_requests", "Requests answered.", ["function", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "quadrat_request_seconds",
            "Seconds from the request's head to its answer.",
            ["function"],
            registry=self._registry,
            buckets=BUCKETS_S,
        )
        self._queue = Gauge(
            "quadrat_queue_depth", "Requests taken, not yet answered.", ["function"], registry=self._registry
        )
        self._ready = Gauge("quadrat_function_ready", "1 if it can answer.", ["function"], registry=self._registry)
        self._restarts = Counter(
            "quadrat_worker_restarts", "Workers that died or hung.", ["function"], registry=self._registry
        )

    def watch(self, function: str, waiting: Callable[[], float], ready: Callable[[], float]) -> None:
        """Read a function's queue and state whenever Prometheus asks."""
        self._queue.labels(function).set_function(waiting)
        self._ready.labels(function).set_function(ready)
        self._restarts.labels(function)

    def answered(self, function: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(function, str(status)).inc()
        self._seconds.labels(function).observe(seconds)

    def restarted(self, function: str) -> None:
        """Count a worker that had to be replaced."""
        self._restarts.labels(function).inc()

    def text(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)
