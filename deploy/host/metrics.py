"""The host's counters, for Prometheus; `dashboard/grafana.json` draws them."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric

from deploy.serving.metrics import BUCKETS_S, PAINTED, SHAPES, SHARES
from deploy.serving.verdicts import VERDICT
from quadrat import verdict

disable_created_metrics()  # type: ignore[no-untyped-call]  # a timestamp beside every counter, which nobody draws

HOST = "host"
"""What counters give as the function of a request that asked none: health, listings, wrong paths, strangers."""
_STAGE_PREFIX, _STAGE_SUFFIX = "x-quadrat-", "-seconds"
_VERDICTS = (verdict.OK, verdict.REVIEW, verdict.FAILED)


class Watched(Protocol):
    """What is read of a function's pool whenever Prometheus asks."""

    failure: str | None
    taken: int
    running: int
    bytes_held: int

    @property
    def alive(self) -> int:
        """Workers that answer or could."""
        ...

    @property
    def rss_bytes(self) -> list[int]:
        """Memory of each worker."""
        ...


class HostMetrics:
    """Counters of one host."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._pools: dict[str, Watched] = {}
        self._start = time.time()
        self._requests = Counter("quadrat_requests", "Requests answered.", ["function", "status"], registry=registry)
        self._seconds = _histogram("quadrat_request_seconds", "From a request's head to its answer.", registry)
        self._waits = _histogram("quadrat_queue_wait_seconds", "From a whole request to its worker.", registry)
        self._stages = _histogram(
            "quadrat_stage_seconds", "A stage of an answer, as the function says.", registry, "stage"
        )
        self._shapes = Counter("quadrat_shapes", "Shapes sent to CVAT.", ["function"], registry=registry)
        self._verdicts = Counter(
            "quadrat_verdicts", "Answers of corners or a grid, by verdict.", ["function", "verdict"], registry=registry
        )
        self._painted = Histogram(
            "quadrat_painted_fraction",
            "Share of a photo that was painted.",
            ["function"],
            registry=registry,
            buckets=SHARES,
        )
        self._bytes_in = Counter("quadrat_request_bytes", "Bytes of bodies read.", ["function"], registry=registry)
        self._bytes_out = Counter("quadrat_response_bytes", "Bytes of bodies sent.", ["function"], registry=registry)
        self._restarts = Counter(
            "quadrat_worker_restarts", "Workers replaced, by reason.", ["function", "reason"], registry=registry
        )
        self._turned_away = Counter("quadrat_connections_refused", "Connections beyond the limit.", registry=registry)
        self.connections = Gauge("quadrat_connections", "Connections open.", registry=registry)
        build = Gauge("quadrat_build_info", "What runs: always 1.", ["version", "python"], registry=registry)
        build.labels(own_version(), platform.python_version()).set(1)
        registry.register(self)
        ProcessCollector(registry=registry)

    def watch(self, function: str, pool: Watched) -> None:
        """Show a function's pool."""
        self._pools[function] = pool

    def collect(self) -> Iterator[Metric]:
        """What is read at the moment of asking."""
        yield GaugeMetricFamily("quadrat_uptime_seconds", "Since the host started.", value=time.time() - self._start)
        for name, help_text, read in (
            ("quadrat_function_ready", "1 if it can answer.", lambda pool: pool.failure is None),
            ("quadrat_queue_depth", "Requests that wait for a worker.", lambda pool: pool.taken - pool.running),
            ("quadrat_in_flight", "Requests that a worker is on.", lambda pool: pool.running),
            ("quadrat_body_bytes_held", "Bodies in memory.", lambda pool: pool.bytes_held),
            ("quadrat_workers", "Workers there should be.", lambda pool: len(pool.rss_bytes)),
            ("quadrat_workers_alive", "Workers that answer or could.", lambda pool: pool.alive),
        ):
            family = GaugeMetricFamily(name, help_text, labels=["function"])
            for function, pool in self._pools.items():
                family.add_metric([function], float(read(pool)))
            yield family
        memory = GaugeMetricFamily("quadrat_worker_rss_bytes", "Memory of a worker.", labels=["function", "worker"])
        for function, pool in self._pools.items():
            for slot, size in enumerate(pool.rss_bytes):
                memory.add_metric([function, str(slot)], size)
        yield memory

    def answered(self, function: str, status: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """Count a request."""
        self._requests.labels(function, str(status)).inc()
        self._seconds.labels(function).observe(seconds)
        self._bytes_in.labels(function).inc(bytes_in)
        self._bytes_out.labels(function).inc(bytes_out)

    def waited(self, function: str, seconds: float) -> None:
        """Time what a request waited for a worker."""
        self._waits.labels(function).observe(seconds)

    def told(self, function: str, headers: Mapping[str, str]) -> None:
        """Take what a function says of its answer in headers: ``X-Quadrat-Decode-Seconds``, ``X-Quadrat-Shapes``."""
        for name, value in headers.items():
            stage = name.lower().removeprefix(_STAGE_PREFIX).removesuffix(_STAGE_SUFFIX)
            if name.lower() == f"{_STAGE_PREFIX}{stage}{_STAGE_SUFFIX}":
                self._stages.labels(function, stage).observe(_number(value))
        self._shapes.labels(function).inc(_number(headers.get(SHAPES, "0")))
        if PAINTED in headers:
            self._painted.labels(function).observe(_number(headers[PAINTED]))
        if (told := headers.get(VERDICT)) in _VERDICTS:
            self._verdicts.labels(function, told).inc()

    def restarted(self, function: str, reason: str) -> None:
        """Count a worker that had to be replaced."""
        self._restarts.labels(function, reason).inc()

    def turned_away(self) -> None:
        """Count a connection beyond the limit."""
        self._turned_away.inc()

    def text(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)


def _histogram(name: str, text: str, registry: CollectorRegistry, *labels: str) -> Histogram:
    return Histogram(name, text, ["function", *labels], registry=registry, buckets=BUCKETS_S)


def _number(text: str) -> float:
    """A function may write into its headers what it likes: what is no number counts as 0."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0


def own_version() -> str:
    """Of this project, as it is installed."""
    try:
        return version("quadratseg")
    except PackageNotFoundError:  # run from a copy that is not installed
        return "unknown"
