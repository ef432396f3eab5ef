"""The bridge under fire: deliveries at a rate, twice and out of order, functions that fail, and SIGKILL.

    python -m benchmarks.bridge_stress                       # 1,000 deliveries at 100 a second, 20 kills
    python -m benchmarks.bridge_stress --tasks 30 --kills 3 --json

The bridge is the real command with its worker; CVAT is the tests' stand-in, the function a small server that answers
500, garbage, late or not at all as often as asked. Each task has one photo. People set its job in progress (corners
are to be drawn, once), then complete it (the rectified quadrat is to become a task of the next project, once). A
delivery that gets no answer is sent again, as CVAT does. Prints what was done, what was lost or done twice (nothing, or
the exit status is 1), and how long the answers took.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import multiprocessing
import random
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bridge_scene import PATIENCE_S, Bridge, Scene, failing_function

TASKS, KILLS, RATE = 250, 20, 100.0
MOST_ANSWER_S = 0.1
"""What 99 of 100 answers must stay below."""
_WINDOW = 40  # deliveries that may overtake one another
_AGAIN_S = (0.5, 5.0)
_SENDERS = 512  # those that wait to send again hold no others up


def main(
    *, tasks: int = TASKS, kills: int = KILLS, rate: float = RATE, seed: int = 0, folder: Path | None = None
) -> dict[str, Any]:
    """Fire.

    Args:
        tasks: each has one delivery of a job begun and two of a task completed; a quarter of all are sent twice.
        kills: SIGKILLs of the bridge.
        rate: deliveries a second.
        seed: of chance.
        folder: for the bridge's data and log; a temporary one without it.

    Returns:
        ``deliveries``, ``kills``, ``function_calls``, ``function_faults``, ``lost``, ``twice`` (task numbers),
        ``faults`` (sentences), ``answer_median_s``, ``answer_p99_s``, ``sent_again``, ``seconds``.
    """
    from tests.cvat_stand_in import running

    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="quadratseg-stress-") as own,
        running() as cvat,
        failing_function(chance) as function,
    ):
        place = folder or Path(own)
        secret = secrets.token_urlsafe(24)
        bridge = Bridge(place, cvat, function.url, secret)
        start = time.perf_counter()
        scene = Scene(cvat, tasks)
        fire = Fire(bridge, secret, rate, chance)
        with bridge:
            fire.send(scene.begin_jobs(), 0.6, kills - kills // 2, scene.are_drawn)
            fire.send(scene.complete(), 0.2, kills // 2, scene.are_rectified)
            scene.wait(bridge.is_idle)
        seconds = time.perf_counter() - start
        return {**fire.figures(), **scene.verdict(bridge), **function.figures(), "kills": kills, "seconds": seconds}


# ------------------------------------------------------------------------------------------------ deliveries


@dataclass
class Fire:
    """Sends deliveries as CVAT would, only faster, and kills meanwhile."""

    bridge: Bridge
    secret: str
    rate: float
    chance: random.Random
    seconds: list[float] = field(default_factory=list)
    deliveries: int = 0
    sent_again: int = 0

    def send(self, bodies: Sequence[bytes], again: float, kills: int, done: Callable[[], bool]) -> None:
        """Send each body, and a share of them again, in disorder; kill meanwhile; wait until all is done."""
        every = [*bodies, *self.chance.choices(bodies, k=round(again * len(bodies)))]
        self.deliveries += len(every)
        every = _disordered(every, self.chance)
        killer = threading.Thread(target=self._kill, args=(kills,))
        killer.start()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:  # a clock of its own
            sent = pool.submit(
                deliver_all, self.bridge.url, self.secret, every, self.rate, self.chance.random()
            ).result()
        self.seconds += sent[0]
        self.sent_again += sent[1]
        killer.join()
        end = time.monotonic() + PATIENCE_S
        while not done() and time.monotonic() < end:
            time.sleep(0.2)

    def _kill(self, kills: int) -> None:
        for _ in range(kills):
            time.sleep(self.chance.uniform(0.3, 2.5))
            self.bridge.kill()
            self.bridge.wait_until_up()

    def figures(self) -> dict[str, Any]:
        """How many deliveries there were, and how long their answers took."""
        seconds = sorted(self.seconds)
        return {
            "deliveries": self.deliveries,
            "sent_again": self.sent_again,
            "answer_median_s": statistics.median(seconds),
            "answer_p99_s": seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))],
        }


def deliver_all(url: str, secret: str, bodies: Sequence[bytes], rate: float, seed: float) -> tuple[list[float], int]:
    """Send bodies at a rate, each until it is taken; seconds of each answer, and how often one was sent again."""
    import httpx

    chance = random.Random(seed)
    with httpx.Client(base_url=url, timeout=10, limits=httpx.Limits(max_connections=None)) as client:
        start = time.monotonic()
        with ThreadPoolExecutor(_SENDERS) as pool:
            tasks = []
            for number, body in enumerate(bodies):
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
                tasks.append(pool.submit(_deliver, client, secret, body, chance))
        found = [task.result() for task in tasks]
    return [seconds for seconds, _ in found], sum(again for _, again in found)


def _deliver(client: Any, secret: str, body: bytes, chance: random.Random) -> tuple[float, int]:
    """CVAT waits 5 s before it sends again, and then longer and longer; here it is a few."""
    import httpx

    from deploy.bridge.events import WEBHOOK

    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Signature-256": signature}
    again = 0
    while True:
        start = time.perf_counter()
        try:
            if client.post(WEBHOOK, content=body, headers=headers).status_code == 200:
                return time.perf_counter() - start, again
        except httpx.HTTPError:
            pass
        again += 1
        time.sleep(chance.uniform(*_AGAIN_S))


def _disordered(bodies: list[bytes], chance: random.Random) -> list[bytes]:
    """The same, each up to `_WINDOW` places from where it was."""
    places = [(number + chance.uniform(0, _WINDOW), body) for number, body in enumerate(bodies)]
    return [body for _, body in sorted(places, key=lambda place: place[0])]


def describe(result: dict[str, Any]) -> str:
    """The figures in words."""
    return (
        f"{result['tasks']} tasks, {result['deliveries']} deliveries ({result['sent_again']} sent again), "
        f"{result['kills']} kills, {result['function_calls']} function calls of which {result['function_faults']} "
        f"failed: {len(result['lost'])} lost, {len(result['twice'])} done twice\n"
        f"answers: median {1000 * result['answer_median_s']:.1f} ms, p99 {1000 * result['answer_p99_s']:.1f} ms; "
        f"in all {result['seconds']:.0f} s"
    )


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bridge_stress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--rate", type=float, default=RATE, help="deliveries a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep the bridge's data and log here")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON in the last line")
    given = parser.parse_args(argv)
    result = main(tasks=given.tasks, kills=given.kills, rate=given.rate, seed=given.seed, folder=given.folder)
    print(describe(result))
    wrong = [*result["faults"]]
    wrong += [f"tasks {result['lost']} were lost"] if result["lost"] else []
    wrong += [f"tasks {result['twice']} were done twice"] if result["twice"] else []
    if result["answer_p99_s"] > MOST_ANSWER_S:
        print(f"the answers took longer than {1000 * MOST_ANSWER_S:.0f} ms")
    print("\n".join(wrong) or "nothing lost, nothing twice")
    if given.json:
        print(json.dumps(result))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run())
