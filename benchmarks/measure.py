"""Timing two callables by turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from benchmarks.cases import Case


@dataclass(frozen=True, slots=True)
class Timing:
    """What came of timing.

    Attributes:
        rounds: how often each side ran.
        ours_ms: median.
        peer_ms: median; `None` without a peer.
        ratio: median over the rounds of the peer's time / ours; above 1 ours is faster.
        ratio_quartiles: of the same ratios.
    """

    rounds: int
    ours_ms: float
    peer_ms: float | None = None
    ratio: float | None = None
    ratio_quartiles: tuple[float, float] | None = None


def by_turns(ours: Callable[[], object], peer: Callable[[], object] | None, rounds: int) -> Timing:
    """Run ours, peer, ours, peer, …: what slows the machine down slows both. Each runs once unmeasured first.

    Args:
        ours: one side.
        peer: the other; `None` times ours alone.
        rounds: at least 1.
    """
    sides = [ours] if peer is None else [ours, peer]
    for side in sides:
        side()
    times_ms = [[_milliseconds(side) for side in sides] for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*times_ms, strict=True)]
    if peer is None:
        return Timing(rounds, medians[0])
    ratios = [theirs / mine for mine, theirs in times_ms]
    return Timing(rounds, medians[0], medians[1], statistics.median(ratios), _quartiles(ratios))


def run(case: Case, rounds: int | None = None) -> dict[str, object]:
    """Run one case.

    Returns:
        Its description, its `Timing`, `facts`, and whether the target was `reached`; for one that cannot run, its
        description and `skipped`: the command that installs what it lacks.

    Raises:
        CheckError: the two sides do not give the same.
    """
    described = {key: value for key, value in asdict(case).items() if key not in ("prepare", "needs", "repeat")}
    if missing := case.missing():
        return {**described, "skipped": f"pip install {' '.join(missing)}"}
    sides = case.prepare()
    try:
        checked = dict(sides.check())
        timing = by_turns(sides.ours, sides.peer, rounds or case.repeat)
        facts = {**checked, **sides.facts()}
    finally:
        sides.close()
    reached = None if case.target is None or timing.ratio is None else timing.ratio >= case.target
    return {**described, **asdict(timing), "reached": reached, "facts": facts}


def stages(named: Mapping[str, Callable[[], object]], rounds: int = 9) -> dict[str, str]:
    """Median milliseconds of each stage and its share of their sum, run by turns; one round more goes unmeasured."""
    times_ms = [[_milliseconds(stage) for stage in named.values()] for _ in range(rounds + 1)]
    medians = [statistics.median(column) for column in zip(*times_ms[1:], strict=True)]
    whole = sum(medians)
    return {name: f"{ms:.2f} ms ({ms / whole:.1%})" for name, ms in zip(named, medians, strict=True)}


def _quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _milliseconds(side: Callable[[], object]) -> float:
    start = time.perf_counter()
    side()
    return (time.perf_counter() - start) * 1000
