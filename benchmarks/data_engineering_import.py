"""A CVAT export of many photos into FiftyOne, ours and FiftyOne's own importer; then what each `prepare` takes of it.

    python -m benchmarks.data_engineering_import                          # 10,000 photos with 40 polygons each
    python -m benchmarks.data_engineering_import --photos 500 --repeat 3 --json
    python -m benchmarks.data_engineering_import --sides ours --no-prepare

Photos are a few small pictures under many names, so that reading them weighs little; every polygon has 30 points. Each
side runs in a process of its own, one after the other; its peak memory is without the database's, which both share.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PHOTOS, POLYGONS, POINTS, SIZE_WH = 10_000, 40, 30, (640, 480)
SIDES = ("ours", "fiftyone")
NAME = "benchmark-import"
PREPARES = {
    "coral_seg_yolo": [],
    "DINOv2_mmseg": [],
    "grid_pose_detection": ["--layouts", "corners"],
    "grid_inpainting": [],
}
_ROOT = Path(__file__).resolve().parents[1]


def main(
    *, photos: int = PHOTOS, repeat: int = 1, sides: tuple[str, ...] = SIDES, prepare: bool = True
) -> list[dict[str, Any]]:
    """Measure.

    Args:
        photos: how many.
        repeat: rounds; the sides take turns.
        sides: some of `SIDES`.
        prepare: whether each module's `prepare` is measured too, on what our side imported.

    Returns:
        A row a measurement: ``work``, ``seconds``, ``photos_per_s``, ``peak_gib``, or ``failed``.
    """
    with tempfile.TemporaryDirectory(prefix="quadratseg-import-") as name:
        folder = Path(name)
        _generate(folder, photos)
        rows = []
        for work in [f"import, {side}" for _ in range(repeat) for side in sides] + (
            [f"prepare, {module}" for module in PREPARES] if prepare else []
        ):
            rows.append({"work": work, **_in_process(work, folder, photos)})
            print(_line(rows[-1]), flush=True)
        return rows


def _generate(folder: Path, photos: int) -> None:
    """Photos, and the export as CVAT writes it."""
    import numpy as np
    from tqdm import tqdm

    from quadrat import drawn, images
    from quadrat.formats import cvat_xml

    width, height = SIZE_WH
    kinds = []
    for number in range(8):
        shade = np.random.default_rng(number).integers(60, 200, (height // 16, width // 16, 3), np.uint8)
        images.write(folder / "kind.jpg", np.kron(shade, np.ones((16, 16, 1), np.uint8)))
        kinds.append((folder / "kind.jpg").read_bytes())
    (folder / "photos").mkdir()
    names = [f"reef_{2000 + n % 20}_q{n // 20:04d}.jpg" for n in range(photos)]
    for number, name in enumerate(tqdm(names, desc="photos", unit="photo")):
        (folder / "photos" / name).write_bytes(_with_comment(kinds[number % len(kinds)], name))
    turn = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    luck = np.random.default_rng(0)
    labels = ["Acropora", "Pocillopora", "Porites", "Montipora"]

    def one(number: int, name: str) -> drawn.DrawnPhoto:
        shapes = []
        for k in range(POLYGONS):
            centre = np.array([40 + 80 * (k % 8), 48 + 96 * (k // 8)])
            radius = 30 + 6 * luck.random(POINTS)
            ring = centre + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
            shapes.append(drawn.Drawn("polygon", labels[(number + k) % 4], ring, attributes={"confidence": "100"}))
        corners = [[4.0, 4], [635, 5], [634, 474], [5, 475]]
        points = tuple(drawn.Drawn("points", str(i + 1), np.array([xy])) for i, xy in enumerate(corners))
        return drawn.DrawnPhoto(name, SIZE_WH, (*shapes, drawn.Drawn("skeleton", "quadrat_corner", elements=points)))

    pages = (one(number, name) for number, name in enumerate(tqdm(names, desc="annotations", unit="photo")))
    cvat_xml.write_drawn(folder / "annotations.xml", pages)


def _with_comment(jpeg: bytes, text: str) -> bytes:
    """The picture with a comment, so that no two photos are the same file, which a split would be refused for."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + jpeg[2:]


def _in_process(work: str, folder: Path, photos: int) -> dict[str, Any]:
    asked = json.dumps({"work": work, "folder": str(folder)})
    command = [sys.executable, "-m", "benchmarks.data_engineering_import", "--one", asked]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=_ROOT)
    if done.returncode != 0:
        return {"failed": f"exit status {done.returncode}"}
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row | {"photos_per_s": photos / row["seconds"]}


def _one(work: str, folder: str) -> dict[str, Any]:
    kind, who = work.split(", ")
    start = time.perf_counter()
    facts = _import(who, Path(folder)) if kind == "import" else _prepare(who, Path(folder))
    # The longest-lived child counts with its own peak: prepares run as the commands that people run.
    usage = resource.RUSAGE_SELF if kind == "import" else resource.RUSAGE_CHILDREN
    return {
        "seconds": facts.pop("seconds", time.perf_counter() - start),
        "peak_gib": resource.getrusage(usage).ru_maxrss / 2**20,
        **facts,
    }


def _import(side: str, folder: Path) -> dict[str, Any]:
    from data_engineering import create_fiftyone_dataset
    from data_engineering.labels import fo

    name = f"{NAME}-{side}"
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    start = time.perf_counter()
    if side == "ours":
        create_fiftyone_dataset.main(name, source=folder / "annotations.xml", photos=[folder / "photos"])
        made = fo.load_dataset(name)
    else:
        made = fo.Dataset.from_dir(
            dataset_type=fo.types.CVATImageDataset,
            data_path=str(folder / "photos"),
            labels_path=str(folder / "annotations.xml"),
            name=name,
            label_types=["polylines"],
        )
    seconds = time.perf_counter() - start
    path = "ground_truth.polylines" if side == "ours" else _polylines(made)
    facts = {"seconds": seconds, "photos": len(made), "polygons": made.count(path)}
    if side != "ours":
        made.delete()
    return facts


def _polylines(made: Any) -> str:
    from data_engineering.labels import fo

    (field,) = made.get_field_schema(embedded_doc_type=fo.Polylines)
    return f"{field}.polylines"


def _prepare(module: str, folder: Path) -> dict[str, Any]:
    out = folder / f"prepared-{module}"
    command = [sys.executable, "-m", f"{module}.prepare", "--fiftyone", f"{NAME}-ours", "--out", str(out)]
    subprocess.run([*command, *PREPARES[module]], check=True, cwd=_ROOT, stdout=sys.stderr, env=os.environ)
    return {}


def _line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"{row['work']:<32} failed: {row['failed']}"
    rate, peak = f"{row['photos_per_s']:8.1f} photos/s", f"peak {row['peak_gib']:.2f} GiB"
    return f"{row['work']:<32} {row['seconds']:8.1f} s  {rate}  {peak}"


def ratio(rows: list[dict[str, Any]]) -> float | None:
    """FiftyOne's seconds over ours, medians; `None` where one side is missing."""
    seconds = {
        side: [row["seconds"] for row in rows if row["work"] == f"import, {side}" and "seconds" in row]
        for side in SIDES
    }
    if not all(seconds.values()):
        return None
    ours, peer = (statistics.median(seconds[side]) for side in SIDES)
    return peer / ours


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data_engineering_import",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--repeat", type=int, default=1, help="rounds of the imports (default 1)")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--no-prepare", dest="prepare", action="store_false", help="the imports alone")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON in the last line")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.one:
        print(json.dumps(_one(**json.loads(given.one))))
        return 0
    rows = main(photos=given.photos, repeat=given.repeat, sides=tuple(given.sides), prepare=given.prepare)
    found = ratio(rows)
    if found is not None:
        print(f"FiftyOne's importer takes {found:.1f} times as long")
    if given.json:
        print(json.dumps(rows))
    return 1 if any("failed" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(run())
