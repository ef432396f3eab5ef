"""FiftyOne dataset or rendered folder -> a folder that a framework trains on: what every module's `prepare` shares.

Photos are linked, not copied; they go to train, val and test by name; a photo that cannot be used is noted and left
out; the folder appears under its name only when it is whole.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from data_engineering.linking import distinct_stem, link, read_checked
from data_engineering.places import SPLITS, Places, Split, split_of
from quadrat import files, held_out, images
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations

__all__ = [
    "SPLITS", "Places", "Sample", "Source", "Split", "Tally", "distinct_stem", "link", "make", "read_checked",
    "split_of",
]  # fmt: skip

Sample = tuple[Path, Callable[[], Annotations]]
Encode = Callable[[Annotations], tuple[bytes, "Counter[str]"]]
"""The label file of a photo, and how many objects of which kind it holds."""
PHOTO_KINDS = ("images", "clean", "data")
"""Kinds of files that are the photos of a prepared folder; all others belong to one of these."""
GROUND_TRUTH = "ground_truth"
Keep = Callable[[Annotations], Annotations]


@dataclass(frozen=True)
class Source:
    """Where photos and labels come from, exactly one of them.

    Attributes:
        rendered: a folder of `data_engineering.render`, or several; or
        fiftyone: the name of a FiftyOne dataset; or
        photos: a folder of photos without labels, or several, where a module can learn from such.
        rectified: take the rectified photos of a rendered folder.
        field: of the dataset's labels.
        view: only what this saved view of the dataset shows.

    Raises:
        ValueError: not exactly one source, or a view of something else than a dataset.
    """

    rendered: Path | Sequence[Path] | None = None
    fiftyone: str | None = None
    rectified: bool = False
    photos: Path | Sequence[Path] | None = None
    field: str = GROUND_TRUTH
    view: str | None = None

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.rendered, self.fiftyone, self.photos)) != 1:
            raise ValueError("expected one source: a rendered folder (--rendered) or a FiftyOne dataset (--fiftyone)")
        if self.fiftyone is None and (self.view or self.field != GROUND_TRUTH):
            raise ValueError("--field and --view are of a FiftyOne dataset: give --fiftyone, or leave them out")

    @property
    def words(self) -> str:
        """What a network trained on this has seen."""
        if self.photos:
            return f"photos of {', '.join(folder.resolve().name for folder in _listed(self.photos))}"
        of_view = f", view {self.view}" if self.view else ""
        return "rendered quadrats" if self.rendered else f"FiftyOne dataset {self.fiftyone}{of_view}"

    def samples(self) -> Iterator[Sample]:
        """Every photo with what gives its labels, behind a progress bar."""
        if self.photos is not None:
            return _unlabelled(_listed(self.photos))
        if self.rendered is None:
            return _fiftyone(str(self.fiftyone), self.field, self.view)
        return itertools.chain.from_iterable(_rendered(folder, self.rectified) for folder in _listed(self.rendered))

    def names(self) -> list[str]:
        """The names of all photos, whether they can be used or not, without reading their labels."""
        if self.photos is not None:
            return [photo.name for folder in _listed(self.photos) for photo in images.list_photos(folder)]
        if self.rendered is None:
            from data_engineering import dataset

            samples = dataset.load(str(self.fiftyone))
            samples = dataset.saved_view(samples, self.view) if self.view else samples
            return [Path(path).name for path in samples.values("filepath")]
        roots = [folder / "rectified" if self.rectified else folder for folder in _listed(self.rendered)]
        return [truth.name for root in roots for truth in sorted((root / "truth").glob("*.json"))]


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

    What lies in its test split is listed then (`quadrat.held_out`), so that no training reads it.

    Args:
        out: the folder to make.
        kinds: of files: photos, labels and so on.
        overwrite: replace `out` if it is there.
        layout: where the files of a kind and split lie, if not there.

    Raises:
        FileExistsError: `out` is there and `overwrite` is not set.
        HeldOutError: one photo is in the test split and in another, under two names.
    """
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists: choose another --out, or give --overwrite to replace it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as name:
        draft = Path(name) / out.name
        for kind, each in itertools.product(kinds, SPLITS):
            (draft / layout.format(kind=kind, split=each)).mkdir(parents=True)
        yield draft
        held_out.write(draft, {each: _photos(draft, kinds, layout, each) for each in SPLITS})
        if out.exists():
            out.rename(Path(name) / "replaced")
        draft.rename(out)


def _photos(draft: Path, kinds: Iterable[str], layout: str, split: str) -> list[Path]:
    folders = [draft / layout.format(kind=kind, split=split) for kind in kinds if kind in PHOTO_KINDS]
    return [path for folder in folders for path in sorted(folder.iterdir())]


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


def _fiftyone(name: str, field: str, view: str | None) -> Iterator[Sample]:
    from data_engineering import dataset

    for photo, known in tqdm(dataset.iter_annotations(name, field, view=view), desc="prepare", unit="photo"):
        yield Path(photo), lambda known=known: known


def add_arguments(parser: argparse.ArgumentParser, *, unlabelled: bool = False) -> argparse._MutuallyExclusiveGroup:
    """The arguments that every `prepare` takes; `unlabelled`: also ``--photos``.

    Returns:
        The group of sources, of which one must be given: a module may know more.
    """
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--rendered", type=Path, nargs="+", metavar="DIR", help="folders of data_engineering.render")
    source.add_argument("--fiftyone", metavar="NAME", help="FiftyOne dataset; its tags train, val, test are obeyed")
    parser.add_argument("--field", default=GROUND_TRUTH, help=f"of the dataset's labels (default {GROUND_TRUTH})")
    parser.add_argument("--view", metavar="NAME", help="only what this saved view of the dataset shows")
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
