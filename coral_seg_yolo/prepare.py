"""FiftyOne dataset or rendered folder -> YOLO segmentation folder (see `coral_seg_yolo.folder`).

A colony with holes or several parts becomes one ring: its outlines, simplified to IoU >= 0.99, joined by bridges of no
width (`quadrat.masks.join_parts`), because a YOLO label has one ring an object. Photos are linked, not copied.

    python -m coral_seg_yolo.prepare --rendered renders --out data/rendered --level genus
    python -m coral_seg_yolo.prepare --fiftyone reef_2024 --out data/reef --level family
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from coral_seg_yolo import folder as prepared
from quadrat import masks
from quadrat.predictor import UNTRUSTED_NOTE
from quadrat.shapes import Annotations, Instance

MIN_IOU = 0.99
MOST_POINTS = 900  # ultralytics resamples a ring to 1000 points and keeps those given only if they are fewer


def main(
    out: Path,
    *,
    rendered: Path | Sequence[Path] | None = None,
    fiftyone: str | None = None,
    level: str = "genus",
    rectified: bool = False,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    only: str | None = None,
    field: str = "ground_truth",
    view: str | None = None,
    overwrite: bool = False,
) -> prepared.Manifest:
    """Prepare a YOLO folder. It appears under its name only when it is whole.

    Args:
        out: the folder to make.
        rendered: a folder of `data_engineering.render`, or several; or
        fiftyone: the name of a FiftyOne dataset.
        level: taxonomy level of the labels.
        rectified: take the rectified photos of a rendered folder.
        val: share of photos for validation, 0..1.
        test: share of photos that training never sees, 0..1.
        seed: of the split.
        only: put every photo into this split, for evaluation; what is tagged ``test`` goes nowhere else.
        field: of the dataset's labels.
        view: only what this saved view of the dataset shows.
        overwrite: replace `out` if it is there.

    Raises:
        ValueError: not exactly one source, unfit shares, no photo for training or for validation.
        FileExistsError: `out` is there and `overwrite` is not set.
    """
    from data_engineering import taxonomy, training_folder

    source = training_folder.Source(rendered, fiftyone, rectified, field=field, view=view)
    split = training_folder.Split(val, test, seed, only)
    labels = tuple(taxonomy.labels(level))

    def encode(annotations: Annotations) -> tuple[bytes, Counter[str]]:
        kinds = [taxonomy.to_level(instance.label, level) for instance in annotations.instances]
        lines = [
            f"{labels.index(kind)} {_ring_text(instance, annotations.size_wh)}\n"
            for kind, instance in zip(kinds, annotations.instances, strict=True)
        ]
        return "".join(lines).encode(), Counter(kinds)

    def finish(draft: Path, tally: training_folder.Tally) -> None:
        manifest = prepared.Manifest(
            level=level,
            labels=labels,
            trained_on=source.words,
            note=UNTRUSTED_NOTE if rendered else "",
            seed=seed,
            photos=tally.by_split,
            colonies={label: tally.objects[label] for label in labels},
            skipped=tally.skipped,
        )
        prepared.write(draft, manifest)

    training_folder.make(out, source, split, encode, finish, overwrite=overwrite)
    return prepared.read(out)


def _ring_text(instance: Instance, size_wh: tuple[int, int]) -> str:
    ring = yolo_ring(instance) / size_wh
    return " ".join(f"{value:.6g}" for value in ring.clip(0, 1).ravel())


def yolo_ring(instance: Instance) -> masks.Ring:
    """One ring of all parts and holes: float64 ``[N, 2]`` in px, N at most `MOST_POINTS` where that can be."""
    exact = masks.instance_to_parts(instance)
    for min_iou in (MIN_IOU, 0.98, 0.95):
        ring = masks.join_parts([[masks.simplify(outline, min_iou) for outline in part] for part in exact])
        if len(ring) <= MOST_POINTS:
            break
    return ring


def _parse(argv: list[str] | None) -> argparse.Namespace:
    from data_engineering import training_folder

    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.prepare", description=__doc__.splitlines()[0])
    training_folder.add_arguments(parser)
    parser.add_argument("--level", default="genus", help="taxonomy level: genus, extended, family or coral")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        made = main(**vars(arguments := _parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"prepare: {error}")
    for bad, reason in made.skipped.items():
        print(f"skipped {bad}: {reason}")
    print(f"{arguments.out}: photos {made.photos}, {sum(made.colonies.values())} colonies, skipped {len(made.skipped)}")
