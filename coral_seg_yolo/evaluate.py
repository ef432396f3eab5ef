"""Weights + prepared folder or FiftyOne dataset -> figures, tables, pictures, and a review in FiftyOne's app.

    python -m coral_seg_yolo.evaluate --weights first --data data/rendered --split test --out runs/evaluation --json
    python -m coral_seg_yolo.evaluate --weights first --fiftyone reef_2024 --field first --eval-key first_eval
    python -m coral_seg_yolo.evaluate --data data/rendered --split test --tile 1024 --augment

What is measured is what is served: the same shrinking, suppression of doubles, windows and masks at the photo's size.
Average precision is COCO's. A class is judged by every colony's score for that class, `any coral` by its best score.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from coral_seg_yolo import class_scores, model
from coral_seg_yolo import folder as prepared
from quadrat import images
from quadrat.predictor import read_card
from quadrat.shapes import Annotations, Instance

if TYPE_CHECKING:
    from data_engineering.figures import Report

Sample = tuple[Path, Callable[[tuple[int, int]], list[Instance]]]
"""A photo, and what gives its true colonies for the photo's width and height in px."""


def main(
    weights: str | None = None,
    *,
    data: Path | None = None,
    fiftyone: str | None = None,
    split: str = "test",
    field: str | None = None,
    eval_key: str | None = None,
    overwrite: bool = False,
    out: Path | None = None,
    device: str = "cpu",
    confidence: float = 0.25,
    iou: float = 0.5,
    tile: int = 0,
    augment: bool = False,
) -> dict[str, Any]:
    """Measure weights.

    Args:
        weights: as `model.load` takes them.
        data: a folder of `coral_seg_yolo.prepare`: the photos and labels of its `split` are used.
        fiftyone: the name of a FiftyOne dataset; without `data` every photo of it is used, with labels brought to the
            level of the weights.
        split: of `data`: ``train``, ``val`` or ``test``.
        field: field of the FiftyOne dataset that gets the predictions.
        eval_key: FiftyOne evaluation of `field`, for the app: right, wrong and missed in each photo.
        overwrite: replace `field` and `eval_key` where they are there.
        out: folder for ``figures.json``, tables (CSV) and pictures (PNG).
        device: as `model.load` takes it.
        confidence: 0..1, the lowest score in the confusion matrix and in FiftyOne.
        iou: 0..1, boxes that overlap more are one colony.
        tile: side in px of windows for large photos; 0 for none.
        augment: merge four mirrored views (`coral_seg_yolo.augment`).

    Returns:
        The figures of `data_engineering.figures.Report`; ``weights``, ``settings``; ``skipped``: photos that could not
        be measured, with the reason; with `eval_key` ``fiftyone``: its counts of right, wrong and missed colonies.

    Raises:
        ValueError: no dataset, an empty split, or classes that are not those of the weights.
    """
    _check_wishes(data, fiftyone, field, eval_key)
    path = model.find_weights(weights)
    if data is not None:
        _check_folder(path, data, split)
    from data_engineering import figures

    predictor = model.load(path, device, confidence, iou, tile, augmented=augment)
    labels = predictor.card.labels
    samples = _of_folder(data, split, labels) if data is not None else _of_dataset(str(fiftyone), labels)
    counted, skipped = figures.Report(labels), dict[str, str]()
    measured = _measure(predictor, samples, counted, confidence, skipped)
    counts = _into_fiftyone(str(fiftyone), field, eval_key, overwrite, measured, labels) if field else None
    for _ in measured:  # what FiftyOne has not drawn already
        pass
    if not counted.photos:
        raise ValueError(f"no photo could be measured: {dict(list(skipped.items())[:3])}")
    settings = {"confidence": confidence, "iou": iou, "tile_px": tile, "augment": augment}
    result = {"weights": str(path), "settings": settings, **counted.to_dict(confidence), "skipped": skipped}
    if counts is not None:
        result["fiftyone"] = counts
    if out is not None:
        figures.write(out, counted, result)
    return result


def _check_wishes(data: Path | None, fiftyone: str | None, field: str | None, eval_key: str | None) -> None:
    if data is None and fiftyone is None:
        raise ValueError("expected a dataset: a prepared folder (--data) or a FiftyOne dataset (--fiftyone)")
    if field is not None and fiftyone is None:
        raise ValueError(f"field {field!r} is one of a FiftyOne dataset: name it (--fiftyone)")
    if data is not None and fiftyone is not None and field is None:
        raise ValueError("--data gives the photos; --fiftyone beside it needs --field, which gets the predictions")
    if eval_key is not None and field is None:
        raise ValueError(f"eval_key {eval_key!r} evaluates a field of predictions: name it (--field)")


def _check_folder(path: Path, data: Path, split: str) -> None:
    manifest = prepared.read(data)
    if not manifest.photos.get(split):
        raise ValueError(f"{data} has no photo in split {split!r} ({manifest.photos}): choose another --split")
    card = read_card(path)
    if card is not None and card.labels != manifest.labels:
        raise ValueError(
            f"{path} knows {list(card.labels)}, {data} has {list(manifest.labels)}: prepare at their level"
        )


def _of_folder(data: Path, split: str, labels: tuple[str, ...]) -> list[Sample]:
    """Labels of a prepared folder go by their place, as the network knows them."""

    def truth_of(photo: Path) -> Callable[[tuple[int, int]], list[Instance]]:
        return lambda size_wh: prepared.read_labels(photo, labels, size_wh)

    return [(photo, truth_of(photo)) for photo in prepared.photos(data, split)]


def _of_dataset(name: str, labels: tuple[str, ...]) -> Iterator[Sample]:
    from data_engineering import dataset

    def truth_of(known: Annotations) -> Callable[[tuple[int, int]], list[Instance]]:
        def truth(size_wh: tuple[int, int]) -> list[Instance]:
            if known.size_wh != size_wh:
                raise ValueError(f"the photo is {size_wh} px, its labels are for {known.size_wh}")
            return list(known.instances)

        return truth

    for photo, known in dataset.iter_annotations(name, to_label=_to_level_of(labels)):
        yield photo, truth_of(known)


def _to_level_of(labels: tuple[str, ...]) -> Callable[[str], str]:
    """What brings a genus to the taxonomy level of `labels`."""
    from data_engineering import taxonomy

    for level in taxonomy.load().levels:
        if taxonomy.labels(level) == labels:
            return lambda genus: taxonomy.to_level(genus, level)
    raise ValueError(f"the weights know {list(labels)}: expected the labels of a level of the taxonomy")


def _measure(
    predictor: model.YoloPredictor,
    samples: Iterable[Sample],
    figures: Report,
    confidence: float,
    skipped: dict[str, str],
) -> Iterator[tuple[Path, Annotations]]:
    """Predict and count every photo; yields it with its predictions of at least `confidence`."""
    total = len(samples) if isinstance(samples, list) else None
    for photo, truth_of in tqdm(samples, desc="evaluate", unit="photo", total=total):
        try:
            image_rgb = images.read(photo)
            size_wh = image_rgb.shape[1], image_rgb.shape[0]
            truth = truth_of(size_wh)
        except (ValueError, OSError) as error:
            skipped[str(photo)] = f"{type(error).__name__}: {error}"
            continue
        found = predictor.predict(image_rgb, threshold=figures.LOWEST, every_score=True)
        figures.add(truth, found, class_scores.of(found, len(predictor.card.labels)))
        sure = tuple(class_scores.dropped(instance) for instance in found if instance.score >= confidence)
        yield photo, Annotations(photo.name, size_wh, sure)


def _into_fiftyone(
    name: str,
    field: str,
    eval_key: str | None,
    overwrite: bool,
    measured: Iterator[tuple[Path, Annotations]],
    labels: tuple[str, ...],
) -> dict[str, int] | None:
    from data_engineering import dataset, evaluation

    if eval_key:
        evaluation.check_key(name, eval_key, overwrite)
    resolved = ((photo.resolve(), predicted) for photo, predicted in measured)  # a prepared folder has links
    photos = dataset.attach(name, field, resolved, overwrite=overwrite)
    return evaluation.evaluate(name, field, eval_key, photos, _to_level_of(labels)) if eval_key else None


def _table(result: dict[str, Any]) -> str:
    keys = list(result["mask"])

    def row(name: str, support: int, values: dict[str, float]) -> str:
        return f"{name:28}{support:>9}" + "".join(f"{values[key]:>11.3f}" for key in keys)

    lines = [f"{'':28}{'colonies':>9}" + "".join(f"{key:>11}" for key in keys)]
    for kind in ("mask", "box"):
        lines += [row(f"any coral, {kind}", result["colonies"], result["any"][kind])]
        lines += [row(f"mean of the classes, {kind}", result["colonies"], result[kind])]
    lines += [row(f"{name}, mask", one["support"], one["mask"]) for name, one in result["classes"].items()]
    sure, best = result["at_confidence"], result["best_confidence"]
    lines.append(f"precision, recall and f1 at the confidence where the mean f1 of the classes is best: {best:.3f}")
    lines.append(
        f"at confidence {sure['confidence']:g}: {sure['predictions']} predictions, {sure['found']:.1%} of the colonies "
        f"found, {sure['right']:.1%} found and named right, mask IoU of what was found {sure['mask_iou']:.3f}"
    )
    return "\n".join(lines)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="weights file, export, run folder or run name (default: what ships)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of coral_seg_yolo.prepare")
    parser.add_argument("--split", default="test", choices=prepared.SPLITS, help="of --data (default test)")
    parser.add_argument(
        "--fiftyone", metavar="NAME", help="FiftyOne dataset; without --data all of its photos are used"
    )
    parser.add_argument("--field", help="field of the FiftyOne dataset that gets the predictions")
    parser.add_argument("--eval-key", help="FiftyOne evaluation of --field: right, wrong and missed in each photo")
    parser.add_argument("--overwrite", action="store_true", help="replace --field and --eval-key if they are there")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for JSON, CSV and PNG")
    parser.add_argument("--confidence", type=float, default=0.25, help="lowest score in the confusion matrix, 0..1")
    parser.add_argument("--iou", type=float, default=0.5, help="boxes that overlap more are one colony, 0..1")
    parser.add_argument("--tile", type=int, default=0, help="side in px of windows for large photos; 0 for none")
    parser.add_argument("--augment", action="store_true", help="merge four mirrored views; four times as slow")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, 0 or mps")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = vars(_parse(None))
    as_json = arguments.pop("json")
    try:
        evaluated = main(**arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
    print(_table(evaluated))
    for bad, reason in evaluated["skipped"].items():
        print(f"skipped {bad}: {reason}", file=sys.stderr)
    if arguments["out"]:
        print(f"figures, tables and pictures in {arguments['out']}")
    if as_json:
        print(json.dumps(evaluated))
