from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data_engineering.render import camera, strings
from data_engineering.render.settings import Settings
from grid_pose_detection.locate import Located, locate
from quadrat import template, verdict
from quadrat.homography import apply_homography
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints
from quadrat.verdict import FAILED, OK, REVIEW, Verdict

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
FRAME = template.load("corners")


class Scene:
    """A rendered camera over a quadrat, its corners and its grid exact but for the strings."""

    def __init__(self, layout: str = "grid11x11", seed: int = 5, k1: float = -0.1):
        rng = np.random.default_rng(seed)
        self.layout = template.load(layout)
        self.view = camera.look(rng, Settings(lens_k1=(k1, k1), crop_probability=0.0), (100.0, 100.0))
        bows = strings.hang(rng, self.layout, 0.006)
        xy = self.view.to_photo(100 * strings.crossings(self.layout, bows))
        self.corners = Keypoints("quadrat_corner", FRAME.names, self.view.to_photo(100 * SQUARE))
        self.grid = Keypoints("grid", self.layout.names, xy)

    def off(self, located: Located | Verdict) -> float:
        """Largest error of the frame, as a share of its side."""
        assert isinstance(located, Located)
        theirs = located.lens.bend(apply_homography(located.to_photo, SQUARE))
        side = np.hypot(*(np.roll(theirs, -1, axis=0) - theirs).T).mean()
        return float(np.hypot(*(theirs - self.corners.xy_px).T).max() / side)

    def inner_off(self, located: Located | Verdict) -> float:
        """Mean error inside the frame, as a share of its side."""
        assert isinstance(located, Located)
        uv = np.stack(np.meshgrid(np.linspace(0.05, 0.95, 9), np.linspace(0.05, 0.95, 9)), -1).reshape(-1, 2)
        off = located.lens.bend(apply_homography(located.to_photo, uv)) - self.view.to_photo(100 * uv)
        return float(np.hypot(*off.T).mean() / np.hypot(*(self.corners.xy_px[1] - self.corners.xy_px[0])))


def predicted(points: Keypoints, status: str, *reasons: str) -> Keypoints:
    layout = FRAME if len(points.names) == 4 else template.load("grid11x11")
    return verdict.judged(points, layout, Verdict(status, 0.9 if status == OK else 0.3, reasons)).shapes[0]


@pytest.mark.parametrize("layout", ["grid11x11", "grid9x13"])
def test_grid_and_corners_together_know_the_lens(layout):
    scene = Scene(layout)
    alone = locate([scene.corners], scene.view.size_wh)
    both = locate([scene.corners, scene.grid], scene.view.size_wh)
    assert alone.source == "corners"
    assert alone.lens.k1 == 0
    assert both.source == "grid and corners, 121 points"
    assert both.template.name == layout  # found by its fit
    assert scene.off(both) < 0.004
    assert scene.inner_off(both) < 0.5 * scene.inner_off(alone)


def test_a_grid_alone_will_do():
    scene = Scene()
    found = locate([scene.grid], scene.view.size_wh)
    assert found.source == "grid, 117 points"
    assert scene.off(found) < 0.01


def test_a_grid_that_is_one_off_gives_way_to_the_corners():
    scene = Scene()
    later = replace(scene.grid, xy_px=scene.view.to_photo(100 * (scene.layout.uv + (0.1, 0))))
    for marked in (True, False):
        both = [scene.corners, later] if marked else [predicted(scene.corners, OK), predicted(later, OK)]
        found = locate(both, scene.view.size_wh)
        assert found.source == "corners"
        assert found.verdict.status == REVIEW
        assert "do not agree: 1." in found.verdict.reasons[0]
        assert scene.off(found) < 1e-6


def test_a_doubtful_grid_is_confirmed_by_the_corners_or_left_out():
    scene = Scene()
    doubtful = predicted(scene.grid, REVIEW, "nothing of the top row is seen")
    alone = locate([doubtful], scene.view.size_wh)
    assert alone.source.startswith("grid")
    assert alone.verdict.status == REVIEW
    confirmed = locate([scene.corners, doubtful], scene.view.size_wh)
    assert confirmed.source == "grid and corners, 121 points"
    assert confirmed.verdict.status == OK
    shifted = replace(doubtful, xy_px=scene.view.to_photo(100 * (scene.layout.uv + (0, 0.1))))
    refuted = locate([scene.corners, shifted], scene.view.size_wh)
    assert (refuted.source, refuted.verdict.status) == ("corners", OK)
    few = replace(doubtful, visibility=(np.arange(117) < 3).astype(np.uint8) * VISIBLE)
    assert locate([scene.corners, few], scene.view.size_wh).source == "corners"


def test_doubtful_corners_are_confirmed_by_the_grid_or_overruled():
    scene = Scene()
    doubtful = predicted(scene.corners, REVIEW, "corner 3 not seen, place guessed from the others")
    sure = predicted(scene.grid, OK)
    found = locate([doubtful, sure], scene.view.size_wh)
    assert (found.source, found.verdict.status) == ("grid, 117 points", OK)
    xy = doubtful.xy_px.copy()
    xy[2] += 100
    overruled = locate([replace(doubtful, xy_px=xy), sure], scene.view.size_wh)
    assert (overruled.source, overruled.verdict.status) == ("grid, 117 points", REVIEW)
    assert scene.off(overruled) < 0.01
    both = [doubtful, predicted(scene.grid, REVIEW, "60 of 117 points are missing")]
    assert locate(both, scene.view.size_wh).verdict.reasons == ("corner 3 not seen, place guessed from the others",)


def test_of_a_prediction_only_what_was_seen_counts():
    scene = Scene()
    guessed = np.arange(117) % 3 == 0
    xy = np.where(guessed[:, None], scene.grid.xy_px + 30, scene.grid.xy_px)
    grid = replace(scene.grid, xy_px=xy, visibility=np.where(guessed, OCCLUDED, VISIBLE))
    found = locate([predicted(grid, OK)], scene.view.size_wh)
    assert found.source == "grid, 78 points"
    assert scene.off(found) < 0.01


def test_corners_of_a_person_are_put_in_order():
    scene = Scene()
    for order in ([2, 0, 3, 1], [3, 2, 1, 0]):
        shuffled = replace(scene.corners, xy_px=scene.corners.xy_px[order])
        found = locate([shuffled], scene.view.size_wh)
        assert found.verdict.status == OK
        assert scene.off(found) < 1e-6


def test_hidden_corners_count_where_they_lie_outside_the_photo():
    xy = np.array([[-40, 30], [900, 30], [900, 930], [-40, 930]], float)
    corners = Keypoints("quadrat_corner", FRAME.names, xy, [HIDDEN, VISIBLE, VISIBLE, HIDDEN])
    found = locate([corners], (1280, 960))
    assert isinstance(found, Located)
    assert found.verdict.status == REVIEW
    assert "corners 1, 4 outside the photo" in found.verdict.reasons[0]
    nowhere = locate([replace(corners, xy_px=np.maximum(xy, 0))], (1280, 960))
    assert nowhere == Verdict(FAILED, 0.0, ("corner 1, 4 is marked as not seen",))


def test_what_is_no_frame_is_not_located():
    dented = Keypoints("quadrat_corner", FRAME.names, np.array([[0, 0], [100, 0], [20, 20], [0, 100]], float))
    found = locate([dented], (1280, 960))
    assert isinstance(found, Verdict)
    assert found.status == FAILED
    assert locate([], (1280, 960)) == Verdict(FAILED, 0.0, ("no quadrat frame found",))
    line = Keypoints("quadrat_corner", FRAME.names, np.array([[0, 0], [1, 1], [2, 2], [3, 3]], float) * 50)
    assert isinstance(locate([line], (1280, 960)), Verdict)


def test_the_size_of_the_frame_is_kept():
    scene = Scene()
    found = locate([scene.corners, scene.grid], scene.view.size_wh, size_cm=(50.0, 50.0))
    assert found.template.size_cm == (50.0, 50.0)


def test_a_grid_of_another_number_of_points_is_refused_if_a_layout_is_named():
    scene = Scene()
    few = Keypoints("grid", ("1", "2", "3", "4", "5"), np.random.default_rng(0).random((5, 2)))
    with pytest.raises(ValueError, match="'grid9x13' has 117 points, the grid 5"):
        locate([few], scene.view.size_wh, layout="grid9x13")
    assert locate([few, scene.corners], scene.view.size_wh).source == "corners"
