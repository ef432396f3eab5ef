"""A folder of rendered quadrats: written by all cores, resumed where it stopped, the same bytes for the same seed.

- ``OUT/manifest.json``: renderer version, seed, settings, names; of layouts from files the sha256
- ``OUT/photos/NAME.jpg``, ``OUT/clean/NAME.jpg``: with and without strings
- ``OUT/strings/NAME.png``: 255 where a string is
- ``OUT/truth/NAME.json``: shapes JSON
- ``OUT/rectified/``: the same four of the quadrat alone, where there is a frame
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_engineering.render import layouts
from data_engineering.render.scene import Sample, Shot, render
from data_engineering.render.settings import VERSION, Settings, to_dict
from quadrat import images
from quadrat.files import write_bytes, write_json
from quadrat.formats import shapes_json

FORMAT = "quadratseg-rendered"
MOST = 1_000_000
"""Samples a seed: sample i of seed s is drawn from ``s * MOST + i``."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker needs: the folder, the seed, the settings, and the photographs to draw over, if any."""

    out: Path
    seed: int
    settings: Settings
    backgrounds: tuple[Path, ...] = ()

    def name(self, index: int) -> str:
        """File stem of a sample, as ``{site}_{year}_{quadrat}``."""
        return f"render{self.seed}_2026_{index:05d}"


def render_folder(
    out: str | Path,
    count: int,
    seed: int = 0,
    settings: Settings | None = None,
    backgrounds: str | Path | None = None,
    workers: int | None = None,
) -> Path:
    """Render `count` samples into `out`; those that are there already are kept.

    Args:
        out: folder; made if need be.
        count: samples the folder shall hold, 0 to `MOST`.
        seed: 0 or more.
        settings: what is drawn and how often.
        backgrounds: folder of photographs to draw over; unreadable files are named and left out.
        workers: processes; one a core by default.

    Returns:
        `out`.

    Raises:
        ValueError: `out` holds samples of another seed, version, settings or layout file; no background can be read.
    """
    if not 0 <= count <= MOST or seed < 0:
        raise ValueError(f"count is {count} and seed {seed}: expected count 0..{MOST} and seed >= 0")
    found, bad = readable(images.list_photos(backgrounds)) if backgrounds is not None else ((), {})
    job = Job(Path(out), seed, settings or Settings(), found)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "seed": seed,
        "settings": to_dict(job.settings),
        "backgrounds": [path.name for path in found],
        "unreadable_backgrounds": bad,
    }
    if files := layouts.digests(job.settings.layouts):
        manifest["layout_files"] = files
    _check_same(job.out, manifest)
    write_json(job.out / "manifest.json", {**manifest, "samples": []})
    missing = [i for i in range(count) if not is_complete(job.out, job.name(i))]
    for _ in tqdm(_run(job, missing, workers), total=len(missing), desc=f"rendering to {job.out}", unit="photo"):
        pass
    write_json(job.out / "manifest.json", {**manifest, "samples": [job.name(i) for i in range(count)]})
    return job.out


def readable(paths: Sequence[Path]) -> tuple[tuple[Path, ...], dict[str, str]]:
    """Photographs that can be read, and of the others name and reason.

    Raises:
        ValueError: none can be read.
    """
    good, bad = [], {}
    for path in tqdm(paths, desc="checking backgrounds", unit="photo"):
        try:
            images.read(path)
            good.append(path)
        except (images.ImageError, OSError) as error:
            bad[path.name] = str(error).replace(str(path), path.name)
            tqdm.write(f"left out {path.name}: {bad[path.name]}")
    if not good:
        raise ValueError(f"none of {len(paths)} backgrounds can be read: expected a folder of photographs")
    return tuple(good), bad


def is_complete(out: Path, name: str) -> bool:
    """Whether all files of a sample are there: the truth is written last, and each file whole or not at all."""
    truth = out / "truth" / f"{name}.json"
    if not truth.is_file():
        return False
    framed = json.loads(truth.read_text("utf-8"))["meta"]["frame"] != "none"
    folders = [out, out / "rectified"] if framed else [out]
    return all(path.is_file() for folder in folders for path in _paths(folder, name).values())


def write_sample(out: Path, name: str, sample: Sample) -> None:
    """Write all files of one sample."""
    if sample.rectified is not None:
        _write_shot(out / "rectified", name, sample.rectified, sample.jpeg_quality)
    _write_shot(out, name, sample, sample.jpeg_quality)


def _paths(folder: Path, name: str) -> dict[str, Path]:
    suffixes = {"photos": "jpg", "clean": "jpg", "strings": "png", "truth": "json"}
    return {kind: folder / kind / f"{name}.{suffix}" for kind, suffix in suffixes.items()}


def _write_shot(folder: Path, name: str, shot: Shot, quality: int) -> None:
    paths = _paths(folder, name)
    write_bytes(paths["photos"], images.encode_jpeg(shot.photo, quality))
    write_bytes(paths["clean"], images.encode_jpeg(shot.clean, quality))
    write_bytes(paths["strings"], images.encode_png(shot.strings.view(np.uint8) * 255))
    shapes_json.write(paths["truth"], replace(shot.annotations, image=f"{name}.jpg"))


def _check_same(out: Path, manifest: dict[str, object]) -> None:
    path = out / "manifest.json"
    if not path.is_file():
        return
    there = json.loads(path.read_text("utf-8"))
    asked = json.loads(json.dumps(manifest))
    # settings that came later are off by default: a folder from before them was made without
    there["settings"] = json.loads(json.dumps(to_dict(Settings()))) | there.get("settings", {})
    keys = ("format", "version", "seed", "settings", "layout_files", "backgrounds")
    if differ := [key for key in keys if there.get(key) != asked.get(key)]:
        raise ValueError(
            f"{out} holds samples made with another {' and '.join(differ)}: choose another folder or remove it"
        )


def _run(job: Job, indices: list[int], workers: int | None) -> Iterator[int]:
    workers = min(workers or _cores(), max(len(indices), 1))
    if workers == 1:
        for index in indices:
            yield _one((job, index))
        return
    with multiprocessing.get_context("spawn").Pool(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.imap_unordered(_one, [(job, index) for index in indices])


def _cores() -> int:
    """Cores that this process may use (a batch system may lend fewer than there are)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _one(task: tuple[Job, int]) -> int:
    job, index = task
    seed = job.seed * MOST + index
    background = None
    if job.backgrounds:
        background = images.read(job.backgrounds[np.random.default_rng([5, seed]).integers(len(job.backgrounds))])
    write_sample(job.out, job.name(index), render(seed, job.settings, background))
    return index
