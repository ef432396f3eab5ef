"""One annotation as a document of FiftyOne's database, and exactly back.

These are the plain documents that ``Label.to_dict`` gives and ``Dataset.set_values`` takes: making FiftyOne's objects
first takes thirty times as long, which counts for 400,000 polygons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from bson import Binary, ObjectId
from numpy.typing import NDArray

from data_engineering.labels import DatasetError, fo
from quadrat import drawn, masks
from quadrat.drawn import CONFIDENCE, Drawn

Document = dict[str, Any]

FAMILY: Mapping[str, tuple[type[fo.Label], str]] = {
    "": (fo.Polylines, "polylines"),
    "_masks": (fo.Detections, "detections"),
    "_keypoints": (fo.Keypoints, "keypoints"),
    "_tags": (fo.Classifications, "classifications"),
}
"""Suffix of a field -> its kind of label, and the name of the list in it."""

_FULL_WIDTH = str.maketrans({".": "\uff0e", "$": "\uff04"})
_HALF_WIDTH = {ord(value): chr(key) for key, value in _FULL_WIDTH.items()}
_SUFFIXES = {
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


def suffix_of(one: Drawn) -> str:
    """Which field of the family holds an annotation: a key of `FAMILY`."""
    return "" if one.kind == "rectangle" and one.rotation else _SUFFIXES[one.kind]


def attribute_key(name: str) -> str:
    """A field name of FiftyOne's for an attribute; what its database keeps for itself is written full width."""
    return "attribute_" + name.translate(_FULL_WIDTH)


def to_document(one: Drawn, size_wh: tuple[int, int], sublabels: Mapping[str, Sequence[str]]) -> Document:
    """An annotation as the document of a label.

    Args:
        one: the annotation.
        size_wh: of its photo in px.
        sublabels: skeleton label -> names of its points in order.
    """
    suffix, scale = suffix_of(one), np.array(size_wh, np.float64)
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
    extra = {attribute_key(name): value for name, value in one.attributes.items()}
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
        document["mask"] = Binary(fo.core.utils.serialize_numpy_array(np.asarray(one.mask)))
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
    sources = {p.label: p.source for p in points.values() if p.source != one.source}  # a human moved some points
    more = {"point_attributes": details, "point_sources": sources}
    return document | {key: value for key, value in more.items() if value}


def read_document(document: Document, size_wh: tuple[int, int], names: Sequence[str] = ()) -> Iterator[Drawn]:
    """What one field of one sample holds.

    Args:
        document: of FiftyOne's label, as ``Label.to_dict`` gives it.
        size_wh: of the photo in px.
        names: of points, where keypoints do not name their own.

    Raises:
        DatasetError: labels of another kind than those of `FAMILY`.
    """
    scale = np.array(size_wh, np.float64)
    kind = document["_cls"]
    if kind == "Polylines":
        yield from (shape for one in document["polylines"] for shape in _read_polyline(one, scale))
    elif kind == "Detections":
        yield from (_read_detection(one, scale) for one in document["detections"])
    elif kind == "Keypoints":
        yield from (_read_keypoint(one, scale, names) for one in document["keypoints"])
    elif kind == "Classifications":
        yield from (Drawn("tag", one["label"], **_read_extra(one)) for one in document["classifications"])
    else:
        expected = ", ".join(kind.__name__ for kind, _ in FAMILY.values())
        raise DatasetError(f"labels of kind {kind}: expected {expected}")


def _get(label: Document, name: str, default: Any) -> Any:
    value = label.get(name)
    return default if value is None else value


def _read_extra(label: Document) -> Document:
    attributes = {
        key.removeprefix("attribute_").translate(_HALF_WIDTH): str(value)
        for key, value in label.items()
        if key.startswith("attribute_") and value is not None
    }
    score = label.get("score")
    if score is None and CONFIDENCE not in attributes:
        confidence = label.get("confidence")
        score = confidence if isinstance(confidence, (int, float)) else None
    return {
        "attributes": attributes,
        "id": label.get("cvat_id"),
        "group": _get(label, "group", 0),
        "occluded": _get(label, "all_occluded" if label["_cls"] == "Keypoint" else "occluded", False),
        "source": _get(label, "source", "manual"),
        "z_order": _get(label, "z_order", 0),
        "rotation": _get(label, "rotation", 0.0),
        "score": 1.0 if score is None else min(max(float(score), 0.0), 1.0),
    }


def _read_polyline(label: Document, scale: NDArray[np.float64]) -> Iterator[Drawn]:
    extra = _read_extra(label)
    exact = label.get("exact_px")
    if exact is not None:
        one = Drawn(label["kind"], label["label"], np.array(exact, np.float64), **extra)
        if _is_outline(label, one, scale):
            yield one
            return
    kind = "polygon" if label.get("closed") or label.get("filled") else "polyline"
    rings = [np.array(points, np.float64).reshape(-1, 2) * scale for points in label.get("points") or ()]
    rings = [ring for ring in rings if len(ring) >= drawn.FEWEST_POINTS[kind]]
    if len(rings) > 1 and kind == "polygon":
        yield _of_rings(label["label"], rings, scale, extra)
        return
    yield from (Drawn(kind, label["label"], ring, **extra) for ring in rings)


def _is_outline(label: Document, one: Drawn, scale: NDArray[np.float64]) -> bool:
    """Whether a polyline is still what was made of an ellipse or the like: nobody moved its points in the app."""
    known = _polyline(one, scale)["points"][0]
    points = (label.get("points") or [()])[0]
    return len(points) == len(known) and np.allclose(points, known, rtol=0, atol=1e-6)


def _of_rings(name: str, rings: list[NDArray[np.float64]], scale: NDArray[np.float64], extra: Document) -> Drawn:
    """Further rings of a polyline are holes or parts by the even-odd rule: a mask holds both."""
    instance = masks.instance_from_rings(name, rings, (int(scale[0]), int(scale[1])), 1.0, {})
    if instance is None:
        return Drawn("polygon", name, rings[0], **extra)
    return Drawn("mask", name, np.array(instance.xyxy_px, float).reshape(2, 2), instance.mask, **extra)


def _read_detection(label: Document, scale: NDArray[np.float64]) -> Drawn:
    x, y, w, h = label["bounding_box"]
    corners = np.array([[x, y], [x + w, y + h]]) * scale
    if label.get("mask") is not None:
        mask = fo.core.utils.deserialize_numpy_array(label["mask"]).astype(bool)
    elif label.get("mask_path"):
        mask = np.asarray(fo.Detection(mask_path=label["mask_path"]).get_mask()).astype(bool)
    else:
        return Drawn("rectangle", label["label"], corners, **_read_extra(label))
    origin = np.round(corners[0])
    return Drawn("mask", label["label"], np.stack([origin, origin + mask.shape[::-1]]), mask, **_read_extra(label))


def _read_keypoint(label: Document, scale: NDArray[np.float64], usual: Sequence[str]) -> Drawn:
    xy = np.array(label["points"], np.float64).reshape(-1, 2) * scale
    if label.get("kind") == "points":
        return Drawn("points", label["label"], xy, **_read_extra(label))
    names = label.get("names") or usual or [str(k + 1) for k in range(len(xy))]
    scores = label.get("confidence") or [1.0] * len(xy)
    covered = label.get("occluded") or [False] * len(xy)
    missing, outside_px = set(label.get("missing") or ()), label.get("outside_px") or {}
    details, sources = label.get("point_attributes") or {}, label.get("point_sources") or {}
    extra = _read_extra(label)
    elements = []
    for name, place, score, occluded in zip(names, xy, scores, covered, strict=True):
        if name in missing:
            continue
        hidden = not np.isfinite(place).all()
        at = np.array(outside_px.get(name, (0.0, 0.0)), np.float64) if hidden else place
        flags = {"occluded": bool(occluded), "outside": hidden, "attributes": details.get(name, {})}
        flags["source"] = sources.get(name, extra["source"])
        elements.append(Drawn("points", str(name), at[None], score=float(score), **flags))
    return Drawn("skeleton", label["label"], elements=tuple(elements), **extra)
