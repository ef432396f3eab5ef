"""Weights + photos whose classes are known -> figures, tables, pictures, and a review in FiftyOne's app.

    python -m DINOv2_mmseg.evaluate --weights first --data data/rendered --split test --out runs/evaluation --json
    python -m DINOv2_mmseg.evaluate --rendered renders --compare-refiners
    python -m DINOv2_mmseg.evaluate --weights first --fiftyone reef_2024 --field first --eval-key first_eval
    python -m DINOv2_mmseg.evaluate --weights points --data data/points --split val --scales 0.75 1 1.5 --flip

What is measured is what is served: the same scale, windows, blending and colonies. How each figure counts say
`DINOv2_mmseg.metrics`, `DINOv2_mmseg.point_metrics` (folders made of points) and `data_engineering.panoptic`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from DINOv2_mmseg import class_maps, model, report, truth
from DINOv2_mmseg import folder as prepared
from DINOv2_mmseg.measuring import Measured, Meter
from DINOv2_mmseg.truth import Samples
from quadrat.shapes import SemanticMap


def main(
    weights: str | None = None,
    *,
    data: Path | None = None,
    rendered: Path | None = None,
    fiftyone: str | None = None,
    split: str = "test",
    level: str | None = None,
    unknown: str = "refuse",
    ignore: Sequence[str] = (),
    field: str | None = None,
    eval_key: str | None = None,
    overwrite: bool = False,
    out: Path | None = None,
    limit: int = 0,
    refiner: str | None = None,
    compare_refiners: bool = False,
    device: str = "cpu",
    config: str | None = None,
    sam: str | None = None,
    work_px: int | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    tidy: int | None = None,
) -> dict[str, Any]:
    """Measure weights.

    Args:
        weights: as `model.load` takes them.
        data: a folder of `DINOv2_mmseg.prepare`: the photos of its `split`; one made of points is evaluated at them; or
        rendered: a folder of `data_engineering.render`, or its ``rectified``; or
        fiftyone: the name of a FiftyOne dataset.
        split: of `data`: ``train``, ``val`` or ``test``.
        level: taxonomy level of the weights; `None`: the one that their classes are of.
        unknown: what becomes of labels in `rendered` or `fiftyone` that are no class: `class_maps.UNKNOWN`.
        ignore: labels there whose pixels are not known.
        field: field of the FiftyOne dataset that gets the maps (``<field>_colonies``: the colonies).
        eval_key: FiftyOne's own evaluation of `field`.
        overwrite: replace `field` and `eval_key` where they are there.
        out: folder for ``figures.json``, tables (CSV) and pictures.
        limit: measure so many photos only, evenly taken; 0: all.
        refiner: what cuts colonies; `None`: ``sam`` where `sam` is given, else ``watershed``.
        compare_refiners: measure the colonies of watershed and of connected components too.
        device: as `model.load` takes it, and so config, sam, work_px, scales, flip and tidy.
        config: mmengine config, for weights that do not say what network they are of.
        sam: weights of a SAM network.
        work_px: long side that the network sees of a photo.
        scales: of further looks at the photo, which are averaged.
        flip: look at the mirrored photo too.
        tidy: patches smaller than this squared, in px, go to what surrounds them; 0: none; `None`: 4 cells.

    Returns:
        The figures of `measuring.Meter.to_dict`; ``weights``, ``note``, ``source``, ``settings``; ``skipped``: photos
        that could not be measured, with the reason; with `eval_key` ``fiftyone``: its figures.

    Raises:
        ValueError: not one source, classes that are not those of the weights, or no photo that can be measured.
    """
    _check_wishes(data, rendered, fiftyone, field, eval_key, compare_refiners)
    refiner = refiner or ("sam" if sam else "watershed")
    settings: dict[str, Any] = {
        "refiner": refiner,
        "work_px": work_px,
        "scales": tuple(scales),
        "flip": flip,
        "tidy_px": tidy,
    }
    predictor = model.load(weights, device, config=config, sam=sam, **settings)
    labels = predictor.semantic_card.labels
    samples = _samples(data, split, rendered, fiftyone, labels, (level, unknown, ignore)).evenly(limit)
    methods = dict.fromkeys([refiner, *(("watershed", "components") if compare_refiners else ())])
    meter, skipped = Meter(predictor, tuple(methods), samples, colonies=bool(field)), dict[str, str]()
    bar = tqdm(samples.each(), desc="evaluate", unit="photo", total=samples.total)
    measured = meter.each(bar, skipped)
    extra = _into_fiftyone(str(fiftyone), field, eval_key, overwrite, measured) if field else None
    for _ in measured:  # what FiftyOne has not drawn already
        pass
    if not meter.photos:
        raise ValueError(f"no photo could be measured: {dict(list(skipped.items())[:3])}")
    result = {
        "weights": str(model.find_weights(weights)),
        "note": predictor.semantic_card.note,
        "source": str(data or rendered or fiftyone),
        "settings": {**settings, "scales": list(scales), "split": split if data else None, "limit": limit},
        **meter.to_dict(),
        "skipped": skipped,
    }
    if extra is not None:
        result["fiftyone"] = extra
    if out is not None:
        report.write(out, meter, result)
    return result


def _check_wishes(
    data: Path | None,
    rendered: Path | None,
    fiftyone: str | None,
    field: str | None,
    eval_key: str | None,
    compare_refiners: bool,
) -> None:
    if sum(source is not None for source in (data, rendered, fiftyone)) != 1:
        raise ValueError("expected one source of photos: --data, --rendered or --fiftyone")
    if field is not None and fiftyone is None:
        raise ValueError(f"field {field!r} is one of a FiftyOne dataset: name it (--fiftyone)")
    if eval_key is not None and field is None:
        raise ValueError(f"eval_key {eval_key!r} evaluates a field of predictions: name it (--field)")
    if compare_refiners and data is not None:
        raise ValueError("--compare-refiners needs true colonies, and a prepared folder has none: give --rendered")


def _samples(
    data: Path | None,
    split: str,
    rendered: Path | None,
    fiftyone: str | None,
    labels: tuple[str, ...],
    wanted: tuple[str | None, str, Sequence[str]],
) -> Samples:
    if data is not None:
        return truth.of_prepared(data, split, labels)
    level, unknown, ignore = wanted
    classes = truth.classes_at_level(labels, level, unknown, ignore)
    return truth.of_rendered(rendered, classes) if rendered is not None else truth.of_fiftyone(str(fiftyone), classes)


def _into_fiftyone(
    name: str, field: str, eval_key: str | None, overwrite: bool, measured: Iterator[Measured]
) -> dict[str, float] | None:
    from data_engineering import evaluation, segmentations

    if eval_key:
        evaluation.check_key(name, eval_key, overwrite)
    samples = segmentations.attach(name, field, (_seen(one) for one in measured), overwrite=overwrite)
    return segmentations.evaluate(name, field, eval_key, samples) if eval_key and samples else None


def _seen(one: Measured) -> Any:
    from data_engineering import segmentations

    known = one.known.index
    there = None if known is None else SemanticMap(one.dense.map.labels, known)
    return segmentations.Seen(one.photo.resolve(), one.dense.map, one.colonies, there)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m DINOv2_mmseg.evaluate", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--weights", help="weights file, export, run folder or run name (default: what ships)")
    add("--data", type=Path, metavar="DIR", help="folder of DINOv2_mmseg.prepare")
    add("--split", default="test", choices=prepared.SPLITS, help="of --data (default test)")
    add("--rendered", type=Path, metavar="DIR", help="folder of data_engineering.render; measures colonies too")
    add("--fiftyone", metavar="NAME", help="FiftyOne dataset; measures colonies too")
    add("--level", help="taxonomy level of the weights (default: the one that their classes are of)")
    add("--unknown", choices=class_maps.UNKNOWN, default="refuse", help="labels that are no class (default: refuse)")
    add("--ignore", nargs="+", default=(), metavar="LABEL", help="labels whose pixels are not known")
    add("--field", help="field of the FiftyOne dataset that gets the maps")
    add("--eval-key", help="FiftyOne's own evaluation of --field")
    add("--overwrite", action="store_true", help="replace --field and --eval-key if they are there")
    add("--out", type=Path, metavar="DIR", help="folder for JSON, CSV and pictures")
    add("--limit", type=int, default=0, metavar="N", help="measure N photos only, evenly taken")
    add("--refiner", choices=model.REFINERS, help="what cuts colonies (default: sam with --sam, else watershed)")
    add("--compare-refiners", action="store_true", help="measure watershed and connected components side by side")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    add("--config", help="mmengine config, for weights that do not say their network (.pth)")
    add("--sam", metavar="PATH", help="weights of a SAM network (default: SAM_WEIGHTS)")
    add("--work-px", type=int, help="long side that the network sees (default: the weights' own)")
    add("--scales", type=float, nargs="+", default=(1.0,), help="looks at these sizes are averaged")
    add("--flip", action="store_true", help="look at the mirrored photo too; twice as slow")
    add("--tidy", type=int, metavar="PX", help="drop patches below PX squared (default: 4 cells; 0: none)")
    add("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = vars(_parse(None))
    as_json = arguments.pop("json")
    try:
        evaluated = main(**arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
    print(report.table(evaluated))
    for bad, reason in evaluated["skipped"].items():
        print(f"skipped {bad}: {reason}", file=sys.stderr)
    if arguments["out"]:
        print(f"figures, tables and pictures in {arguments['out']}")
    if as_json:
        print(json.dumps(evaluated))
