"""What the project asks of a machine: seconds and peak memory of each kind of work, each in a process of its own.

    python -m benchmarks.requirements
    python -m benchmarks.requirements --device cuda --json
    python -m benchmarks.requirements --only predict --only handler

Prints a Markdown table. On a processor training at 1024 px takes 2 photos a step, since 8 need more memory than most
have; on a GPU it takes 8 (`--batch`). Rows that the memory is too small for say so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.footprint import OUT_OF_MEMORY

ROOT = Path(__file__).parents[1]
PHOTOS_WH = {"12 MP": (4000, 3000), "24 MP": (6000, 4000)}
TILE_PX = 1024
NETWORKS = ("yolo11n", "yolo11s", "yolo11m", "yolo26n", "yolo26s")
CONFIGS = {512: "rendered", 1024: "main_families"}  # imgsz of the configs that ship
GPU_LIBRARIES = ("nvidia-", "cuda-", "triton")
RENDERED = 16


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: what is done.
        job: arguments of `benchmarks.footprint`.
        photos: how many are done between two laps of its clock.
    """

    name: str
    job: Mapping[str, Any] = field(repr=False)
    photos: int = 1


def main(
    device: str = "cpu", only: Sequence[str] = (), batch: int = 8, steps: int = 3, folder: Path | None = None
) -> dict[str, Any]:
    """Measure all.

    Args:
        device: ``cpu`` or ``cuda``.
        only: rows whose name contains one of these; all for none.
        batch: photos a training step.
        steps: training steps a row; the first is not counted in times, if there are more.
        folder: for what is measured on; kept, and taken up again where it is there. `None` makes one and removes it.

    Returns:
        `machine`, `device`, `install`, and `rows`: for each its `name`, `photos`, and what `footprint.Footprint` says,
        or ``failed``: why there is nothing.
    """
    found: dict[str, Any] = {"machine": machine.describe(), "device": device_name(device), "install": install_size()}
    with tempfile.TemporaryDirectory() as name:
        place = folder or Path(name)
        rows = _rows(place, device, batch, steps)
        chosen = [row for row in rows if not only or any(text in row.name for text in only)]
        if not (place / "yolo").is_dir():
            _prepare(place)
        found["rows"] = []
        for row in chosen:
            found["rows"].append(_measure(row, place))
            print(f"| {' | '.join(_cells(found['rows'][-1]))} |", file=sys.stderr, flush=True)
    return found


def device_name(device: str) -> str:
    """``cpu``, or what the driver calls the GPU, with its memory."""
    if device == "cpu":
        return device
    ask = "import torch; p = torch.cuda.get_device_properties(0); print(p.name, round(p.total_memory / 2**30), 'GiB')"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    if told.returncode:
        raise ValueError(f"--device {device}: PyTorch sees no GPU here ({told.stderr.strip().splitlines()[-1]})")
    return told.stdout.strip()


def install_size() -> dict[str, float]:
    """Size of this Python environment in GB (10**9 bytes), and of what in it is for NVIDIA GPUs alone."""
    sizes = {status.st_ino: status.st_size for status in _statuses(Path(sys.prefix))}
    for_gpu = [d for d in metadata.distributions() if (d.name or "").lower().startswith(GPU_LIBRARIES)]
    gpu_bytes = sum(file.size or 0 for distribution in for_gpu for file in distribution.files or ())
    return {
        "packages": len(list(metadata.distributions())),
        "gb": round(sum(sizes.values()) / 1e9, 1),
        "for_nvidia_gpus_gb": round(gpu_bytes / 1e9, 1),
    }


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    for place, _, names in os.walk(folder):
        yield from (os.lstat(Path(place, name)) for name in names)


def _rows(folder: Path, device: str, batch: int, steps: int = 3) -> Iterator[Row]:
    yield Row("render 1280 px", {"job": "render", "count": RENDERED, "size_px": 1280})
    yield Row("render 4000 px", {"job": "render", "count": 3, "size_px": 4000})
    runtimes = {"torch": None, "OpenVINO": str(folder / "openvino")} if device == "cpu" else {"torch": None}
    for runtime, weights in runtimes.items():
        common = {"weights": weights, "device": device}
        for megapixels in PHOTOS_WH:
            photo = str(folder / f"{megapixels}.jpg")
            job = {"job": "predict", "photo": photo, **common}
            yield Row(f"predict {megapixels}, {runtime}, whole", job)
            windows = {**job, "tile_px": TILE_PX, "rounds": 2}
            yield Row(f"predict {megapixels}, {runtime}, windows of {TILE_PX} px", windows)
        yield Row(f"handler 12 MP, {runtime}", {"job": "handler", "photo": str(folder / "12 MP.jpg"), **common})
    for size_px, configs in CONFIGS.items():
        for network in NETWORKS:
            photos = min(batch, 2) if device == "cpu" and size_px > 512 else batch
            job = {"job": "train", "data": str(folder / "yolo"), "config": f"{configs}/{network}.yaml"}
            name = f"train {network}, {size_px} px, batch {photos}"
            yield Row(name, {**job, "device": device, "batch": photos, "steps": steps}, photos)


def _prepare(folder: Path) -> None:
    """Make photos of both sizes, weights for OpenVINO and a folder to train on."""
    from quadrat import images

    _run("data_engineering.render", "--out", folder / "photos", "--count", RENDERED, "--seed", 11)
    rendered = images.read(images.list_photos(folder / "photos" / "photos")[0])
    for name, size_wh in PHOTOS_WH.items():
        images.write(folder / f"{name}.jpg", _enlarged(rendered, size_wh))
    made = _run("coral_seg_yolo.export", "--format", "openvino", "--out", folder / "export").splitlines()[-1]
    Path(made.removeprefix("wrote ")).rename(folder / "openvino")
    shares = ("--val", "0.2", "--test", "0")
    _run("coral_seg_yolo.prepare", "--rendered", folder / "photos", "--out", folder / "draft", *shares)
    _repeat_photos(folder / "draft")
    (folder / "draft").rename(folder / "yolo")


def _enlarged(image_rgb: Any, size_wh: tuple[int, int]) -> Any:
    import cv2

    return cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_CUBIC)


def _repeat_photos(prepared: Path) -> None:
    """Give an epoch enough steps: each training photo three times."""
    for photo in sorted((prepared / "images" / "train").iterdir()):
        for path in (photo, prepared / "labels" / "train" / f"{photo.stem}.txt"):
            for number in (1, 2):
                shutil.copy(path, path.with_name(f"again{number}_{path.name}"))


def _run(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.strip()


def _measure(row: Row, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.footprint", json.dumps(row.job)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(dir=folder) as place:  # training leaves a run here
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    said = {"name": row.name, "photos": row.photos}
    if done.returncode in (-9, OUT_OF_MEMORY):
        return {**said, "failed": "out of memory"}
    if done.returncode:
        raise RuntimeError(f"{row.name}: ended with {done.returncode}: {done.stderr[-2000:]}")
    return {**said, **json.loads(done.stdout.splitlines()[-1])}


HEAD = ("what", "seconds a photo", "core seconds a photo", "start s", "memory GiB", "GPU GiB", "a step of 8 keeps GiB")


def table(found: Mapping[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", f"|---{'|---:' * (len(HEAD) - 1)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in found["rows"])])


def _cells(row: Mapping[str, Any]) -> list[str]:
    if "failed" in row:
        return [row["name"], row["failed"], *[""] * (len(HEAD) - 2)]
    gpu = "" if row["gpu_gib"] is None else f"{row['gpu_gib']:.1f} ({row['gpu_reserved_gib']:.1f} reserved)"
    kept = "" if row["kept_gib"] is None else f"{row['fixed_gib'] + 8 * row['kept_gib'] / row['photos']:.1f}"
    times = (f"{row[key] / row['photos']:.2f}" for key in ("seconds", "core_seconds"))
    return [row["name"], *times, f"{row['ready_s']:.1f}", f"{row['memory_gib']:.2f}", gpu, kept]


def _page(found: Mapping[str, Any]) -> str:
    size = "{packages} packages, {gb} GB, of which {for_nvidia_gpus_gb} GB are for NVIDIA GPUs"
    installed = f"Installed: {size.format(**found['install'])}."
    return f"{table(found)}\n\n{installed}\n\nDevice: {found['device']}. Machine: {report.sentence(found['machine'])}."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.requirements", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="rows with this in their name")
    parser.add_argument("--batch", type=int, default=8, help="photos a training step (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="training steps a row (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="keep what is measured on here, and take it up again")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    given = parser.parse_args()
    try:
        result = main(given.device, given.only, given.batch, given.steps, given.folder)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"requirements: {error}")
    print(_page(result))
    if given.json:
        print(json.dumps(result))
