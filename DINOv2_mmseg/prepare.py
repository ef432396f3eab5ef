"""FiftyOne dataset, rendered folder or CoralNet points -> a folder of class maps (see `DINOv2_mmseg.folder`).

    python -m DINOv2_mmseg.prepare --rendered renders --out data/rendered --level genus
    python -m DINOv2_mmseg.prepare --fiftyone reef_2024 --out data/reef --level family --unknown other
    python -m DINOv2_mmseg.prepare --coralnet annotations.csv --photos reef/ --out data/points --not-colony Sand Turf
    python -m DINOv2_mmseg.prepare --fiftyone reef_2024 --points human_points --out data/points --fold 1/5

From masks and polygons every pixel gets its class; how overlaps are resolved says `DINOv2_mmseg.class_maps`. Of points
only their pixels get one, or the superpixels round them (`DINOv2_mmseg.point_maps`). Photos are linked, not copied.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DINOv2_mmseg import class_maps, point_maps
from DINOv2_mmseg import folder as prepared
from DINOv2_mmseg.class_maps import Classes, LabelMap, UnknownLabels
from quadrat import files, images
from quadrat.predictor import UNTRUSTED_NOTE
from quadrat.shapes import Annotations

LAYOUT = "{split}/{kind}"


def main(
    out: Path,
    *,
    rendered: Path | Sequence[Path] | None = None,
    fiftyone: str | None = None,
    points: str | None = None,
    coralnet: Path | None = None,
    photos: Path | Sequence[Path] | None = None,
    level: str = "genus",
    classes: Path | None = None,
    labelset: Path | None = None,
    unknown: str = "refuse",
    ignore: Sequence[str] = (),
    ignore_border: int = 0,
    min_points: int = 1,
    not_colony: Sequence[str] = (),
    superpixels: int = 0,
    rectified: bool = False,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    only: str | None = None,
    fold: str | None = None,
    field: str = "ground_truth",
    view: str | None = None,
    overwrite: bool = False,
) -> prepared.Manifest:
    """Prepare a folder of class maps. It appears under its name only when it is whole.

    Args:
        out: the folder to make.
        rendered: a folder of `data_engineering.render`, or several; or
        fiftyone: the name of a FiftyOne dataset; or
        coralnet: a table of points as CoralNet exports it.
        points: field of keypoints of the FiftyOne dataset to learn from, instead of its masks and polygons.
        photos: folder or folders of the photos that `coralnet` names.
        level: taxonomy level of the labels of masks and polygons.
        classes: a file with a class name a line: the classes in this order, instead of all that the level has or that
            occur among the points.
        labelset: a table of CoralNet's short codes: classes get their full names.
        unknown: what becomes of labels that are no class: ``refuse``; ``ignore``: not known; ``other``: class Other.
        ignore: labels whose pixels are not known.
        ignore_border: pixels of masks and polygons this near to another class (px) are not known.
        min_points: classes with fewer points in all photos together are not known.
        not_colony: labels of points, or groups of the labelset, that are no colonies, such as sand.
        superpixels: number of superpixels of a photo to which points are grown; 0: only the points' own pixels count.
        rectified: take the rectified photos of a rendered folder.
        val: share of photos for validation, 0..1.
        test: share of photos that training never sees, 0..1.
        seed: of the split.
        only: put every photo into this split, for evaluation; what is tagged ``test`` goes nowhere else.
        fold: ``K/N``: fold K of N is for validation, the rest for training; of the tags only ``test`` counts.
        field: of the dataset's masks and polygons.
        view: only what this saved view of the dataset shows.
        overwrite: replace `out` if it is there.

    Raises:
        ValueError: not exactly one source, options that do not fit it, unknown labels, no photo for training or for
            validation.
        FileExistsError: `out` is there and `overwrite` is not set.
    """
    from data_engineering import folds, training_folder

    if ignore_border < 0 or superpixels < 0:
        raise ValueError(f"ignore_border {ignore_border} and superpixels {superpixels}: expected 0 or more")
    if fold and only:
        raise ValueError(f"fold {fold} and only {only}: expected one of them")
    split = training_folder.Split(val, test, seed, only)
    rule = class_maps.Rule(classes, unknown, tuple(ignore))
    if coralnet or points:
        _refuse({"--rendered": rendered, "--rectified": rectified, "--ignore-border": ignore_border}, "colonies")
        _refuse({"--field": field != "ground_truth", "--view": view}, "colonies")
        source = _point_source(coralnet, photos, fiftyone, points)
        task = _points_task(source, rule, labelset, min_points, not_colony, superpixels)
    else:
        _refuse({"--photos": photos, "--labelset": labelset, "--min-points": min_points > 1}, "points")
        _refuse({"--not-colony": not_colony, "--superpixels": superpixels}, "points")
        source = training_folder.Source(rendered, fiftyone, rectified, field=field, view=view)
        task = _dense_task(source, rule, level, ignore_border)
    return _make(out, task, folds.deal(fold, source.names(), seed) if fold else split, seed, overwrite)


def _refuse(given: dict[str, object], meant_for: str) -> None:
    if wrong := [name for name, value in given.items() if value]:
        raise ValueError(f"{', '.join(wrong)}: only for {meant_for}; leave it out, or name another source")


@dataclass(frozen=True)
class _Task:
    """What a folder is made of: a source of photos, what labels mean, and what draws a photo's classes."""

    source: Any
    classes: Classes
    background: tuple[str, ...]
    kind: str
    level: str
    note: str
    draw: Callable[[Annotations, images.Rgb], LabelMap]


def _dense_task(source: Any, rule: class_maps.Rule, level: str, ignore_border: int) -> _Task:
    from data_engineering import taxonomy

    known = taxonomy.labels(level)

    def to_class(label: str) -> str:
        return label if label in known else taxonomy.to_level(label, level)

    chosen = [name for name in rule.listed() or known if name != prepared.BACKGROUND]
    if strange := [name for name in chosen if name not in known]:
        raise ValueError(f"{rule.classes}: {', '.join(strange)}: expected names of the level, {', '.join(known)}")
    names = (prepared.BACKGROUND, *chosen)
    classes = Classes(names, to_class, frozenset(rule.ignore), rule.unknown, to_class(class_maps.OTHER))

    def draw(annotations: Annotations, _: images.Rgb) -> LabelMap:
        return class_maps.draw(annotations, classes, ignore_border)

    note = UNTRUSTED_NOTE if source.rendered else ""
    return _Task(source, classes, (prepared.BACKGROUND,), "dense", level, note, draw)


def _point_source(
    coralnet: Path | None, photos: Path | Sequence[Path] | None, fiftyone: str | None, field: str | None
) -> Any:
    from data_engineering import point_labels

    folders = (photos,) if isinstance(photos, Path) else tuple(photos or ())
    return point_labels.PointSource(coralnet, folders, fiftyone, field)


def _points_task(
    source: Any,
    rule: class_maps.Rule,
    labelset: Path | None,
    min_points: int,
    not_colony: Sequence[str],
    superpixels: int,
) -> _Task:
    from data_engineering import coralnet

    entries = coralnet.read_labelset(labelset) if labelset else {}
    legend = point_maps.Legend(
        {code: entry.name for code, entry in entries.items()}, {entry.name: entry.group for entry in entries.values()}
    )
    classes = point_maps.classes_of(source.counts(), rule, legend, min_points)
    background = point_maps.background_of(classes, legend, not_colony)

    def draw(annotations: Annotations, image_rgb: images.Rgb) -> LabelMap:
        return point_maps.draw(annotations, image_rgb, classes, superpixels)

    return _Task(source, classes, background, "points", "", "", draw)


def _make(out: Path, task: _Task, split: Any, seed: int, overwrite: bool) -> prepared.Manifest:
    from data_engineering import training_folder

    kinds = ("data", "labels", "points") if task.kind == "points" else ("data", "labels")
    with training_folder.drafted(out, kinds, overwrite=overwrite, layout=LAYOUT) as draft:
        tally, ignored = _fill(draft, task, split)
        training_folder.check_can_train(tally, split)
        manifest = prepared.Manifest(
            labels=task.classes.labels,
            background=task.background,
            kind=task.kind,
            level=task.level,
            trained_on=task.source.words,
            note=task.note,
            seed=seed,
            photos=tally.by_split,
            pixels={label: tally.objects[label] for label in task.classes.labels},
            skipped=tally.skipped,
            ignored=dict(sorted(ignored.items())),
        )
        prepared.write(draft, manifest)
    return prepared.read(out)


def _fill(draft: Path, task: _Task, split: Any) -> tuple[Any, Counter[str]]:
    """Write every photo's files; once a label is unknown only look for more such, to name all of them at once."""
    from data_engineering import training_folder

    tally, ignored, taken = training_folder.Tally(), Counter[str](), set[str]()
    unknown: Counter[str] = Counter()
    for photo, load in task.source.samples():
        try:
            annotations = load()
            task.classes.check(instance.label for instance in annotations.instances)
            if unknown:
                continue
            image_rgb = training_folder.read_checked(photo, annotations)
            place = split.of(photo, annotations)
            drawn = task.draw(annotations, image_rgb)
        except UnknownLabels as error:
            unknown.update(error.labels)
            continue
        except (ValueError, KeyError, OSError) as error:
            tally.skipped[str(photo)] = f"{type(error).__name__}: {error}"
            continue
        stem = training_folder.distinct_stem(photo, taken)
        training_folder.link(photo.resolve(), draft / place / "data" / f"{stem}{photo.suffix.lower()}")
        _write_labels(draft / place, stem, drawn, task)
        tally.photos[place] += 1
        ignored.update(drawn.ignored)
        if place == (split.only or "train"):
            tally.objects.update(drawn.counts)
    if unknown:
        raise UnknownLabels(unknown, task.classes.labels)
    return tally, ignored


def _write_labels(place: Path, stem: str, drawn: LabelMap, task: _Task) -> None:
    picture = prepared.encode_label(drawn.index, task.classes.labels)
    files.write_bytes(place / "labels" / f"{stem}.png", picture)
    if task.kind == "points":
        prepared.write_points(place / "points" / f"{stem}.csv", drawn.points)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    from data_engineering import training_folder

    parser = argparse.ArgumentParser(prog="python -m DINOv2_mmseg.prepare", description=__doc__.splitlines()[0])
    source = training_folder.add_arguments(parser)
    source.add_argument("--coralnet", type=Path, metavar="CSV", help="points as CoralNet exports them; needs --photos")
    add = parser.add_argument
    add("--photos", type=Path, nargs="+", metavar="DIR", help="folders of the photos that --coralnet names")
    add("--points", metavar="FIELD", help="learn from this field of keypoints of the FiftyOne dataset")
    add("--level", default="genus", help="taxonomy level: genus, extended, family or coral (not for points)")
    add("--classes", type=Path, metavar="FILE", help="a class name a line: take these, in this order")
    add("--labelset", type=Path, metavar="CSV", help="CoralNet's short codes and full names, for points")
    add("--unknown", choices=class_maps.UNKNOWN, default="refuse", help="labels that are no class (default: refuse)")
    add("--ignore", nargs="+", default=(), metavar="LABEL", help="labels whose pixels are not known")
    add("--ignore-border", type=int, default=0, metavar="PX", help="not known this near to another class (default 0)")
    add("--min-points", type=int, default=1, metavar="N", help="a class with fewer points is not known (default 1)")
    add("--not-colony", nargs="+", default=(), metavar="LABEL", help="point labels, or groups, that are no colonies")
    add("--superpixels", type=int, default=0, metavar="N", help="grow points to N superpixels a photo (default: no)")
    add("--fold", metavar="K/N", help="k-fold by photo: fold K of N is val, the rest train")
    return parser.parse_args(argv)


def _report(out: Path, made: prepared.Manifest) -> None:
    unit = "points" if made.kind == "points" else "pixels"
    for bad, reason in made.skipped.items():
        print(f"skipped {bad}: {reason}")
    for label, count in made.ignored.items():
        print(f"not known {label}: {count} {'points' if made.kind == 'points' else 'colonies'}")
    whole = sum(made.pixels.values()) or 1
    for label, count in made.pixels.items():
        mark = " (no colony)" if label in made.background else ""
        print(f"{label}{mark}: {count} {unit}, {count / whole:.1%}")
    print(f"{out}: photos {made.photos}, {len(made.labels)} classes, skipped {len(made.skipped)}")


if __name__ == "__main__":
    try:
        _report((arguments := _parse(None)).out, main(**vars(arguments)))
    except (ValueError, OSError) as error:
        sys.exit(f"prepare: {error}")
