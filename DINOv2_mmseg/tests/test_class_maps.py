from __future__ import annotations

import numpy as np
import pytest

from DINOv2_mmseg import class_maps, point_maps
from DINOv2_mmseg.class_maps import Classes, Rule, UnknownLabels
from DINOv2_mmseg.point_maps import Legend
from quadrat import masks
from quadrat.shapes import HIDDEN, VISIBLE, Annotations, Keypoints

SIZE_WH = (12, 8)
LABELS = ("background", "Acropora", "Other", "Porites")


def box(label: str, x0: int, y0: int, x1: int, y1: int):
    mask = np.ones((y1 - y0, x1 - x0), bool)
    return masks.instance_from_mask(label, mask, (x0, y0))


def classes(**options) -> Classes:
    return Classes(LABELS, lambda label: label, **options)


def draw(*shapes, border: int = 0, **options) -> class_maps.LabelMap:
    return class_maps.draw(Annotations("a.jpg", SIZE_WH, shapes), classes(**options), border)


@pytest.mark.parametrize("order", [1, -1])
def test_a_small_colony_wins_over_a_large_one_whatever_their_order(order):
    shapes = [box("Porites", 0, 0, 10, 8), box("Acropora", 2, 2, 5, 4)][::order]
    made = draw(*shapes)
    assert made.counts == {"background": 16, "Acropora": 6, "Other": 0, "Porites": 74}
    assert (made.index[2:4, 2:5] == 1).all()
    assert (made.index == 1).sum() == 6
    assert made.index[0, 11] == 0


@pytest.mark.parametrize(("first", "second"), [("Porites", "Acropora"), ("Acropora", "Porites")])
def test_of_two_of_one_size_the_first_wins(first, second):
    made = draw(box(first, 0, 0, 6, 4), box(second, 3, 0, 9, 4))
    assert (made.index[0:4, 3:6] == LABELS.index(first)).all()


def test_points_and_what_lies_beyond_the_photo_leave_the_background():
    keypoints = Keypoints("Porites", ("1",), np.array([[3.5, 3.5]]))
    made = draw(keypoints, box("Acropora", 10, 6, 20, 20), box("Acropora", -5, -5, -1, -1))
    assert np.argwhere(made.index).tolist() == [[6, 10], [6, 11], [7, 10], [7, 11]]


def test_no_colony_is_all_background():
    assert (draw().index == 0).all()


def test_ignored_labels_are_not_known_and_counted():
    made = draw(box("Porites", 0, 0, 10, 8), box("Acropora", 2, 2, 5, 4), ignore=frozenset({"Acropora"}))
    assert (made.index[2:4, 2:5] == 255).all()
    assert made.ignored == {"Acropora": 1}
    assert made.counts["Porites"] == 74
    assert made.counts["Acropora"] == 0


def test_unknown_labels_are_refused_ignored_or_other():
    shapes = box("Unicorn", 0, 0, 2, 2), box("Dragon", 4, 0, 6, 2)
    with pytest.raises(UnknownLabels, match=r"labels '(Unicorn|Dragon)' are none of the classes background, Acropora"):
        draw(*shapes)
    assert (draw(*shapes, unknown="ignore").index[0:2, 0:2] == 255).all()
    assert (draw(*shapes, unknown="other").index[0:2, 4:6] == 2).all()
    with pytest.raises(UnknownLabels, match="labels 'Dragon', 'Unicorn' are none") as caught:
        classes().check(["Unicorn", "Porites", "Dragon", "Unicorn"])
    assert caught.value.labels == ["Dragon", "Unicorn"]
    with pytest.raises(ValueError, match="no class 'Other'"):
        Classes(("a",), str, unknown="other")
    with pytest.raises(ValueError, match="expected one of refuse, ignore, other"):
        Rule(unknown="drop")


def test_borders_between_classes_are_not_known():
    made = draw(box("Porites", 0, 0, 6, 8), border=1)
    np.testing.assert_array_equal(made.index[3], [3, 3, 3, 3, 3, 255, 255, 0, 0, 0, 0, 0])
    wide = draw(box("Porites", 0, 0, 6, 8), border=3)
    np.testing.assert_array_equal(wide.index[3], [3, 3, 3, 255, 255, 255, 255, 255, 255, 0, 0, 0])


@pytest.mark.parametrize("px", [1, 2, 3, 4])
def test_a_border_is_as_wide_as_it_says(px):
    index = np.random.default_rng(px).choice(np.array([0, 1, 255], np.uint8), (15, 18), p=[0.9, 0.03, 0.07])
    made = class_maps.without_borders(index, px)
    rows, columns = np.indices(index.shape)
    for y, x in np.ndindex(index.shape):
        near = index[(rows - y) ** 2 + (columns - x) ** 2 <= px**2]
        mixed = len(set(near.tolist()) - {255}) > 1
        assert made[y, x] == (255 if mixed else index[y, x])


@pytest.mark.parametrize("ignored", ["Porites", "Acropora"])
def test_what_is_not_known_has_no_border_with_a_class(ignored):
    shapes = box("Porites", 0, 0, 6, 8), box("Acropora", 6, 0, 12, 8)
    made = draw(*shapes, border=2, ignore=frozenset({ignored}))
    assert np.count_nonzero(made.index == 255) == 48


def test_two_colonies_of_one_class_have_no_border():
    made = draw(box("Porites", 0, 0, 6, 8), box("Porites", 6, 0, 12, 8), border=2)
    assert (made.index == 3).all()


def test_a_file_lists_the_classes(tmp_path):
    path = tmp_path / "c.txt"
    path.write_bytes(b"\xef\xbb\xbfPorites\r\n\r\n  Soft coral \r\n")
    assert Rule(path).listed() == ("Porites", "Soft coral")
    assert Rule().listed() == ()
    for text in ("", "a\nb\na\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="each once"):
            Rule(path).listed()


# ---------------------------------------------------------------------------------------------- points

LEGEND = Legend(
    {"Porit": "Porites", "Turf": "Turf algae", "Macro": "Macroalgae", "P2": "Porites"},
    {"Porites": "Hard coral", "Turf algae": "Algae", "Macroalgae": "Algae"},
)


def test_classes_of_points_are_those_that_occur():
    made = point_maps.classes_of({"Sand": 5, "Porit": 7, "Off": 1}, Rule(), Legend())
    assert made.labels == ("Off", "Porit", "Sand")


def test_few_points_and_ignored_ones_are_no_class():
    made = point_maps.classes_of({"Sand": 5, "Porit": 7, "Off": 1, "Bad": 9}, Rule(ignore=("Bad",)), Legend(), 5)
    assert made.labels == ("Porit", "Sand")
    assert [made.index_of(label) for label in ("Porit", "Sand", "Off", "Bad")] == [0, 1, 255, 255]
    with pytest.raises(ValueError, match="no class has 9 points"):
        point_maps.classes_of({"Sand": 5}, Rule(), Legend(), 9)


def test_codes_get_their_full_names_and_are_counted_together():
    made = point_maps.classes_of({"Porit": 2, "P2": 2, "Turf": 3}, Rule(), LEGEND, 4)
    assert made.labels == ("Porites",)
    assert made.index_of("P2") == made.index_of("Porites") == 0
    assert made.index_of("Turf") == 255


def test_codes_that_the_labelset_lacks():
    counts = {"Porit": 2, "Xeno": 3, "Yeti": 1}
    with pytest.raises(UnknownLabels, match="'Xeno', 'Yeti'"):
        point_maps.classes_of(counts, Rule(), LEGEND)
    assert point_maps.classes_of(counts, Rule(ignore=("Xeno", "Yeti")), LEGEND).labels == ("Porites",)
    ignoring = point_maps.classes_of(counts, Rule(unknown="ignore"), LEGEND)
    assert ignoring.labels == ("Porites",)
    assert ignoring.index_of("Xeno") == 255
    other = point_maps.classes_of(counts, Rule(unknown="other"), LEGEND)
    assert other.labels == ("Other", "Porites")
    assert other.index_of("Xeno") == 0


def test_a_file_says_which_classes_in_which_order_also_those_without_points(tmp_path):
    (tmp_path / "c.txt").write_text("Sand\nPorites\nAcropora\n")
    rule = Rule(tmp_path / "c.txt", "ignore")
    made = point_maps.classes_of({"Porites": 4, "Sand": 1, "Off": 3}, rule, Legend())
    assert made.labels == ("Sand", "Porites", "Acropora")
    assert made.index_of("Off") == 255
    with pytest.raises(UnknownLabels, match="'Off'"):
        point_maps.classes_of({"Porites": 4, "Off": 3}, Rule(tmp_path / "c.txt"), Legend())
    with pytest.raises(ValueError, match="--min-points 2: expected one of them"):
        point_maps.classes_of({"Porites": 4}, rule, Legend(), 2)


def test_no_colonies_are_named_by_name_code_or_group():
    made = point_maps.classes_of({"Porit": 2, "Turf": 3, "Macro": 1}, Rule(), LEGEND)
    for named in (["Algae"], ["Turf", "Macro"], ["Turf algae", "Macroalgae"]):
        assert point_maps.background_of(made, LEGEND, named) == ("Macroalgae", "Turf algae")
    assert point_maps.background_of(made, LEGEND, []) == ()
    with pytest.raises(ValueError, match="--not-colony Algea: expected classes among Macroalgae, Porites"):
        point_maps.background_of(made, LEGEND, ["Algea", "Turf"])


def test_a_no_colony_with_too_few_points_is_no_mistake():
    made = point_maps.classes_of({"Porit": 2, "Off": 1}, Rule(), Legend(), 2)
    assert point_maps.background_of(made, Legend(), ["Off"]) == ()


def points(label: str, *xy: tuple[float, float], hidden: int = -1) -> Keypoints:
    seen = np.array([HIDDEN if k == hidden else VISIBLE for k in range(len(xy))])
    return Keypoints(label, tuple(map(str, range(len(xy)))), np.array(xy), seen)


def test_a_point_is_the_pixel_that_it_lies_in():
    known = Classes(("Porit", "Sand"), str, frozenset({"Off"}))
    shapes = (
        points("Sand", (0.5, 0.5), (11.5, 7.5), (5, 5), hidden=2),
        points("Porit", (3.0, 2.999)),
        points("Off", (7.5, 7.5)),
    )
    annotations = Annotations("a.jpg", SIZE_WH, shapes)
    made = point_maps.draw(annotations, np.zeros((8, 12, 3), np.uint8), known)
    expected = np.full((8, 12), 255, np.uint8)
    expected[0, 0] = expected[7, 11] = 1
    expected[2, 3] = 0
    np.testing.assert_array_equal(made.index, expected)
    assert made.counts == {"Sand": 2, "Porit": 1}
    assert made.ignored == {"Off": 1}
    assert set(made.points) == {(0.5, 0.5, "Sand"), (11.5, 7.5, "Sand"), (3.0, 2.999, "Porit")}


def test_a_pixel_of_two_classes_is_not_known():
    shapes = points("Sand", (1.2, 1.2), (4.5, 4.5), (4.6, 4.6)), points("Porit", (1.7, 1.7))
    made = point_maps.draw(
        Annotations("a.jpg", SIZE_WH, shapes), np.zeros((8, 12, 3), np.uint8), Classes(("Porit", "Sand"), str)
    )
    assert np.argwhere(made.index != 255).tolist() == [[4, 4]]
    assert made.counts == {"Sand": 3, "Porit": 1}


def test_where_superpixels_contradict_only_the_points_are_left():
    pytest.importorskip("skimage")
    image = np.zeros((60, 80, 3), np.uint8)
    shapes = points("Sand", (10.5, 10.5)), points("Porit", (14.5, 12.5), (70.5, 50.5))
    made = point_maps.draw(Annotations("a.jpg", (80, 60), shapes), image, Classes(("Porit", "Sand"), str), 4)
    assert made.index[10, 10] == 1
    assert made.index[12, 14] == 0
    assert np.count_nonzero(made.index[:30, :40] != 255) == 2
    assert np.count_nonzero(made.index[30:, 40:] == 0) > 500
