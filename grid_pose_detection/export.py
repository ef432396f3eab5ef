"""Weights -> OpenVINO, ONNX, TorchScript, or a ``.pt`` to give away; kept only if it finds what torch finds.

    python -m grid_pose_detection.export --task grid --images photos/
    python -m grid_pose_detection.export --weights first --format onnx --out somewhere
    python -m grid_pose_detection.export --weights first --format pt --name my-grid --out shared

`model.load` takes all of them. On every photo the outputs are compared number by number, then the candidates, then the
matched points. An export that differs ends up as ``NAME.failed``; what was there under its name stays. Layouts that are
not built in go with the weights. A ``.pt`` to give away holds the network alone: no optimizer, no history, and no
folder names of the machine that trained it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from grid_pose_detection import model, parity
from yolo import exporting


def main(weights: str | None = None, *, task: str = "corners", **options: Any) -> tuple[Path, parity.Parity]:
    """Export weights.

    Args:
        weights: a ``.pt`` file, or a run.
        task: ``corners`` or ``grid``: which weights `None` takes.
        **options: those of `yolo.exporting.export`.

    Returns:
        The file or folder that was written, its card and layouts beside it, and by how much it differs from torch.

    Raises:
        ValueError: the weights are no ``.pt`` file, the format is not known, or a package or a photo is missing.
        RuntimeError: the export differs from torch; the message names the worst figure.
    """
    job = exporting.Job(
        load=model.load,
        network=lambda predictor: predictor.finder.network,
        pictures=lambda predictor: parity.drawn_photos(predictor.finder.layouts),
        compare=parity.compare,
        check=lambda compared, half: parity.check(compared, parity.HALF if half else parity.EXACT),
    )
    return exporting.export(job, model.find_weights(weights, task), **options)


def _say(figures: parity.Parity) -> str:
    return (
        f"{exporting.say_differences(figures.tensors, figures.photos)}\n"
        f"{figures.candidates} candidates and {figures.points} matched points: scores differ by at most "
        f"{figures.score:.5f}, places by {figures.px:.4f} px of the input"
    )


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = exporting.parser("grid_pose_detection", (__doc__ or "").splitlines()[0])
    parser.add_argument("--task", choices=model.TASKS, default="corners", help="which of the weights that ship")
    return exporting.run(parser, main, _say, argv)


if __name__ == "__main__":
    sys.exit(run())
