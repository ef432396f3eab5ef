"""What one worker has answered, as Prometheus text."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from deploy.serving.verdicts import VERDICT

SHAPES, PAINTED = "X-Quadrat-Shapes", "X-Quadrat-Painted-Fraction"
"""Headers that say how many shapes the body holds, or which share of the photo was painted."""
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Buckets of a share of the photo; the first holds photos of which nothing was painted."""


class Metrics:
    """Counters of one function in one worker process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "quadrat_function_answers", "Answers given, by HTTP status.", ["status"], registry=self._registry
        )
        self._shapes = Counter("quadrat_function_shapes", "Shapes sent to CVAT.", registry=self._registry)
        self._verdicts = Counter(
            "quadrat_function_verdicts",
            "Answers of corners or a grid, by verdict.",
            ["verdict"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "quadrat_function_stage_seconds",
            "Seconds a stage of an answer took.",
            ["stage"],
            registry=self._registry,
            buckets=BUCKETS_S,
        )

        self._painted = Histogram(
            "quadrat_function_painted_fraction",
            "Share of a photo that was painted.",
            registry=self._registry,
            buckets=SHARES,
        )

    def count(self, status: int, stages_s: Mapping[str, float], told: Mapping[str, str]) -> None:
        """Count one answer and time its stages.

        Args:
            status: of HTTP.
            stages_s: seconds by stage.
            told: headers with what the function says of its result: `SHAPES`, `PAINTED`, `verdicts.VERDICT`.
        """
        self._answers.labels(str(status)).inc()
        self._shapes.inc(int(told.get(SHAPES, 0)))
        if PAINTED in told:
            self._painted.observe(float(told[PAINTED]))
        if VERDICT in told:
            self._verdicts.labels(told[VERDICT]).inc()
        for stage, seconds in stages_s.items():
            self._seconds.labels(stage).observe(seconds)

    def text(self) -> str:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry).decode()
