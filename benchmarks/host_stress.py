"""The host under fire: thousands of requests, a tenth of them broken, while its workers are killed.

Starts the real host as a subprocess with two functions: one without a network, whose answer is the outline of the one
rectangle in its photo, different in every request, so that a mixed-up answer is noticed; and coral_seg_yolo with the
weights that ship, on a few rendered photos whose answers were taken one by one beforehand. Then it measures what
several workers do compared with one.

    python -m benchmarks.host_stress                       # 10,000 requests, 20 kills
    python -m benchmarks.host_stress --requests 300 --kills 3 --real 0 --rounds 0 --json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks import host_clients, host_requests, host_throughput
from benchmarks.host_process import ROOT, HostProcess
from benchmarks.host_requests import Asked

STRESS, YOLO = "stress-red", "pth-yolo-coralseg"
FOLDERS = {STRESS: ROOT / "benchmarks" / "host_function", YOLO: ROOT / "coral_seg_yolo" / "deploy" / YOLO}
CLIENTS = 16
WORKERS = 2
IDLE_S = 1.0
WAIT_S = 600
"""Longer than by default: a killed network takes minutes to load where a machine has other things to do."""
MEMORY_MARGIN = 1.10
NAP_S = 0.2
LEAST_THROUGHPUT = 0.95


def main(
    requests: int = 10_000,
    kills: int = 20,
    real: int = 500,
    rounds: int = 7,
    seed: int = 2026,
    log: Path | None = None,
) -> dict[str, Any]:
    """Run it.

    Args:
        requests: in all; a tenth of them broken.
        kills: workers ended with SIGKILL, at random moments.
        real: how many of the good requests go through coral_seg_yolo.
        rounds: of the throughput's measurement; 0 leaves it out.
        seed: of the broken requests, their order, and the moments and victims of the kills.
        log: where the host writes its lines.

    Returns:
        Figures, ``faults`` (what went wrong, in words) and ``ok``.
    """
    with tempfile.TemporaryDirectory(prefix="host-stress-") as folder:
        path = log or Path(folder) / "host.log"
        figures = _fire(requests, kills, real, seed, path)
        if rounds:
            figures["throughput"] = _throughput(rounds, bool(real), path)
            figures["faults"] += _slow(figures["throughput"][0])
    return {**figures, "ok": not figures["faults"]}


def _fire(requests: int, kills: int, real: int, seed: int, log: Path) -> dict[str, Any]:
    names = [STRESS, YOLO] if real else [STRESS]
    options = ["--workers", str(WORKERS), "--queue", str(2 * CLIENTS), "--idle", str(IDLE_S), "--wait", str(WAIT_S)]
    options += ["--max-body", str(host_requests.MAX_BODY)]
    with HostProcess([FOLDERS[n] for n in names], log, *options) as host:
        plan = _plan(host, requests, real, seed)
        warm_up = _plan(host, max(100, requests // 20), real // 10, seed + 1)
        run = _Run(host, len(names) * WORKERS, random.Random(seed))
        return run.measure(plan, warm_up, kills)


def _throughput(rounds: int, real: bool, log: Path) -> list[dict[str, Any]]:
    napping = host_throughput.measure(
        FOLDERS[STRESS], _good_requests, log, workers=4, rounds=rounds, requests=20, nap_s=NAP_S
    )
    if not real:
        return [napping]
    return [
        napping,
        host_throughput.measure(FOLDERS[YOLO], _network_requests, log, workers=2, rounds=rounds, requests=20),
    ]


def _slow(napping: dict[str, Any]) -> list[str]:
    ratio = napping["ratio"]
    return [f"throughput {ratio} of workers x one, wanted {LEAST_THROUGHPUT}"] if ratio < LEAST_THROUGHPUT else []


def _plan(host: HostProcess, requests: int, real: int, seed: int) -> list[Asked]:
    """All requests in the order in which clients take them."""
    bad = host_requests.broken(f"/functions/{STRESS}", requests // 10, seed)
    network = _network_requests(host, real) if real else []
    plan = [*bad, *network, *_good_requests(host, requests - len(bad) - real)]
    random.Random(seed).shuffle(plan)
    return plan


def _good_requests(_: HostProcess, how_many: int) -> list[Asked]:
    boxes = host_requests.rectangles()
    return [host_requests.good(f"/functions/{STRESS}", next(boxes)) for _ in range(how_many)]


def _network_requests(host: HostProcess, how_many: int) -> list[Asked]:
    """Requests to coral_seg_yolo; each photo's answer is taken alone, twice, and differs from all others'."""
    kinds: list[Asked] = []
    for photo in _photos():
        asked = host_requests.photo_request(f"/functions/{YOLO}", photo, None)
        first, second = (host_clients.send(host.port, asked) for _ in range(2))
        if first.status != 200 or first.body != second.body:
            raise RuntimeError(f"{YOLO} does not answer one photo the same way twice: {first}, {second}")
        kinds.append(host_requests.photo_request(f"/functions/{YOLO}", photo, first.body))
    if len({asked.answer for asked in kinds}) < len(kinds):
        raise RuntimeError("two photos have the same answer: a mix-up would not be noticed")
    return [kinds[i % len(kinds)] for i in range(how_many)]


@cache
def _photos(how_many: int = 8, side_px: int = 320) -> list[bytes]:
    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings
    from quadrat import images

    return [images.encode_jpeg(render(number, Settings(size_px=side_px)).photo) for number in range(how_many)]


class _Run:
    """One host, from warm-up to the last count."""

    def __init__(self, host: HostProcess, workers: int, chance: random.Random) -> None:
        self._host, self._workers, self._chance = host, workers, chance
        self._killed: list[int] = []

    def measure(self, plan: list[Asked], warm_up: list[Asked], kills: int) -> dict[str, Any]:
        """Fire and count."""
        before_mb = self._memory_after(warm_up)
        fire = host_clients.Fire(self._host.port, plan, CLIENTS)
        moments = sorted(self._chance.sample(range(len(plan) // 20, len(plan) * 19 // 20), kills))
        killer = Thread(target=self._kill_at, args=(fire, moments))
        killer.start()
        seconds = fire.run()
        killer.join()
        after_mb = self._memory_after(warm_up)  # those that were replaced must have worked too
        figures = _figures(fire, seconds)
        figures |= {
            "kills": len(self._killed),
            "memory_before_mb": round(before_mb),
            "memory_after_mb": round(after_mb),
        }
        restarts = self._host.total("quadrat_worker_restarts_total")
        figures |= {"memory_ratio": round(after_mb / before_mb, 3), "restarts_counted": int(restarts)}
        figures["exit_status"] = self._host.stop()
        return {**figures, "faults": _faults(figures, kills)}

    def _memory_after(self, warm_up: list[Asked]) -> float:
        host_clients.Fire(self._host.port, warm_up, CLIENTS).run()
        self._host.wait_until_idle(self._workers)
        return self._host.rss_mb()

    def _kill_at(self, fire: host_clients.Fire, moments: list[int]) -> None:
        for moment in moments:
            fire.wait_until(moment)
            pids = self._host.worker_pids()
            while not pids:
                pids = self._host.worker_pids()
            victim = self._chance.choice(pids)
            os.kill(victim, signal.SIGKILL)
            self._killed.append(victim)


def _figures(fire: host_clients.Fire, seconds: float) -> dict[str, Any]:
    verdicts = Counter(answer.verdict for answer in fire.answers)
    times_ms = sorted(1000 * a.seconds for a in fire.answers if a.verdict == "right" and a.asked.status == 200)
    kinds = Counter(answer.asked.kind for answer in fire.answers)
    return {
        "requests": len(fire.answers),
        "clients": CLIENTS,
        "workers_each": WORKERS,
        "seconds": round(seconds, 1),
        "requests_per_s": round(len(fire.answers) / seconds, 1),
        "good": sum(answer.asked.status == 200 for answer in fire.answers),
        "broken": sum(answer.asked.status != 200 for answer in fire.answers),
        "p50_ms": round(statistics.median(times_ms), 1),
        "p99_ms": round(times_ms[int(0.99 * len(times_ms))], 1),
        "verdicts": dict(verdicts.most_common()),
        "kinds": dict(kinds.most_common()),
        "wrong": _examples(fire),
    }


def _examples(fire: host_clients.Fire) -> list[str]:
    """One line for each sort of wrong answer."""
    wrong = [answer for answer in fire.answers if answer.verdict in host_clients.WRONG]
    return list({(a.verdict, a.status, a.asked.kind): a.describe() for a in wrong}.values())


def _faults(figures: dict[str, Any], kills: int) -> list[str]:
    """What the host did that it must not."""
    verdicts = figures["verdicts"]
    found = [f"{verdicts[name]} x {name}" for name in host_clients.WRONG if name in verdicts]
    if verdicts.get("worker killed", 0) > kills:
        found.append(f"{verdicts['worker killed']} requests lost to {kills} kills")
    if figures["kills"] != kills or figures["restarts_counted"] < 1 <= kills:
        found.append(f"{figures['kills']} workers killed, {figures['restarts_counted']} restarts counted")
    if figures["memory_ratio"] > MEMORY_MARGIN:
        found.append(f"memory {figures['memory_before_mb']} MB became {figures['memory_after_mb']} MB")
    if figures["exit_status"]:
        found.append(f"the host ended with {figures['exit_status']}")
    return found


def describe(figures: dict[str, Any]) -> str:
    """For people."""
    verdicts = ", ".join(f"{number} {name}" for name, number in figures["verdicts"].items())
    lines = [
        "{requests} requests ({good} good, {broken} broken) from {clients} clients in {seconds} s".format(**figures),
        f"answers: {verdicts}; {figures['kills']} workers killed",
        "good requests: p50 {p50_ms} ms, p99 {p99_ms} ms; {requests_per_s} requests/s of all kinds".format(**figures),
        "host and workers: {memory_before_mb} MB after warm-up, {memory_after_mb} MB at the end".format(**figures),
    ]
    lines += [host_throughput.describe(found) for found in figures.get("throughput", [])]
    return "\n".join([*lines, *(f"FAULT: {fault}" for fault in figures["faults"]), *figures["wrong"]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host_stress", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--real", type=int, default=500, help="good requests that go through coral_seg_yolo")
    parser.add_argument("--rounds", type=int, default=7, help="of the throughput's measurement; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--log", type=Path, help="keep the host's log here")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    result = main(**arguments)
    print(describe(result))
    if as_json:
        print(json.dumps(result))
    sys.exit(0 if result["ok"] else 1)
