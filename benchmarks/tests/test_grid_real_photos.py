from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import grid_real_photos, marked_photos
from benchmarks.marked_photos import Photo
from quadrat import images, template
from quadrat.formats import shapes_json
from quadrat.shapes import OCCLUDED, VISIBLE, Keypoints
from quadrat.verdict import FAILED, OK, Judged, Verdict

CORNERS = np.array([[60.0, 40], [260, 50], [255, 250], [50, 240]])
SQUARE = Keypoints("quadrat_corner", ("1", "2", "3", "4"), CORNERS)
REFUSED = Judged((), Verdict(FAILED, 0.0, ("no quadrat frame found",)))


class Says:
    """A predictor that answers the same for every picture of a size, and refuses all others."""

    def __init__(self, answers: dict[tuple[int, int], Judged]):
        self.answers = answers

    def predict_judged(self, image_rgb, *, threshold=None):
        return self.answers.get((image_rgb.shape[1], image_rgb.shape[0]), REFUSED)


@pytest.fixture
def photos(tmp_path):
    def made(frame: str, size_wh: tuple[int, int], corners: Keypoints | None) -> Photo:
        path = tmp_path / f"{frame}.png"
        images.write(path, np.full((*size_wh[::-1], 3), 90, np.uint8))
        return Photo(path, f"reef/{path.name}", frame, size_wh, corners)

    return [made("dark", (320, 300), SQUARE), made("ruler", (330, 300), SQUARE), made("none", (340, 300), None)]


def accepted(points: Keypoints) -> Judged:
    return Judged((points,), Verdict(OK, 0.9))


def shifted(points: Keypoints, row: int, off: tuple[float, float]) -> Keypoints:
    xy = points.xy_px.copy()
    xy[row] += off
    return replace(points, xy_px=xy)


def test_the_corner_that_is_farthest_off_counts(photos):
    near = accepted(shifted(shifted(SQUARE, 0, (0.5, 0)), 2, (0, 3)))
    found = grid_real_photos.corners(Says({(320, 300): near, (330, 300): accepted(SQUARE)}), photos)
    dark, ruler = found["photos"]
    assert dark["error_percent"] == pytest.approx(300 / marked_photos.side_px(CORNERS))
    assert ruler["error_percent"] == 0
    assert found["frames"]["all"]["right"] == 2
    assert found["frames"]["all"]["worst_percent"] == dark["error_percent"]
    assert found["frames"]["dark"]["photos"] == 1


def test_another_first_corner_is_wrong(photos):
    turned = replace(SQUARE, xy_px=np.roll(CORNERS, 1, axis=0))
    found = grid_real_photos.corners(Says({(320, 300): accepted(turned)}), photos)
    assert found["frames"]["dark"] == {
        "photos": 1,
        "right": 0,
        "accepted": 1,
        "falsely_accepted": 1,
        "worst_percent": pytest.approx(100, rel=0.1),
    }
    assert found["frames"]["ruler"]["falsely_accepted"] == 0, "a frame that is not found is not accepted"
    assert found["frames"]["ruler"]["worst_percent"] is None


def test_invented_corners_are_counted(photos, tmp_path):
    found = grid_real_photos.corners(Says({(340, 300): accepted(SQUARE)}), photos, tmp_path / "out")
    assert [row["verdict"] for row in found["unframed"]] == [FAILED, FAILED, OK]
    assert found["not_refused"] == 1
    page = grid_real_photos.page({"corners": found})
    assert "1 of 3 not refused" in page
    assert "| reef/none.png | none |" in page
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"reef dark.png.jpg", "inside reef dark.png.jpg"}


def test_the_inside_shows_nothing_of_the_frame(photos):
    (left, top), (right, bottom) = marked_photos.inner_box(CORNERS)
    assert left > CORNERS[[0, 3], 0].max()
    assert top > CORNERS[[0, 1], 1].max()
    assert right < CORNERS[[1, 2], 0].min()
    assert bottom < CORNERS[[2, 3], 1].min()
    assert marked_photos.inside(photos[0]).shape == (bottom - top, right - left, 3)
    assert marked_photos.inside(photos[2]).shape == (300, 340, 3)


@pytest.mark.parametrize("name", ["grid11x11", "grid9x13"])
def test_a_grid_is_ordered_while_every_visible_point_is_nearer_than_half_a_cell(name):
    layout = template.load(name)
    true = Keypoints("grid", layout.names, layout.uv * 1000 + 50)
    cell = 100 if name == "grid11x11" else 1000 / 14
    assert grid_real_photos.is_ordered(true, true, layout)
    assert grid_real_photos.is_ordered(shifted(true, 60, (0, 0.49 * cell)), true, layout)
    assert not grid_real_photos.is_ordered(shifted(true, 60, (0, 0.51 * cell)), true, layout)
    unseen = np.full(117, VISIBLE)
    unseen[60] = OCCLUDED
    assert grid_real_photos.is_ordered(shifted(true, 60, (0, 900)), replace(true, visibility=unseen), layout)
    assert not grid_real_photos.is_ordered(replace(true, xy_px=np.roll(true.xy_px, 1, axis=0)), true, layout)


def test_grids_over_photographs_are_rendered_and_counted(photos, tmp_path, monkeypatch):
    small = grid_real_photos.settings
    monkeypatch.setattr(grid_real_photos, "settings", lambda tilt: replace(small(tilt), size_px=192, rectified_px=64))
    folders = grid_real_photos.render_grids(tmp_path / "work", photos, 1)
    assert list(folders) == ["0 to 14 degrees", "14 to 30 degrees"]
    found = grid_real_photos.grids(Says({}), folders, tmp_path / "out")
    assert found["all"] == {"photos": 2, "ordered": 0, "accepted": 0, "falsely_accepted": 0}
    assert sum(found[layout]["photos"] for layout in found if layout.startswith("grid")) == 2
    assert len(found["wrong"]) == len(list((tmp_path / "out").rglob("*.jpg"))) == 2
    assert "| all | 2 | 0 | 0 | 0 |" in grid_real_photos.page({"grid": found})


def test_marks_become_a_folder_as_the_renderer_writes_them(photos, tmp_path):
    out = marked_photos.write_folder(tmp_path / "marked", photos)
    assert sorted(path.name for path in (out / "photos").iterdir()) == ["dark.png", "ruler.png"]
    truth = shapes_json.read(out / "truth" / "dark.json")
    assert truth.image == "dark.png"
    np.testing.assert_array_equal(truth.keypoints[0].xy_px, CORNERS)
    marked_photos.write_folder(tmp_path / "marked", photos)  # again is no error


def test_another_file_than_the_marked_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not there"):
        marked_photos.load(tmp_path)
    first = json.loads(marked_photos.MARKS.read_text("utf-8"))["framed"][0]["photo"]
    images.write(tmp_path / first, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="not the file that was marked"):
        marked_photos.load(tmp_path)
