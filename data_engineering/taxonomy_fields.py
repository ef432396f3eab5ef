"""A dataset's shapes under their names at a taxonomy level: a new field, or a saved view, made by the database."""

from __future__ import annotations

from collections import Counter

from data_engineering import dataset as datasets
from data_engineering.labels import DatasetError, fo
from data_engineering.taxonomy import Taxonomy

_KINDS = {fo.Detections: "detections", fo.Polylines: "polylines"}
_DRAFT = "draft_of_"


def rename(
    name: str,
    field: str,
    taxonomy: Taxonomy,
    level: str,
    unknown: str,
    as_field: str | None = None,
    view: str | None = None,
    overwrite: bool = False,
) -> list[tuple[str, str, int]]:
    """Give shapes their names at a level, see `data_engineering.taxonomy.main`."""
    dataset = datasets.load(name)
    paths = _paths(dataset, field)
    counts: Counter[str] = Counter()
    for part in paths:
        found = dataset.count_values(f"{part}.{paths[part]}.label")
        counts.update({label: number for label, number in found.items() if label is not None})
    mapped = taxonomy.mapping(counts, level, unknown)
    if as_field:
        _make_field(dataset, list(paths), field, as_field, mapped, overwrite)
        dataset.classes[as_field] = list(taxonomy.labels(level))
        datasets.set_up_app(dataset, as_field)
    if view:
        _save_view(dataset, list(paths), mapped, view, overwrite, f"{field} at level {level}")
    return [(label, mapped[label], number) for label, number in counts.most_common()]


def _paths(dataset: fo.Dataset, field: str) -> dict[str, str]:
    """The fields of a family that hold named areas -> where their labels lie; keypoints keep their names."""
    found = {}
    for part in (field, f"{field}_masks"):
        kind = getattr(dataset.get_field(part), "document_type", None)
        if kind in _KINDS:
            found[part] = _KINDS[kind]
    if not found:
        there = ", ".join(dataset.get_field_schema(embedded_doc_type=fo.Label)) or "none"
        raise DatasetError(
            f"dataset {dataset.name!r} has no field {field!r} of polylines or detections (label fields: {there})"
        )
    return found


def _make_field(
    dataset: fo.Dataset, parts: list[str], field: str, as_field: str, mapped: dict[str, str], overwrite: bool
) -> None:
    """Rename in a copy and only then give that its name: cut short, it leaves a draft that the next call drops."""
    if not as_field.isidentifier() or as_field in parts:
        raise DatasetError(f"field {as_field!r}: expected a new name of letters, digits and _")
    targets = {part: as_field + part.removeprefix(field) for part in parts}
    there = [target for target in (as_field, f"{as_field}_masks") if dataset.has_field(target)]
    if there and not overwrite:
        raise DatasetError(f"dataset {dataset.name!r} has {', '.join(there)} already: choose another, or --overwrite")
    drafts = {part: f"{_DRAFT}{target}" for part, target in targets.items()}
    dataset.delete_sample_fields([draft for draft in drafts.values() if dataset.has_field(draft)])
    for part, draft in drafts.items():
        dataset.clone_sample_field(part, draft)
        dataset.map_labels(draft, mapped).save(fields=draft)
    dataset.delete_sample_fields(there)
    dataset.rename_sample_fields({draft: targets[part] for part, draft in drafts.items()})


def _save_view(
    dataset: fo.Dataset, parts: list[str], mapped: dict[str, str], name: str, overwrite: bool, description: str
) -> None:
    if dataset.has_saved_view(name) and not overwrite:
        raise DatasetError(f"dataset {dataset.name!r} has a view {name!r} already: choose another, or --overwrite")
    view = dataset.view()
    for part in parts:
        view = view.map_labels(part, mapped)
    dataset.save_view(name, view, description=description, overwrite=overwrite)
