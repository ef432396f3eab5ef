"""The saved views of a review: what a person should look at, each a click in the app's menu of views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_engineering.labels import fo
from data_engineering.review_brain import (
    DUPLICATE_DISTANCE,
    DUPLICATES,
    INFORMATIVE,
    disagreement_keys,
)
from data_engineering.review_fields import FIX, REVIEW, SENT, Fields, kind_of, labels_path
from data_engineering.review_mistakes import mistake_fields

LOW = 0.5
"""A confidence below this is low."""
LIKELY = 0.75
"""A name is likely wrong where a network says another with a confidence above 0.5: mistakenness (1 + 0.5) / 2."""
DRAWN, TO_REVIEW = "drawn by people", "to review"
"""Names of views."""
NEXT = 50
"""As many photos are proposed to be annotated next."""

_OURS = "review_views"
_F = fo.ViewField


@dataclass(frozen=True, slots=True)
class Proposal:
    """A view that may be saved.

    Attributes:
        name: in the app's menu.
        description: under it.
        color: of its mark, ``#rrggbb``.
        view: what it holds.
    """

    name: str
    description: str
    color: str
    view: fo.DatasetView


def save_views(dataset: fo.Dataset, fields: Fields) -> dict[str, int]:
    """Make the views anew; those that would be empty are left out, and a person's own views are left alone.

    Args:
        dataset: that `review_brain.compute` has been through.
        fields: of it.

    Returns:
        Name of each view and the number of its photos.
    """
    ours = set(dataset.info.get(_OURS, []))
    for name in ours & set(dataset.list_saved_views()):
        dataset.delete_saved_view(name)
    taken, saved = set(dataset.list_saved_views()), {}
    for one in proposals(dataset, fields):
        if count := one.view.count():
            name = f"{one.name} (made by review)" if one.name in taken else one.name
            dataset.save_view(name, one.view, description=one.description, color=one.color, overwrite=name in saved)
            saved[name] = count
            dataset.info[_OURS] = list(saved)
            dataset.save()
    dataset.info[_OURS] = list(saved)
    dataset.save()
    return saved


def proposals(dataset: fo.Dataset, fields: Fields) -> Iterator[Proposal]:
    """All views that the dataset has the fields for, also those that hold no photo."""
    yield from _drawn(dataset, fields)
    yield from _to_review(dataset, fields)
    yield from _low_confidence(dataset, fields)
    yield from _disagreements(dataset, fields)
    yield from _evaluations(dataset, fields)
    yield from _mistakes(dataset, fields)
    yield from _duplicates(dataset)
    yield from _next(dataset, fields)


# ---------------------------------------------------------------------------------------------- each of them


def _drawn(dataset: fo.Dataset, fields: Fields) -> Iterator[Proposal]:
    drawn = dataset.match(_any([_F(labels_path(dataset, f)).length() > 0 for f in fields.people]))
    yield Proposal(DRAWN, "what people drew, without predictions", "#74add1", _only(drawn, fields, fields.people))


def _to_review(dataset: fo.Dataset, fields: Fields) -> Iterator[Proposal]:
    here = ~_F("tags").contains(SENT)
    told = f"tagged {REVIEW} or {FIX} (the photo or a shape), or with a verdict below ok, and not sent to CVAT yet"
    yield Proposal(TO_REVIEW, told, "#d94801", dataset.match(here & to_review(dataset, fields)))
    yield Proposal("sent to CVAT", "on their way: a pull brings them back", "#2171b5", dataset.match_tags(SENT))


def to_review(dataset: fo.Dataset, fields: Fields, tags: tuple[str, ...] = (REVIEW, FIX)) -> fo.ViewExpression:
    """Whether a photo or one of its shapes has one of the tags, or the photo a verdict below ok."""
    verdicts = [f for f in dataset.get_field_schema(ftype=fo.StringField) if f.split("_")[-1] == "verdict"]
    below = [_F(name).is_in(["review", "failed"]) for name in verdicts]
    return _any([tagged(dataset, fields, tags), *below])


def tagged(dataset: fo.Dataset, fields: Fields, tags: tuple[str, ...]) -> fo.ViewExpression:
    """Whether a photo or one of its shapes has one of the tags."""
    shapes = [
        _F(labels_path(dataset, f)).filter(_F("tags").contains(list(tags))).length() > 0
        for f in (*fields.people, *fields.predictions)
    ]
    return _any([_F("tags").contains(list(tags)), *shapes])


def _low_confidence(dataset: fo.Dataset, fields: Fields) -> Iterator[Proposal]:
    for field in (*fields.predictions, *fields.people):
        path = labels_path(dataset, field)
        if not dataset.has_field(f"{path}.confidence") or kind_of(dataset, field) is fo.Keypoints:
            continue
        least = _F(f"{path}.confidence").min()
        low = (_F("confidence") >= 0) & (_F("confidence") < LOW)  # the first is false where there is none
        view = dataset.filter_labels(field, low).sort_by(least)
        told = f"shapes of {field} below {LOW:g}, the least sure first"
        yield Proposal(f"low confidence: {field}", told, "#fdae61", _only(view, fields, [field]))


def _disagreements(dataset: fo.Dataset, fields: Fields) -> Iterator[Proposal]:
    for key, a, b in disagreement_keys(fields):
        if key not in dataset.list_evaluations():
            continue
        disputed = dataset.match((_F(f"{key}_fp") > 0) | (_F(f"{key}_fn") > 0))
        view = disputed.filter_labels(a, _F(key) == "fp", only_matches=False)
        view = view.filter_labels(b, _F(key) == "fn", only_matches=False)
        most = view.sort_by(_F(f"{key}_fp") + _F(f"{key}_fn"), reverse=True)
        told = f"shapes that only {a} or only {b} has, or that they name differently; most disputed photos first"
        yield Proposal(f"disagreements: {a} and {b}", told, "#9e0142", _only(most, fields, [a, b]))


def _evaluations(dataset: fo.Dataset, fields: Fields) -> Iterator[Proposal]:
    ours = {key for key, _, _ in disagreement_keys(fields)}
    for key in dataset.list_evaluations():
        config = dataset.get_evaluation_info(key).config
        if config.type != "detection" or key in ours:
            continue
        for kind, word, field in (("fp", "false positives", config.pred_field), ("fn", "missed", config.gt_field)):
            view = dataset.filter_labels(field, _F(key) == kind).sort_by(f"{key}_{kind}", reverse=True)
            told = {"fp": f"shapes of {field} that nobody drew so", "fn": f"shapes of {field} that were not found so"}
            shown = _only(view, fields, [field])
            yield Proposal(f"evaluation {key}: {word}", f"{told[kind]}; most first", "#5e4fa2", shown)


def _mistakes(dataset: fo.Dataset, fields: Fields) -> Iterator[Proposal]:
    for segmenter in fields.segmenters:
        likely, missing, _ = mistake_fields(segmenter)
        if not dataset.has_field(likely):
            continue
        view: fo.DatasetView = dataset.match((_F(likely) >= LIKELY) | (_F(missing) > 0))
        for field in fields.people:
            if dataset.has_field(f"{labels_path(dataset, field)}.{likely}"):
                view = view.filter_labels(field, _F(likely) >= LIKELY, only_matches=False)
        if dataset.has_field(f"{labels_path(dataset, segmenter)}.{missing}"):
            view = view.filter_labels(segmenter, _F(missing) == True, only_matches=False)  # noqa: E712
        told = f"drawn shapes that {segmenter} surely calls otherwise, and what it surely sees and nobody drew"
        most = view.sort_by(likely, reverse=True)
        shown = _only(most, fields, [*fields.people, segmenter])
        yield Proposal(f"likely label mistakes: {segmenter}", told, "#d53e4f", shown)


def _duplicates(dataset: fo.Dataset) -> Iterator[Proposal]:
    if dataset.has_field(DUPLICATES):
        view = dataset.exists(DUPLICATES).sort_by([(DUPLICATES, 1), (DUPLICATE_DISTANCE, 1)])
        yield Proposal("near duplicates", "photos that are as good as the same, side by side", "#66c2a5", view)


def _next(dataset: fo.Dataset, fields: Fields) -> Iterator[Proposal]:
    if dataset.has_field(INFORMATIVE):
        areas = [f for f in fields.people if kind_of(dataset, f) in (fo.Detections, fo.Polylines)]
        drawn = _any([_F(labels_path(dataset, f)).length() > 0 for f in areas])
        one = ~(_F(DUPLICATE_DISTANCE) > 0) if dataset.has_field(DUPLICATE_DISTANCE) else True  # of near duplicates
        view = dataset.match((_F(INFORMATIVE) > 0) & ~drawn & one).sort_by(INFORMATIVE, reverse=True).limit(NEXT)
        told = "photos without drawn colonies where networks are unsure and that are unlike the others, best first"
        yield Proposal("annotate next", told, "#3288bd", _only(view, fields, list(fields.segmenters)))


def _only(view: fo.DatasetView, fields: Fields, shown: Sequence[str]) -> fo.DatasetView:
    """Without the shapes of other fields: what a view is about is not to be sought among all the rest.

    The fields themselves stay, because the app would forget their group in the sidebar.
    """
    for field in (*fields.people, *fields.predictions, *fields.copies):
        if field not in shown:
            view = view.filter_labels(field, fo.ViewExpression.literal(False), only_matches=False)
    return view


def _any(conditions: list[fo.ViewExpression]) -> fo.ViewExpression:
    return fo.ViewExpression.any(conditions) if conditions else fo.ViewExpression.literal(False)
