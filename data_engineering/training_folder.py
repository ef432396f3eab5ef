"""FiftyOne dataset or rendered folder -> a folder that a framework trains on: what every module's `prepare` shares.

Photos are linked, not copied; they go to train, val and test by name; a photo that cannot be used is noted and left
out; the folder appears under its name only when it is whole.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from quadrat import files, images
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations

SPLITS = ("train", "val", "test")
Sample = tuple[Path, Callable[[], Annotations]]
Encode = Callable[[Annotations], tuple[bytes, "Counter[str]"]]
"""The label file of a photo, and how many objects of which kind it holds."""
Keep = Callable[[Annotations], Annotations]


@dataclass(frozen=True)
class Source:
    """Where photos and labels come from, exactly one of them.

    Attributes:
        rendered: a folder of `data_engineering.render`, or several; or
        fiftyone: the name of a FiftyOne dataset; or
        photos: a folder of photos without labels, or several, where a module can learn from such.
        rectified: take the rectified photos of a rendered folder.
    """

    rendered: Path | Sequence[Path] | None = None
    fiftyone: str | None = None
    rectified: bool = False
    photos: Path | Sequence[Path] | None = None

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.rendered, self.fiftyone, self.photos)) != 1:
            raise ValueError("expected one source: a rendered folder (--rendered) or a FiftyOne dataset (--fiftyone)")

    @property
    def words(self) -> str:
        """What a network trained on this has seen."""
        if self.photos:
            return f"photos of {', '.join(folder.resolve().name for folder in _listed(self.photos))}"
        return "rendered quadrats" if self.rendered else f"FiftyOne dataset {self.fiftyone}"

    def samples(self) -> Iterator[Sample]:
        """Every photo with what gives its labels, behind a progress bar."""
        if self.photos is not None:
            return _unlabelled(_listed(self.photos))
        if self.rendered is None:
            return _fiftyone(str(self.fiftyone))
        return itertools.chain.from_iterable(_rendered(folder, self.rectified) for folder in _listed(self.rendered))

    def names(self) -> list[str]:
        """The names of all photos, whether they can be used or not, without reading their labels."""
        if self.photos is not None:
            return [photo.name for folder in _listed(self.photos) for photo in images.list_photos(folder)]
        if self.rendered is None:
            from data_engineering import dataset

            return [Path(path).name for path in dataset.load(str(self.fiftyone)).values("filepath")]
        roots = [folder / "rectified" if self.rectified else folder for folder in _listed(self.rendered)]
        return [truth.name for root in roots for truth in sorted((root / "truth").glob("*.json"))]


class Places(Protocol):
    """What says where photos go: `Split`, or `data_engineering.folds.Fold`."""

    @property
    def only(self) -> str | None:
        """The one split that takes every photo, if there is one."""

    def of(self, photo: Path, annotations: Annotations) -> str:
        """The split of a photo."""


@dataclass(frozen=True)
class Split:
    """How photos go to train, val and test.

    Attributes:
        val: share for validation, above 0.
        test: share that training never sees.
        seed: of the split.
        only: put every photo into this one, for evaluation; tags and shares count no more.
    """

    val: float = 0.15
    test: float = 0.15
    seed: int = 0
    only: str | None = None

    def __post_init__(self) -> None:
        if self.val <= 0 or self.test < 0 or self.val + self.test >= 1:
            raise ValueError(f"val {self.val} and test {self.test}: expected val > 0, test >= 0 and room for training")

    def of(self, photo: Path, annotations: Annotations) -> str:
        """The split of a photo: `only`, its tag in FiftyOne, or by its name."""
        return self.only or _tagged(annotations) or split_of(photo.name, self.seed, self.val, self.test)


@dataclass
class Tally:
    """What has been written.

    Attributes:
        photos: number of photos a split.
        objects: number of objects a kind, all splits together.
        skipped: photos that were left out, with the reason.
    """

    photos: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def by_split(self) -> dict[str, int]:
        """Number of photos of every split, in order."""
        return {name: self.photos[name] for name in SPLITS}


def make(
    out: Path,
    source: Source,
    split: Split,
    encode: Encode,
    finish: Callable[[Path, Tally], None],
    *,
    overwrite: bool = False,
    suffix: str = ".txt",
    truth: Keep | None = None,
) -> None:
    """Write ``images/{split}/NAME.*`` and ``labels/{split}/NAME{suffix}``, then what `finish` adds.

    Args:
        out: the folder to make.
        source: of the photos.
        split: where they go.
        encode: makes the label file of a photo; a `ValueError` or `KeyError` leaves the photo out.
        finish: gets the folder before it has its name, and the tally.
        overwrite: replace `out` if it is there.
        suffix: of the label files.
        truth: keeps of a photo's annotations what label files do not say but an evaluation must know; it lies in
            ``truth/{split}/NAME.json`` as shapes JSON.

    Raises:
        ValueError: no photo for training or for validation.
        FileExistsError: `out` is there and `overwrite` is not set.
    """
    with drafted(out, ("images", "labels"), overwrite=overwrite) as draft:
        tally, taken = Tally(), set[str]()
        for photo, load in source.samples():
            _add(draft, photo, load, split, encode, tally, taken, suffix, truth)
        check_can_train(tally, split)
        finish(draft, tally)


@contextmanager
def drafted(
    out: Path, kinds: Iterable[str], *, overwrite: bool = False, layout: str = "{kind}/{split}"
) -> Iterator[Path]:
    """Give a folder with ``{kind}/{split}`` to fill; it becomes `out` when the block ends well, else it goes.

    Args:
        out: the folder to make.
        kinds: of files: photos, labels and so on.
        overwrite: replace `out` if it is there.
        layout: where the files of a kind and split lie, if not there.

    Raises:
        FileExistsError: `out` is there and `overwrite` is not set.
    """
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists: choose another --out, or give --overwrite to replace it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as name:
        draft = Path(name) / out.name
        for kind, each in itertools.product(kinds, SPLITS):
            (draft / layout.format(kind=kind, split=each)).mkdir(parents=True)
        yield draft
        if out.exists():
            out.rename(Path(name) / "replaced")
        draft.rename(out)


def _add(
    draft: Path,
    photo: Path,
    load: Callable[[], Annotations],
    split: Split,
    encode: Encode,
    tally: Tally,
    taken: set[str],
    suffix: str,
    truth: Keep | None,
) -> None:
    try:
        annotations = load()
        read_checked(photo, annotations)
        place = split.of(photo, annotations)
        content, objects = encode(annotations)
    except (ValueError, KeyError, OSError) as error:
        tally.skipped[str(photo)] = f"{type(error).__name__}: {error}"
        return
    stem = distinct_stem(photo, taken)
    link(photo.resolve(), draft / "images" / place / f"{stem}{photo.suffix.lower()}")
    files.write_bytes(draft / "labels" / place / f"{stem}{suffix}", content)
    if truth:
        shapes_json.write(draft / "truth" / place / f"{stem}.json", truth(annotations))
    tally.photos[place] += 1
    tally.objects.update(objects)


def distinct_stem(photo: Path, taken: set[str]) -> str:
    """The photo's name without suffix, with a few letters more where another folder had it; is added to `taken`."""
    stem = photo.stem
    if stem in taken:
        stem = f"{stem}-{hashlib.sha256(str(photo).encode()).hexdigest()[:8]}"
    taken.add(stem)
    return stem


def check_can_train(tally: Tally, split: Places) -> None:
    """Refuse a folder without a photo to train or to validate on, unless all were to go to one split.

    Raises:
        ValueError: with the first reasons why photos were skipped.
    """
    if not split.only and not (tally.photos["train"] and tally.photos["val"]):
        reasons = "; ".join(list(tally.skipped.values())[:3])
        raise ValueError(
            f"{dict(tally.photos)} photos usable, {len(tally.skipped)} skipped ({reasons}): training needs at "
            "least one in train and one in val; give more photos, a larger --val, or tags train and val"
        )


def split_of(name: str, seed: int, val: float, test: float) -> str:
    """The split of a photo: by the hash of its name, so that it stays where it is when other photos come or go.

    Photos named ``{site}_{year}_{quadrat}`` are hashed without the year: a quadrat that was photographed in several
    years lies in one split, and the test split holds quadrats that training never saw.

    Returns:
        ``train``, ``val`` or ``test``.
    """
    digest = hash_of(name, seed)
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if share < test else "val" if share < test + val else "train"


def hash_of(name: str, seed: int) -> bytes:
    """32 bytes that depend on a photo's name without suffix and year, and on the seed: the same for year twins."""
    place = re.sub(r"_(19|20)\d\d_", "_", Path(name).stem, count=1)
    return hashlib.sha256(f"{seed}:{place}".encode()).digest()


def _tagged(annotations: Annotations) -> str | None:
    tags = annotations.meta.get("tags", ())
    found = [split for split in SPLITS if isinstance(tags, Iterable) and split in tags]
    if len(found) > 1:
        raise ValueError(f"{annotations.image} has the tags {found}: expected one of them")
    return found[0] if found else None


def read_checked(photo: Path, annotations: Annotations) -> images.Rgb:
    """The photo, uint8 ``[H, W, 3]``, if it can be read whole and is as large as its annotations say.

    Raises:
        ValueError: it cannot, or is of another size.
    """
    image_rgb = images.read(photo)
    height, width = image_rgb.shape[:2]
    if (width, height) != annotations.size_wh:
        raise ValueError(f"the photo is {width} x {height} px, its annotations are for {annotations.size_wh}")
    return image_rgb


def link(photo: Path, target: Path) -> None:
    """Link `photo`: symbolic, else hard, else a copy. A JPEG without end marker is copied whole.

    ultralytics mends such a file in place, and some of its versions would write through the link into the original.
    """
    if photo.suffix.lower() in {".jpg", ".jpeg"} and not _ends_well(photo):
        images.write(target, images.read(photo))
        return
    for method in (os.symlink, os.link, shutil.copyfile):
        try:
            method(photo, target)
            return
        except OSError as error:
            failure = error
    raise failure


def _ends_well(jpeg: Path) -> bool:
    with jpeg.open("rb") as file:
        file.seek(-2, os.SEEK_END)
        return file.read() == b"\xff\xd9"


def _rendered(folder: Path, rectified: bool) -> Iterator[Sample]:
    root = folder / "rectified" if rectified else folder
    truths = sorted((root / "truth").glob("*.json"))
    if not truths:
        raise ValueError(f"{root / 'truth'} holds no *.json: expected a folder of `python -m data_engineering.render`")
    by_stem = {photo.stem: photo for photo in images.list_photos(root / "photos")}
    for truth in tqdm(truths, desc="prepare", unit="photo"):
        photo = by_stem.get(truth.stem, root / "photos" / f"{truth.stem}.jpg")
        yield photo, lambda truth=truth: shapes_json.read(truth)


def _unlabelled(folders: Iterable[Path]) -> Iterator[Sample]:
    found = [photo for folder in folders for photo in images.list_photos(folder)]
    for photo in tqdm(found, desc="prepare", unit="photo"):
        yield photo, lambda photo=photo: Annotations(photo.name, images.read_size_wh(photo))


def _listed(folders: Path | Sequence[Path]) -> Sequence[Path]:
    return [folders] if isinstance(folders, Path) else folders


def _fiftyone(name: str) -> Iterator[Sample]:
    from data_engineering import dataset

    for photo, known in tqdm(dataset.iter_annotations(name), desc="prepare", unit="photo"):
        yield Path(photo), lambda known=known: known


def add_arguments(parser: argparse.ArgumentParser, *, unlabelled: bool = False) -> argparse._MutuallyExclusiveGroup:
    """The arguments that every `prepare` takes; `unlabelled`: also ``--photos``.

    Returns:
        The group of sources, of which one must be given: a module may know more.
    """
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--rendered", type=Path, nargs="+", metavar="DIR", help="folders of data_engineering.render")
    source.add_argument("--fiftyone", metavar="NAME", help="FiftyOne dataset; its tags train, val, test are obeyed")
    if unlabelled:
        source.add_argument("--photos", type=Path, nargs="+", metavar="DIR", help="folders of photographs, no labels")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--rectified", action="store_true", help="the rectified photos of a rendered folder")
    parser.add_argument("--val", type=float, default=0.15, help="share for validation (default 0.15)")
    parser.add_argument("--test", type=float, default=0.15, help="share that training never sees (default 0.15)")
    parser.add_argument("--only", choices=SPLITS, help="put every photo into this split, for evaluation")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it is there")
    return source
