"""CVAT XML ("CVAT for images 1.1"): what CVAT exports and imports.

A colony is written as polygons (one for each part, tied by ``group_id``; a polygon cannot say a hole) or, exact in all
cases, as a mask. The score travels as the attribute ``confidence``, 0 to 100.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import cv2
import numpy as np

from quadrat import cvat_labels, masks, rle
from quadrat.files import write_bytes
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Instance, Keypoints, Shape

CONFIDENCE = "confidence"


def write(path: str | Path, photos: Iterable[Annotations], *, as_masks: bool = False) -> None:
    """Write `photos` to one CVAT XML file, whole or not at all.

    Args:
        path: the file.
        photos: what to write, in the order of the task's frames.
        as_masks: write instances as masks, holes kept, instead of exact polygons.
    """
    photos = list(photos)
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    _write_labels(SubElement(SubElement(SubElement(root, "meta"), "task"), "labels"), photos, as_masks)
    for number, photo in enumerate(photos):
        width, height = photo.size_wh
        image = SubElement(root, "image", id=str(number), name=photo.image, width=str(width), height=str(height))
        for group, shape in enumerate(photo.shapes, 1):
            for element in _elements(shape, group, as_masks):
                image.append(element)
    ElementTree.indent(root)
    write_bytes(path, ElementTree.tostring(root, "utf-8", xml_declaration=True))


def _write_labels(labels: Element, photos: Sequence[Annotations], as_masks: bool) -> None:
    kinds: dict[str, Shape] = {shape.label: shape for photo in photos for shape in photo.shapes}
    for name, example in sorted(kinds.items()):
        kind = "skeleton" if isinstance(example, Keypoints) else "mask" if as_masks else "polygon"
        _write_label(labels, name, kind)
        if isinstance(example, Keypoints):
            for point in example.names:
                SubElement(_write_label(labels, point, "points"), "parent").text = name


def _write_label(labels: Element, name: str, kind: str) -> Element:
    label = SubElement(labels, "label")
    SubElement(label, "name").text = name
    SubElement(label, "color").text = cvat_labels.colour(name)
    SubElement(label, "type").text = kind
    attributes = SubElement(label, "attributes")
    if kind != "points":
        attribute = SubElement(attributes, "attribute")
        SubElement(attribute, "name").text = CONFIDENCE
        SubElement(attribute, "mutable").text = "True"
        SubElement(attribute, "input_type").text = "number"
        SubElement(attribute, "default_value").text = "100"
        SubElement(attribute, "values").text = "0\n100\n1"
    return label


def _elements(shape: Shape, group: int, as_masks: bool) -> Iterator[Element]:
    if isinstance(shape, Keypoints):
        yield _with_attributes(_skeleton(shape), shape)
    elif as_masks:
        yield _with_attributes(_mask(shape), shape)
    else:
        outers = [part[0] for part in masks.instance_to_parts(shape)]
        for ring in outers:
            tie = {"group_id": str(group)} if len(outers) > 1 else {}
            yield _with_attributes(Element("polygon", {**_head(shape), "points": _points(ring), **tie}), shape)


def _head(shape: Shape) -> dict[str, str]:
    return {"label": shape.label, "source": "auto", "occluded": "0", "z_order": "0"}


def _points(xy: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in xy)


def _mask(shape: Instance) -> Element:
    x0, y0, x1, y1 = shape.xyxy_px
    box = {"left": str(x0), "top": str(y0), "width": str(x1 - x0), "height": str(y1 - y0)}
    return Element("mask", {**_head(shape), "rle": ", ".join(map(str, rle.runs_of(shape.mask.ravel()))), **box})


def _skeleton(shape: Keypoints) -> Element:
    skeleton = Element("skeleton", {"label": shape.label, "source": "auto", "z_order": "0"})
    assert shape.visibility is not None
    for name, xy, seen in zip(shape.names, shape.xy_px, shape.visibility, strict=True):
        flags = {"outside": str(int(seen == HIDDEN)), "occluded": str(int(seen == OCCLUDED))}
        SubElement(skeleton, "points", {"label": name, "source": "auto", **flags, "points": _points(xy[None])})
    return skeleton


def _with_attributes(element: Element, shape: Shape) -> Element:
    for name, value in {**shape.attributes, CONFIDENCE: str(round(100 * shape.score))}.items():
        SubElement(element, "attribute", name=name).text = value
    return element


# ---------------------------------------------------------------------------------------------- reading


def read(path: str | Path) -> list[Annotations]:
    """Read a CVAT XML file.

    Polygons, masks, boxes and ellipses (turned ones too) become instances, polygons of one label and group one
    instance; skeletons become keypoints, their points in the order of the label. Tags, polylines, single points and
    cuboids have no place here: ``meta["skipped"]`` counts them by kind.

    Raises:
        ValueError: the file is not CVAT XML or damaged; the message begins with the path.
    """
    try:
        root = ElementTree.parse(path).getroot()
        if root.tag != "annotations":
            raise ValueError(f"its root is <{root.tag}>, expected <annotations>")
        names = _sublabels(root)
        return [_read_photo(image, names) for image in root.iter("image")]
    except (ElementTree.ParseError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a readable CVAT XML file ({type(error).__name__}: {error})") from error


def _sublabels(root: Element) -> dict[str, list[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    for label in root.iter("label"):
        parent = label.findtext("parent")
        if parent:
            names[parent].append(label.findtext("name", ""))
    return names


def _read_photo(image: Element, sublabels: dict[str, list[str]]) -> Annotations:
    size_wh = int(image.attrib["width"]), int(image.attrib["height"])
    shapes: list[Shape] = []
    grouped: dict[tuple[str, str], list[Instance]] = {}
    skipped: Counter[str] = Counter()
    for element in image:
        if element.tag == "skeleton":
            shapes.append(_read_skeleton(element, sublabels.get(element.attrib["label"], [])))
        elif element.tag in _INSTANCE_READERS:
            instance = _read_instance(element, size_wh)
            group = element.get("group_id", "0")
            if instance is not None and group != "0" and element.tag == "polygon":
                grouped.setdefault((instance.label, group), []).append(instance)
            elif instance is not None:
                shapes.append(instance)
        else:
            skipped[element.tag] += 1
    for parts in grouped.values():
        united = masks.unite(parts, parts[0].score, parts[0].attributes)
        if united is not None:
            shapes.append(united)
    meta = {"skipped": dict(skipped)} if skipped else {}
    return Annotations(image.attrib["name"], size_wh, tuple(shapes), meta)


def _read_instance(element: Element, size_wh: tuple[int, int]) -> Instance | None:
    attributes = {a.attrib["name"]: a.text or "" for a in element.iter("attribute")}
    score = _score(attributes.pop(CONFIDENCE, None))
    label = element.attrib["label"]
    if element.tag == "mask":
        return _read_mask(element, label, score, attributes)
    ring = _INSTANCE_READERS[element.tag](element)
    return masks.instance_from_rings(label, [ring], size_wh, score, attributes)


def _score(confidence: str | None) -> float:
    try:
        return min(max(float(confidence or 100) / 100, 0.0), 1.0)
    except ValueError:
        return 1.0


def _read_mask(element: Element, label: str, score: float, attributes: dict[str, str]) -> Instance | None:
    left, top, width, height = (int(element.attrib[k]) for k in ("left", "top", "width", "height"))
    bits = rle.runs_to_bits([int(run) for run in element.attrib["rle"].split(",")])
    if bits.size != width * height:
        raise ValueError(f"mask of {label!r}: runs add up to {bits.size} px, expected {width} x {height}")
    return masks.instance_from_mask(label, bits.reshape(height, width), (left, top), score, attributes)


def _read_points(text: str) -> masks.Ring:
    return np.array([[float(v) for v in pair.split(",")] for pair in text.split(";")], np.float64)


def _read_polygon(element: Element) -> masks.Ring:
    return _read_points(element.attrib["points"])


def _read_box(element: Element) -> masks.Ring:
    x0, y0, x1, y1 = (float(element.attrib[k]) for k in ("xtl", "ytl", "xbr", "ybr"))
    return _rotated(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), element)


def _read_ellipse(element: Element) -> masks.Ring:
    cx, cy, rx, ry = (float(element.attrib[k]) for k in ("cx", "cy", "rx", "ry"))
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    return _rotated(np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], 1), element)


def _rotated(ring: masks.Ring, element: Element) -> masks.Ring:
    """Turn by CVAT's rotation: degrees clockwise on the screen about the centre."""
    centre = (ring.min(0) + ring.max(0)) / 2
    turn = cv2.getRotationMatrix2D((0, 0), -float(element.get("rotation", 0)), 1.0)[:, :2]
    return np.asarray((ring - centre) @ turn.T + centre, np.float64)


_INSTANCE_READERS = {"polygon": _read_polygon, "box": _read_box, "ellipse": _read_ellipse, "mask": _read_polygon}


def _read_skeleton(element: Element, order: list[str]) -> Keypoints:
    points = {p.attrib["label"]: p for p in element.iter("points")}
    names = [name for name in order if name in points] or sorted(points, key=_natural)
    visibility = [
        HIDDEN if points[n].get("outside") == "1" else OCCLUDED if points[n].get("occluded") == "1" else VISIBLE
        for n in names
    ]
    attributes = {a.attrib["name"]: a.text or "" for a in element.findall("attribute")}
    score = _score(attributes.pop(CONFIDENCE, None))
    xy = np.concatenate([_read_points(points[name].attrib["points"])[:1] for name in names])
    return Keypoints(element.attrib["label"], tuple(names), xy, np.array(visibility, np.uint8), None, score, attributes)


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 30, name)
