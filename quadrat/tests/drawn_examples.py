"""What people may draw, made up by hypothesis: shared by the tests of the formats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quadrat import cvat_labels
from quadrat.drawn import Drawn, DrawnPhoto

SIZE = (300, 200)
CORNERS = ("tl", "tr", "br", "bl")
LABELS = [
    cvat_labels.polygon_label("Porites"),
    {**cvat_labels.polygon_label('a "quoted" <label> & ü\u2028'), "type": "any"},
    cvat_labels.skeleton_label("grid", CORNERS, [[5, 5], [95, 5], [95, 95], [5, 95]]),
]
for _label in LABELS:
    _label["attributes"].append(
        {"name": "health", "input_type": "text", "mutable": False, "values": [""], "default_value": ""}
    )
PLAIN = [label["name"] for label in LABELS[:2]]
VALUES = st.one_of(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8), st.just("a\nb"))
NUMBERS = st.floats(-50, 350, width=32)


def points(count: int):
    return arrays(np.float64, (count, 2), elements=NUMBERS)


@st.composite
def drawn(draw) -> Drawn:
    """Any kind, with any of what a kind may have in CVAT."""
    kind = draw(
        st.sampled_from(["polygon", "polyline", "points", "rectangle", "ellipse", "mask", "cuboid", "skeleton", "tag"])
    )
    common = {
        "attributes": draw(st.dictionaries(st.sampled_from(["confidence", "health"]), VALUES)),
        "group": draw(st.integers(0, 3)),
        "source": draw(st.sampled_from(["manual", "auto", "semi-auto", "file"])),
    }
    if kind == "tag":
        return Drawn("tag", draw(st.sampled_from(PLAIN)), **common)
    common |= {"z_order": draw(st.integers(-2, 2)), "occluded": draw(st.booleans())}
    if kind == "skeleton":
        return Drawn("skeleton", "grid", elements=tuple(draw(st.permutations(draw(_elements())))), **common)
    if kind == "mask":
        bits = draw(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
        x, y = draw(st.integers(0, SIZE[0] - 9)), draw(st.integers(0, SIZE[1] - 9))
        box = np.array([[x, y], [x + bits.shape[1], y + bits.shape[0]]], float)
        return Drawn("mask", draw(st.sampled_from(PLAIN)), box, mask=bits, **common)
    fewest = {"polygon": 3, "polyline": 2, "points": 1, "rectangle": 2, "ellipse": 2, "cuboid": 8}[kind]
    count = fewest + (draw(st.integers(0, 6)) if kind in ("polygon", "polyline", "points") else 0)
    if kind in ("rectangle", "ellipse"):
        common["rotation"] = draw(st.sampled_from([0.0, 30.0, 359.125]))
    return Drawn(kind, draw(st.sampled_from(PLAIN)), draw(points(count)), **common)


@st.composite
def _elements(draw) -> list[Drawn]:
    return [
        Drawn("points", name, draw(points(1)), outside=draw(st.booleans()), occluded=draw(st.booleans()))
        for name in CORNERS
    ]


PHOTOS = st.lists(st.lists(drawn(), max_size=4), min_size=1, max_size=3).map(
    lambda photos: [DrawnPhoto(f"site_a/{n} ü.jpg", SIZE, tuple(shapes)) for n, shapes in enumerate(photos)]
)


def assert_same(a: Drawn, b: Drawn, tolerance_px: float = 0.01) -> None:
    """The same shape in all that a format can say, places within `tolerance_px`, masks exact."""
    said = ("kind", "label", "attributes", "group", "source", "z_order", "occluded", "outside")
    assert {k: getattr(a, k) for k in said} == {k: getattr(b, k) for k in said}
    assert abs(a.rotation - b.rotation) < 1e-4
    assert a.xy_px.shape == b.xy_px.shape
    assert np.abs(a.xy_px - b.xy_px).max(initial=0) <= tolerance_px
    assert (a.mask is None) == (b.mask is None)
    if a.mask is not None:
        assert (a.mask == b.mask).all()
    ours, theirs = ({p.label: p for p in one.elements} for one in (a, b))
    assert ours.keys() == theirs.keys()
    for name, point in ours.items():
        assert_same(replace(point, z_order=0), replace(theirs[name], z_order=0), tolerance_px)


def assert_same_photos(before: list[DrawnPhoto], after: list[DrawnPhoto], tolerance_px: float = 0.01) -> None:
    """Photos of the same names and sizes, in one order, with the same shapes in one order."""
    assert [(p.name, p.size_wh) for p in before] == [(p.name, p.size_wh) for p in after]
    for a, b in zip(before, after, strict=True):
        assert b.problems == ()
        assert len(a.drawn) == len(b.drawn)
        for one, other in zip(a.drawn, b.drawn, strict=True):
            assert_same(one, other, tolerance_px)
