"""A small dataset in which every view of a review has something, made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from quadrat import images

W, H = 64, 48
COLOUR = "#123456"


def write_photos(folder: Path) -> dict[str, Path]:
    """Photos a to f; e is a saved otherwise."""
    paths = {}
    for seed, stem in enumerate("abcdef"):
        noise = np.random.default_rng(0 if stem == "e" else seed).random((6, 8, 3)).astype(np.float32)
        photo = cv2.resize(noise, (W, H), interpolation=cv2.INTER_LINEAR)
        paths[stem] = folder / f"{stem}.jpg"
        images.write(paths[stem], (255 * photo).astype(np.uint8), 80 if stem == "e" else 92)
    return paths


def detections(*found: tuple[str, int, float]):
    """Squares of 16 px: label, left border in px, confidence."""
    from data_engineering.labels import fo

    return fo.Detections(
        detections=[
            fo.Detection(
                label=label,
                bounding_box=[x / W, 8 / H, 16 / W, 16 / H],
                mask=np.ones((16, 16), bool),
                confidence=confidence,
            )
            for label, x, confidence in found
        ]
    )


def drawn(kind: str, *labels: tuple[str, int]):
    """The same squares as people drew them."""
    from data_engineering.labels import fo

    if kind == "detections":
        return detections(*((label, x, 1.0) for label, x in labels))
    rings = [[(x, 8), (x + 16, 8), (x + 16, 24), (x, 24)] for _, x in labels]
    return fo.Polylines(
        polylines=[
            fo.Polyline(label=label, points=[[(x / W, y / H) for x, y in ring]], closed=True, filled=True)
            for (label, _), ring in zip(labels, rings, strict=True)
        ]
    )


@contextmanager
def dataset_of(name: str, folder: Path, kind: str = "polylines") -> Iterator[object]:
    """The dataset, for as long as the block lasts.

    a: all agree. b: both networks surely say another name than people. c: nobody drew, one network is unsure, the other
    sees nothing. d: tagged review. e: a again, with a shape tagged fix. f: the verdict on its corners is review.
    """
    from data_engineering.labels import fo

    paths = write_photos(folder)
    truth = {stem: drawn(kind, ("Porites", 8)) for stem in "abdef"}
    yolo = {
        "a": detections(("Porites", 8, 0.9)),
        "b": detections(("Acropora", 8, 0.97)),
        "c": detections(("Porites", 8, 0.3)),
    }
    dino = {"a": detections(("Porites", 8, 0.9)), "b": detections(("Acropora", 8, 0.8)), "c": detections()}
    yolo["e"], dino["e"] = detections(("Porites", 8, 0.9)), detections(("Porites", 8, 0.9))
    samples = []
    for stem, path in paths.items():
        sample = fo.Sample(str(path), metadata=fo.ImageMetadata(width=W, height=H, num_channels=3))
        sample["ground_truth"], sample["yolo"], sample["dino"] = truth.get(stem), yolo.get(stem), dino.get(stem)
        sample["corners_verdict"] = "review" if stem == "f" else "ok"
        samples.append(sample)
    samples[3].tags.append("review")
    samples[4]["ground_truth"][samples[4]["ground_truth"]._LABEL_LIST_FIELD][0].tags.append("fix")
    dataset = fo.Dataset(name, persistent=True)
    try:
        dataset.add_samples(samples, progress=False)
        dataset.info["cvat_labels"] = [{"name": "Porites", "color": COLOUR, "type": "polygon", "attributes": []}]
        dataset.save()
        yield dataset
    finally:
        fo.delete_dataset(name)


def stems(view) -> str:
    """Names of the photos of a view, in its order."""
    return "".join(Path(path).stem for path in view.values("filepath"))
