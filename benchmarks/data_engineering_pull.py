"""A CVAT project into FiftyOne, and again with nothing changed: seconds, photos sent, and the share of the second.

    python -m benchmarks.data_engineering_pull                   # 1,000 photos with 40 polygons each, in 50 tasks
    python -m benchmarks.data_engineering_pull --photos 200 --repeat 3 --json

The server is the tests' stand-in for CVAT, on this machine: a network adds to the first pull what it does not add to
the second, so that the share is the worst that it can be. Photos are noise of 640 x 480 px.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PHOTOS, PER_TASK, POLYGONS = 1000, 20, 40
NAME = "benchmark-pull"
_LABEL = {"name": "Porites", "type": "polygon", "color": "#336699", "attributes": []}


def main(*, photos: int = PHOTOS, repeat: int = 1) -> dict[str, Any]:
    """Measure.

    Args:
        photos: in the project.
        repeat: rounds, each on a dataset and a store of its own.

    Returns:
        ``photos``; ``first_s``, ``second_s`` (medians); ``share`` of the second; ``photos_sent``: by the first pulls,
        and by the second ones.
    """
    from tests.cvat_stand_in import running

    with tempfile.TemporaryDirectory(prefix="quadratseg-pull-") as folder, running() as server:
        _seed(server, photos)
        os.environ |= {"CVAT_URL": server.url, "CVAT_TOKEN": server.read_token}
        rounds = [_round(server, Path(folder) / str(number)) for number in range(repeat)]
    first, second = (statistics.median(each[key] for each in rounds) for key in ("first_s", "second_s"))
    sent = [sum(each["sent"][which] for each in rounds) for which in (0, 1)]
    return {"photos": photos, "first_s": first, "second_s": second, "share": second / first, "photos_sent": sent}


def _seed(server: Any, photos: int) -> None:
    import cv2
    import numpy as np

    luck = np.random.default_rng(0)
    project = server.add_project(NAME, [_LABEL])
    label = server.labels(project)["Porites"]
    turn = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    ring = np.stack([300 + 200 * np.cos(turn), 240 + 150 * np.sin(turn)], 1).round(2).ravel().tolist()
    for begin in range(0, photos, PER_TASK):
        numbers = range(begin, min(begin + PER_TASK, photos))
        kinds = [cv2.imencode(".jpg", luck.integers(0, 255, (480, 640, 3), np.uint8))[1].tobytes() for _ in range(2)]
        names = {f"reef_2024_q{number:05d}.jpg": kinds[number % 2] for number in numbers}
        task = server.add_task(project, f"task {begin}", names, completed=True)
        shapes = [
            {"type": "polygon", "label_id": label, "frame": frame, "points": ring, "attributes": []}
            for frame in range(len(names))
            for _ in range(POLYGONS)
        ]
        server.draw(task, shapes)


def _round(server: Any, store: Path) -> dict[str, Any]:
    from data_engineering import create_fiftyone_dataset
    from data_engineering.labels import fo

    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)
    seconds, sent = [], []
    for _ in range(2):
        server.requests.clear()
        start = time.perf_counter()
        create_fiftyone_dataset.main(NAME, media=store)
        seconds.append(time.perf_counter() - start)
        sent.append(server.requests.images())
    fo.delete_dataset(NAME)
    return {"first_s": seconds[0], "second_s": seconds[1], "sent": sent}


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data_engineering_pull",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--repeat", type=int, default=1, help="rounds (default 1)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON in the last line")
    given = parser.parse_args(argv)
    result = main(photos=given.photos, repeat=given.repeat)
    print(
        f"{result['photos']} photos: first pull {result['first_s']:.1f} s, second {result['second_s']:.2f} s "
        f"({result['share']:.1%}); photos sent: {result['photos_sent'][0]}, then {result['photos_sent'][1]}"
    )
    if given.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(run())
