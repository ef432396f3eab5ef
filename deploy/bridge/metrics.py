"""The bridge's counters, for Prometheus; `dashboard/grafana.json` draws them.

What came in is counted where it comes in. All else is read from the ledger at the moment of asking, so that a restart
forgets nothing. No name of a task or photo and no secret is in them.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator

from fastapi import APIRouter, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from deploy.bridge import health
from deploy.bridge.events import EVENTS
from deploy.bridge.ledger import DONE, STEP_STATES, Ledger
from deploy.bridge.plan import Plan
from deploy.host.metrics import own_version

disable_created_metrics()  # type: ignore[no-untyped-call]  # a timestamp beside every counter, which nobody draws

ANSWER_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Buckets of answers to deliveries: CVAT waits 10 s."""
STEP_S = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Buckets of steps."""
OTHER = "other"
"""Stands for an event that the bridge does not ask for, whatever it calls itself, and for what is no delivery."""


class Deliveries:
    """Counts what comes in."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._taken = Counter(
            "quadrat_bridge_deliveries", "Deliveries, by what came of them.", ["event", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "quadrat_bridge_answer_seconds", "From a delivery to its answer.", registry=registry, buckets=ANSWER_S
        )

    def count(self, event: str, outcome: str, seconds: float) -> None:
        """Count a delivery that was answered.

        Args:
            event: CVAT's name of it; empty where it is not known.
            outcome: ``taken``, ``known``, ``ignored``, or the code of the error that refused it.
            seconds: till the answer.
        """
        self._taken.labels(event if event in EVENTS else OTHER, outcome).inc()
        self._seconds.observe(seconds)


class Remembered:
    """What the ledger says, for Prometheus."""

    def __init__(self, ledger: Ledger, plan: Plan, queued: Callable[[], float]) -> None:
        self._ledger, self._plan, self._queued = ledger, plan, queued

    def collect(self) -> Iterator[Metric]:
        """What is read at the moment of asking."""
        seen, now = health.look(self._ledger), time.time()
        for name, text, value in (
            ("queue_length", "Looks and steps in the queue, those for later included.", self._queued()),
            ("open_deliveries", "Deliveries that nothing came of yet.", seen.deliveries),
            ("oldest_delivery_seconds", "How long the oldest of them has waited.", seen.oldest_s),
            ("worker_alive", "1 if the worker was heard of within a minute.", seen.alive),
            (
                "worker_heartbeat_timestamp_seconds",
                "When the worker was last heard of; 0: never.",
                _moment(now, seen.heartbeat_s),
            ),
            (
                "last_sweep_timestamp_seconds",
                "When all tasks were last looked at; 0: never.",
                _moment(now, seen.swept_s),
            ),
        ):
            yield GaugeMetricFamily(f"quadrat_bridge_{name}", text, value=float(value))
        doubts = GaugeMetricFamily("quadrat_bridge_doubts", "Photos for a person to see.", labels=["state"])
        for state, count in seen.doubts.items():
            doubts.add_metric([state], count)
        yield doubts
        yield self._steps()
        yield self._tries()
        yield self._seconds()
        yield self._photos()

    def _steps(self) -> Metric:
        counted = {
            tuple(row[:3]): row[3]
            for row in self._ledger.rows("SELECT stage, step, state, count(*) FROM steps GROUP BY stage, step, state")
        }
        every = {(key, step.name, state) for key, step in self._plan.steps() for state in STEP_STATES}
        family = GaugeMetricFamily("quadrat_bridge_steps", "Steps, by state.", labels=["stage", "step", "state"])
        for labels in sorted(every | set(counted)):
            family.add_metric(labels, counted.get(labels, 0))
        return family

    def _tries(self) -> Metric:
        text = "Tries that failed, of the steps as they stand: done ones too."
        family = GaugeMetricFamily("quadrat_bridge_failed_tries", text, labels=["stage", "step"])
        for stage, step, tries in self._ledger.rows("SELECT stage, step, sum(tries) FROM steps GROUP BY stage, step"):
            family.add_metric([stage, step], tries)
        return family

    def _seconds(self) -> Metric:
        text = "What a step took that was done."
        family = HistogramMetricFamily("quadrat_bridge_step_seconds", text, labels=["stage", "step"])
        within = ", ".join(f"sum(seconds <= {bound})" for bound in STEP_S)
        sql = f"SELECT stage, step, sum(seconds), count(*), {within} FROM steps WHERE state = ? GROUP BY stage, step"
        for stage, step, seconds, count, *filled in self._ledger.rows(sql, (DONE,)):
            buckets = [(str(float(bound)), number) for bound, number in zip(STEP_S, filled, strict=True)]
            family.add_metric([stage, step], [*buckets, ("+Inf", count)], seconds)
        return family

    def _photos(self) -> Metric:
        family = GaugeMetricFamily("quadrat_bridge_photos", "Photos in a step, by state.", labels=["step", "state"])
        for state, step, count in self._ledger.rows("SELECT state, step, count(*) FROM photos GROUP BY state, step"):
            family.add_metric([step, state], count)
        return family


def routes(ledger: Ledger, plan: Plan, deliveries: Deliveries, queued: Callable[[], float]) -> APIRouter:
    """``GET /metrics``.

    Args:
        ledger: of the bridge.
        plan: whose steps are told even where nothing was done yet.
        deliveries: what came in.
        queued: says how many things the queue holds.
    """
    registry = deliveries.registry
    build = Gauge("quadrat_bridge_build_info", "What runs: always 1.", ["version", "python"], registry=registry)
    build.labels(own_version(), platform.python_version()).set(1)
    registry.register(Remembered(ledger, plan, queued))
    ProcessCollector(registry=registry)
    router = APIRouter()

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    return router


def _moment(now: float, ago_s: float | None) -> float:
    return 0.0 if ago_s is None else now - ago_s
