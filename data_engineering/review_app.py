"""How the app shows a dataset: colours of labels as in CVAT, groups in the sidebar, what is visible at first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from data_engineering.labels import fo
from data_engineering.review_brain import (
    DESCRIPTOR,
    DUPLICATE_DISTANCE,
    DUPLICATES,
    INFORMATIVE,
    UNCERTAINTY,
    UNIQUENESS,
)
from data_engineering.review_fields import FIX, REVIEW, Fields, kind_of, labels_path
from data_engineering.review_mistakes import mistake_fields
from quadrat import cvat_labels

_TAG_COLOURS = {REVIEW: "#fdae61", FIX: "#d7191c"}
_GROUPS = ("tags", "people's shapes", "predictions", "photo", "CVAT", "evaluation", "brain", "metadata")
_PHOTO = ("area", "site", "year", "quadrat_id", "problems", "split")
_SOURCE = ("pulled_from", "photo_name", "annotators")
_DEFAULT_GROUPS = {"labels", "primitives", "other", *_GROUPS}
_BRAIN = (UNIQUENESS, UNCERTAINTY, INFORMATIVE, DUPLICATES, DUPLICATE_DISTANCE)


def set_up_app(dataset: fo.Dataset, fields: Fields) -> None:
    """Set colours, sidebar, visible fields and media fields; groups that a person made stay."""
    config = dataset.app_config
    config.color_scheme = fo.ColorScheme(
        color_by="value",
        opacity=0.5,
        show_skeletons=True,
        fields=[_field_colours(dataset, field) for field in (*fields.people, *fields.predictions, *fields.copies)],
        label_tags={"valueColors": [{"value": tag, "color": color} for tag, color in _TAG_COLOURS.items()]},
    )
    config.sidebar_groups = _sidebar(dataset, fields)
    config.active_fields = fo.ActiveFields(paths=_visible(dataset, fields))
    config.media_fields = ["filepath", *_media_fields(dataset)]
    dataset.save()


def colours(dataset: fo.Dataset) -> dict[str, str]:
    """Colour of each label that CVAT has one for, as ``#rrggbb``; others have `quadrat.cvat_labels.colour`."""
    raw = dataset.info.get("cvat_labels", ())
    return {str(one["name"]): str(one["color"]) for one in raw if one.get("color")}


def _field_colours(dataset: fo.Dataset, field: str) -> dict[str, Any]:
    known = colours(dataset)
    there = dataset.distinct(f"{labels_path(dataset, field)}.label")
    values = [{"value": label, "color": known.get(label) or cvat_labels.colour(label)} for label in there]
    return {"path": field, "colorByAttribute": "label", "valueColors": values}


def _visible(dataset: fo.Dataset, fields: Fields) -> list[str]:
    """All shapes; but 117 points of a grid only where there are no colonies, which they would hide."""
    shapes = [*fields.people, *fields.predictions]
    areas = [f for f in shapes if kind_of(dataset, f) in (fo.Detections, fo.Polylines)]
    return [f for f in areas if dataset.count(labels_path(dataset, f))] or shapes


def _sidebar(dataset: fo.Dataset, fields: Fields) -> list[fo.SidebarGroupDocument]:
    made_by_fiftyone = {*_DEFAULT_GROUPS, *dataset.list_evaluations(), *dataset.list_brain_runs()}
    kept = [group for group in dataset.app_config.sidebar_groups or () if group.name not in made_by_fiftyone]
    elsewhere = {path for group in kept for path in group.paths}
    paths: dict[str, list[str]] = {name: [] for name in (*_GROUPS, "other")}
    for path in _shown_paths(dataset):
        if path not in elsewhere:
            paths[_group_of(dataset, path, fields)].append(path)
    expanded = {"tags", "people's shapes", "predictions"}
    groups = [
        fo.SidebarGroupDocument(name=name, paths=there, expanded=name in expanded)
        for name, there in paths.items()
        if there
    ]
    return groups[:3] + kept + groups[3:]


def _shown_paths(dataset: fo.Dataset) -> list[str]:
    """What a sidebar may list: fields, and the parts of the photo's metadata."""
    schema = dataset.get_field_schema()
    parts = {"metadata": [f"metadata.{name}" for name in dataset.get_field("metadata").get_field_schema()]}
    fields = [one for name in schema if name not in ("tags", DESCRIPTOR) for one in parts.get(name, [name])]
    return ["tags", "_label_tags", *fields]


def _group_of(dataset: fo.Dataset, path: str, fields: Fields) -> str:
    brain = {*_BRAIN, *(name for f in fields.segmenters for name in mistake_fields(f))}
    evaluated = {f"{key}{end}" for key in dataset.list_evaluations() for end in ("_tp", "_fp", "_fn", "_truth")}
    tests: Iterable[tuple[str, bool]] = (
        ("tags", path in ("tags", "_label_tags")),
        ("people's shapes", path in fields.people),
        ("predictions", path in fields.predictions or path.startswith(tuple(f"{f}_" for f in fields.predictions))),
        ("evaluation", path in evaluated),
        ("brain", path in brain),
        ("CVAT", path.startswith(("cvat_", "sent_")) or path in _SOURCE),
        ("photo", path in (*_PHOTO, "filepath")),
        ("metadata", path.startswith("metadata.")),
    )
    # an evaluation is named as a person likes, perhaps after a field of predictions
    found = [name for name, fits in tests if fits]
    return next((name for name in ("evaluation", "brain", *found) if name in found), "other")


def _media_fields(dataset: fo.Dataset) -> list[str]:
    """Fields that hold the path of another picture of the photo, for example of its rectified quadrat."""
    names = dataset.get_field_schema(ftype=fo.StringField)
    return [name for name in names if name != "filepath" and name.endswith(("_path", "_filepath"))]
