"""COCO: one JSON file for many photos; instances as exact run lengths or polygons, keypoints as COCO has them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quadrat import masks, rle
from quadrat.files import write_json
from quadrat.shapes import Annotations, Instance, Keypoints, Shape


def write(path: str | Path, photos: Iterable[Annotations], *, polygons: bool = False) -> None:
    """Write `photos` to one COCO file, whole or not at all.

    Args:
        path: the file.
        photos: what to write.
        polygons: write instances without holes as exact polygons instead of compressed run lengths (some readers take
            no run lengths); those with holes stay run lengths, since COCO's polygons cannot say a hole.
    """
    write_json(path, to_dict(photos, polygons=polygons), indent=None)


def to_dict(photos: Iterable[Annotations], *, polygons: bool = False) -> dict[str, Any]:
    """`photos` as COCO's dictionary; ids count from 1, categories in the order of their names.

    Raises:
        ValueError: keypoints of one label have points of different names, for which COCO has no place.
    """
    photos = list(photos)
    shapes = [shape for photo in photos for shape in photo.shapes]
    categories = _categories(shapes)
    number = {category["name"]: category["id"] for category in categories}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, photo in enumerate(photos, 1):
        width, height = photo.size_wh
        images.append({"id": image_id, "file_name": photo.image, "width": width, "height": height})
        for shape in photo.shapes:
            entry = _instance(shape, photo, polygons) if isinstance(shape, Instance) else _keypoints(shape)
            head = {"id": len(annotations) + 1, "image_id": image_id, "category_id": number[shape.label]}
            facts = {"score": round(float(shape.score), 6), "attributes": dict(shape.attributes)}
            annotations.append({**head, **entry, **facts, "iscrowd": 0})
    return {"info": {"version": "1.0"}, "images": images, "categories": categories, "annotations": annotations}


def _categories(shapes: Sequence[Shape]) -> list[dict[str, Any]]:
    points: dict[str, tuple[str, ...]] = {}
    for shape in shapes:
        if isinstance(shape, Keypoints) and points.setdefault(shape.label, shape.names) != shape.names:
            raise ValueError(f"keypoints {shape.label!r} have points of different names: expected the same in all")
    categories = []
    for identity, label in enumerate(sorted({shape.label for shape in shapes}), 1):
        more = {"keypoints": list(points[label]), "skeleton": []} if label in points else {}
        categories.append({"id": identity, "name": label, "supercategory": "", **more})
    return categories


def _instance(shape: Instance, photo: Annotations, polygons: bool) -> dict[str, Any]:
    x0, y0, x1, y1 = shape.xyxy_px
    parts = masks.instance_to_parts(shape) if polygons else []
    plain = polygons and all(len(part) == 1 for part in parts)
    return {
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": shape.area_px,
        "segmentation": [p[0].ravel().tolist() for p in parts] if plain else rle.encode(shape, photo.size_wh),
    }


def _keypoints(shape: Keypoints) -> dict[str, Any]:
    seen = np.asarray(shape.visibility)
    xy = shape.xy_px[seen > 0] if (seen > 0).any() else np.zeros((1, 2))
    (x0, y0), (x1, y1) = xy.min(0), xy.max(0)
    points = np.column_stack([np.where(seen[:, None] > 0, shape.xy_px, 0), seen])
    return {
        "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)],
        "area": float((x1 - x0) * (y1 - y0)),
        "segmentation": [],
        "keypoints": [float(v) for v in points.ravel()],
        "num_keypoints": int((seen > 0).sum()),
    }


def read(path: str | Path) -> list[Annotations]:
    """Read a COCO file: polygons, run lengths and keypoints.

    Several polygons of one annotation are its parts and are united, as pycocotools does. An annotation with neither
    segmentation nor keypoints counts as its box.

    Raises:
        ValueError: the file is not COCO or damaged; the message begins with the path.
    """
    try:
        return from_dict(json.loads(Path(path).read_text("utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a readable COCO file ({type(error).__name__}: {error})") from error


def from_dict(raw: Mapping[str, Any]) -> list[Annotations]:
    """The inverse of `to_dict`, for anybody's COCO."""
    categories = {entry["id"]: entry for entry in raw["categories"]}
    shapes: dict[int, list[Shape]] = {image["id"]: [] for image in raw["images"]}
    sizes = {image["id"]: (int(image["width"]), int(image["height"])) for image in raw["images"]}
    for entry in raw["annotations"]:
        shape = _read_shape(entry, categories[entry["category_id"]], sizes[entry["image_id"]])
        if shape is not None:
            shapes[entry["image_id"]].append(shape)
    return [Annotations(i["file_name"], sizes[i["id"]], tuple(shapes[i["id"]])) for i in raw["images"]]


def _read_shape(entry: Mapping[str, Any], category: Mapping[str, Any], size_wh: tuple[int, int]) -> Shape | None:
    label, score = category["name"], float(entry.get("score", 1.0))
    attributes = entry.get("attributes") or {}
    if entry.get("keypoints") and category.get("keypoints"):
        rows = np.asarray(entry["keypoints"], np.float64).reshape(-1, 3)
        return Keypoints(
            label, tuple(category["keypoints"]), rows[:, :2], rows[:, 2].astype(np.uint8), None, score, attributes
        )
    segmentation = entry.get("segmentation") or _box_ring(entry["bbox"])
    if isinstance(segmentation, Mapping):
        return rle.decode(segmentation, label, score, attributes)
    full = [masks.instance_from_rings(label, [np.reshape(p, (-1, 2))], size_wh, score) for p in segmentation]
    return masks.unite([part for part in full if part is not None], score, attributes)


def _box_ring(bbox: Sequence[float]) -> list[list[float]]:
    x, y, w, h = bbox
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]
