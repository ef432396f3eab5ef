"""Photos -> shapes files: shapes JSON and an overlay a photo, one COCO and one CVAT XML file for all.

    python -m coral_seg_yolo.predict photos/ --out predictions --weights first
    python -m coral_seg_yolo.predict a.jpg b.jpg --out predictions --weights weights/x_openvino_model --tile 1024
    python -m coral_seg_yolo.predict photos/ --out predictions --augment

A photo that cannot be read is listed at the end and the exit status is 1; all others are done. Called again, it goes
on: what was predicted by the same weights and settings is not predicted again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from coral_seg_yolo import model
from quadrat import images
from quadrat.formats import coco, cvat_xml, overlay, shapes_json
from quadrat.predictor import Predictor
from quadrat.shapes import Annotations


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
    names = _names(photos)
    settings = {"confidence": confidence, "iou": iou, "tile_px": tile, "augment": augment, "exclusive": exclusive}
    predictor = model.load(weights, device, confidence, iou, tile, augmented=augment, exclusive=exclusive)
    maker = {"weights": predictor.card.name, "fingerprint": _fingerprint(model.find_weights(weights)), **settings}
    failed: dict[Path, str] = {}
    for photo, name in tqdm(names.items(), desc="predict", unit="photo"):
        try:
            if not _done(out / "shapes" / f"{name}.json", maker):
                _predict(predictor, photo, name, out, maker, overlays)
        except (ValueError, OSError, MemoryError) as error:
            failed[photo] = f"{type(error).__name__}: {error}"
    known = [shapes_json.read(out / "shapes" / f"{name}.json") for photo, name in names.items() if photo not in failed]
    coco.write(out / "coco.json", known)
    cvat_xml.write(out / "cvat.xml", known)
    return failed


def _predict(predictor: Predictor, photo: Path, name: str, out: Path, maker: dict[str, Any], overlays: bool) -> None:
    image_rgb = images.read(photo)
    start = time.perf_counter()
    shapes = tuple(predictor.predict(image_rgb))
    meta = {"maker": maker, "note": predictor.card.note, "seconds": round(time.perf_counter() - start, 3)}
    if overlays:
        picture = overlay.draw(image_rgb, shapes, title=photo.name, note=predictor.card.note)
        images.write(out / "overlays" / f"{name}.jpg", picture)
    found = Annotations(f"{Path(name).parent / photo.name}", (image_rgb.shape[1], image_rgb.shape[0]), shapes, meta)
    shapes_json.write(out / "shapes" / f"{name}.json", found)


def _done(path: Path, maker: dict[str, Any]) -> bool:
    try:
        return json.loads(path.read_text("utf-8"))["meta"]["maker"] == maker
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _names(sources: Sequence[Path]) -> dict[Path, str]:
    """Every photo and the name of its files, relative to `out`: its path under the folder that was given, no suffix.

    Where two photos would share a name, the second keeps its suffix, and a number if that is not enough.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for source in sources:
        for photo in images.list_photos(source):
            inside = photo.relative_to(source) if source.is_dir() else Path(photo.name)
            choices = [inside.with_suffix("").as_posix(), inside.as_posix()]
            choices += [f"{inside.as_posix()}-{number}" for number in range(2, len(taken) + 3)]
            names[photo] = next(choice for choice in choices if choice not in taken)
            taken.add(names[photo])
    return names


def _fingerprint(weights: Path) -> str:
    """What tells two weights of one name apart: the size and time of the file, or of the largest in the folder."""
    found = max(weights.iterdir(), key=lambda path: path.stat().st_size) if weights.is_dir() else weights
    return f"{found.stat().st_size}-{found.stat().st_mtime_ns}"


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
