"""What several workers of the host answer in a second, over as many times what one does.

Two hosts run side by side, one with a worker and one with several, and are fired at by turns; the ratio is that of the
medians. The function without a network sleeps as long as a model computes, so that it is the host that is measured and
not the number of processors; the real network needs a processor a worker, and the clients need theirs too.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.host_clients import Fire
from benchmarks.host_process import HostProcess
from benchmarks.host_requests import Asked

CLIENTS_A_WORKER = 4

MakeRequests = Callable[[HostProcess, int], list[Asked]]


def measure(
    function: Path, make: MakeRequests, log: Path, *, workers: int, rounds: int, requests: int, nap_s: float = 0.0
) -> dict[str, Any]:
    """Fire at both by turns.

    Args:
        function: folder of the function.
        make: so many requests for it.
        log: where both hosts write their lines.
        workers: of the second host.
        rounds: each is fired at so many times.
        requests: a worker and round.
        nap_s: what the function without a network sleeps a request.

    Returns:
        Medians in requests/s, ``ratio`` (several over `workers` times one), and the least and the largest of the
        rounds' own ratios.

    Raises:
        RuntimeError: a request was not answered as it must.
    """
    env = {"HOST_STRESS_NAP_S": str(nap_s)}
    options = ("--queue", str(2 * CLIENTS_A_WORKER * workers))
    with (
        HostProcess([function], log, "--workers", "1", *options, **env) as one,
        HostProcess([function], log, "--workers", str(workers), *options, **env) as several,
    ):
        sides = [(one, 1, make(one, requests)), (several, workers, make(several, requests * workers))]
        for host, count, plan in sides:
            _requests_per_s(host, count, plan)  # warm
        speeds = [[_requests_per_s(host, count, plan) for host, count, plan in sides] for _ in range(rounds)]
    single, together = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratios = sorted(b / (workers * a) for a, b in speeds)
    return {
        "function": function.name,
        "workers": workers,
        "nap_s": nap_s,
        "one_per_s": round(single, 2),
        "several_per_s": round(together, 2),
        "ratio": round(together / (workers * single), 3),
        "least_ratio": round(ratios[0], 3),
        "largest_ratio": round(ratios[-1], 3),
    }


def _requests_per_s(host: HostProcess, workers: int, plan: list[Asked]) -> float:
    fire = Fire(host.port, plan, CLIENTS_A_WORKER * workers)
    seconds = fire.run()
    wrong = [answer.describe() for answer in fire.answers if answer.verdict != "right"]
    if wrong:
        raise RuntimeError(f"{len(wrong)} requests went wrong, the first: {wrong[0]}")
    return len(plan) / seconds


def describe(found: dict[str, Any]) -> str:
    """One line for people."""
    nap = f" that sleeps {found['nap_s']:g} s" if found["nap_s"] else ""
    return (
        "{workers} workers of {function}{nap}: {several_per_s}/s, one {one_per_s}/s, {ratio} of {workers} times one"
        " (rounds {least_ratio} to {largest_ratio})"
    ).format(**found, nap=nap)
