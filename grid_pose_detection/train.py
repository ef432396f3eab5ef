"""Prepared folder + config -> weights, in a run folder that says all about how they were made.

    python -m grid_pose_detection.train --data data/grid --config grid_pose_detection/configs/grid/yolo11n-points.yaml
    python -m grid_pose_detection.train --data data/grid --name a --resume
    python -m grid_pose_detection.train --data data/corners --config FILE epochs=20 imgsz=512 --device 0,1

Ctrl-C, SIGTERM and SIGUSR1 end it after the batch; `--resume` goes on with the epoch that was cut short.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grid_pose_detection import folder as prepared
from grid_pose_detection.settings import OURS, Settings
from quadrat import experiment, template
from quadrat.predictor import Card
from yolo import training


def main(data: Path, **options: Any) -> tuple[Path, dict[str, float] | None]:
    """Train, or go on with a run: `yolo.training.train` with the settings and the card of this module.

    Args:
        data: a folder of `grid_pose_detection.prepare`.
        **options: as `yolo.training.train` takes them.
    """
    return training.train(JOB, data, **options)


def _check(settings: Settings, data: Path) -> None:
    manifest = prepared.read(data)
    for key in ("formulation", "label"):
        wanted, there = getattr(settings, key), getattr(manifest, key)
        if wanted not in ("", there):
            raise ValueError(f"{data} has {key} {there!r}, the config wants {wanted!r}: prepare it so")
    pose = settings.model.endswith("-pose")
    if pose != (settings.formulation == "pose"):
        raise ValueError(f"model {settings.model!r} does not train {settings.formulation!r}: -pose belongs to pose")


def _task(settings: Settings) -> str:
    return "pose" if settings.formulation == "pose" else "detect"


def _card(name: str, data: Path) -> Card:
    manifest = prepared.read(data)
    return Card(
        name,
        "keypoints",
        (manifest.label,),
        trained_on=manifest.trained_on,
        note=manifest.note,
        layouts=manifest.layouts,
    )


def _beside(data: Path) -> Sequence[Path]:
    return [data / name for name in prepared.read(data).layouts if name not in template.BUILTIN]


JOB = training.Job(prepared.MODULE, Settings, OURS, _check, _task, _card, _beside)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m grid_pose_detection.train", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of grid_pose_detection.prepare")
    experiment.add_common_arguments(parser)
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    try:
        folder, metrics = main(**vars(_parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"train: {error}")
    if metrics is None:
        print(f"{folder}: stopped; go on with --resume --name {folder.name}")
        sys.exit(training.EXIT_STOPPED)
    kind = "P" if "metrics/mAP50(P)" in metrics else "B"
    print(
        f"{folder}: mAP50 {metrics[f'metrics/mAP50({kind})']:.3f}, mAP50-95 {metrics[f'metrics/mAP50-95({kind})']:.3f}"
    )
