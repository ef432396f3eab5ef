"""Photos whose strings and whose clean twins are known -> figures, tables, pictures.

    python -m grid_inpainting.evaluate --rendered data/v1-inpainting --out runs/evaluation --json
    python -m grid_inpainting.evaluate --data data/pairs --split test --backend lama openvino
    python -m grid_inpainting.evaluate --rendered renders --points predictions/shapes --out runs/evaluation
    python -m grid_inpainting.evaluate --rendered renders --segmentation "python -m coral_seg_yolo.predict"

Measured are the strings that are found, from true points and from those that a network found, and what is painted over
them, beside OpenCV's Telea and Navier-Stokes in the same hole with the same soft edge, and the photo as it is. How each
figure counts say `grid_inpainting.metrics` and `grid_inpainting.measuring`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from grid_inpainting import backends, lpips, model, report, wanted
from grid_inpainting import folder as prepared
from grid_inpainting.folder import Pair
from grid_inpainting.measuring import Meter, Photo
from grid_inpainting.segmentation import Comparison
from grid_inpainting.weights import find as find_weights
from quadrat import template


def main(
    *,
    rendered: Path | None = None,
    data: Path | None = None,
    split: str = "test",
    points: Path | None = None,
    weights: str | None = None,
    backend: Sequence[str] = (backends.LAMA,),
    line_width: float | None = None,
    layout: str | Path = model.AUTO,
    device: str = "cpu",
    limit: int = 0,
    strings_only: bool = False,
    out: Path | None = None,
    segmentation: str | None = None,
    level: str = "genus",
    fiftyone: str | None = None,
    field: str | None = None,
) -> dict[str, Any]:
    """Measure weights.

    Args:
        rendered: a folder of `data_engineering.render`, or its ``rectified``; or
        data: a folder of `grid_inpainting.prepare`: the photos of its `split`.
        split: of `data`: ``train``, ``val`` or ``test``.
        points: grid points that a network found in these photos, as `grid_inpainting.predict` takes them.
        weights: as `model.load` takes them, and so line_width, layout and device.
        backend: what paints; all are compared in the hole of the first.
        line_width: of the strings in px; `None`: measured.
        layout: of the points.
        device: to run on.
        limit: measure so many photos only, evenly taken; 0: all.
        strings_only: measure how well strings are found, and paint nothing: quick, and needs no weights.
        out: folder for ``figures.json``, ``photos.csv`` and pictures.
        segmentation: `predict` command of a module that finds colonies, to be run before and after (`segmentation`).
        level: taxonomy level of what that finds.
        fiftyone: the name of a FiftyOne dataset of these photos.
        field: gets the figures of each photo there, in ``<field>_recall``, ``_precision``, ``_psnr_db``, ``_ssim``.

    Returns:
        The figures of `report.summary`; ``weights``, ``note``, ``settings``; ``segmentation``, `None` if not asked for;
        ``skipped``: photos that could not be measured, with the reason.

    Raises:
        ValueError: not one folder, no photo that can be measured, a setting out of range, or segmentation fails.
    """
    _check_wishes(backend, fiftyone, field)
    if strings_only:
        if segmentation is not None or field is not None:
            raise ValueError("--strings-only paints nothing that --segmentation or --fiftyone could show")
        backend = (backends.OPENCV,)
    pairs = _pairs(rendered, data, split)
    if limit:
        pairs = _evenly(pairs, limit)
    removers = {
        each: model.load(weights, device, backend=each, line_width=line_width, layout=layout)
        for each in dict.fromkeys(backend)
    }
    crops = report.Crops([pair.name for pair in _evenly(pairs, report.EXAMPLES)])
    meter = _meter(removers, points, layout, device, paint=not strings_only)
    photos, skipped, compared = _measure(meter, pairs, crops, segmentation, level)
    found = find_weights(weights) if set(removers) - {backends.OPENCV} else None
    first = next(iter(removers.values()))
    result = {
        "weights": str(found) if found else None,
        "note": "" if strings_only else first.card.note,
        "settings": {"backends": list(removers), "line_width_px": line_width, "layout": str(layout)},
        **report.summary(list(photos.values())),
        "segmentation": compared,
        "skipped": skipped,
    }
    if field is not None:
        _into_fiftyone(
            str(fiftyone), field, {path: report.row(photo) for path, photo in photos.items()}, list(removers)[0]
        )
    if out is not None:
        report.write(out, list(photos.values()), result, crops)
    return result


def _check_wishes(backend: Sequence[str], fiftyone: str | None, field: str | None) -> None:
    if not backend or set(backend) - set(backends.BACKENDS):
        raise ValueError(f"backend {list(backend)}: expected some of {', '.join(backends.BACKENDS)}")
    if (fiftyone is None) != (field is None):
        raise ValueError("--fiftyone and --field go together: the dataset, and its field that gets the figures")


def _pairs(rendered: Path | None, data: Path | None, split: str) -> list[Pair]:
    if (rendered is None) == (data is None):
        raise ValueError("expected one folder: rendered (--rendered) or prepared (--data)")
    if rendered is not None:
        return prepared.of_rendered(rendered)
    pairs = [pair for pair in prepared.pairs(Path(str(data)), split) if pair.strings]
    if not pairs:
        raise ValueError(f"{data} has no photo with strings in split {split!r}: choose another --split, or --rendered")
    return pairs


def _evenly(pairs: list[Pair], count: int) -> list[Pair]:
    places = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)
    return [pairs[place] for place in places]


def _meter(removers: dict[str, Any], points: Path | None, layout: str | Path, device: str, *, paint: bool) -> Meter:
    names = template.BUILTIN if str(layout) == model.AUTO else (layout,)
    found = wanted.from_points(points) if points is not None else None
    measure = lpips.load(device) if paint else None
    return Meter(removers, found, measure, [template.load(name) for name in names], paint)


def _measure(
    meter: Meter, pairs: Sequence[Pair], crops: report.Crops, segmentation: str | None, level: str
) -> tuple[dict[Path, Photo], dict[str, str], dict[str, Any] | None]:
    """Measure all photos, and segment them if asked to: figures by photo, what was skipped, and the comparison."""
    photos, skipped = dict[Path, Photo](), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="segmentation-") as name:
        comparison = Comparison(Path(name), segmentation, level) if segmentation is not None else None
        for pair in tqdm(pairs, desc="evaluate", unit="photo"):
            path = pair.photo or pair.clean
            try:
                photos[path], pictures = meter.measure(pair)
            except (ValueError, OSError) as error:
                skipped[str(path)] = f"{type(error).__name__}: {error}"
                continue
            crops.add(photos[path], pictures)
            if comparison is not None:
                comparison.add(pair, pictures.painted, pictures.known)
        if not photos:
            raise ValueError(f"no photo could be measured: {dict(list(skipped.items())[:3])}")
        return photos, skipped, comparison.figures() if comparison is not None else None


def _into_fiftyone(name: str, field: str, rows: dict[Path, dict[str, Any]], method: str) -> None:
    from data_engineering import dataset

    columns = {"recall": "recall_true", "precision": "precision_true", "painted_share": "painted_share_true"}
    columns |= {"psnr_db": f"psnr_db_band_{method}", "ssim": f"ssim_band_{method}"}
    facts = {
        path.resolve(): {fact: row[column] for fact, column in columns.items() if row[column] != ""}
        for path, row in rows.items()
    }
    dataset.set_facts(name, field, facts)


# ------------------------------------------------------------------------------------------------ printed


def table(result: dict[str, Any]) -> str:
    """The figures for a terminal."""
    lines = [result["note"]] if result["note"] else []
    lines.append(f"{result['photos']} photos, skipped {len(result['skipped'])}")
    for source, one in result["strings"].items():
        shares = ", ".join(
            f"{words} {_percent(one[key]['mean'])} (worst 5 %: {_percent(one[key][worst])})"
            for key, words, worst in (("recall", "recall", "p05"), ("precision", "precision", "p05"))
        )
        painted, true = (_percent(one[key]["mean"]) for key in ("painted_share", "true_share"))
        lines.append(f"strings from {source} points: {shares}, painted {painted} of the quadrat, strings cover {true}")
        if one["not_found"]:
            lines.append(f"  not found in {one['not_found']} photos (recall of all {_percent(one['recall_of_all'])}):")
            lines += [f"  {count:5d} x {reason}" for reason, count in one["reasons"].items()]
    if not result["painting"]:
        return "\n".join(lines)
    heads = ("PSNR dB", "pooled", "SSIM", "PSNR dB", "pooled", "SSIM", "LPIPS", "s/photo")
    lines += [f"{'':24}{'in the hole':>27}{'near strings':>27}", f"{'':24}" + "".join(f"{head:>9}" for head in heads)]
    for method, one in result["painting"].items():
        values = [one[region][key] for region in ("hole", "band") for key in ("psnr_db", "psnr_db_pooled", "ssim")]
        digits = (2, 2, 4, 2, 2, 4, 4, 2)
        cells = zip([*values, one["lpips"], one["seconds"]], digits, strict=True)
        lines.append(f"{method:24}" + "".join(f"{_number(value, places):>9}" for value, places in cells))
    return "\n".join([*lines, *_compared(result["segmentation"])])


def _compared(figures: dict[str, Any] | None) -> list[str]:
    if figures is None:
        return []
    lines = [f"{figures['command']}, {figures['photos']} photos", f"{'':24}    mAP50  any class   recall      IoU"]
    for variant, words in (("strings", "with strings"), ("removed", "strings removed"), ("clean", "never any strings")):
        one = figures[variant]
        cells = (_number(one[key], 4) for key in ("map50", "map50_any", "recall", "mask_iou"))
        lines.append(f"{words:24}" + "{:>9}{:>11}{:>9}{:>9}".format(*cells))
    return lines


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _width(text: str) -> float | None:
    return None if text == "auto" else float(text)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m grid_inpainting.evaluate", description=(__doc__ or "").split("\n")[0]
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--rendered", type=Path, metavar="DIR", help="folder of data_engineering.render")
    source.add_argument("--data", type=Path, metavar="DIR", help="folder of grid_inpainting.prepare")
    parser.add_argument("--split", default="test", choices=prepared.SPLITS, help="of --data (default test)")
    parser.add_argument("--points", type=Path, help="points found in these photos: predictions folder, COCO, CVAT XML")
    parser.add_argument("--weights", help="weights file, export, run folder or run name (default: what ships)")
    parser.add_argument(
        "--backend", nargs="+", choices=backends.BACKENDS, default=[backends.LAMA], help="what paints (default: lama)"
    )
    parser.add_argument("--line-width", type=_width, metavar="PX|auto", help="of the strings (default: auto)")
    parser.add_argument("--layout", default=model.AUTO, help="built-in name or file (default: auto, the best fit)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="measure N photos only, evenly taken")
    parser.add_argument("--strings-only", action="store_true", help="how well strings are found; paint nothing")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for JSON, CSV and pictures")
    parser.add_argument("--segmentation", metavar="COMMAND", help="predict command, run before and after")
    parser.add_argument("--level", default="genus", help="taxonomy level of what that finds (default: genus)")
    parser.add_argument("--fiftyone", metavar="NAME", help="FiftyOne dataset of these photos; with --field")
    parser.add_argument("--field", help="field of that dataset that gets the figures of each photo")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = vars(_parse(None))
    as_json = arguments.pop("json")
    try:
        evaluated = main(**arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
    print(table(evaluated))
    for bad, reason in evaluated["skipped"].items():
        print(f"skipped {bad}: {reason}", file=sys.stderr)
    if arguments["out"]:
        print(f"figures, tables and pictures in {arguments['out']}")
    if as_json:
        print(json.dumps(evaluated))
