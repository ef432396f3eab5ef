"""Weights + prepared folder or FiftyOne dataset -> mAP50, mAP50-95, precision, recall and F1, of masks and of boxes.

The figures are ultralytics' own (its validator: masks compared at a quarter of the network's input; precision, recall
and F1 at the confidence where F1 is best), with photos shrunk as `model.load` shrinks them.

    python -m coral_seg_yolo.evaluate --weights first --data data/rendered --split test --json
    python -m coral_seg_yolo.evaluate --weights first --fiftyone reef_2024 --level genus
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from coral_seg_yolo import folder as prepared
from coral_seg_yolo import framework, model

KEYS = ("map50", "map50_95", "precision", "recall", "f1")


def main(
    weights: str | None = None,
    *,
    data: Path | None = None,
    fiftyone: str | None = None,
    level: str = "genus",
    split: str = "test",
    device: str = "cpu",
    batch: int = 4,
) -> dict[str, Any]:
    """Measure weights.

    Args:
        weights: as `model.load` takes them.
        data: a folder of `coral_seg_yolo.prepare`; or
        fiftyone: the name of a FiftyOne dataset, of which every photo is used.
        level: taxonomy level of the labels of a FiftyOne dataset.
        split: of `data`: ``train``, ``val`` or ``test``.
        device: ``cpu``, ``cuda``, ``0`` or ``mps``.
        batch: photos at a time.

    Returns:
        ``mask`` and ``box`` with the figures of `KEYS`, 0..1, mean over the classes; ``classes`` with the same for each
        class that has a colony, and its ``support`` (number of colonies); ``photos``, ``colonies``, ``weights``.

    Raises:
        ValueError: not one dataset, an empty split, or classes that are not those of the weights.
    """
    if (data is None) == (fiftyone is None):
        raise ValueError("expected one dataset: a prepared folder (--data) or a FiftyOne dataset (--fiftyone)")
    path = model.find_weights(weights)
    with tempfile.TemporaryDirectory() as temporary:
        if data is None:
            from coral_seg_yolo import prepare

            data, split = Path(temporary) / "data", "test"
            prepare.main(data, fiftyone=fiftyone, level=level, only=split)
        _check(path, data, split)
        metrics = _validate(path, data, split, device, batch, Path(temporary))
    return {"weights": str(path), "photos": prepared.read(data).photos[split], **_figures(metrics)}


def _check(path: Path, data: Path, split: str) -> None:
    manifest = prepared.read(data)
    if not manifest.photos.get(split):
        raise ValueError(f"{data} has no photo in split {split!r} ({manifest.photos}): choose another --split")
    card = model.read_card(path)
    if card is not None and card.labels != manifest.labels:
        raise ValueError(
            f"{path} knows {list(card.labels)}, {data} has {list(manifest.labels)}: prepare at their level"
        )


def _validate(path: Path, data: Path, split: str, device: str, batch: int, out: Path) -> Any:
    framework.quiet()
    framework.shrink_by_area()
    from ultralytics import YOLO

    arguments = {"data": str((data / "dataset.yaml").resolve()), "split": split, "device": device, "batch": batch}
    if path.is_dir():
        arguments["batch"] = 1  # an OpenVINO network has a set input
    return YOLO(str(path), task="segment").val(
        **arguments, max_det=model.MAX_COLONIES, plots=False, verbose=False, workers=0, project=str(out), name="val"
    )


def _figures(metrics: Any) -> dict[str, Any]:
    def of(metric: Any) -> dict[str, float]:
        f1 = float(metric.f1.mean()) if len(metric.f1) else 0.0
        return dict(zip(KEYS, map(float, (metric.map50, metric.map, metric.mp, metric.mr, f1)), strict=True))

    def of_class(metric: Any, place: int) -> dict[str, float]:
        precision, recall, map50, map50_95 = metric.class_result(place)
        values = map50, map50_95, precision, recall, metric.f1[place]
        return dict(zip(KEYS, map(float, values), strict=True))

    support = metrics.nt_per_class
    classes = {
        metrics.names[int(kind)]: {
            "support": int(support[kind]),
            "mask": of_class(metrics.seg, place),
            "box": of_class(metrics.box, place),
        }
        for place, kind in enumerate(metrics.box.ap_class_index)
    }
    return {"colonies": int(support.sum()), "mask": of(metrics.seg), "box": of(metrics.box), "classes": classes}


def _table(result: dict[str, Any]) -> str:
    def row(name: str, support: int, values: dict[str, float]) -> str:
        return f"{name:24}{support:>9}" + "".join(f"{values[key]:>11.3f}" for key in KEYS)

    lines = [f"{'':24}{'colonies':>9}" + "".join(f"{key:>11}" for key in KEYS)]
    lines += [row(f"all, {kind}", result["colonies"], result[kind]) for kind in ("mask", "box")]
    lines += [row(f"{name}, mask", one["support"], one["mask"]) for name, one in result["classes"].items()]
    return "\n".join(lines)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="weights file, OpenVINO folder, run folder or run name (default: what ships)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="folder of coral_seg_yolo.prepare")
    source.add_argument("--fiftyone", metavar="NAME", help="FiftyOne dataset; all of its photos are used")
    parser.add_argument("--level", default="genus", help="taxonomy level for --fiftyone")
    parser.add_argument("--split", default="test", choices=prepared.SPLITS, help="of --data (default test)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, 0 or mps")
    parser.add_argument("--batch", type=int, default=4, help="photos at a time")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = vars(_parse(None))
    as_json = arguments.pop("json")
    try:
        measured = main(**arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
    print(_table(measured))
    if as_json:
        print(json.dumps(measured))
