"""What people drew as FiftyOne's labels, and exactly back.

A field of drawn shapes is a family of four, because FiftyOne gives a field one kind of label:

- ``<field>``: polylines: polygons (closed, filled), polylines, and what is round or turned as its outline (ellipses,
  turned rectangles, cuboids: the label's ``kind`` and ``exact_px`` say what it was)
- ``<field>_masks``: detections: masks, and rectangles that are not turned
- ``<field>_keypoints``: keypoints: skeletons with ``names``, and single points
- ``<field>_tags``: classifications

Labels hold ``attribute_<name>`` as text and ``confidence`` 0..1, and what is not as usual: ``cvat_id``, ``group``,
``occluded``, ``source``, ``z_order``, ``rotation``, ``score``.

Labels are made as the plain documents that ``Label.to_dict`` gives and ``Dataset.set_values`` takes: making FiftyOne's
objects first takes thirty times as long, which counts for 400,000 polygons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bson import Binary, ObjectId
from numpy.typing import NDArray

from data_engineering.labels import DatasetError, fo
from quadrat import drawn, masks
from quadrat.drawn import CONFIDENCE, Drawn, DrawnPhoto

Document = dict[str, Any]

FAMILY: Mapping[str, tuple[type[fo.Label], str]] = {
    "": (fo.Polylines, "polylines"),
    "_masks": (fo.Detections, "detections"),
    "_keypoints": (fo.Keypoints, "keypoints"),
    "_tags": (fo.Classifications, "classifications"),
}
"""Suffix of a field -> its kind of label, and the name of the list in it."""

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
_PLACES = {
    "polygon": "",
    "polyline": "",
    "ellipse": "",
    "cuboid": "",
    "mask": "_masks",
    "rectangle": "_masks",
    "skeleton": "_keypoints",
    "points": "_keypoints",
    "tag": "_tags",
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
    scale = np.array(photo.size_wh, np.float64)
    for one in photo.drawn:
        suffix = "" if one.kind == "rectangle" and one.rotation else _PLACES[one.kind]
        lists[suffix].append(_document(one, suffix, scale, sublabels))
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
        if dataset.has_field(path) and not isinstance_of(dataset, path, kind):
            raise DatasetError(
                f"field {path!r} of dataset {dataset.name!r} holds {_kind_of(dataset, path)}, "
                f"expected {kind.__name__}: give the dataset another name"
            )
        dataset.add_sample_field(path, fo.EmbeddedDocumentField, embedded_doc_type=kind)
        extra = dict(_EXTRA)
        if kind is fo.Keypoints:  # whose ``occluded`` is a list, a truth value a point, as predictions have it
            del extra["occluded"]
            extra["all_occluded"] = fo.BooleanField
        for name, ftype in {**extra, **{_attribute_key(name): fo.StringField for name in sorted(names)}}.items():
            dataset.add_sample_field(f"{path}.{inner}.{name}", ftype)
    for name, inner_type in (("names", fo.StringField), ("missing", fo.StringField), ("occluded", fo.BooleanField)):
        dataset.add_sample_field(f"{field}_keypoints.keypoints.{name}", fo.ListField, subfield=inner_type)


def isinstance_of(dataset: fo.Dataset, path: str, kind: type[fo.Label]) -> bool:
    """Whether a field holds this kind of label."""
    return _kind_of(dataset, path) == kind.__name__


def _kind_of(dataset: fo.Dataset, path: str) -> str:
    kind = getattr(dataset.get_field(path), "document_type", None)
    return "no labels" if kind is None else str(kind.__name__)


def _attribute_key(name: str) -> str:
    """A field name of FiftyOne's for an attribute: its database forbids dots and a leading dollar."""
    return "attribute_" + name.replace(".", "_").replace("$", "_")


def _document(one: Drawn, suffix: str, scale: NDArray[np.float64], sublabels: Mapping[str, Sequence[str]]) -> Document:
    document = {"_id": ObjectId(), "_cls": FAMILY[suffix][0].__name__[:-1], "tags": [], "label": one.label}
    if suffix == "":
        document |= _polyline(one, scale)
    elif suffix == "_masks":
        document |= _detection(one, scale)
    elif one.kind == "skeleton":
        document |= _skeleton(one, scale, sublabels.get(one.label, ()))
    elif one.kind == "points":
        document |= {"points": (one.xy_px / scale).tolist(), "kind": "points"}
    if one.kind not in ("skeleton", "points"):
        document["confidence"] = one.confidence
    return document | _extra(one)


def _extra(one: Drawn) -> Document:
    extra = {_attribute_key(name): value for name, value in one.attributes.items()}
    usual: tuple[tuple[str, Any, Any], ...] = (
        ("cvat_id", one.id, None),
        ("group", one.group, 0),
        ("all_occluded" if one.kind in ("skeleton", "points") else "occluded", one.occluded, False),
        ("source", one.source, None),
        ("z_order", one.z_order, 0),
        ("rotation", one.rotation, 0.0),
        ("score", one.score, None),
    )
    return extra | {name: value for name, value, default in usual if value != default}


def _polyline(one: Drawn, scale: NDArray[np.float64]) -> Document:
    if one.kind in ("polygon", "polyline"):
        closed, ring, exact = one.kind == "polygon", one.xy_px, {}
    else:
        outline = drawn.outline(one)
        closed, ring = outline is not None, one.xy_px if outline is None else outline
        exact = {"kind": one.kind, "exact_px": one.xy_px.tolist()}
    return {"points": [(ring / scale).tolist()], "closed": closed, "filled": closed, **exact}


def _detection(one: Drawn, scale: NDArray[np.float64]) -> Document:
    (x, y), (w, h) = one.xy_px[0] / scale, (one.xy_px[1] - one.xy_px[0]) / scale
    document: Document = {"bounding_box": [float(x), float(y), float(w), float(h)]}
    if one.mask is not None:
        document["mask"] = Binary(fo.Detection(mask=np.asarray(one.mask)).to_dict()["mask"])
    return document


def _skeleton(one: Drawn, scale: NDArray[np.float64], order: Sequence[str]) -> Document:
    points = {element.label: element for element in one.elements}
    names = [*order, *sorted(set(points) - set(order), key=drawn.natural)]
    there = [points.get(name) for name in names]
    nan = float("nan")
    places = [[nan, nan] if p is None or p.outside else (p.xy_px[0] / scale).tolist() for p in there]
    document: Document = {
        "points": places,
        "names": names,
        "confidence": [0.0 if p is None else p.score for p in there],
        "occluded": [bool(p and p.occluded) for p in there],
    }
    if None in there:
        document["missing"] = [name for name in names if name not in points]
    outside = {p.label: p.xy_px[0].tolist() for p in points.values() if p.outside}
    if outside:
        document["outside_px"] = outside
    details = {p.label: dict(p.attributes) for p in points.values() if p.attributes}
    return document | ({"point_attributes": details} if details else {})


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
    plain = [
        name
        for name, kind in samples.get_field_schema().items()
        if isinstance(kind, (fo.StringField, fo.IntField, fo.FloatField, fo.BooleanField)) and name != "filepath"
    ]
    lists = [name for name in ("annotators", "problems") if samples.has_field(name)]
    names = point_names(samples, field)
    for sample in samples.select_fields([*fields, *plain, *lists]).iter_samples():
        yield read_sample(sample, fields, [*plain, *lists], names)


def there(samples: fo.SampleCollection, field: str) -> list[str]:
    """Those fields of a family that a dataset has."""
    return [f"{field}{suffix}" for suffix in FAMILY if samples.has_field(f"{field}{suffix}")]


def point_names(samples: fo.SampleCollection, field: str) -> list[str]:
    """The names of a skeleton's points where keypoints do not name their own; empty if the dataset does not say."""
    for path in (f"{field}_keypoints", field):
        if path in samples.skeletons:
            return list(samples.skeletons[path].labels or [])
    return []


def read_sample(
    sample: fo.Sample, fields: Sequence[str], facts: Sequence[str] = (), names: Sequence[str] = ()
) -> DrawnPhoto:
    """A sample as a photo with what was drawn, see `iter_drawn`; `names`: of points that do not name themselves."""
    if sample.metadata is None or not sample.metadata.width:
        sample.compute_metadata()
    size_wh = int(sample.metadata.width), int(sample.metadata.height)
    found = tuple(one for field in fields for one in read_label(sample[field], size_wh, names))
    known = {name: sample[name] for name in facts if name not in ("id", "problems") and sample[name] is not None}
    known |= {"tags": list(sample.tags), "sample_id": sample.id}
    problems = tuple(sample["problems"] or ()) if "problems" in facts else ()
    name = str(known.pop("photo_name", "") or Path(sample.filepath).name)
    return DrawnPhoto(name, size_wh, found, Path(sample.filepath), known, problems)


def read_label(label: Any, size_wh: tuple[int, int], names: Sequence[str] = ()) -> Iterator[Drawn]:
    """What one field of one sample holds; nothing for `None`.

    Args:
        label: of FiftyOne.
        size_wh: of the photo in px.
        names: of points, where keypoints do not name their own.

    Raises:
        DatasetError: labels of another kind than those of `FAMILY`.
    """
    if label is None:
        return
    scale = np.array(size_wh, np.float64)
    if isinstance(label, fo.Polylines):
        yield from (shape for one in label.polylines for shape in _read_polyline(one, scale))
    elif isinstance(label, fo.Detections):
        yield from (_read_detection(one, scale) for one in label.detections)
    elif isinstance(label, fo.Keypoints):
        yield from (_read_keypoint(one, scale, names) for one in label.keypoints)
    elif isinstance(label, fo.Classifications):
        yield from (Drawn("tag", one.label, **_read_extra(one)) for one in label.classifications)
    else:
        expected = ", ".join(kind.__name__ for kind, _ in FAMILY.values())
        raise DatasetError(f"labels of kind {type(label).__name__}: expected {expected}")


def _get(label: fo.Label, name: str, default: Any = None) -> Any:
    value = label.get_field(name) if label.has_field(name) else None
    return default if value is None else value


def _read_extra(label: fo.Label) -> Document:
    attributes = {
        key.removeprefix("attribute_"): str(value)
        for key, value in label.iter_fields()
        if key.startswith("attribute_") and value is not None
    }
    score = _get(label, "score")
    if score is None and CONFIDENCE not in attributes:
        confidence = _get(label, "confidence")
        score = confidence if isinstance(confidence, (int, float)) else None
    covered = _get(label, "all_occluded" if isinstance(label, fo.Keypoint) else "occluded", False)
    return {
        "attributes": attributes,
        "id": _get(label, "cvat_id"),
        "group": _get(label, "group", 0),
        "occluded": covered,
        "source": _get(label, "source", "manual"),
        "z_order": _get(label, "z_order", 0),
        "rotation": _get(label, "rotation", 0.0),
        "score": 1.0 if score is None else min(max(float(score), 0.0), 1.0),
    }


def _read_polyline(label: fo.Polyline, scale: NDArray[np.float64]) -> Iterator[Drawn]:
    """A polyline; what the app or a network made of several rings comes back as a polygon a ring, tied by a group."""
    extra = _read_extra(label)
    kind = _get(label, "kind") or ("polygon" if label.closed or label.filled else "polyline")
    exact = _get(label, "exact_px")
    if exact is not None:
        yield Drawn(kind, label.label, np.array(exact, np.float64), **extra)
        return
    rings = [np.asarray(points, np.float64).reshape(-1, 2) * scale for points in label.points]
    if len(rings) > 1 and kind == "polygon":
        yield _of_rings(label.label, rings, scale, extra)
        return
    for ring in rings:
        if len(ring) >= drawn.FEWEST_POINTS[kind]:
            yield Drawn(kind, label.label, ring, **extra)


def _of_rings(name: str, rings: list[NDArray[np.float64]], scale: NDArray[np.float64], extra: Document) -> Drawn:
    """Further rings of a polyline are holes or parts by the even-odd rule: a mask holds both."""
    instance = masks.instance_from_rings(name, rings, (int(scale[0]), int(scale[1])), 1.0, {})
    if instance is None:
        return Drawn("polygon", name, rings[0], **extra)
    return Drawn("mask", name, np.array(instance.xyxy_px, float).reshape(2, 2), instance.mask, **extra)


def _read_detection(label: fo.Detection, scale: NDArray[np.float64]) -> Drawn:
    x, y, w, h = label.bounding_box
    corners = np.array([[x, y], [x + w, y + h]]) * scale
    if not label.has_mask:
        return Drawn("rectangle", label.label, corners, **_read_extra(label))
    mask = np.asarray(label.get_mask()).astype(bool)
    origin = np.round(corners[0])
    box = np.stack([origin, origin + mask.shape[::-1]])
    return Drawn("mask", label.label, box, mask, **_read_extra(label))


def _read_keypoint(label: fo.Keypoint, scale: NDArray[np.float64], usual: Sequence[str]) -> Drawn:
    xy = np.asarray(label.points, np.float64).reshape(-1, 2) * scale
    if _get(label, "kind") == "points":
        return Drawn("points", label.label, xy, **_read_extra(label))
    names = _get(label, "names") or usual or [str(k + 1) for k in range(len(xy))]
    scores = label.confidence if label.confidence is not None else [1.0] * len(xy)
    occluded = _get(label, "occluded") or [False] * len(xy)
    outside_px, details = _get(label, "outside_px", {}), _get(label, "point_attributes", {})
    missing = set(_get(label, "missing", ()))
    elements = []
    for name, place, score, covered in zip(names, xy, scores, occluded, strict=True):
        if name in missing:
            continue
        hidden = not np.isfinite(place).all()
        at = np.array(outside_px.get(name, (0.0, 0.0)), np.float64) if hidden else place
        elements.append(
            Drawn(
                "points",
                str(name),
                at[None],
                score=float(score),
                occluded=bool(covered),
                outside=hidden,
                attributes=details.get(name, {}),
            )
        )
    return Drawn("skeleton", label.label, elements=tuple(elements), **_read_extra(label))
