"""COCO, as CVAT and others write it: instances, boxes and keypoints in JSON, a file a subset.

    annotations/instances_train.json           polygons (a list of rings an object), run lengths, boxes
    annotations/person_keypoints_train.json    skeletons: names in the category; x, y and visibility in the annotation
    images/train/a.jpg, images/a.jpg or a.jpg beside the JSON

Rings of one object become polygons of one group, run lengths a mask, an object without either its box. `attributes`
are those of CVAT's export: ``occluded`` and ``rotation`` are facts of the shape, the others its attributes. `iscrowd`
is not kept, since CVAT writes 1 for every mask, and written as 0, since evaluation leaves crowds out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_engineering.formats import coco_shapes, folders, tied
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.formats.losses import Losses
from quadrat import cvat_labels, files
from quadrat.drawn import Drawn, DrawnPhoto, Labels, sublabels_of
from quadrat.drawn_labels import Seen

Raw = Mapping[str, Any]

KINDS = ("person_keypoints", "keypoints", "instances")
"""What a file's name may begin with; the rest is the subset."""

NO_SUBSET = "default"
"""What CVAT names the subset of a task that is in none."""

# ---------------------------------------------------------------------------------------------- reading


def read(path: str | Path, *, photos: Sequence[Path] = (), extract_to: Path | None = None) -> Collection:
    """Read one JSON file, or a folder or zip with ``annotations/*.json``.

    Args:
        path: JSON, folder or zip. Files of one folder are joined: what they say of one photo of a subset comes
            together.
        photos: folders with the photos, where they are not in ``images/``; a photo that is not found has no path.
        extract_to: folder for what a zip holds; without it a photo inside a zip has no path.

    Returns:
        Photos in the files' order, with the fact ``cvat_subset`` where a file's name says it; what could not be read
        of a photo is in its `problems`.

    Raises:
        FormatError: a file is no COCO, or damaged; the message names the file and the place in it.
    """
    path = Path(path)
    with folders.unpacked(path, extract_to, with_photos=False) as tree:
        documents = [_load(file, path) for file in _json_files(tree.root, path)]
        beside = dict.fromkeys(folder for document in documents for folder in _folders(document))
        found = tree.settled(_join(documents, folders.Finder(photos, list(beside), path)))
    return Collection(found, _labels(documents, found), path.stem)


@dataclass(frozen=True)
class _Document:
    """A JSON file: where it lies, how messages call it, its subset, its images and categories by id."""

    file: Path
    name: str
    subset: str
    images: Mapping[Any, Raw]
    categories: Mapping[Any, Raw]
    annotations: Sequence[Raw]


def _json_files(root: Path, source: Path) -> list[Path]:
    if root.is_file():
        return [root]
    for folder in (root / "annotations", root):
        listed = sorted(folder.glob("*.json"), key=lambda file: (not file.name.startswith("instances"), file.name))
        if listed:
            return listed
    raise FormatError(f"{source}: no annotations/*.json in it: expected a COCO file, or a folder or zip of its layout")


def _load(file: Path, source: Path) -> _Document:
    name = str(source) if file == source else f"{source}/{file.name}"
    try:
        raw = json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise FormatError(f"{name}: cannot be read as JSON ({error}): export it again") from error
    for key in ("images", "categories", "annotations"):
        entries = raw.get(key) if isinstance(raw, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise FormatError(f"{name}: no list of objects {key!r}: expected COCO's images, categories and annotations")
    pictures, categories = _by_id(raw, "images", "file_name", name), _by_id(raw, "categories", "name", name)
    return _Document(file, name, _subset_of(file), pictures, categories, raw["annotations"])


def _by_id(raw: Raw, key: str, needed: str, where: str) -> dict[Any, Raw]:
    found: dict[Any, Raw] = {}
    for at, entry in enumerate(raw[key]):
        identity, value = entry.get("id"), entry.get(needed)
        if not isinstance(identity, (int, str)) or not isinstance(value, str) or not value:
            raise FormatError(f"{where}: {key}[{at}] has no id or no {needed}: expected both")
        if identity in found:
            raise FormatError(f"{where}: {key}[{at}] has the id {identity!r} of one before: expected each once")
        found[identity] = entry
    return found


def _subset_of(file: Path) -> str:
    """``train`` of ``instances_train.json``; empty for a name of another kind, and for CVAT's ``default``."""
    kind = next((kind for kind in KINDS if file.stem.startswith(f"{kind}_")), None)
    subset = file.stem[len(kind) + 1 :] if kind else ""
    return "" if subset == NO_SUBSET else subset


def _folders(document: _Document) -> list[Path]:
    """Where photos may lie, those of the subset first."""
    above = document.file.parent
    roots = [above.parent, above] if above.name == "annotations" else [above]
    inside = [root / "images" for root in roots]
    return [*(folder / (document.subset or NO_SUBSET) for folder in [*inside, *roots]), *inside, *roots]


@dataclass
class _Gathered:
    """What the files say of one photo, while they are gone through."""

    name: str
    size_wh: tuple[int, int]
    path: Path | None
    facts: Mapping[str, Any]
    drawn: list[Drawn] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seen: dict[tuple[str, ...], str] = field(default_factory=dict)
    group: int = 0


def _join(documents: Sequence[_Document], finder: folders.Finder) -> list[DrawnPhoto]:
    gathered: dict[tuple[str, str], _Gathered] = {}
    for document in documents:
        here = {identity: _photo(raw, document, gathered, finder) for identity, raw in document.images.items()}
        if document.annotations and not here:
            raise FormatError(f"{document.name}: annotations, but no images: export it again")
        for at, raw in enumerate(document.annotations):
            _take(raw, f"annotation {raw.get('id', f'[{at}]')} of {document.name}", document, here)
    return [
        DrawnPhoto(one.name, one.size_wh, tuple(one.drawn), one.path, one.facts, tuple(one.problems))
        for one in gathered.values()
    ]


def _photo(
    raw: Raw, document: _Document, gathered: dict[tuple[str, str], _Gathered], finder: folders.Finder
) -> _Gathered:
    name = folders.safe_name(raw["file_name"], document.name)
    key = (document.subset, name)
    if key not in gathered:
        path = finder.find(name)
        facts = {"cvat_subset": document.subset} if document.subset else {}
        gathered[key] = _Gathered(name, folders.size_of(raw, path, f"{document.name}: photo {name!r}"), path, facts)
    return gathered[key]


def _take(raw: Raw, title: str, document: _Document, here: Mapping[Any, _Gathered]) -> None:
    """Add what an annotation draws to its photo, or a sentence on why it could not be."""
    photo = here.get(raw.get("image_id"))
    category = document.categories.get(raw.get("category_id"))
    if photo is None:
        lost = f"no image has its image_id {raw.get('image_id')!r}: give it one of those that are there."
        next(iter(here.values())).problems.append(f"{title} was left out: {lost}")
        return
    if category is None:
        lost = f"no category has its category_id {raw.get('category_id')!r}: add one."
        photo.problems.append(f"{photo.name}: {title} was left out: {lost}")
        return
    same = tuple(str(raw.get(key)) for key in ("id", "bbox", "segmentation", "keypoints"))[: 3 if raw.get("id") else 0]
    if same and photo.seen.setdefault((category["name"], *same), document.name) != document.name:
        raw = {**raw, "segmentation": [], "bbox": None}  # the keypoints file repeats what the instances file drew
        if not any(raw.get("keypoints") or ()):
            return
    found, wrong = coco_shapes.read(raw, category, photo.group + 1, photo.size_wh)
    photo.group += any(one.group for one in found)
    photo.drawn += found
    photo.problems += [
        f"{photo.name}: {category['name']} ({title}) was left out: {what}: mend or draw it again." for what in wrong
    ]


def _labels(documents: Sequence[_Document], photos: Sequence[DrawnPhoto]) -> list[dict[str, Any]]:
    categories = [raw for document in documents for raw in document.categories.values()]
    named = {raw["name"]: raw for raw in categories}
    skeletons = {raw["name"]: raw for raw in categories if raw.get("keypoints")}
    pointed = {name: tuple(map(str, raw["keypoints"])) for name, raw in skeletons.items()}
    own = [
        name
        for name, raw in named.items()
        if (parent := raw.get("supercategory")) not in pointed or name not in pointed[parent] or parent == name
    ]  # CVAT lists a skeleton's points as categories below it
    edges = {name: _edges(raw) for name, raw in skeletons.items()}
    return Seen(names=own, points=pointed, edges=edges).of(photos)


def _edges(category: Raw) -> tuple[tuple[int, int], ...]:
    count = len(category["keypoints"])
    try:
        pairs = [(int(i), int(j)) for i, j in category.get("skeleton") or ()]
    except (TypeError, ValueError):
        return ()  # lines are for the eye only
    return tuple((i - 1, j - 1) for i, j in pairs if min(i, j) >= 1 and max(i, j) <= count)


# ---------------------------------------------------------------------------------------------- writing


def write(collection: Collection, out: str | Path, *, copy_photos: bool = False) -> Losses:
    """Write COCO, whole or not at all.

    Args:
        collection: what to write.
        out: a name that ends in ``.json`` becomes one file of all, without photos. Else a new folder in the layout of
            CVAT's export: a file of instances and one of skeletons a subset, photos linked into ``images``.
        copy_photos: copy the photos instead of linking them.

    Returns:
        A count of what COCO had no place for.

    Raises:
        FormatError: `out` is a folder with something in it, or a photo's name leads out of it.
    """
    out, losses, photos = Path(out), Losses(), list(collection.photos)
    categories = _categories(collection.labels, photos, losses)
    if out.suffix.lower() == ".json":
        for photo in photos:
            losses.of_photo(photo)
            losses.add("photo's file")
        files.write_json(out, _document(photos, categories, losses), indent=None)
        return losses
    with folders.new_folder(out) as draft:
        for photo in photos:
            losses.of_photo(photo, ("subset",))
        for subset in dict.fromkeys(_subset(photo) for photo in photos):
            within = [photo for photo in photos if _subset(photo) == subset]
            _write_subset(draft, subset, within, categories, losses)
            _place(draft / "images" / subset, within, out, losses, copy_photos)
    return losses


def _subset(photo: DrawnPhoto) -> str:
    return str(photo.facts.get("cvat_subset") or NO_SUBSET).replace("/", "_")


def _write_subset(
    draft: Path, subset: str, photos: Sequence[DrawnPhoto], categories: Mapping[str, Raw], losses: Losses
) -> None:
    whole = _document(photos, categories, losses)
    skeletons = [entry for entry in whole["annotations"] if "keypoints" in entry]
    others = [entry for entry in whole["annotations"] if "keypoints" not in entry]
    for kind, entries in (("instances", others), ("person_keypoints", skeletons)):
        if entries or kind == "instances":
            document = {**whole, "annotations": entries}
            files.write_json(draft / "annotations" / f"{kind}_{subset}.json", document, indent=None)


def _place(folder: Path, photos: Sequence[DrawnPhoto], out: Path, losses: Losses, copy: bool) -> None:
    for photo in photos:
        if photo.path is None:
            losses.add("photo's file")
        else:
            folders.place(photo.path, folder / folders.safe_name(photo.name, out), copy=copy)


def _categories(labels: Labels, photos: Sequence[DrawnPhoto], losses: Losses) -> dict[str, dict[str, Any]]:
    losses.add("label's colour", sum("color" in label for label in labels))
    losses.add("label's definition of an attribute", sum(len(label.get("attributes") or ()) for label in labels))
    defined = {str(label["name"]): label for label in Seen(labels).of(photos)}
    made: dict[str, dict[str, Any]] = {
        name: {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(defined, 1)
    }
    for name, points in sublabels_of(list(defined.values())).items():
        made[name] |= {"keypoints": points, "skeleton": _lines(defined[name])}
    return made


def _lines(label: Raw) -> list[list[int]]:
    try:
        return [[i + 1, j + 1] for i, j in cvat_labels.read_skeleton(dict(label)).edges]
    except ValueError:
        return []  # lines are for the eye only


def _document(photos: Iterable[DrawnPhoto], categories: Mapping[str, Raw], losses: Losses) -> dict[str, Any]:
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, photo in enumerate(photos, 1):
        width, height = photo.size_wh
        pictures.append({"id": number, "file_name": photo.name, "width": width, "height": height})
        for parts in tied.tie(photo.drawn, losses, coco_shapes.alike):
            category = categories[parts[0].label]
            entry = coco_shapes.written(parts, photo.size_wh, category.get("keypoints", ()), losses)
            if entry is not None:
                head = {"id": len(annotations) + 1, "image_id": number, "category_id": category["id"]}
                annotations.append({**head, **entry})
    head = {"info": {"version": "1.0"}, "licenses": [], "images": pictures}
    return {**head, "categories": list(categories.values()), "annotations": annotations}
