"""Prepared folder + config -> weights, in a run folder that says all about how they were made.

    python -m coral_seg_yolo.train --data data/rendered --config coral_seg_yolo/configs/rendered/yolo11n.yaml --name a
    python -m coral_seg_yolo.train --data data/rendered --name a --resume
    python -m coral_seg_yolo.train --data data/rendered --config FILE epochs=20 imgsz=512 --device 0,1

Ctrl-C, SIGTERM and SIGUSR1 end it after the batch; `--resume` goes on with the epoch that was cut short.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from coral_seg_yolo import folder as prepared
from coral_seg_yolo.settings import OURS, Settings
from quadrat import experiment
from quadrat.predictor import Card
from yolo import training

MODULE = "coral_seg_yolo"


def main(data: Path, **options: Any) -> tuple[Path, dict[str, float] | None]:
    """Train, or go on with a run: `yolo.training.train` with the settings and the card of this module.

    Args:
        data: a folder of `coral_seg_yolo.prepare`.
        **options: as `yolo.training.train` takes them.
    """
    return training.train(JOB, data, **options)


def _check(settings: Settings, data: Path) -> None:
    level = prepared.read(data).level
    if settings.level not in ("", level):
        raise ValueError(f"{data} has labels of level {level!r}, the config wants level {settings.level!r}")


def _card(name: str, data: Path) -> Card:
    manifest = prepared.read(data)
    return Card(name, "instances", manifest.labels, trained_on=manifest.trained_on, note=manifest.note)


JOB = training.Job(MODULE, Settings, OURS, _check, lambda _: "segment", _card)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.train", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of coral_seg_yolo.prepare")
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
    print(f"{folder}: mask mAP50 {metrics['metrics/mAP50(M)']:.3f}, mAP50-95 {metrics['metrics/mAP50-95(M)']:.3f}")
