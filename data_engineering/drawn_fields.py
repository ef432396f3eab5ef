"""What people drew as FiftyOne's labels, and exactly back.

A field of drawn shapes is a family of four, because FiftyOne gives a field one kind of label:

- ``<field>``: polylines: polygons (closed, filled), polylines, and what is round or turned as its outline (ellipses,
  turned rectangles, cuboids: the label's ``kind`` and ``exact_px`` say what it was)
- ``<field>_masks``: detections: masks, and rectangles that are not turned
- ``<field>_keypoints``: keypoints: skeletons with ``names``, and single points
- ``<field>_tags``: classifications

Labels hold ``attribute_<name>`` as text and ``confidence`` 0..1, and what is not as usual: ``cvat_id``, ``group``,
``occluded``, ``source``, ``z_order``, ``rotation``, ``score``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_engineering.drawn_documents import FAMILY, Document, attribute_key, read_document, suffix_of, to_document
from data_engineering.labels import DatasetError, fo
from quadrat import drawn
from quadrat.drawn import DrawnPhoto

_AT_ONCE = 200

_EXTRA = {
    "cvat_id": fo.IntField,
    "group": fo.IntField,
    "occluded": fo.BooleanField,
    "source": fo.StringField,
    "z_order": fo.IntField,
    "rotation": fo.FloatField,
    "score": fo.FloatField,
    "kind": fo.StringField,
}


# ---------------------------------------------------------------------------------------------- writing


def to_documents(photo: DrawnPhoto, field: str, sublabels: Mapping[str, Sequence[str]]) -> dict[str, Document]:
    """The labels of a photo: field -> document, for all four fields of the family.

    Args:
        photo: with its shapes.
        field: name of the family.
        sublabels: skeleton label -> names of its points in order.
    """
    lists: dict[str, list[Document]] = {suffix: [] for suffix in FAMILY}
    for one in photo.drawn:
        lists[suffix_of(one)].append(to_document(one, photo.size_wh, sublabels))
    return {f"{field}{suffix}": {"_cls": kind.__name__, name: lists[suffix]} for suffix, (kind, name) in FAMILY.items()}


def declare(dataset: fo.Dataset, field: str, labels: drawn.Labels) -> None:
    """Tell a dataset of the fields that `to_documents` fills, so that all can be filtered by in the app.

    Args:
        dataset: that will get shapes.
        field: name of the family.
        labels: definitions, whose attributes are declared too.
    """
    names = {str(attribute["name"]) for label in labels for attribute in label.get("attributes", ())}
    for suffix, (kind, inner) in FAMILY.items():
        path = f"{field}{suffix}"
        if dataset.has_field(path) and _kind_of(dataset, path) != kind.__name__:
            raise DatasetError(
                f"field {path!r} of dataset {dataset.name!r} holds {_kind_of(dataset, path)}, "
                f"expected {kind.__name__}: give the dataset another name"
            )
        dataset.add_sample_field(path, fo.EmbeddedDocumentField, embedded_doc_type=kind)
        extra = dict(_EXTRA)
        if kind is fo.Keypoints:  # whose ``occluded`` is a list, a truth value a point, as predictions have it
            del extra["occluded"]
            extra["all_occluded"] = fo.BooleanField
        for name, ftype in {**extra, **{attribute_key(name): fo.StringField for name in sorted(names)}}.items():
            dataset.add_sample_field(f"{path}.{inner}.{name}", ftype)
    for name, inner_type in (("names", fo.StringField), ("missing", fo.StringField), ("occluded", fo.BooleanField)):
        dataset.add_sample_field(f"{field}_keypoints.keypoints.{name}", fo.ListField, subfield=inner_type)


def _kind_of(dataset: fo.Dataset, path: str) -> str:
    kind = getattr(dataset.get_field(path), "document_type", None)
    return "no labels" if kind is None else str(kind.__name__)


# ---------------------------------------------------------------------------------------------- reading


def iter_drawn(samples: fo.SampleCollection, field: str) -> Iterator[DrawnPhoto]:
    """The photos of a dataset or view with what was drawn in a field family, in order.

    Predictions (detections with masks, keypoints) are read likewise. ``facts`` holds the sample's own fields of numbers
    and text, its ``tags`` and its ``sample_id``.

    Raises:
        DatasetError: there is no field of the family.
    """
    fields = there(samples, field)
    if not fields:
        known = ", ".join(samples.get_field_schema(embedded_doc_type=fo.Label)) or "none"
        raise DatasetError(f"dataset {samples.view().dataset_name!r} has no field {field!r} (label fields: {known})")
    facts = _facts_of(samples)
    names = point_names(samples, field)
    ids = samples.values("id")
    for begin in range(0, len(ids), _AT_ONCE):
        chunk = samples.select(ids[begin : begin + _AT_ONCE], ordered=True)
        plain = chunk.values(["id", "filepath", "metadata.width", "metadata.height", "tags", *facts])
        # As documents of the database: FiftyOne's objects would take ten times as long to make.
        drawn_ones = chunk.values(fields, _raw=True)
        for (sample_id, path, width, height, tags, *values), found in zip(
            zip(*plain, strict=True), zip(*drawn_ones, strict=True), strict=True
        ):
            size_wh = (width, height) if width and height else _size_of(samples[sample_id])
            known = {name: value for name, value in zip(facts, values, strict=True) if value is not None}
            yield _photo(Path(path), size_wh, found, known | {"tags": tags or [], "sample_id": sample_id}, names)


def _facts_of(samples: fo.SampleCollection) -> list[str]:
    kinds = (fo.StringField, fo.IntField, fo.FloatField, fo.BooleanField)
    plain = [name for name, kind in samples.get_field_schema().items() if isinstance(kind, kinds)]
    lists = [name for name in ("annotators", "problems") if samples.has_field(name)]
    return [name for name in (*plain, *lists) if name not in ("id", "filepath")]


def there(samples: fo.SampleCollection, field: str) -> list[str]:
    """Those fields of a family that a dataset has."""
    return [f"{field}{suffix}" for suffix in FAMILY if samples.has_field(f"{field}{suffix}")]


def point_names(samples: fo.SampleCollection, field: str) -> list[str]:
    """The names of a skeleton's points where keypoints do not name their own; empty if the dataset does not say."""
    for path in (f"{field}_keypoints", field):
        if path in samples.skeletons:
            return list(samples.skeletons[path].labels or [])
    return []


def read_sample(sample: fo.Sample, fields: Sequence[str]) -> DrawnPhoto:
    """A sample as a photo with what was drawn in `fields`."""
    documents = [None if sample[field] is None else sample[field].to_dict() for field in fields]
    return _photo(Path(sample.filepath), _size_of(sample), documents, {"tags": list(sample.tags)}, ())


def _size_of(sample: fo.Sample) -> tuple[int, int]:
    if sample.metadata is None or not sample.metadata.width:
        sample.compute_metadata()
    return int(sample.metadata.width), int(sample.metadata.height)


def _photo(
    path: Path,
    size_wh: tuple[int, int],
    documents: Iterable[Document | None],
    facts: dict[str, Any],
    names: Sequence[str],
) -> DrawnPhoto:
    found = tuple(one for document in documents if document for one in read_document(document, size_wh, names))
    problems = tuple(facts.pop("problems", ()))
    return DrawnPhoto(str(facts.pop("photo_name", path.name)), size_wh, found, path, facts, problems)
