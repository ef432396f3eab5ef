"""What one worker has answered, as Prometheus text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


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

    def count(self, status: int, shapes: int, stages_s: dict[str, float], verdict: str | None = None) -> None:
        """Count one answer and time its stages.

        Args:
            status: of HTTP.
            shapes: sent to CVAT.
            stages_s: seconds by stage.
            verdict: of a predictor that judges its result, see `quadrat.verdict`.
        """
        self._answers.labels(str(status)).inc()
        self._shapes.inc(shapes)
        if verdict is not None:
            self._verdicts.labels(verdict).inc()
        for stage, seconds in stages_s.items():
            self._seconds.labels(stage).observe(seconds)

    def text(self) -> str:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry).decode()
