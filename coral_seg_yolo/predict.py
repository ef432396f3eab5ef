"""Photos -> shapes files: shapes JSON and an overlay a photo, one COCO and one CVAT XML file for all.

    python -m coral_seg_yolo.predict photos/ --out predictions --weights first
    python -m coral_seg_yolo.predict a.jpg b.jpg --out predictions --weights weights/x_openvino_model --tile 1024
    python -m coral_seg_yolo.predict photos/ --out predictions --augment

A photo that cannot be read is listed at the end and the exit status is 1; all others are done. Called again, it goes
on: what was predicted by the same weights and settings is not predicted again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from coral_seg_yolo import model
from quadrat import batch


def main(
    photos: Sequence[Path],
    out: Path,
    *,
    weights: str | None = None,
    device: str = "cpu",
    confidence: float = 0.25,
    iou: float = 0.5,
    tile: int = 0,
    augment: bool = False,
    exclusive: bool = False,
    overlays: bool = True,
) -> dict[Path, str]:
    """Predict all photos.

    Args:
        photos: files, and folders with photos.
        out: gets ``shapes/*.json``, ``overlays/*.jpg``, ``coco.json`` and ``cvat.xml``.
        weights: as `model.load` takes them.
        device: as `model.load` takes it.
        confidence: 0..1, lowest score.
        iou: 0..1, boxes that overlap more are one colony.
        tile: side in px of windows for large photos; 0 for none.
        augment: merge four mirrored views (`coral_seg_yolo.augment`).
        exclusive: give a pixel that several colonies have to the one with the best score.
        overlays: draw the shapes over each photo.

    Returns:
        The photos that could not be predicted, with the reason.
    """
    settings = {"confidence": confidence, "iou": iou, "tile_px": tile, "augment": augment, "exclusive": exclusive}
    predictor = model.load(weights, device, confidence, iou, tile, augmented=augment, exclusive=exclusive)
    found = model.find_weights(weights)
    maker = {"weights": predictor.card.name, "fingerprint": batch.fingerprint(found), **settings}
    return batch.predict(predictor, photos, out, maker=maker, overlays=overlays).failed


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.predict", description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+", help="photos, or folders with photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--weights", help="weights file, export, run folder or run name (default: what ships)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--confidence", type=float, default=0.25, help="lowest score, 0..1")
    parser.add_argument("--iou", type=float, default=0.5, help="boxes that overlap more are one colony, 0..1")
    parser.add_argument("--tile", type=int, default=0, help="side in px of windows for large photos; 0 for none")
    parser.add_argument("--augment", action="store_true", help="merge four mirrored views; four times as slow")
    parser.add_argument("--exclusive", action="store_true", help="each pixel to one colony, the best-scored")
    parser.add_argument("--no-overlays", dest="overlays", action="store_false", help="only the files, no pictures")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = _parse(None)
    try:
        bad = main(**vars(arguments))
    except (ValueError, OSError) as error:
        sys.exit(f"predict: {error}")
    print(f"results in {arguments.out}")
    for path, reason in bad.items():
        print(f"failed {path}: {reason}", file=sys.stderr)
    sys.exit(1 if bad else 0)
