"""The chain on Ray Data: workers that are killed are replaced, and every photo's results are there once."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from deploy.chain import CORNERS
from deploy.pipeline import ray_engine, record
from deploy.pipeline.photo import Settings
from deploy.pipeline.record import Job
from quadrat import images
from quadrat.formats import cvat_xml

from . import functions_stand_in as stand_in

pytest.importorskip("ray.data", reason="the engine ray needs the extra ray")

ROOT = Path(__file__).parents[2]
LIMIT_S = 600


def draw(folder: Path, count: int) -> None:
    for number in range(count):
        pixels = np.full((90, 120, 3), 100, np.uint8)
        pixels[: 1 + number // 120, number % 120] = 255  # each another file
        images.write(folder / f"{number % 7}" / f"{number:04d}.jpg", pixels)


def start(photos: Path, out: Path, url: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deploy.pipeline", str(photos), str(out), "--functions", url, "--engine", "ray"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*command, "--workers", "2", "--no-overlays", *more],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(pid: int) -> list[int]:
    """Ray's processes with a `Worker`, among those that a process has started and these again."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(path.name)] = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            names[int(path.name)] = (path / "cmdline").read_bytes()
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(child for child in family if names[child].startswith(b"ray::MapWorker"))


def kill_at(child: subprocess.Popen[str], out: Path, records: int) -> int:
    """Kill a worker once so many photos are done; how many are done then."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end and child.poll() is None:
        done = len(list((out / "records").rglob("*.json")))
        if done >= records and (there := workers_of(child.pid)):
            os.kill(there[0], signal.SIGKILL)
            return done
        time.sleep(0.02)
    raise AssertionError(f"{records} photos were not done in time: {child.communicate()}")


def check_complete(photos: Path, out: Path, functions: stand_in.Functions, count: int, kills: int) -> None:
    names = [path.relative_to(photos).with_suffix("").as_posix() for path in sorted(photos.rglob("*.jpg"))]
    kept = sorted((out / "records").rglob("*.json"))
    assert [path.relative_to(out / "records").with_suffix("").as_posix() for path in kept] == sorted(names)
    assert len(names) == count
    for name in names:
        made = record.read(out, name)
        assert made is not None
        assert (made.state, made.colonies) == ("done", 1)
        assert record.known(out, Job(photos / f"{name}.jpg", name), made.digest, made.made_by) == made
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        assert Counter(row["photo"] for row in csv.DictReader(file)) == Counter(f"{name}.jpg" for name in names)
    assert Counter(photo.image for photo in cvat_xml.read(out / "annotations.xml")) == Counter(
        f"{n}.jpg" for n in names
    )
    assert not [path for path in out.rglob(".*") if path.name != ".lock"]
    asked = Counter(body["image"] for body in functions.bodies(CORNERS) if not body["image"].startswith("iVBOR"))
    assert len(asked) == count
    assert sum(asked.values()) <= count + kills  # only what was in work is asked about again


def run_with_kills(tmp_path: Path, count: int, kills: list[int]) -> None:
    draw(tmp_path / "reef", count)
    with stand_in.serving(stand_in.chain()) as functions:
        child = start(tmp_path / "reef", tmp_path / "out", functions.url)
        try:
            killed = [kill_at(child, tmp_path / "out", records) for records in kills]
            told, errors = child.communicate(timeout=LIMIT_S)
        finally:
            child.kill()
        assert child.returncode == 0, errors
        assert all(done < count for done in killed)
        assert f"{count} photographs: {count} done, 0 review, 0 failed" in told
        check_complete(tmp_path / "reef", tmp_path / "out", functions, count, len(kills))


def test_a_killed_worker_is_replaced(tmp_path):
    run_with_kills(tmp_path, 24, [6])


@pytest.mark.slow
def test_500_photographs_with_two_workers_killed_are_complete_and_nothing_is_there_twice(tmp_path):
    run_with_kills(tmp_path, 500, [120, 300])


def test_a_worker_says_what_ends_the_run_and_lives_on(tmp_path):
    draw(tmp_path / "reef", 1)
    rows = [{"photo": str(tmp_path / "reef" / "0" / "0000.jpg"), "name": "0/0000"}]
    with stand_in.serving(stand_in.chain()) as functions:
        spec = ray_engine.Spec(tmp_path / "out", Settings(), functions.url, {}, 1)
        worker = ray_engine.Worker(spec)
        assert worker(rows[0]) == {**rows[0], "error": "", "fatal": False}
        rows.append({"photo": str(tmp_path / "none.jpg"), "name": "none"})
        assert "No such file" in worker(rows[1])["error"]
        assert not worker(rows[1])["fatal"]
        functions.answers[CORNERS] = stand_in.Said({"error": {"message": "who are you"}}, 401)
        broken = ray_engine.Worker(spec)(rows[0])
        assert (broken["fatal"], "who are you" in broken["error"]) == (True, True)
        assert worker({**rows[0], "name": "again"})["fatal"]


@pytest.mark.slow
def test_functions_that_cannot_be_used_end_the_run(tmp_path):
    draw(tmp_path / "reef", 2)
    refusing = stand_in.chain(**{CORNERS: stand_in.Said({"error": {"message": "who are you"}}, 401)})
    with stand_in.serving(refusing) as functions:
        child = start(tmp_path / "reef", tmp_path / "out", functions.url)
        try:
            _, errors = child.communicate(timeout=LIMIT_S)
        finally:
            child.kill()
    assert child.returncode == 2
    assert "who are you" in errors
