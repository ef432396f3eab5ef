"""FiftyOne dataset or rendered folder -> YOLO segmentation folder (see `coral_seg_yolo.folder`).

A colony with holes or several parts becomes one ring: its outlines, simplified to IoU >= 0.99, joined by bridges of no
width (`quadrat.masks.join_parts`), because a YOLO label has one ring an object. Photos are linked, not copied.

    python -m coral_seg_yolo.prepare --rendered renders --out data/rendered --level genus
    python -m coral_seg_yolo.prepare --fiftyone reef_2024 --out data/reef --level family
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from coral_seg_yolo import folder as prepared
from quadrat import files, images, masks
from quadrat.formats import shapes_json
from quadrat.predictor import UNTRUSTED_NOTE
from quadrat.shapes import Annotations, Instance

Sample = tuple[Path, Callable[[], Annotations]]
MIN_IOU = 0.99
MOST_POINTS = 900  # ultralytics resamples a ring to 1000 points and keeps those given only if they are fewer


def main(
    out: Path,
    *,
    rendered: Path | None = None,
    fiftyone: str | None = None,
    level: str = "genus",
    rectified: bool = False,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    only: str | None = None,
    overwrite: bool = False,
) -> prepared.Manifest:
    """Prepare a YOLO folder. It appears under its name only when it is whole.

    Args:
        out: the folder to make.
        rendered: a folder of `data_engineering.render`; or
        fiftyone: the name of a FiftyOne dataset.
        level: taxonomy level of the labels.
        rectified: take the rectified photos of a rendered folder.
        val: share of photos for validation, 0..1.
        test: share of photos that training never sees, 0..1.
        seed: of the split.
        only: put every photo into this split, for evaluation; tags and shares count no more.
        overwrite: replace `out` if it is there.

    Raises:
        ValueError: not exactly one source, unfit shares, no photo for training or for validation.
        FileExistsError: `out` is there and `overwrite` is not set.
    """
    from data_engineering import taxonomy

    if (rendered is None) == (fiftyone is None):
        raise ValueError("expected one source: a rendered folder (--rendered) or a FiftyOne dataset (--fiftyone)")
    if val <= 0 or test < 0 or val + test >= 1:
        raise ValueError(f"val {val} and test {test}: expected val > 0, test >= 0 and room for training")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists: choose another --out, or give --overwrite to replace it")
    samples = _rendered_samples(rendered, rectified) if rendered else _fiftyone_samples(str(fiftyone))
    labels = tuple(taxonomy.labels(level))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as name:
        draft = Path(name) / out.name
        writer = _Writer(draft, labels, lambda genus: taxonomy.to_level(genus, level))

        def split_for(photo: Path, known: Annotations) -> str:
            return only or _tagged(known) or split_of(photo.name, seed, val, test)

        for photo, load in samples:
            writer.add(photo, load, split_for)
        if not only:
            writer.check_can_train()
        manifest = prepared.Manifest(
            level=level,
            labels=labels,
            trained_on="rendered quadrats" if rendered else f"FiftyOne dataset {fiftyone}",
            note=UNTRUSTED_NOTE if rendered else "",
            seed=seed,
            photos={name: writer.counts[name] for name in prepared.SPLITS},
            colonies={label: writer.colonies[label] for label in labels},
            skipped=writer.skipped,
        )
        prepared.write(draft, manifest)
        if out.exists():
            out.rename(Path(name) / "replaced")
        draft.rename(out)
    return prepared.read(out)


class _Writer:
    """Adds photos to a YOLO folder and counts what it has."""

    def __init__(self, out: Path, labels: tuple[str, ...], to_level: Callable[[str], str]):
        self.out, self.labels, self.to_level = out, labels, to_level
        self.names: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.colonies: Counter[str] = Counter()
        self.skipped: dict[str, str] = {}
        for kind in ("images", "labels"):
            for name in prepared.SPLITS:
                (out / kind / name).mkdir(parents=True)

    def add(self, photo: Path, load: Callable[[], Annotations], split_for: Callable[[Path, Annotations], str]) -> None:
        """Link one photo and write its labels; a photo that cannot be used is noted in `skipped`."""
        try:
            annotations = load()
            _check_photo(photo, annotations)
            split = split_for(photo, annotations)
            labels = [self.to_level(instance.label) for instance in annotations.instances]
            lines = [
                f"{self.labels.index(label)} {_ring_text(instance, annotations.size_wh)}\n"
                for label, instance in zip(labels, annotations.instances, strict=True)
            ]
        except (ValueError, KeyError, OSError) as error:
            self.skipped[str(photo)] = f"{type(error).__name__}: {error}"
            return
        stem = self._free_stem(photo)
        _link(photo.resolve(), self.out / "images" / split / f"{stem}{photo.suffix.lower()}")
        files.write_text(self.out / "labels" / split / f"{stem}.txt", "".join(lines))
        self.counts[split] += 1
        self.colonies.update(labels)

    def check_can_train(self) -> None:
        if not self.counts["train"] or not self.counts["val"]:
            reasons = "; ".join(list(self.skipped.values())[:3])
            raise ValueError(
                f"{dict(self.counts)} photos usable, {len(self.skipped)} skipped ({reasons}): training needs at "
                "least one in train and one in val; give more photos, a larger --val, or tags train and val"
            )

    def _free_stem(self, photo: Path) -> str:
        stem = photo.stem
        if stem in self.names:  # the same name in two folders
            stem = f"{stem}-{hashlib.sha256(str(photo).encode()).hexdigest()[:8]}"
        self.names.add(stem)
        return stem


def split_of(name: str, seed: int, val: float, test: float) -> str:
    """The split of a photo: by the hash of its name, so that it stays where it is when other photos come or go.

    Photos named ``{site}_{year}_{quadrat}`` are hashed without the year: a quadrat that was photographed in several
    years lies in one split, and the test split holds quadrats that training never saw.

    Returns:
        ``train``, ``val`` or ``test``.
    """
    place = re.sub(r"_(19|20)\d\d_", "_", Path(name).stem, count=1)
    digest = hashlib.sha256(f"{seed}:{place}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if share < test else "val" if share < test + val else "train"


def _tagged(annotations: Annotations) -> str | None:
    tags = annotations.meta.get("tags", ())
    found = [split for split in prepared.SPLITS if isinstance(tags, Iterable) and split in tags]
    if len(found) > 1:
        raise ValueError(f"{annotations.image} has the tags {found}: expected one of them")
    return found[0] if found else None


def _check_photo(photo: Path, annotations: Annotations) -> None:
    height, width = images.read(photo).shape[:2]
    if (width, height) != annotations.size_wh:
        raise ValueError(f"the photo is {width} x {height} px, its annotations are for {annotations.size_wh}")


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


def _link(photo: Path, link: Path) -> None:
    """Link `photo`: symbolic, else hard, else a copy. A JPEG without end marker is copied whole.

    ultralytics mends such a file in place, and some of its versions would write through the link into the original.
    """
    if photo.suffix.lower() in {".jpg", ".jpeg"} and not _ends_well(photo):
        images.write(link, images.read(photo))
        return
    for make in (os.symlink, os.link, shutil.copyfile):
        try:
            make(photo, link)
            return
        except OSError as error:
            failure = error
    raise failure


def _ends_well(jpeg: Path) -> bool:
    with jpeg.open("rb") as file:
        file.seek(-2, os.SEEK_END)
        return file.read() == b"\xff\xd9"


def _rendered_samples(folder: Path, rectified: bool) -> Iterator[Sample]:
    root = folder / "rectified" if rectified else folder
    truths = sorted((root / "truth").glob("*.json"))
    if not truths:
        raise ValueError(f"{root / 'truth'} holds no *.json: expected a folder of `python -m data_engineering.render`")
    by_stem = {photo.stem: photo for photo in images.list_photos(root / "photos")}
    for truth in tqdm(truths, desc="prepare", unit="photo"):
        photo = by_stem.get(truth.stem, root / "photos" / f"{truth.stem}.jpg")
        yield photo, lambda truth=truth: shapes_json.read(truth)


def _fiftyone_samples(name: str) -> Iterator[Sample]:
    from data_engineering import dataset

    for photo, known in tqdm(dataset.iter_annotations(name), desc="prepare", unit="photo"):
        yield Path(photo), lambda known=known: known


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.prepare", description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--rendered", type=Path, metavar="DIR", help="folder of data_engineering.render")
    source.add_argument("--fiftyone", metavar="NAME", help="FiftyOne dataset; its tags train, val, test are obeyed")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--level", default="genus", help="taxonomy level: genus, extended, family or coral")
    parser.add_argument("--rectified", action="store_true", help="the rectified photos of a rendered folder")
    parser.add_argument("--val", type=float, default=0.15, help="share for validation (default 0.15)")
    parser.add_argument("--test", type=float, default=0.15, help="share that training never sees (default 0.15)")
    parser.add_argument("--only", choices=prepared.SPLITS, help="put every photo into this split, for evaluation")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it is there")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        made = main(**vars(arguments := _parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"prepare: {error}")
    for bad, reason in made.skipped.items():
        print(f"skipped {bad}: {reason}")
    print(f"{arguments.out}: photos {made.photos}, {sum(made.colonies.values())} colonies, skipped {len(made.skipped)}")
