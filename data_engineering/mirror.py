"""A FiftyOne dataset kept equal to what was drawn elsewhere: CVAT tasks or files. What people did in the app stays.

The photos of one source (a task, a file) are taken over together, once all of it could be read. A note in
``dataset.info`` says which sources are in, and which one is being taken over, so that the next run mends what was
interrupted at any moment, and until then nobody reads what is half old and half new. A dataset is called
``NAME (unfinished)`` until it is whole for the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from data_engineering import corrections, drawn_fields, file_names
from data_engineering import dataset as datasets
from data_engineering.corrections import Key
from data_engineering.dataset import CVAT_LABELS, GROUND_TRUTH, UNFINISHED
from data_engineering.formats.collection import Collection
from data_engineering.labels import DatasetError, fo
from quadrat import cvat_labels, drawn
from quadrat.drawn import DrawnPhoto, Labels

SOURCES = "sources"
"""Key of ``dataset.info``: source -> stamp of what was taken over."""

_AT_ONCE = 200
_RAW = CodecOptions(document_class=RawBSONDocument)  # labels go to the database as they lie in the spool
_LARGEST = 15 << 20  # bytes; the database takes 16 MB a sample
_SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_FACTS: Mapping[str, tuple[type[fo.Field], type[fo.Field] | None]] = {
    "pulled_from": (fo.StringField, None),
    "photo_name": (fo.StringField, None),
    "cvat_project_name": (fo.StringField, None),
    "cvat_project_id": (fo.IntField, None),
    "cvat_task_id": (fo.IntField, None),
    "cvat_task_name": (fo.StringField, None),
    "cvat_job_id": (fo.IntField, None),
    "cvat_subset": (fo.StringField, None),
    "cvat_frame": (fo.IntField, None),
    "area": (fo.StringField, None),
    "year": (fo.IntField, None),
    "quadrat_id": (fo.StringField, None),
    corrections.CORRECTS: (fo.ListField, fo.StringField),
    "annotators": (fo.ListField, fo.StringField),
    "problems": (fo.ListField, fo.StringField),
}


@dataclass(frozen=True)
class Source:
    """What is taken over in one go.

    Attributes:
        key: names it, the same each time: ``task 12``, ``file reef.zip``.
        stamp: changes when it changes.
        read: gives its photos.
    """

    key: str
    stamp: str
    read: Callable[[], Collection]


@dataclass(frozen=True)
class Settings:
    """How a dataset mirrors its sources.

    Attributes:
        field: name of the field family that gets the shapes.
        pattern: of file names, see `file_names.parse`.
        tag_subsets: photos in a CVAT subset train, validation or test get the tag of that split.
    """

    field: str = GROUND_TRUTH
    pattern: str = file_names.PATTERN
    tag_subsets: bool = False


@dataclass
class Changes:
    """What a run changed.

    Attributes:
        dataset: its name.
        sources: keys of those that were taken over.
        unchanged: keys of those that were as the dataset has them.
        removed_sources: keys of those that are no more; their photos went too.
        added: number of photos that are new.
        updated: number of photos that were there and got their shapes anew.
        removed: number of photos that are in no source any more.
        left_out: number of CVAT tasks that were not asked for.
        problems: a sentence for everything that could not be kept as it was.
    """

    dataset: str
    sources: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed_sources: list[str] = field(default_factory=list)
    added: int = 0
    updated: int = 0
    removed: int = 0
    left_out: int = 0
    problems: list[str] = field(default_factory=list)


def stamps_of(name: str) -> dict[str, str]:
    """Source -> stamp of what a dataset has, one that was interrupted included; empty if there is none."""
    dataset = _find(name)
    return dict(dataset.info.get(SOURCES, {})) if dataset is not None else {}


def mirror(
    name: str,
    sources: Iterable[Source],
    settings: Settings | None = None,
    *,
    gone: Iterable[str] = (),
    again: bool = False,
) -> Changes:
    """Bring a dataset up to date with sources; others that it has stay as they are.

    Args:
        name: of the dataset; made where it is not there.
        sources: to take over; those whose stamp the dataset has are left alone.
        settings: how.
        gone: keys of sources that are no more.
        again: take over those too that the dataset has as they are.

    Raises:
        DatasetError: the dataset was not made so, or has a field of another kind.
        FormatError: a source cannot be read; nothing of it is taken over, what was before it stays.
    """
    settings = settings or Settings()
    dataset = _find(name)
    if dataset is None:
        _check_name(name)
        dataset = fo.Dataset(_unfinished(name), persistent=True)
        dataset.info[SOURCES] = {}
        dataset.save()
    elif dataset.name == name and SOURCES not in dataset.info:
        raise DatasetError(f"dataset {name!r} is there and was not pulled: give the new one another name (--name)")
    changes = Changes(name)
    _remove_sources(dataset, gone, changes)
    for source in sources:
        if not again and dataset.info.get(SOURCES, {}).get(source.key) == source.stamp:
            changes.unchanged.append(source.key)
            continue
        _take_over(dataset, source, settings, changes)
        changes.sources.append(source.key)
    if changes.sources or changes.removed_sources:
        datasets.set_up_app(dataset, settings.field)
    if dataset.name != name:
        dataset.name = name
    return changes


def _check_name(name: str) -> None:
    """FiftyOne makes addresses of names, and takes no two whose address is the same: better now than at the end."""
    slug = fo.core.utils.to_slug(name)
    for other in fo.list_datasets():
        if fo.core.utils.to_slug(other) == slug:
            raise DatasetError(f"FiftyOne takes {name!r} for {other!r}, which is there: choose another --name")


def _unfinished(name: str) -> str:
    return f"{name} (unfinished)"


def _find(name: str) -> fo.Dataset | None:
    return next((fo.load_dataset(n) for n in (name, _unfinished(name)) if fo.dataset_exists(n)), None)


@contextmanager
def _noted(dataset: fo.Dataset, source: Source) -> Iterator[None]:
    """Keep the note that a source is being taken over; it stays where that fails."""
    dataset.info[UNFINISHED] = source.key
    dataset.save()
    yield
    dataset.info[SOURCES] = {**dataset.info.get(SOURCES, {}), source.key: source.stamp}
    del dataset.info[UNFINISHED]
    dataset.save()


def _take_over(dataset: fo.Dataset, source: Source, settings: Settings, changes: Changes) -> None:
    """All of a source is read before anything is written, so that one that ends badly changes nothing."""
    collection = source.read()
    labels = _joined(dataset, collection.labels)
    before, corrected = _samples_of(dataset, source.key), corrections.corrected(dataset)
    seen: dict[Key, Mapping[str, Any]] = {}
    with TemporaryFile() as spool:
        for photo in collection.photos:
            key = _key(photo, source.key)
            if corrections.named(key) in corrected:  # what came of its correction counts
                continue
            if key in seen:
                changes.problems.append(f"{photo.name}: the photo is there twice; the second is left out: rename one")
                continue
            changes.problems += photo.problems
            seen[key] = photo.facts
            if photo.path is not None:
                changes.problems += _spool(photo, source.key, settings, labels, spool)
        spool.seek(0)
        with _noted(dataset, source):
            _declare(dataset, settings.field, labels)
            before |= corrections.take(dataset, {key: facts for key, facts in seen.items() if key not in before})
            for entries in _chunks(bson.decode_file_iter(spool, _RAW), _AT_ONCE):
                _write(dataset, entries, before, settings, changes)
            unseen = [sample_id for key, sample_id in before.items() if key not in seen]
            dataset.delete_samples(unseen)
    changes.removed += len(unseen)


def _spool(photo: DrawnPhoto, source: str, settings: Settings, labels: Labels, spool: IO[bytes]) -> list[str]:
    """Put what the database gets of a photo behind what is in `spool`; returns what speaks against it."""
    assert photo.path is not None
    documents = drawn_fields.to_documents(photo, settings.field, drawn.sublabels_of(labels))
    entry = {
        "key": list(_key(photo, source)),
        "path": str(photo.path.resolve()),
        "size_wh": list(photo.size_wh),
        "facts": _facts(photo, source, settings),
        "documents": documents,
    }
    encoded = bson.encode(entry)
    if len(encoded) > _LARGEST:
        size = f"{len(encoded) / 2**20:.0f} MB, where FiftyOne's database takes {_LARGEST / 2**20:.0f}"
        return [f"{photo.name}: its {len(photo.drawn)} shapes need {size}: the photo is left out; split its masks"]
    spool.write(encoded)
    return []


def _joined(dataset: fo.Dataset, labels: Labels) -> list[dict[str, Any]]:
    """The label definitions of a dataset with those of a source; of two of one name the source's."""
    known = {str(label["name"]): dict(label) for label in (*dataset.info.get(CVAT_LABELS, ()), *labels)}
    return list(known.values())


def _declare(dataset: fo.Dataset, name: str, labels: Labels) -> None:
    """Make the fields, and tell the dataset of the labels."""
    dataset.info[CVAT_LABELS] = list(labels)
    drawn_fields.declare(dataset, name, labels)
    for fact, (kind, inner) in _FACTS.items():
        dataset.add_sample_field(fact, kind, subfield=inner)
    classes = [str(label["name"]) for label in labels if label.get("type") != "skeleton"]
    if classes:
        dataset.classes = {**dataset.classes, name: classes}
        dataset.default_classes = classes
    skeletons = [label for label in labels if label.get("sublabels")]
    if len(skeletons) == 1:  # FiftyOne has room for one in a field; points carry their names in any case
        dataset.skeletons = {**dataset.skeletons, f"{name}_keypoints": _skeleton(skeletons[0])}
    dataset.save()


def _skeleton(label: Mapping[str, Any]) -> fo.KeypointSkeleton:
    names = [str(point["name"]) for point in label["sublabels"]]
    try:
        edges = [list(edge) for edge in cvat_labels.read_skeleton(dict(label)).edges]
    except ValueError:  # a picture that CVAT's label constructor did not make
        edges = []
    if not edges and len(names) == 4:
        edges = [[0, 1, 2, 3, 0]]
    return fo.KeypointSkeleton(labels=names, edges=edges)


def _samples_of(dataset: fo.Dataset, source: str) -> dict[Key, str]:
    known = ("pulled_from", "cvat_task_id", "photo_name")
    if not all(map(dataset.has_field, known)):  # nothing was ever taken over, or it was cut short at the very beginning
        return {}
    view = dataset.match(fo.ViewField("pulled_from") == source)
    ids, _, tasks, names = view.values(["id", *known])
    return {(source, task, name): sample_id for sample_id, task, name in zip(ids, tasks, names, strict=True)}


def _key(photo: DrawnPhoto, source: str) -> Key:
    return source, photo.facts.get("cvat_task_id"), photo.name


def _write(
    dataset: fo.Dataset, entries: list[dict[str, Any]], before: dict[Key, str], settings: Settings, changes: Changes
) -> None:
    keys = [tuple(entry["key"]) for entry in entries]
    new = [entry for entry, key in zip(entries, keys, strict=True) if key not in before]
    old = [entry for entry, key in zip(entries, keys, strict=True) if key in before]
    made = dataset.add_samples(
        [_sample(entry, settings) for entry in new], dynamic=False, expand_schema=False, validate=False, progress=False
    )
    ids = {tuple(entry["key"]): sample_id for entry, sample_id in zip(new, made, strict=True)} | before

    def set_all(path: str, of: Callable[[dict[str, Any]], Any], some: list[dict[str, Any]]) -> None:
        values = {ids[tuple(entry["key"])]: of(entry) for entry in some}
        dataset.set_values(path, values, key_field="id", validate=False, progress=False)

    for fact in (fact for fact in _FACTS if old and fact != corrections.CORRECTS):
        set_all(fact, lambda entry, fact=fact: entry["facts"].get(fact), old)
    if old:
        set_all("filepath", lambda entry: entry["path"], old)
    for path in (f"{settings.field}{suffix}" for suffix in drawn_fields.FAMILY):
        set_all(path, lambda entry, path=path: entry["documents"][path], entries)
    changes.added += len(new)
    changes.updated += len(old)


def _facts(photo: DrawnPhoto, source: str, settings: Settings) -> dict[str, Any]:
    known = {name: value for name, value in photo.facts.items() if name in _FACTS and value not in (None, "")}
    own = {"pulled_from": source, "photo_name": photo.name}
    problems = {"problems": list(photo.problems)} if photo.problems else {}
    return {**file_names.parse(photo.name, settings.pattern), **known, **own, **problems}


def _sample(entry: Mapping[str, Any], settings: Settings) -> fo.Sample:
    width, height = entry["size_wh"]
    facts = dict(entry["facts"])
    split = _SPLITS.get(str(facts.get("cvat_subset", "")).lower()) if settings.tag_subsets else None
    return fo.Sample(
        filepath=entry["path"],
        metadata=fo.ImageMetadata(width=width, height=height, num_channels=3),
        tags=[split] if split else [],
        **facts,
    )


def _remove_sources(dataset: fo.Dataset, gone: Iterable[str], changes: Changes) -> None:
    for key in gone:
        if key not in dataset.info.get(SOURCES, {}):
            continue
        unseen = list(_samples_of(dataset, key).values())
        # What these photos corrected comes back from its own task.
        again = {corrections.source_of(one) for one in dataset.select(unseen).distinct(corrections.CORRECTS)} | {key}
        dataset.delete_samples(unseen)
        dataset.info[SOURCES] = {k: stamp for k, stamp in dataset.info[SOURCES].items() if k not in again}
        dataset.save()
        changes.removed += len(unseen)
        changes.removed_sources.append(key)


def _chunks(entries: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    every = iter(entries)
    while chunk := list(islice(every, size)):
        yield chunk
