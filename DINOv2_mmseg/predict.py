"""Photos -> shapes files: shapes JSON and an overlay a photo, one COCO and one CVAT XML file for all; class maps too.

    python -m DINOv2_mmseg.predict photos/ --out predictions --weights first
    python -m DINOv2_mmseg.predict photos/ --out predictions --maps --tidy 8
    python -m DINOv2_mmseg.predict photos/ --out predictions --weights iter.pth --config iter.py --sam sam-vit-base
    python -m DINOv2_mmseg.predict photos/ --out predictions --scales 0.75 1 1.5 --flip

A photo that cannot be read is listed at the end and the exit status is 1; all others are done. Called again, it goes
on: what was predicted by the same weights and settings is not predicted again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DINOv2_mmseg import folder, model
from DINOv2_mmseg import sam as networks
from DINOv2_mmseg.dense import Dense
from quadrat import batch, files, images
from quadrat.formats import overlay
from quadrat.predictor import Card, Explained
from quadrat.shapes import Annotations, Instance


def main(
    photos: Sequence[Path],
    out: Path,
    *,
    weights: str | None = None,
    device: str = "cpu",
    config: str | None = None,
    refiner: str | None = None,
    sam: str | None = None,
    min_threshold: float = 0.05,
    unsure_threshold: float = 0.2,
    work_px: int | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    tidy: int | None = None,
    maps: bool = False,
    overlays: bool = True,
) -> dict[Path, str]:
    """Predict all photos.

    Args:
        photos: files, and folders with photos.
        out: gets ``shapes/*.json``, ``overlays/*.jpg``, ``coco.json`` and ``cvat.xml``; of maps ``maps/*.png``,
            ``maps/classes.txt`` and ``map_overlays/*.jpg``.
        weights: as `model.load` takes them, and so device, config, sam, both thresholds, work_px, scales and flip.
        device: to run on.
        config: mmengine config, for weights that do not say what network they are of.
        refiner: what cuts colonies: ``watershed``, ``components`` or ``sam``; `None`: ``sam`` where `sam` is
            given, else ``watershed``.
        sam: folder of a SAM network, see `DINOv2_mmseg.sam.find_weights`.
        min_threshold: 0..1, lowest score.
        unsure_threshold: 0..1, colonies below are marked ``unsure``.
        work_px: long side that the network sees of a photo; `None`: what the weights say.
        scales: of further looks at the photo, which are averaged; 1 is the plain one.
        flip: look at the mirrored photo too.
        tidy: patches of a class that are smaller than this squared, in px, go to what surrounds them; 0: none; `None`:
            4 cells of the network.
        maps: write the class of every pixel too.
        overlays: draw the shapes, and the classes, over each photo.

    Returns:
        The photos that could not be predicted, with the reason.
    """
    refiner = refiner or ("sam" if sam else "watershed")
    settings: dict[str, Any] = {
        "refiner": refiner,
        "min_threshold": min_threshold,
        "unsure_threshold": unsure_threshold,
        "work_px": work_px,
        "scales": tuple(scales),
        "flip": flip,
        "tidy_px": tidy,
    }
    predictor = model.load(weights, device, config=config, sam=sam, **settings)
    keeping, found = Keeping(predictor), model.find_weights(weights)
    maker = {"weights": predictor.card.name, "fingerprint": batch.fingerprint(found), **settings}
    maker |= {"config": _named(config), "sam": _named(networks.find_weights(sam)) if refiner == "sam" else None}
    extra = Maps(keeping, out, overlays) if maps else None
    outcome = batch.predict(keeping, photos, out, maker=maker, overlays=overlays, extra=extra)
    if maps:
        lines = (f"{label}\n" for label in predictor.semantic_card.labels)
        files.write_text(out / "maps" / "classes.txt", "".join(lines))
    return outcome.failed


def _named(path: str | Path | None) -> str | None:
    """A file or folder that the result depends on, so that another one of that name is noticed."""
    return f"{path} {batch.fingerprint(Path(path))}" if path else None


class Keeping:
    """A predictor that keeps what the network said of the last photo, so that it need not be asked again for the map.

    Attributes:
        dense: of the last photo; `None` before the first.
    """

    def __init__(self, predictor: model.SegmentationPredictor) -> None:
        self.predictor = predictor
        self.dense: Dense | None = None

    @property
    def card(self) -> Card:
        """What the weights are."""
        return self.predictor.card

    def predict(self, image_rgb: images.Rgb, *, threshold: float | None = None) -> list[Instance]:
        """As `predict_explained`, without the facts."""
        return list(self.predict_explained(image_rgb, threshold=threshold).shapes)

    def predict_explained(self, image_rgb: images.Rgb, *, threshold: float | None = None) -> Explained:
        """As the predictor does."""
        self.dense = self.predictor.segment(image_rgb)
        return self.predictor.explain(image_rgb, self.dense, threshold=threshold)


@dataclass(frozen=True, slots=True)
class Maps:
    """The class of every pixel as files; a `batch.Extra`."""

    keeping: Keeping
    out: Path
    overlays: bool

    def is_there(self, name: str) -> bool:
        """Whether the map, and its picture if there is to be one, were written."""
        return self._map(name).is_file() and (not self.overlays or self._picture(name).is_file())

    def make(self, image_rgb: images.Rgb, name: str, found: Annotations) -> None:
        """Write both."""
        dense = self.keeping.dense
        assert dense is not None
        files.write_bytes(self._map(name), folder.encode_label(dense.map.index, dense.map.labels))
        if self.overlays:
            card = self.keeping.predictor.semantic_card
            title = Path(found.image).name
            picture = overlay.draw_map(image_rgb, dense.map, title=title, note=card.note, background=card.background)
            images.write(self._picture(name), picture)

    def _map(self, name: str) -> Path:
        return self.out / "maps" / f"{name}.png"

    def _picture(self, name: str) -> Path:
        return self.out / "map_overlays" / f"{name}.jpg"


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m DINOv2_mmseg.predict", description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+", help="photos, or folders with photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--weights", help="weights file, export, run folder or run name (default: what ships)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--config", help="mmengine config, for weights that do not say their network (.pth)")
    parser.add_argument(
        "--refiner", choices=model.REFINERS, help="what cuts colonies (default: sam with --sam, else watershed)"
    )
    parser.add_argument("--sam", metavar="DIR", help="folder of a SAM network (default: SAM_WEIGHTS)")
    parser.add_argument("--min-threshold", type=float, default=0.05, help="lowest score, 0..1")
    parser.add_argument("--unsure-threshold", type=float, default=0.2, help="colonies below are marked unsure, 0..1")
    parser.add_argument("--work-px", type=int, help="long side that the network sees (default: the weights' own)")
    parser.add_argument("--scales", type=float, nargs="+", default=(1.0,), help="looks at these sizes are averaged")
    parser.add_argument("--flip", action="store_true", help="look at the mirrored photo too; twice as slow")
    parser.add_argument(
        "--tidy", type=int, metavar="PX", help="drop patches below PX squared (default: 4 cells; 0: none)"
    )
    parser.add_argument("--maps", action="store_true", help="write the class of every pixel too")
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
