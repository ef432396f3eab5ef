"""FiftyOne datasets: made from photos with shapes, read back, given predictions.

How a shape looks there, and where the database lies, is said in `data_engineering.labels`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_engineering import drawn_fields, labels
from data_engineering.formats.collection import Collection
from data_engineering.labels import DatasetError, fo
from data_engineering.match import MatchError, Photos
from quadrat import cvat_labels, drawn
from quadrat.formats import shapes_json
from quadrat.images import list_photos
from quadrat.shapes import Annotations, Instance

GROUND_TRUTH = "ground_truth"
"""The field that holds what people drew, or what a renderer knows; its keypoints lie in ``ground_truth_keypoints``."""

CVAT_LABELS = "cvat_labels"
"""Key of ``dataset.info`` with the label definitions of the CVAT project that the dataset was pulled from."""

UNFINISHED = "being taken over"
"""Key of ``dataset.info`` that is there while a pull changes the dataset: what it is taking over."""

Item = tuple[Path, Annotations]


def create(name: str, items: Iterable[Item], *, field: str = GROUND_TRUTH, overwrite: bool = False) -> fo.Dataset:
    """Make a persistent dataset of photos and their shapes.

    Args:
        name: of the dataset.
        items: photo and shapes; ``annotations.meta["tags"]`` (a list of text) become the sample's tags.
        field: instances go to this field, keypoints to ``<field>_keypoints``.
        overwrite: replace a dataset of this name.

    Raises:
        DatasetError: the name is taken and `overwrite` is not set.
    """
    if fo.dataset_exists(name):
        if not overwrite:
            raise DatasetError(f"dataset {name!r} exists: choose another name or overwrite it")
        fo.delete_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    dataset.add_samples([_sample(photo, annotations, field) for photo, annotations in items], progress=False)
    set_up_app(dataset, field)
    return dataset


def from_rendered(folder: str | Path, name: str, *, overwrite: bool = False) -> fo.Dataset:
    """Make a dataset of a folder of `data_engineering.render`."""
    folder = Path(folder)
    truths = {path.stem: path for path in (folder / "truth").glob("*.json")}
    photos = [photo for photo in list_photos(folder / "photos") if photo.stem in truths]
    items = ((photo, shapes_json.read(truths[photo.stem])) for photo in photos)
    return create(name, items, overwrite=overwrite)


def attach(
    name: str, field: str, predictions: Iterable[Item], *, overwrite: bool = False, source: str = ""
) -> list[str]:
    """Put predictions into a field of the samples whose photo they are of (`data_engineering.match`).

    A field that holds something is left alone, unless `overwrite` is set or its filling from the same `source` was cut
    short: then it is filled again. Evaluations of a field that is replaced go with it.

    Args:
        name: of the dataset.
        field: instances go there, keypoints to ``<field>_keypoints``.
        predictions: photo and shapes.
        overwrite: replace what the field holds.
        source: says where the predictions come from, so that a filling that was cut short is known again.

    Returns:
        The ids of the samples that got some.

    Raises:
        DatasetError: no such dataset, a field that may not be written, a photo that the dataset does not have or has of
            another size.
    """
    dataset = load(name)
    _prepare_field(dataset, field, overwrite, source)
    photos = Photos(dataset.values("filepath"))
    filled = []
    for photo, predicted in predictions:
        try:
            sample = dataset[photos.find(photo)]
        except MatchError as error:
            raise DatasetError(f"dataset {name!r}: {error}") from error
        size_wh = size_of(sample)
        if size_wh != predicted.size_wh:
            raise DatasetError(f"{sample.filepath} is {size_wh} px, its predictions are for {predicted.size_wh}")
        _fill(sample, predicted, field)
        sample.save()
        filled.append(sample.id)
    dataset.info.pop(_unfinished(field), None)
    set_up_app(dataset, field)
    return filled


def set_facts(name: str, field: str, facts: Mapping[Path, Mapping[str, object]]) -> None:
    """Put facts about the predictions of `field` beside them: number, text or truth value in ``<field>_<fact>``.

    Args:
        name: of the dataset.
        field: of the predictions.
        facts: of each photo; one that is `None` is left out.

    Raises:
        DatasetError: no such dataset, or a photo that it does not have.
    """
    dataset = load(name)
    photos = Photos(dataset.values("filepath"))
    for photo, known in facts.items():
        try:
            sample = dataset[photos.find(photo)]
        except MatchError as error:
            raise DatasetError(f"dataset {name!r}: {error}") from error
        for fact, value in known.items():
            if value is not None:  # FiftyOne cannot make a field of nothing
                sample[f"{field}_{fact}"] = value
        sample.save()


def _prepare_field(dataset: fo.Dataset, field: str, overwrite: bool, source: str) -> None:
    if not field.isidentifier() or field == GROUND_TRUTH:
        raise DatasetError(f"field {field!r} is not for predictions: give another name of letters, digits and _")
    own = [f for f in (field, _keypoints_field(field)) if dataset.has_field(f)]
    if any(not _is_labels(dataset.get_field(f)) for f in own):
        raise DatasetError(f"field {field!r} of dataset {dataset.name!r} holds no shapes: give another name")
    begun = dataset.info.get(_unfinished(field))
    if any(dataset.exists(f) for f in own) and not (overwrite or (source and begun == source)):
        state = f"holds what was left of {begun!r}" if begun else "holds something"
        raise DatasetError(f"field {field!r} of dataset {dataset.name!r} {state}: name another or overwrite it")
    if overwrite:
        for key in dataset.list_evaluations(pred_field=field):
            dataset.delete_evaluation(key)
        dataset.delete_sample_fields(own)
    dataset.info[_unfinished(field)] = source
    dataset.save()


def _unfinished(field: str) -> str:
    return f"filling {field}"


def _is_labels(field: fo.Field) -> bool:
    kind = getattr(field, "document_type", None)
    return kind is not None and issubclass(kind, (fo.Detections, fo.Polylines, fo.Keypoints))


def load(name: str) -> fo.Dataset:
    """Open a dataset.

    Raises:
        DatasetError: there is none of this name; the message lists those that are. Or its last pull was cut short.
    """
    if not fo.dataset_exists(name):
        raise DatasetError(f"no FiftyOne dataset {name!r} (there are: {', '.join(fo.list_datasets()) or 'none'})")
    dataset = fo.load_dataset(name)
    if UNFINISHED in dataset.info:
        raise DatasetError(
            f"dataset {name!r} was being brought up to date when that was cut short ({dataset.info[UNFINISHED]}), "
            "so that it is half old and half new: run create_fiftyone_dataset again"
        )
    return dataset


def iter_annotations(
    name: str,
    field: str = GROUND_TRUTH,
    to_label: Callable[[str], str] | None = None,
    view: str | None = None,
) -> Iterator[Item]:
    """Read a dataset's photos and shapes, see `quadrat.drawn.to_shapes`.

    `field` may be a family (`data_engineering.drawn_fields`) or a field of predictions. ``meta["tags"]`` holds the
    sample's tags, ``meta["facts"]`` its own fields of numbers and text.

    Args:
        name: of the dataset.
        field: of the labels.
        to_label: what an instance's label is called, for example at another taxonomy level.
        view: only the photos and shapes of this saved view.

    Yields:
        The photo's path and its shapes.

    Raises:
        DatasetError: no such dataset or view, or it has no such field.
    """
    dataset = load(name)
    samples = dataset if view is None else saved_view(dataset, view)
    sublabels = drawn.sublabels_of(dataset.info.get(CVAT_LABELS, ()))
    for photo in drawn_fields.iter_drawn(samples, field):
        known = drawn.to_annotations(photo, sublabels)
        shapes = known.shapes
        if to_label:
            shapes = tuple(replace(s, label=to_label(s.label)) if isinstance(s, Instance) else s for s in shapes)
        facts = dict(photo.facts)
        assert photo.path is not None
        yield (
            photo.path,
            Annotations(photo.path.name, photo.size_wh, shapes, {"tags": facts.pop("tags"), "facts": facts}),
        )


def collection_of(
    name: str, field: str = GROUND_TRUTH, *, view: str | None = None, tags: Sequence[str] = ()
) -> Collection:
    """A dataset's photos with what was drawn, exactly, and its label definitions.

    Args:
        name: of the dataset.
        field: a family (`data_engineering.drawn_fields`) or a field of predictions.
        view: only the photos and shapes of this saved view.
        tags: only photos with one of these tags.

    Raises:
        DatasetError: no such dataset or view, or it has no such field.
    """
    dataset = load(name)
    samples = dataset if view is None else saved_view(dataset, view)
    if tags:
        samples = samples.match_tags(list(tags))
    return Collection(drawn_fields.iter_drawn(samples, field), dataset.info.get(CVAT_LABELS, ()), name)


def saved_view(dataset: fo.Dataset, name: str) -> fo.DatasetView:
    """A view that was saved in a dataset.

    Raises:
        DatasetError: there is none of this name; the message lists those that are.
    """
    if not dataset.has_saved_view(name):
        known = ", ".join(dataset.list_saved_views()) or "none"
        raise DatasetError(f"dataset {dataset.name!r} has no saved view {name!r} (there are: {known})")
    return dataset.load_saved_view(name)


# ---------------------------------------------------------------------------------------------- writing


def _sample(photo: Path, annotations: Annotations, field: str) -> fo.Sample:
    tags = annotations.meta.get("tags", ())
    sample = fo.Sample(filepath=str(photo.resolve()), tags=[str(tag) for tag in _listed(tags)])
    width, height = annotations.size_wh
    sample.metadata = fo.ImageMetadata(width=width, height=height, num_channels=3)
    _fill(sample, annotations, field)
    return sample


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else ()


def _fill(sample: fo.Sample, annotations: Annotations, field: str) -> None:
    if annotations.instances or not annotations.keypoints:
        sample[field] = labels.detections(annotations.instances, annotations.size_wh)
    if annotations.keypoints:
        sample[_keypoints_field(field)] = labels.keypoints(annotations.keypoints, annotations.size_wh)


def _keypoints_field(field: str) -> str:
    return f"{field}_keypoints"


def set_up_app(dataset: fo.Dataset, field: str) -> None:
    """Tell the app the labels' colours and, if it does not know, the points' names; corners are joined by lines."""
    dataset.app_config.color_scheme = fo.ColorScheme(color_by="value", fields=_label_colours(dataset))
    keypoints = _keypoints_field(field)
    names = _point_names(dataset, keypoints) if dataset.has_field(keypoints) else []
    if names and keypoints not in dataset.skeletons:
        edges = [[*range(len(names)), 0]] if len(names) == 4 else []
        dataset.skeletons[keypoints] = fo.KeypointSkeleton(labels=names, edges=edges)
    dataset.save()


def _label_colours(dataset: fo.Dataset) -> list[dict[str, Any]]:
    """The colours that labels have in CVAT, or else in overlays, for each field of shapes."""
    given = {str(label["name"]): label.get("color") for label in dataset.info.get(CVAT_LABELS, ())}
    schemes = []
    for kind, inner in drawn_fields.FAMILY.values():
        for path in dataset.get_field_schema(embedded_doc_type=kind):
            there = dataset.distinct(f"{path}.{inner}.label")
            colours = [{"value": label, "color": given.get(label) or cvat_labels.colour(label)} for label in there]
            schemes.append({"path": path, "colorByAttribute": "label", "valueColors": colours})
    return schemes


def _point_names(dataset: fo.Dataset, field: str) -> list[str]:
    if field in dataset.skeletons:
        return list(dataset.skeletons[field].labels or [])
    path = f"{field}.keypoints.names"
    if not dataset.has_field(path):
        return []
    kinds = {tuple(names) for sample in dataset.values(path) for names in (sample or []) if names}
    return list(kinds.pop()) if len(kinds) == 1 else []


def size_of(sample: fo.Sample) -> tuple[int, int]:
    """Width and height of a sample's photo in px; read from the file where the dataset does not know them."""
    if sample.metadata is None or not sample.metadata.width:
        sample.compute_metadata()
    return int(sample.metadata.width), int(sample.metadata.height)
