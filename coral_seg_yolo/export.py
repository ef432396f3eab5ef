"""Weights -> OpenVINO, ONNX, TorchScript, or a ``.pt`` to give away; kept only if it finds what torch finds.

    python -m coral_seg_yolo.export --weights first --images photos/
    python -m coral_seg_yolo.export --weights weights/x.pt --format onnx --out somewhere
    python -m coral_seg_yolo.export --weights first --format pt --name coral-reef --out shared

`model.load` takes all of them. On every photo the outputs are compared number by number, and then the colonies. An
export that differs ends up as ``NAME.failed``; what was there under its name stays. A ``.pt`` to give away holds the
network alone: no optimizer, no history, and no folder names of the machine that trained it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from coral_seg_yolo import model, parity
from yolo import exporting


def main(weights: str | None = None, **options: Any) -> tuple[Path, parity.Parity]:
    """Export weights.

    Args:
        weights: a ``.pt`` file, or a run.
        **options: those of `yolo.exporting.export`. As for ``imgsz``: a network trained on small pictures often finds
            more in larger ones; `evaluate` tells.

    Returns:
        The file or folder that was written, its card beside it, and by how much it differs from torch.

    Raises:
        ValueError: the weights are no ``.pt`` file, the format is not known, or a package or a photo is missing.
        RuntimeError: the export differs from torch; the message names the worst figure.
    """
    job = exporting.Job(
        load=model.load,
        network=lambda predictor: predictor.network,
        pictures=lambda _: parity.drawn_photos(),
        compare=parity.compare,
        check=lambda compared, half: parity.check(compared, parity.HALF if half else parity.EXACT),
    )
    return exporting.export(job, model.find_weights(weights), **options)


def _say(figures: parity.Parity) -> str:
    return (
        f"{exporting.say_differences(figures.tensors, figures.photos)}\n"
        f"{figures.colonies} colonies: scores differ by at most {figures.score:.5f}, IoU {figures.iou:.4f} or more"
    )


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return exporting.run(exporting.parser("coral_seg_yolo", (__doc__ or "").splitlines()[0]), main, _say, argv)


if __name__ == "__main__":
    sys.exit(run())
