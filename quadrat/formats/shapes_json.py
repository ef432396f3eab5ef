"""Shapes JSON: one photo's shapes in one small file, exact to the pixel.

    {"format": "quadratseg-shapes", "version": 1, "image": "a.jpg", "size_wh": [W, H], "meta": {...}, "shapes": [
      {"type": "instance", "label": "Porites", "score": 0.9, "xyxy_px": [x0, y0, x1, y1], "runs": [...]},
      {"type": "keypoints", "label": "grid", "score": 1, "points": [[name, x, y, visibility, score], ...]}]}

``runs`` are the row-major run lengths of the mask inside the box, beginning with the (perhaps empty) run of false.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from quadrat.files import write_json
from quadrat.rle import runs_of, runs_to_bits
from quadrat.shapes import Annotations, Instance, Keypoints, Shape

FORMAT, VERSION = "quadratseg-shapes", 1


def write(path: str | Path, annotations: Annotations) -> None:
    """Write `annotations` to `path`, whole or not at all."""
    write_json(path, to_dict(annotations), indent=None)


def read(path: str | Path) -> Annotations:
    """Read a shapes JSON file.

    Raises:
        ValueError: the file is not of this format, of a newer version, or damaged; the message begins with the path.
    """
    try:
        return from_dict(json.loads(Path(path).read_text("utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a readable shapes JSON file ({type(error).__name__}: {error})") from error


def to_dict(annotations: Annotations) -> dict[str, object]:
    """`annotations` as JSON-able values."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "image": annotations.image,
        "size_wh": list(annotations.size_wh),
        "meta": dict(annotations.meta),
        "shapes": [_shape_to_dict(shape) for shape in annotations.shapes],
    }


def from_dict(raw: Mapping[str, object]) -> Annotations:
    """The inverse of `to_dict`.

    Raises:
        ValueError, KeyError, TypeError: what is there is not what `to_dict` gives.
    """
    if not isinstance(raw, Mapping) or raw.get("format") != FORMAT or raw.get("version") != VERSION:
        raise ValueError(f'expected "format": "{FORMAT}" and "version": {VERSION}')
    shapes, size, meta = raw["shapes"], raw["size_wh"], raw.get("meta", {})
    if not isinstance(shapes, list) or not isinstance(size, list) or len(size) != 2 or not isinstance(meta, dict):
        raise TypeError("expected shapes as a list, size_wh as two numbers, meta as an object")
    return Annotations(str(raw["image"]), (size[0], size[1]), tuple(_shape_from_dict(shape) for shape in shapes), meta)


def _shape_to_dict(shape: Shape) -> dict[str, object]:
    common = {"label": shape.label, "score": round(float(shape.score), 6), "attributes": dict(shape.attributes)}
    if isinstance(shape, Instance):
        runs = runs_of(shape.mask.ravel()).tolist()
        return {"type": "instance", **common, "xyxy_px": list(shape.xyxy_px), "runs": runs}
    assert shape.visibility is not None
    assert shape.scores is not None
    rows = zip(shape.names, shape.xy_px.tolist(), shape.visibility.tolist(), shape.scores.tolist(), strict=True)
    points = [[name, round(x, 4), round(y, 4), seen, round(score, 6)] for name, (x, y), seen, score in rows]
    return {"type": "keypoints", **common, "points": points}


def _shape_from_dict(raw: Mapping[str, object]) -> Shape:
    if not isinstance(raw, Mapping):
        raise TypeError(f"a shape is {type(raw).__name__}: expected an object")
    reader = _READERS.get(str(raw["type"]))
    if reader is None:
        raise ValueError(f"type is {raw['type']!r}: expected one of {', '.join(_READERS)}")
    return reader(raw)


def _read_instance(raw: Mapping[str, object]) -> Instance:
    box = raw["xyxy_px"]
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"xyxy_px is {box!r}: expected four numbers")
    bits = runs_to_bits(np.asarray(raw["runs"], np.int64))
    height, width = int(box[3]) - int(box[1]), int(box[2]) - int(box[0])
    if bits.size != height * width:
        raise ValueError(f"runs add up to {bits.size} px: expected {width} x {height} of box {box}")
    return Instance(
        str(raw["label"]), (box[0], box[1], box[2], box[3]), bits.reshape(height, width), _score(raw), _attributes(raw)
    )


def _read_keypoints(raw: Mapping[str, object]) -> Keypoints:
    points = raw["points"]
    if not isinstance(points, list) or not points:
        raise ValueError("points is empty: expected [[name, x, y, visibility, score], ...]")
    names, x, y, visibility, scores = zip(*points, strict=True)
    return Keypoints(
        str(raw["label"]),
        tuple(str(name) for name in names),
        np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], 1),
        np.asarray(visibility, np.uint8),
        np.asarray(scores, np.float64),
        _score(raw),
        _attributes(raw),
    )


_READERS: dict[str, Callable[[Mapping[str, object]], Shape]] = {
    "instance": _read_instance,
    "keypoints": _read_keypoints,
}


def _score(raw: Mapping[str, object]) -> float:
    return float(str(raw.get("score", 1.0)))


def _attributes(raw: Mapping[str, object]) -> dict[str, str]:
    attributes = raw.get("attributes", {})
    if not isinstance(attributes, dict):
        raise TypeError(f"attributes is {type(attributes).__name__}: expected an object")
    return attributes
