from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from grid_pose_detection import folder, prepare
from quadrat import images, template
from quadrat.formats import shapes_json
from quadrat.homography import apply_homography
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Keypoints

SIDE = 128


def write_quadrat(root: Path, name: str, layout: str | None, visibility: dict[int, int] | None = None) -> None:
    """A gray photo with the truth of an upright quadrat of 80 px, as `data_engineering.render` lays it out.

    A corner of it has a shade of the name's own, as no two photographs are the same file.
    """
    photo = root / "photos" / f"{name}.jpg"
    picture = np.full((SIDE, SIDE, 3), 90, np.uint8)
    picture[:8, :8] = zlib.crc32(name.encode()) % 251
    images.write(photo, picture)
    shapes = []
    for each in ["corners", layout] if layout else []:
        known = template.load(each)
        seen = np.full(len(known.names), VISIBLE)
        for point, state in (visibility or {}).items():
            seen[point] = state
        about = {} if each == "corners" else {"layout": each}
        shapes.append(Keypoints(known.label, known.names, 24 + 80 * known.uv, seen, attributes=about))
    shapes_json.write(root / "truth" / f"{name}.json", Annotations(photo.name, (SIDE, SIDE), tuple(shapes)))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rendered")
    for number in range(4):
        write_quadrat(root, f"reef_2024_q{number}", ("grid11x11", "grid9x13")[number % 2], {1: OCCLUDED, 2: HIDDEN})
    write_quadrat(root, "reef_2024_q4", None)
    return root


def read_rows(made: Path, name: str) -> np.ndarray:
    text = (made / "labels" / "val" / f"{name}.txt").read_text()
    return np.array([line.split() for line in text.splitlines()], float)


def test_points_of_a_grid_are_crossings_and_ends_of_their_size(rendered: Path, tmp_path: Path) -> None:
    manifest = prepare.main(tmp_path / "d", layouts=["grid11x11", "grid9x13"], rendered=rendered, only="val")
    assert manifest.classes == (folder.CROSSING, folder.END)
    assert manifest.layouts == ("grid11x11", "grid9x13")
    assert manifest.photos == {"train": 0, "val": 5, "test": 0}
    rows = read_rows(tmp_path / "d", "reef_2024_q0")
    assert len(rows) == 115  # a covered point and a hidden one are no objects
    assert np.count_nonzero(rows[:, 0] == 1) == 36 - 2
    first = template.load("grid11x11").uv[0]
    np.testing.assert_allclose(rows[0, 1:3] * SIDE, 24 + 80 * first, atol=1e-3)
    np.testing.assert_allclose(rows[0, 3:] * SIDE, prepare.BOX_OF_CELL * 8, atol=1e-3)
    others = read_rows(tmp_path / "d", "reef_2024_q1")
    assert len(others) == 115 + 2 * (9 + 13) - 1  # the end next to the covered point is left out
    ends = others[others[:, 0] == 1, 1:3] * SIDE
    assert (np.isclose(ends, 24, atol=0.01) | np.isclose(ends, 104, atol=0.01)).any(1).all()
    assert (tmp_path / "d" / "labels" / "val" / "reef_2024_q4.txt").read_text() == ""


def test_strings_of_a_layout_inside_its_frame_end_on_the_frame() -> None:
    layout = template.load("grid9x13")
    turned = np.array([[1.2, 0.1, 30], [-0.2, 1.1, 80], [2e-4, 6e-4, 1]])

    def photo(uv: np.ndarray) -> np.ndarray:
        bowed = uv + 0.01 * np.sin(np.pi * uv[:, ::-1])
        return apply_homography(turned, 300 * bowed)

    seen = np.full(117, VISIBLE)
    seen[0] = HIDDEN
    ends, last = prepare.ends_on_frame(Keypoints("grid", layout.names, photo(layout.uv), seen), layout)
    wanted = layout.uv[last]
    step = 1 / (np.array(layout.lattice_shape)[::-1] + 1)
    cut = (wanted < 1.5 * step) | (wanted > 1 - 1.5 * step)
    assert cut.any(1).all()
    assert len(ends) == 2 * (9 + 13)
    cell = np.linalg.norm(photo(layout.uv[1:2]) - photo(layout.uv[2:3]))
    for end, near in zip(ends, wanted, strict=True):
        places = np.stack([np.array(uv) for uv in ((0, near[1]), (1, near[1]), (near[0], 0), (near[0], 1))])
        assert np.linalg.norm(photo(places) - end, axis=1).min() < 0.06 * cell


def test_a_covered_corner_is_learnt_and_one_outside_the_photo_is_not(rendered: Path, tmp_path: Path) -> None:
    prepare.main(tmp_path / "d", layouts=["corners"], rendered=rendered, only="val")
    rows = read_rows(tmp_path / "d", "reef_2024_q0")
    np.testing.assert_allclose(rows[:, 1:3] * SIDE, [[24, 24], [104, 24], [24, 104]], atol=1e-3)
    np.testing.assert_allclose(rows[:, 3:] * SIDE, prepare.BOX_OF_SIDE * 80, atol=1e-3)


def test_a_box_at_the_border_keeps_its_point_in_the_middle(tmp_path: Path) -> None:
    known = template.load("corners")
    quadrat = Keypoints(known.label, known.names, known.uv * SIDE)
    rows = prepare._point_lines(quadrat, known, np.array([SIDE, SIDE]))
    np.testing.assert_allclose([row[:2] for _, row in rows], known.uv)


def test_pose_has_every_keypoint_with_its_visibility(rendered: Path, tmp_path: Path) -> None:
    layouts = ["grid11x11", "grid9x13"]
    manifest = prepare.main(tmp_path / "d", layouts=layouts, rendered=rendered, only="val", formulation="pose")
    assert manifest.classes == tuple(layouts)
    rows = read_rows(tmp_path / "d", "reef_2024_q1")
    assert rows.shape == (1, 5 + 3 * 117)
    assert rows[0, 0] == 1
    points = rows[0, 5:].reshape(-1, 3)
    assert points[:4, 2].tolist() == [VISIBLE, OCCLUDED, HIDDEN, VISIBLE]
    np.testing.assert_allclose(points[3, :2] * SIDE, 24 + 80 * template.load("grid9x13").uv[3], atol=1e-3)
    assert not points[2, :2].any()


def test_mirrored_points_take_the_place_of_their_twins(rendered: Path, tmp_path: Path) -> None:
    prepare.main(tmp_path / "d", layouts=["grid11x11"], rendered=rendered, only="val", formulation="pose")
    dataset = yaml.safe_load((tmp_path / "d" / "dataset.yaml").read_text())
    uv = template.load("grid11x11").uv
    assert dataset["kpt_shape"] == [117, 3]
    np.testing.assert_allclose(uv[dataset["flip_idx"]], [1, 0] + uv * [-1, 1])


def test_layouts_that_are_mirrored_differently_share_no_list(rendered: Path, tmp_path: Path) -> None:
    prepare.main(tmp_path / "d", layouts=["grid11x11", "grid9x13"], rendered=rendered, only="val", formulation="pose")
    assert "flip_idx" not in yaml.safe_load((tmp_path / "d" / "dataset.yaml").read_text())


def test_a_layout_of_ones_own_travels_with_the_folder(rendered: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("lattice: {columns: 3, rows: 2}\n")
    manifest = prepare.main(tmp_path / "d", layouts=[own], rendered=rendered, only="val")
    assert manifest.layouts == ("own.yaml",)
    assert len(folder.layouts(tmp_path / "d", manifest.layouts, "grid")[0].names) == 6
    assert sum(manifest.objects.values()) == 0  # those quadrats have other points


def test_unfit_wishes_are_refused(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one label and point count"):
        prepare.main(tmp_path / "d", layouts=["corners", "grid11x11"], rendered=rendered)
    with pytest.raises(ValueError, match="formulation"):
        prepare.main(tmp_path / "d", layouts=["corners"], rendered=rendered, formulation="boxes")
    with pytest.raises(ValueError, match="one source"):
        prepare.main(tmp_path / "d", layouts=["corners"])
