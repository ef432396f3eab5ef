"""A project of TagLab, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_engineering.formats.collection import Collection
from data_engineering.formats.losses import Losses
from quadrat import cvat_labels, files, masks
from quadrat.drawn import Drawn, DrawnPhoto, Labels, outline, to_instance

CENTRE = 0.5
"""px that TagLab, which counts from the centre of the top-left pixel, says less."""

EMPTY = "Empty"
"""TagLab's class of regions without one; every project has it."""

NOTE, INSTANCE = "note", "instance name"
"""Attributes that have fields of their own."""

FACTS = {
    "taglab_mm_per_px": "map_px_to_mm_factor",
    "taglab_date": "acquisition_date",
    "taglab_georef": "georef_filename",
}
"""Fact of a photo -> TagLab's field."""

PROJECT = "taglab.json"
_NO_DATE = "1955-11-05"  # TagLab's own for a map without one; it must have one
_EDGE = 0.1  # px from a pixel's edge at which TagLab's contours of masks run, so that rounding gives the pixel
_MARGIN = 4  # px that TagLab leaves around a contour


def write(collection: Collection, out: str | Path) -> Losses:
    """Write a project, whole or not at all.

    Photos stay where they are: the project names their paths. An object of several parts becomes several regions, since
    a region is one piece. Outlines of masks run 0.1 px inside the pixels' edges, as TagLab draws them.

    Args:
        collection: what to write.
        out: a name that ends in ``.json``, or a folder that gets a ``taglab.json``.

    Returns:
        A count of what TagLab has no place for.
    """
    out, losses, photos = Path(out), Losses(), list(collection.photos)
    out = out if out.suffix.lower() == ".json" else out / PROJECT
    project = {
        "filename": str(out),
        "working_area": None,
        "dictionary_name": collection.name or "quadratseg",
        "dictionary_description": "",
        "labels": _labels(collection.labels, photos, losses),
        "images": [_image(photo, losses) for photo in photos],
        "correspondences": {},
        "genet": {},
        "region_attributes": {"name": "", "description": "", "data": _attributes(photos)},
        "spatial_reference_system": None,
        "metadata": {},
        "image_metadata_template": {},
    }
    files.write_json(out, project)
    return losses


def hexadecimal(fill: Sequence[int]) -> str:
    """``#rrggbb`` of red, green, blue."""
    return "#" + "".join(f"{min(max(int(value), 0), 255):02x}" for value in fill[:3])


def _labels(labels: Labels, photos: Sequence[DrawnPhoto], losses: Losses) -> dict[str, Any]:
    losses.add("label's definition of an attribute", sum(len(label.get("attributes") or ()) for label in labels))
    colours = {str(label["name"]): str(label.get("color") or "") for label in labels}
    for label in dict.fromkeys(one.label for photo in photos for one in photo.drawn):
        colours.setdefault(label, "")
    made = {EMPTY: _label(EMPTY, "#7f7f7f")}
    return made | {name: _label(name, colour or cvat_labels.colour(name)) for name, colour in colours.items()}


def _label(name: str, colour: str) -> dict[str, Any]:
    fill = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return {"id": name, "name": name, "description": None, "fill": fill, "border": [200, 200, 200], "visible": True}


def _attributes(photos: Sequence[DrawnPhoto]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for photo in photos for one in photo.drawn for name in one.attributes)
    return [{"name": name, "type": "string"} for name in names if name not in (NOTE, INSTANCE)]


def _image(photo: DrawnPhoto, losses: Losses) -> dict[str, Any]:
    losses.of_photo(photo)
    losses.add("photo's file", int(photo.path is None))
    regions: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    for one in photo.drawn:
        rings = _regions(one, photo.size_wh, losses)
        if rings or one.kind == "points":
            losses.of_shape(one, ("attributes", "rotation"))
        regions += [_region(one, part, len(regions) + k) for k, part in enumerate(rings)]
        if one.kind == "points":
            losses.add("points that belong together", len(one.xy_px) - 1)
            points += [_point(one, xy, len(points) + k) for k, xy in enumerate(one.xy_px)]
    width, height = photo.size_wh
    told = {key: photo.facts[fact] for fact, key in FACTS.items() if fact in photo.facts}
    return {
        "rect": [0.0, 0.0, 0.0, 0.0],
        "map_px_to_mm_factor": str(told.get("map_px_to_mm_factor", "1")),
        "width": width,
        "height": height,
        "annotations": {"regions": regions, "points": points},
        "layers": [],
        "channels": [{"filename": str(photo.path.resolve()) if photo.path else photo.name, "type": "RGB"}],
        "id": photo.name,
        "name": photo.name,
        "workspace": [],
        "export_dataset_area": [],
        "acquisition_date": told.get("acquisition_date", _NO_DATE),
        "georef_filename": told.get("georef_filename", ""),
        "metadata": {},
        "grid": None,
    }


def _regions(one: Drawn, size_wh: tuple[int, int], losses: Losses) -> list[masks.Part]:
    """Pieces of a shape, each its outer ring and its holes."""
    if one.kind == "mask":
        instance = to_instance(one, size_wh)
        parts = masks.instance_to_parts(instance) if instance else []
        losses.add("mask without a pixel in the photo", int(instance is None))
        losses.add("mask in pieces", int(len(parts) > 1))
        losses.add("mask as polygon", sum(len(part) == 1 for part in parts))
        return [[_within(ring, _EDGE if ring is part[0] else -_EDGE) for ring in part] for part in parts]
    ring = outline(one)
    if ring is not None:
        if one.kind != "polygon":
            losses.add(f"{one.kind} as polygon")
        return [[ring]]
    if one.kind != "points":
        losses.add(one.kind)
    return []


def _within(ring: masks.Ring, px: float) -> masks.Ring:
    """A ring along pixel edges moved towards its right hand, where the mask is; away from it where `px` is negative."""
    ahead = np.sign(np.roll(ring, -1, axis=0) - ring)
    right = np.stack([-ahead[:, 1], ahead[:, 0]], 1)
    return ring + px * (right + np.roll(right, 1, axis=0))


def _region(one: Drawn, part: masks.Part, number: int) -> dict[str, Any]:
    rings = [np.round(ring - CENTRE, 4) for ring in part]
    low, high = np.floor(rings[0].min(0)).astype(int), np.ceil(rings[0].max(0)).astype(int)
    (left, top), (width, height) = (low - _MARGIN).tolist(), (high - low + 2 * _MARGIN).tolist()
    x, y = (rings[0].min(0) + rings[0].max(0)) / 2
    area = abs(masks.signed_area(rings[0])) - sum(abs(masks.signed_area(ring)) for ring in rings[1:])
    around = [float(np.hypot(*(np.roll(ring, -1, axis=0) - ring).T).sum()) for ring in rings]
    outer, *inner = [np.concatenate([ring, ring[:1]]).tolist() for ring in rings]
    return {
        "bbox": [top, left, width, height],
        "centroid": [round(float(x), 1), round(float(y), 1)],
        "area": round(area, 1),
        "perimeter": round(sum(around), 1),
        "contour": outer,
        "inner contours": inner,
        "class name": one.label,
        "instance name": one.attributes.get(INSTANCE, f"coral{number}"),
        "blob name": f"c-{number}-{x:.1f}x-{y:.1f}y",
        "id": number,
        "note": one.attributes.get(NOTE, ""),
        "data": _data(one.attributes),
    }


def _point(one: Drawn, xy: np.ndarray[Any, np.dtype[np.float64]], number: int) -> dict[str, Any]:
    x, y = np.round(xy - CENTRE, 4).tolist()
    head = {"Id": number, "X": x, "Y": y, "Class": one.label, "Note": one.attributes.get(NOTE, "")}
    return {**head, "Data": _data(one.attributes, (NOTE,))}


def _data(attributes: Mapping[str, str], elsewhere: Sequence[str] = (NOTE, INSTANCE)) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if name not in elsewhere}
