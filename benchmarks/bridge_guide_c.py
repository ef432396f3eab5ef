"""Guide C by itself: rendered photographs go through CVAT and the bridge to coral polygons, touched by nobody.

    python -m benchmarks.bridge_guide_c                        # 12 photographs
    python -m benchmarks.bridge_guide_c --photos 4 --out runs/bridge-guide-c --json

CVAT is the tests' stand-in; all else is what runs in earnest: `deploy.bridge init`, `deploy.bridge` with its worker,
webhooks, and the functions with the weights that ship behind `deploy.host`. Somebody sets jobs in progress and
completes tasks, and does nothing else: a photograph that the bridge keeps back for a person stays where it is. The
polygons of the last project are led back to the photograph by the mappings that the bridge kept, and compared with what
was rendered, inside the frame. With ``--out`` pictures of them lie in ``OUT/overlays``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

PHOTOS, SEED = 12, 88
PATIENCE_S = 1800.0
STAGES = {"corners": "Quadrat corners", "grid": "Quadrat grid", "corals": "Coral segmentation"}
"""The projects of the guide, by stage, in order."""
ONWARD = {"corners": "rectify", "grid": "clean"}
"""The step that ends a stage."""

_NOTE = "Weights that were trained on rendered quadrats only."
_WORKING = {"state": "in progress"}
_COMPLETED = {"stage": "acceptance", "state": "completed"}


@dataclass(frozen=True, slots=True)
class Scene:
    """What the photographs go through.

    Attributes:
        cvat: the stand-in.
        person: a client of somebody who is not the bridge.
        ledger: of the bridge.
        data: the bridge's folder.
        url: of the bridge.
    """

    cvat: Any
    person: Any
    ledger: Any
    data: Path
    url: str

    def tasks(self, stage: str) -> list[Any]:
        """The tasks of a stage that have photos."""
        with self.cvat.state.lock:
            projects = {project.id for project in self.cvat.state.projects.values() if project.name == STAGES[stage]}
            return [task for task in self.cvat.state.tasks.values() if task.project in projects and task.photos]


def main(*, photos: int = PHOTOS, seed: int = SEED, out: Path | None = None) -> dict[str, Any]:
    """Let the photographs go through.

    Args:
        photos: to render.
        seed: of the renderer.
        out: gets the rendered photographs, overlays and logs; a temporary folder without it.

    Returns:
        ``photos``; ``usable``: that have a whole frame and strings; ``through``; ``kept_back``: reasons by photograph;
        ``coral_iou`` of any-coral pixels inside the frame (mean over those that came through), ``colonies``,
        ``recall`` and ``mask_iou`` of the colonies there; ``seconds`` by stage.

    Raises:
        RuntimeError: the bridge does not start, a step fails, or it takes too long.
    """
    from data_engineering.render.folder import render_folder
    from quadrat.formats import shapes_json

    with tempfile.TemporaryDirectory(prefix="quadratseg-guide-c-") as own:
        folder = (out or Path(own)).resolve()
        rendered = render_folder(folder / f"rendered-{seed}", photos, seed)
        files = sorted((rendered / "photos").glob("*"))[:photos]
        truth = {file.name: shapes_json.read(rendered / "truth" / f"{file.stem}.json") for file in files}
        with _scene(folder) as scene:
            seconds = _go_through(scene, files)
            found, kept_back = _found(scene), _kept_back(scene)
        if out:
            _draw(folder / "overlays", files, found)
    whole = [each for each in truth.values() if _is_usable(each)]
    counts = {"photos": photos, "usable": len(whole), "through": len(found)}
    return {**counts, "kept_back": kept_back, **_compared(truth, found), "seconds": seconds}


# ------------------------------------------------------------------------------------------------ the scene


@contextmanager
def _scene(folder: Path) -> Iterator[Scene]:
    from data_engineering import cvat_server
    from deploy.bridge.ledger import FILE, Ledger
    from deploy.chain import CLEAN, COLONIES, CORNERS, GRID
    from deploy.pipeline.functions import LOCAL, serving
    from tests.cvat_stand_in import running

    names = (CORNERS, GRID, CLEAN, COLONIES)
    with tempfile.TemporaryDirectory(prefix="quadratseg-bridge-") as own, running() as cvat:
        place, port = Path(own), _free_port()
        with (
            serving(LOCAL, names, {}, folder / "host.log") as urls,
            _bridge(place, port, cvat, urls[GRID].removesuffix(f"/{GRID}"), folder),
            cvat_server.connect(cvat_server.Account(cvat.url, ("admin", "pass"))) as person,
        ):
            ledger = Ledger(place / "data" / FILE)
            yield Scene(cvat, person, ledger, place / "data", f"http://127.0.0.1:{port}")


@contextmanager
def _bridge(place: Path, port: int, cvat: Any, functions: str, logs: Path) -> Iterator[None]:
    """Set the bridge up as its guide says, and run it."""
    url = f"http://127.0.0.1:{port}"
    pipeline, secrets = place / "pipeline.yaml", place / "bridge.env"
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "BRIDGE_"))}
    environment = own | {
        "CVAT_URL": cvat.url,
        "CVAT_TOKEN": cvat.token,
        "BRIDGE_DATA": str(place / "data"),
        "BRIDGE_PIPELINE": str(pipeline),
        "QUADRAT_LOG_FILE": str(logs / "bridge.log"),
    }
    command = [sys.executable, "-m", "deploy.bridge"]
    asked = ["--url", url, "--guide", "c", "--functions", functions, "--secret-file", str(secrets)]
    subprocess.run([*command, "init", *asked], env=environment, check=True, stdout=subprocess.DEVNULL)
    with open(logs / "bridge.out", "wb") as said:
        serve = [*command, "serve", "--env-file", str(secrets), "--port", str(port)]
        process = subprocess.Popen(serve, env=environment, stdout=said, stderr=said)
        try:
            _wait(lambda: _is_up(url, process, logs / "bridge.out"), "the bridge does not start")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _is_up(url: str, process: subprocess.Popen[bytes], said: Path) -> bool:
    import httpx

    if process.poll() is not None:
        raise RuntimeError(f"the bridge does not start: {said.read_text('utf-8')[-2000:]}")
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(condition: Callable[[], bool], words: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{words} within {PATIENCE_S:g} s")
        time.sleep(0.2)


# ------------------------------------------------------------------------------------------------ the life


def _go_through(scene: Scene, files: Sequence[Path]) -> dict[str, float]:
    """What a person does: begin every job, wait for the bridge, complete every task."""
    first = next(project for project in scene.cvat.state.projects.values() if project.name == STAGES["corners"])
    scene.cvat.add_task(first, "Moorea 2026", {file.name: file.read_bytes() for file in files})
    seconds = {}
    for stage in STAGES:
        start = time.perf_counter()
        _set_jobs(scene, stage, _WORKING)
        _wait_for_steps(scene, stage, 1)
        if stage in ONWARD:
            _set_jobs(scene, stage, _COMPLETED)
            _wait_for_steps(scene, stage, 2)
        seconds[stage] = time.perf_counter() - start
    return seconds


def _set_jobs(scene: Scene, stage: str, state: Mapping[str, str]) -> None:
    from data_engineering import cvat_server

    for task in scene.tasks(stage):
        for job in scene.cvat.jobs(task):
            cvat_server.patch_json(scene.person, f"/api/jobs/{job.id}", "change a job", dict(state))


def _wait_for_steps(scene: Scene, stage: str, count: int) -> None:
    """Wait until each task of a stage has had so many steps."""

    def done() -> bool:
        steps = [scene.ledger.steps_of(task.id) for task in scene.tasks(stage)]
        if failed := [step for several in steps for step in several if step.state == "failed"]:
            raise RuntimeError(f"step {failed[0].step} of task {failed[0].task} failed: {failed[0].reason}")
        return all(sum(step.state == "done" for step in several) >= count for several in steps)

    _wait(done, f"the tasks of {STAGES[stage]} are not done")


def _found(scene: Scene) -> dict[str, Any]:
    """The colonies of each photograph that came through, in its own pixels."""
    from data_engineering import cvat_server, cvat_tasks
    from quadrat import drawn, mapping
    from quadrat.shapes import Annotations

    found = {}
    for task in scene.tasks("corals"):
        raw = cvat_server.get_json(scene.person, f"/api/tasks/{task.id}", "read a task")
        jobs = cvat_server.get_all(scene.person, "/api/jobs", "list jobs", task_id=task.id)
        mappings = scene.data / "mappings" / str(scene.ledger.parent_of(task.id).task)
        for photo in cvat_tasks.read(scene.person, raw, jobs).photos.values():
            way = mapping.read(mappings / f"{Path(photo.name).stem}.json")
            colonies = way.shapes_to_photo(drawn.to_shapes(photo.drawn, photo.size_wh))
            found[way.photo] = Annotations(way.photo, way.photo_size_wh, tuple(colonies))
    return found


def _kept_back(scene: Scene) -> dict[str, str]:
    """Why each of the others did not come through, by the name of its photograph."""
    sql = "SELECT name, reason FROM photos WHERE step IN (?, ?) AND state != 'ok' ORDER BY name"
    return {row["name"]: row["reason"] for row in scene.ledger.rows(sql, tuple(ONWARD.values()))}


# ------------------------------------------------------------------------------------------------ the figures


def _is_usable(truth: Any) -> bool:
    from deploy.demo_chain import frame_mask

    return frame_mask(truth) is not None and any(points.label == "grid" for points in truth.keypoints)


def _compared(truth: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    from data_engineering.score import score
    from deploy.demo_chain import coral_iou, cut, frame_mask

    pairs = []
    for name, colonies in found.items():
        if (frame := frame_mask(truth[name])) is not None:
            pairs.append((cut(truth[name], frame), cut(colonies, frame)))
    if not pairs:
        return {"coral_iou": None, "colonies": 0, "recall": None, "mask_iou": None}
    scored = score([one for one, _ in pairs], [other for _, other in pairs])
    iou = mean(coral_iou(one, other) for one, other in pairs)
    return {"coral_iou": iou, "colonies": scored.truths, "recall": scored.recall, "mask_iou": scored.mask_iou}


def _draw(folder: Path, files: Sequence[Path], found: Mapping[str, Any]) -> None:
    from quadrat import images
    from quadrat.formats import overlay

    for file in files:
        if file.name in found:
            drawn = overlay.draw(images.read(file), found[file.name].shapes, title=file.name, note=_NOTE)
            images.write(folder / f"{file.stem}.jpg", drawn)


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bridge_guide_c",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--photos", type=int, default=PHOTOS, help=f"to render (default {PHOTOS})")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the renderer (default {SEED})")
    parser.add_argument("--out", type=Path, help="for overlays, logs and the rendered photographs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON in the last line")
    given = parser.parse_args(argv)
    found = main(photos=given.photos, seed=given.seed, out=given.out)
    print(
        f"{found['through']} of {found['photos']} photographs came through all of guide C ({found['usable']} have a "
        f"whole frame and strings), in {sum(found['seconds'].values()):.0f} s"
    )
    for name, reason in found["kept_back"].items():
        print(f"  kept back: {name}: {reason}")
    if found["coral_iou"] is not None:
        print(
            f"inside the frame: IoU of coral pixels {found['coral_iou']:.3f}; found {found['recall']:.0%} of "
            f"{found['colonies']} colonies, their mean mask IoU {found['mask_iou']:.3f}"
        )
    if given.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(run())
