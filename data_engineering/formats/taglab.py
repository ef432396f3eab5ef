"""TagLab's project files: regions and points on large photos, in one JSON.

What was read of the format: TagLab's sources of 2020 to 2025 (``Project``, ``Image``, ``Annotation``, ``Blob``,
``Point``, ``Label``, ``Channel``) and projects that it wrote, in its three layouts: regions in ``annotations.regions``
beside ``annotations.points``, regions as the list ``annotations``, and the single map of the first versions
(``Segmentation Data``). TagLab itself could not be started here: that it opens what is written is what its sources say.

TagLab counts from the centre of the top-left pixel, half a pixel less than here. A contour is text, ten times x and y
as differences to the point before, or a list of points, which its reader takes too and which is written here, since it
is exact; TagLab rounds to 0.1 px when it saves. A region is one outer ring and perhaps holes; with holes it is read as
a mask, since a polygon cannot say them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from data_engineering.formats import folders, taglab_written
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.formats.taglab_written import CENTRE, EMPTY, FACTS, INSTANCE, NOTE, write
from quadrat import masks
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.drawn_labels import Seen

__all__ = ["read", "write"]

Raw = Mapping[str, Any]

_OWN_NAMES = re.compile(r"noname|coral-?\d+")
"""What TagLab calls an instance that nobody has named."""


def read(path: str | Path, *, photos: Sequence[Path] = (), extract_to: Path | None = None) -> Collection:
    """Read a project.

    Args:
        path: the project's JSON; a folder, or an archive, with one in it.
        photos: folders with the photos, where they are not where the project says.
        extract_to: folder for what an archive holds; without it a photo inside one has no path.

    Returns:
        A photo for each map, with its scale and date as facts (`FACTS`); notes and instance names are attributes.

    Raises:
        FormatError: no project of TagLab, or damaged; the message names the file and the place in it.
    """
    path = Path(path)
    with folders.unpacked(path, extract_to, with_photos=True) as tree:
        file = _project_file(tree.root, path)
        project = _load(file, path)
        finder = folders.Finder(photos, [file.parent], path)
        found = tree.settled(_photo(raw, f"{path}: images[{at}]", finder) for at, raw in enumerate(project["images"]))
    labels = [raw for raw in project["labels"].values() if isinstance(raw, dict) and raw.get("name")]
    used = {one.label for photo in found for one in photo.drawn}
    names = [str(raw["name"]) for raw in labels if raw["name"] != EMPTY or EMPTY in used]
    colours = {str(raw["name"]): taglab_written.hexadecimal(raw["fill"]) for raw in labels if raw.get("fill")}
    return Collection(found, Seen(names=names, colours=colours).of(found), path.stem)


def _project_file(root: Path, source: Path) -> Path:
    if root.is_file():
        return root
    listed = sorted(root.glob("*.json"))
    if len(listed) != 1:
        raise FormatError(f"{source}: {len(listed)} files *.json in it: give the project's own")
    return listed[0]


def _load(file: Path, source: Path) -> Raw:
    try:
        raw = json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise FormatError(f"{source}: cannot be read as JSON ({error}): save the project again") from error
    if isinstance(raw, dict) and "Map File" in raw:
        scale, regions = raw.get("Map Scale", 1.0), raw.get("Segmentation Data", [])
        channels = [{"filename": raw["Map File"], "type": "RGB"}]
        image = {"channels": channels, "annotations": regions, "map_px_to_mm_factor": scale}
        return {"images": [image], "labels": {}}
    if not isinstance(raw, dict) or not isinstance(raw.get("images"), list):
        raise FormatError(f"{source}: no list images: expected a project of TagLab")
    labels = raw.get("labels") or {}
    return {"images": raw["images"], "labels": labels if isinstance(labels, dict) else dict(enumerate(labels))}


def _photo(raw: Raw, where: str, finder: folders.Finder) -> DrawnPhoto:
    channels = raw.get("channels") if isinstance(raw, dict) else None
    named = [
        c["filename"] for c in channels or () if isinstance(c, dict) and c.get("type") == "RGB" and c.get("filename")
    ]
    if not named:
        raise FormatError(f"{where}.channels: no photo (type RGB) with a filename: save the project again")
    name = _name(raw, str(named[0]))
    absolute = Path(str(named[0]))
    path = absolute if absolute.is_absolute() and absolute.is_file() else finder.find(_name({}, str(named[0])))
    size_wh = folders.size_of(raw, path, where)
    annotations = raw.get("annotations") or {}
    lists = annotations if isinstance(annotations, dict) else {"regions": annotations}
    drawn: list[Drawn] = []
    problems: list[str] = []
    for kind, make in (("regions", _region), ("points", _point)):
        for at, one in enumerate(lists.get(kind) or ()):
            try:
                drawn += make(one)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                title = f"{one.get('class name') or one.get('Class')} " if isinstance(one, dict) else ""
                problems.append(
                    f"{name}: {title}({where}.{kind}[{at}]) was left out: {error!r}: mend or draw it again."
                )
    facts = {fact: raw[key] for fact, key in FACTS.items() if raw.get(key) not in (None, "")}
    return DrawnPhoto(name, size_wh, tuple(drawn), path, facts, tuple(problems))


def _name(raw: Raw, filename: str) -> str:
    """The map's name if it is one of a photo, else the path of its file, without folders that lead elsewhere."""
    told = str(raw.get("name") or "").replace("\\", "/")
    path = PurePosixPath(told if folders.is_photo(told) else filename.replace("\\", "/"))
    return path.name if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] else path.as_posix()


def _region(raw: Raw) -> list[Drawn]:
    label, rings = str(raw["class name"]), [_ring(raw["contour"]), *map(_ring, raw.get("inner contours") or ())]
    attributes = {str(name): "" if value is None else str(value) for name, value in (raw.get("data") or {}).items()}
    if raw.get("note"):
        attributes[NOTE] = str(raw["note"])
    name = str(raw.get("instance name") or "")
    if name and not _OWN_NAMES.fullmatch(name):
        attributes[INSTANCE] = name
    if len(rings) == 1:
        return [Drawn("polygon", label, rings[0], attributes=attributes)]
    instance = masks.instance_from_rings(label, rings)
    if instance is None:
        raise ValueError("no pixel lies within its contour")
    box = np.array(instance.xyxy_px, np.float64).reshape(2, 2)
    return [Drawn("mask", label, box, mask=instance.mask, attributes=attributes)]


def _ring(raw: object) -> masks.Ring:
    """float64 ``[N, 2]`` px of a contour; the point that closes it is dropped."""
    if isinstance(raw, str):
        xy = np.cumsum(np.array(raw.split(), np.int64).reshape(-1, 2), axis=0) / 10.0
    else:
        xy = np.asarray(raw, np.float64).reshape(-1, 2)
    closed = len(xy) > 3 and (xy[0] == xy[-1]).all()
    return (xy[:-1] if closed else xy) + CENTRE


def _point(raw: Raw) -> list[Drawn]:
    told = raw.get("Data") or raw.get("data") or {}
    attributes = {str(name): "" if value is None else str(value) for name, value in told.items()}
    if raw.get("Note"):
        attributes[NOTE] = str(raw["Note"])
    xy = np.array([[float(raw["X"]), float(raw["Y"])]]) + CENTRE
    return [Drawn("points", str(raw["Class"]), xy, attributes=attributes)]
