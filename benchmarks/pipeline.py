"""The chain's two engines, photographs a second: threads of one process against Ray Data's processes, by turns.

    python -m benchmarks.pipeline --photos 200 --workers 2 --nap 0.05 --json

The functions are a stand-in that naps as long as a model would compute, so that the engines are measured and not the
models; reading, rectifying, mapping back and writing are real. ``whole`` counts the whole call, with Ray's start;
``running`` counts from the first photo that is done to the last. The ratio is that of Ray to threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from deploy.pipeline import main as run_chain
from deploy.pipeline.photo import Settings
from quadrat import images

ENGINES = ("local", "ray")
RATES = ("whole", "running")
_SIZE_WH = (1200, 900)


def main(photos: int = 200, workers: int = 2, rounds: int = 3, nap_s: float = 0.05) -> dict[str, Any]:
    """Run the chain on the same photographs with both engines by turns.

    Args:
        photos: a round, at least 2.
        workers: threads, and processes.
        rounds: each engine runs so many times.
        nap_s: what a function takes for an answer.

    Returns:
        `machine`, the arguments, and for each engine the median photographs a second by `RATES`; `ratio` likewise.

    Raises:
        RuntimeError: a photo did not come through.
    """
    from deploy.tests import functions_stand_in as stand_in

    def napping(answer: Any) -> Any:
        def later(body: Mapping[str, Any]) -> Any:
            time.sleep(nap_s)
            return answer(body)

        return later

    answers = {name: napping(answer) for name, answer in stand_in.chain().items()}
    rates: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    with tempfile.TemporaryDirectory() as folder, stand_in.serving(answers) as functions:
        reef = Path(folder) / "reef"
        _draw(reef, photos)
        for number in range(rounds):
            for engine in ENGINES:
                functions.asked.clear()
                out = Path(folder) / f"{engine}-{number}"
                rates[engine].append(_rates(reef, out, functions.url, engine, workers))
    engines = {
        engine: {rate: statistics.median(one[rate] for one in rates[engine]) for rate in RATES} for engine in ENGINES
    }
    ratio = {rate: engines["ray"][rate] / engines["local"][rate] for rate in RATES}
    asked = {"photos": photos, "workers": workers, "rounds": rounds, "nap_s": nap_s}
    return {"machine": machine.describe(), **asked, "engines": engines, "ratio": ratio}


def _draw(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 255, (_SIZE_WH[1] // 30, _SIZE_WH[0] // 30, 3), dtype=np.uint8)
        images.write(folder / f"{number:05d}.jpg", coarse.repeat(30, 0).repeat(30, 1))


def _rates(reef: Path, out: Path, url: str, engine: str, workers: int) -> dict[str, float]:
    start = time.perf_counter()
    outcome = run_chain(reef, out, functions_at=url, engine=engine, workers=workers, settings=Settings(overlays=False))
    seconds = time.perf_counter() - start
    done = outcome.count("done")
    if done != len(outcome.results):
        raise RuntimeError(f"{engine}: {done} of {len(outcome.results)} photos came through")
    written = [path.stat().st_mtime for path in (out / "records").glob("*.json")]
    return {"whole": done / seconds, "running": (done - 1) / (max(written) - min(written))}


def _table(measured: Mapping[str, Any]) -> str:
    rows = ["| | threads, photos/s | Ray Data, photos/s | ratio |", "|---|---|---|---|"]
    for rate in RATES:
        ours, theirs = (measured["engines"][engine][rate] for engine in ENGINES)
        rows.append(f"| {rate} | {ours:.2f} | {theirs:.2f} | {measured['ratio'][rate]:.2f} |")
    return "\n".join(rows)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=200, help="a round; default: 200")
    parser.add_argument("--workers", type=int, default=2, help="threads, and processes; default: 2")
    parser.add_argument("--rounds", type=int, default=3, help="of each engine; default: 3")
    parser.add_argument("--nap", dest="nap_s", type=float, default=0.05, help="seconds of a function; default: 0.05")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    given = parser.parse_args(argv)
    if given.photos < 2 or given.workers < 1 or given.rounds < 1 or not given.nap_s >= 0:
        parser.error("expected --photos of 2 or more, --workers and --rounds of 1 or more, --nap of 0 or more")
    return given


if __name__ == "__main__":
    arguments = vars(_arguments(None))
    as_json = arguments.pop("json")
    result = main(**arguments)
    print(_table(result))
    if as_json:
        print(json.dumps(result))
