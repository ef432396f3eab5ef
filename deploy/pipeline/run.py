"""The whole chain in one call, without CVAT: photographs in, colonies on them out.

    python -m deploy.pipeline photos/ runs/reef                                # starts the functions itself
    python -m deploy.pipeline photos/ runs/reef --functions http://127.0.0.1:8070
    python -m deploy.pipeline archive/ runs/archive --engine ray --workers 8   # on Ray Data, for very many

Corners, the quadrat seen from above, the points of its grid, the quadrat without it, the colonies on that, and the
same colonies on the photo. A photo whose corners or grid are not sure stops there, for a person to look at. Called
again, the command goes on where it was cut short: what is done stays, unless photo, settings or models have changed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from data_engineering.function_url import FunctionError
from deploy.pipeline import functions, local, record, report
from deploy.pipeline.functions import LOCAL
from deploy.pipeline.photo import GUIDES, Plan, Settings
from deploy.pipeline.record import DONE, REVIEW, Job
from deploy.pipeline.result import Result
from quadrat import batch

ENGINES = (LOCAL, "ray")
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all photos, in their order.

    Attributes:
        results: one a photo.
        stopped: whether it was interrupted: the others are not done.
    """

    results: tuple[Result, ...]
    stopped: bool = False

    def count(self, state: str) -> int:
        """Photos that are in a state."""
        return sum(result.state == state for result in self.results)


def main(
    images: Path | Sequence[Path],
    out: Path,
    *,
    functions_at: str = LOCAL,
    engine: str = LOCAL,
    workers: int | None = None,
    settings: Settings | None = None,
    weights: Mapping[str, str] | None = None,
    ray_address: str | None = None,
) -> Outcome:
    """Run the chain on all photos.

    Args:
        images: a photo or a folder of photos, or several.
        out: gets the results; those that are up to date stay.
        functions_at: address of a host (`deploy.host`), or ``local``: the functions are started here.
        engine: ``local``, or ``ray`` for Ray Data.
        workers: photos at a time; default 2, and with Ray, where each is a process, the number of processors.
        settings: how photos are done.
        weights: of one's own, by function name, with local functions.
        ray_address: of a cluster of Ray's; default: this machine alone.

    Raises:
        FunctionError: a function cannot be used.
        FileNotFoundError: there is no photo.
        ValueError: an argument that is none, or another run is busy in `out`.
    """
    settings, weights = settings or Settings(), weights or {}
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}: expected one of {', '.join(ENGINES)}")
    if workers is None:
        workers = 2 if engine == LOCAL else os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"workers is {workers}: expected 1 or more")
    jobs = _jobs(images, out)
    with _alone(out):
        record.sweep(out)
        if engine == LOCAL:
            results = _locally(jobs, out, functions_at, workers, settings, weights)
        else:
            results = _on_ray(jobs, out, functions_at, workers, settings, weights, ray_address)
        outcome = _collected(results, jobs)
        record.sweep(out)
        report.write(out, outcome.results)
    return outcome


def _jobs(images: Path | Sequence[Path], out: Path) -> list[Job]:
    """The photos; those below `out` are results of an earlier run."""
    names = batch.name_photos([images] if isinstance(images, Path) else images)
    jobs = [Job(photo, name) for photo, name in names.items() if out.resolve() not in photo.resolve().parents]
    if not jobs:
        raise ValueError(f"the photos lie in {out}, where the results shall go: choose another OUT")
    return jobs


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the results for one run; the system lets go of the lock however the run ends."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"another run is busy in {out}: wait for it, or choose another OUT") from None
        yield


def _locally(
    jobs: Sequence[Job], out: Path, where: str, workers: int, settings: Settings, weights: Mapping[str, str]
) -> Iterator[Result]:
    with functions.serving(where, settings.functions, weights, out / "host.log") as urls:
        plan = Plan.make(out, settings, urls, functions.models(urls, weights))
        yield from local.each(jobs, plan, workers)


def _on_ray(
    jobs: Sequence[Job],
    out: Path,
    where: str,
    workers: int,
    settings: Settings,
    weights: Mapping[str, str],
    address: str | None,
) -> Iterator[Result]:
    from deploy.pipeline import ray_engine

    threads = max(1, (os.cpu_count() or 1) // workers)
    spec = ray_engine.Spec(out.resolve(), settings, where, weights, threads)
    yield from ray_engine.each(jobs, spec, workers, address)


def _collected(results: Iterator[Result], jobs: Sequence[Job]) -> Outcome:
    """All results behind a progress bar, in the order of the photos; Ctrl-C keeps those that are there."""
    found: dict[str, Result] = {}
    stopped = False
    try:
        with tqdm(total=len(jobs), desc="photographs", unit="photo") as bar:
            for result in results:
                found[result.job.name] = result
                bar.update()
    except KeyboardInterrupt:
        stopped = True
    finally:
        results.close()  # type: ignore[attr-defined]  # a generator: ends what is in work, and the functions
    return Outcome(tuple(found[job.name] for job in jobs if job.name in found), stopped)


# ------------------------------------------------------------------------------------------------ command line


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.pipeline", description=(__doc__ or "").splitlines()[0], epilog="See docs/pipeline.md."
    )
    add, known = parser.add_argument, Settings()
    add("images", type=Path, help="a photo, or a folder of photos")
    add("out", type=Path, help="folder for the results")
    add("--functions", default=LOCAL, metavar="URL", help="of a host that serves them (default: local, started here)")
    add("--guide", choices=GUIDES, default="c", help="a: colonies on the photo; b: on the quadrat; c: without its grid")
    add("--no-grid", action="store_true", help="the quadrats have no strings: the same as --guide b")
    add("--carry-on", action="store_true", help="go on past a verdict below ok, as far as there are points")
    add("--threshold", type=float, help="lowest score of a colony, 0..1 (default: the function's)")
    add("--size-cm", type=float, nargs=2, metavar=("W", "H"), default=known.size_cm, help="inner sides of the frame")
    add("--px-per-cm", type=float, help="scale of the quadrats (default: that of the photo)")
    add("--margin", type=float, default=known.margin, help="room round the frame, over its longer side (default 0.05)")
    add("--no-overlays", dest="overlays", action="store_false", help="draw no pictures of the results")
    add("--engine", choices=ENGINES, default=LOCAL, help="local: this process; ray: Ray Data, for very many photos")
    add("--workers", type=int, help="photos at a time (default: 2; with ray, one a processor)")
    add("--ray-address", metavar="ADDRESS", help="of a Ray cluster (default: this machine alone)")
    add("--model-path", type=_model_path, action="append", default=[], metavar="NAME=PATH", help="weights of your own")
    given = parser.parse_args(argv)
    if given.no_grid and given.guide == "a":
        parser.error("--guide a looks for no grid: leave out --no-grid")
    return given


def _model_path(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=PATH, as in pth-yolo-coralseg=runs/coral_seg_yolo/a")
    return name, path


def run(argv: Sequence[str] | None = None) -> int:
    """The command line: 0 where all went well, 1 where photos failed, 2 where nothing could be done, 130 on Ctrl-C."""
    given = _parse(argv)
    try:
        settings = Settings(
            "b" if given.no_grid else given.guide,
            given.threshold,
            (given.size_cm[0], given.size_cm[1]),
            given.px_per_cm,
            given.margin,
            given.carry_on,
            given.overlays,
        )
        outcome = main(
            given.images,
            given.out,
            functions_at=given.functions,
            engine=given.engine,
            workers=given.workers,
            settings=settings,
            weights=dict(given.model_path),
            ray_address=given.ray_address,
        )
    except (FunctionError, ValueError, OSError, RuntimeError) as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    report.tell(given.out, outcome.results)
    if outcome.stopped:
        print(f"stopped: {outcome.count(DONE)} done, {outcome.count(REVIEW)} for review; call it again to go on")
        return 130
    return 1 if outcome.count("failed") else 0
