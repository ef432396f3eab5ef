"""What an evaluation writes: figures, tables, pictures; and the same figures for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from DINOv2_mmseg import plots, tables
from DINOv2_mmseg.measuring import Meter
from DINOv2_mmseg.point_metrics import COLONIES
from quadrat import files, images
from quadrat.formats import overlay

SHEET_PX = 1200


def write(out: Path, meter: Meter, result: Mapping[str, Any]) -> None:
    """Write what is known into a folder; what other files it holds stay.

    - ``figures.json``: `result`
    - ``classes.csv``: a row a class
    - ``confusion.csv``, ``confusion.png``: true classes in rows, of pixels or of points
    - ``cover.csv``, ``cover.png``: of points
    - ``examples.jpg``: photo, truth and prediction side by side

    Args:
        out: is made if it is not there.
        meter: the photos.
        result: of the evaluation.
    """
    files.write_json(out / "figures.json", dict(result))
    tables.write(out / "classes.csv", *_classes(result))
    note = str(result["note"])
    if result["points"]:
        _write_confusion(out, meter.points.labels, meter.points.confusion(), "points", note)
        _write_cover(out, result["points"]["cover"], note)
    if result["semantic"]:
        _write_confusion(out, meter.labels, meter.confusion.counts, "pixels", note)
    if meter.pictures:
        pictures = [_titled(picture, name) for name, picture in meter.pictures.items()]
        head = "photo, truth, prediction" + (f". {note}" if note else "")
        sheet = overlay.contact_sheet(pictures, columns=1, cell_px=SHEET_PX, note=head)
        images.write(out / "examples.jpg", sheet)


def _write_confusion(out: Path, labels: Sequence[str], counts: Any, unit: str, note: str) -> None:
    tables.write(out / "confusion.csv", ["true / predicted", *labels], tables.beside(labels, counts))
    plots.confusion(out / "confusion.png", labels, counts, unit, note)


def _write_cover(out: Path, cover: Sequence[Mapping[str, Any]], note: str) -> None:
    keys = ("photo", "label", "points", "human", "predicted", "whole_map")
    header = ["photo", "class", "points", "human %", "predicted at points %", "whole map %"]
    tables.write(out / "cover.csv", header, [[one[key] for key in keys] for one in cover])
    classes = [one for one in cover if one["label"] != COLONIES]
    panels = {
        "at the same points": [(one["label"], one["human"], one["predicted"]) for one in classes],
        "whole map": [(one["label"], one["human"], one["whole_map"]) for one in classes],
    }
    plots.cover(out / "cover.png", panels, f"a dot is the cover of a class in a photo. {note}".strip())


def _classes(result: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    known = (result["semantic"] or result["points"])["classes"]
    keys = ("support", "predicted", "iou", "recall", "precision", "dice")
    method = next(iter(result["panoptic"]), None)
    header = ["class", *keys, *(["pq", "ap50"] if method else [])]
    rows = [[label, *(one[key] for key in keys)] for label, one in known.items()]
    if method:
        quality, precision = (result[kind][method]["classes"] for kind in ("panoptic", "average_precision"))
        rows = [[*row, quality.get(row[0], {}).get("pq"), precision.get(row[0], {}).get("map50")] for row in rows]
    return header, rows


def _titled(picture: plots.Rgb, name: str) -> plots.Rgb:
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (picture.shape[1], 24), "white")
    ImageDraw.Draw(strip).text((4, 3), name, plots.INK, ImageFont.load_default(15))
    return np.vstack([np.asarray(strip), picture])


# ---------------------------------------------------------------------------------------------- printed


def table(result: Mapping[str, Any]) -> str:
    """The figures for a terminal."""
    lines = []
    if result["semantic"]:
        lines += _semantic_lines(result["semantic"])
    if result["points"]:
        lines += _point_lines(result["points"])
    for method, one in result["panoptic"].items():
        lines.append(_colony_line(method, one, result["average_precision"][method]))
    for key, value in result.get("fiftyone", {}).items():
        lines.append(f"FiftyOne {key}: {value:.3f}")
    seconds = f", {result['seconds']:.2f} s a photo" if result["seconds"] is not None else ""
    return "\n".join([*lines, f"{result['photos']} photos{seconds}"])


def _colony_line(method: str, quality: Mapping[str, Any], precision: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{key.upper()} {_share(quality[key])}" for key in ("sq", "rq"))
    return (
        f"colonies by {method}: PQ {_share(quality['pq'])} ({parts}), all classes as one PQ "
        f"{_share(quality['any_label']['pq'])}; mask AP50 {_share(precision['map50'])}, "
        f"AP50-95 {_share(precision['map50_95'])}"
    )


def _semantic_lines(known: Mapping[str, Any]) -> list[str]:
    head = (
        f"mIoU {_share(known['miou'])} over {known['classes_counted']} classes in truth or prediction "
        f"({_share(known['miou_supported'])} over the {known['classes_supported']} in the truth), "
        f"mean accuracy {_share(known['mean_accuracy'])}, overall accuracy {_share(known['overall_accuracy'])}, "
        f"frequency-weighted IoU {_share(known['frequency_weighted_iou'])}, Dice {_share(known['dice'])}"
    )
    return [*_class_lines(known["classes"], "pixels"), head]


def _point_lines(known: Mapping[str, Any]) -> list[str]:
    head = (
        f"{known['points']} points: accuracy {_share(known['accuracy'])}, "
        f"macro recall {_share(known['macro_recall'])}; "
        f"cover error {known['cover_error']:.1f} percentage points at the points, "
        f"{known['cover_error_map']:.1f} of the whole map"
    )
    return [*_class_lines(known["classes"], "points"), head]


def _class_lines(classes: Mapping[str, Mapping[str, Any]], unit: str) -> list[str]:
    keys = ("iou", "recall", "precision", "dice")
    lines = [f"{'':28}{unit:>12}" + "".join(f"{key:>11}" for key in keys)]
    for label, one in classes.items():
        if one["support"] or one["predicted"]:
            lines.append(f"{label:28}{one['support']:>12}" + "".join(f"{_share(one[key]):>11}" for key in keys))
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
