from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_engineering.render import camera
from data_engineering.render.settings import Settings
from quadrat import mapping, masks
from quadrat.homography import apply_homography, fit_homography
from quadrat.lens import Lens
from quadrat.mapping import QuadratMapping
from quadrat.shapes import HIDDEN, VISIBLE, Keypoints
from quadrat.verdict import REVIEW, Verdict

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)


def seen_by(k1: float, seed: int = 1, side: int = 600, size_px: int = 900) -> QuadratMapping:
    view = camera.look(np.random.default_rng(seed), Settings(lens_k1=(k1, k1), size_px=size_px), (100.0, 100.0))
    to_quadrat = np.diag([side / 100, side / 100, 1.0]) @ np.linalg.inv(view.cm_to_photo)
    return QuadratMapping("reef/a.jpg", view.size_wh, (side, side), side / 100, to_quadrat, Lens(view.size_wh, k1))


def blob(seed: int, size: int, origin: tuple[int, int]):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((size, size)), (0, 0), 9)
    mask = noise > np.quantile(noise, 0.6)
    mask[size // 2, size // 2] = True
    made = masks.instance_from_mask("Porites", mask, origin)
    assert made is not None
    return made


@pytest.mark.parametrize("k1", [0.0, -0.12, 0.03])
def test_points_go_to_the_quadrat_and_back(k1):
    known = seen_by(k1)
    xy = np.random.default_rng(0).uniform(-20, 620, (200, 2))
    assert np.allclose(known.to_quadrat(known.to_photo(xy)), xy, atol=1e-6)
    assert np.allclose(known.to_quadrat(known.corners_xy_px), 600 * SQUARE, atol=1e-6)


@pytest.mark.parametrize("k1", [0.0, -0.12, 0.03])
def test_shapes_come_back_within_a_pixel(k1):
    known = seen_by(k1)
    for seed in range(6):
        there = blob(seed, 120, (60 + 60 * seed, 400 - 60 * seed))
        photo = known.shapes_to_photo([there])
        again = known.shapes_to_quadrat(photo)
        assert len(photo) == len(again) == 1
        strayed = cv2.distanceTransform((~masks.to_full_mask(there, (600, 600))).astype(np.uint8), cv2.DIST_L2, 5)
        missed = cv2.distanceTransform(masks.to_full_mask(there, (600, 600)).astype(np.uint8), cv2.DIST_L2, 5)
        back = masks.to_full_mask(again[0], (600, 600))
        assert strayed[back].max(initial=0) <= 1.5  # a pixel, and its diagonal
        assert missed[~back].max(initial=0) <= 1.5
        assert masks.iou(there, again[0]) > 0.93


def test_a_bent_outline_is_where_its_points_are():
    known = seen_by(-0.12)
    ring = np.array([[20.0, 20], [580, 20], [580, 50], [20, 50]])  # long straight sides: only corners would not do
    bar = masks.instance_from_rings("tape", [ring], (600, 600))
    fine = np.concatenate([np.linspace(a, b, 400) for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True)])
    right = masks.instance_from_rings("tape", [known.to_photo(fine)], known.photo_size_wh)
    straight = masks.instance_from_rings("tape", [known.to_photo(ring)], known.photo_size_wh)
    (found,) = known.shapes_to_photo([bar])
    assert masks.iou(found, right) > 0.995
    assert masks.iou(straight, right) < 0.95


@pytest.mark.parametrize("k1", [0.0, -0.12])
def test_keypoints_keep_their_visibility(k1):
    known = seen_by(k1)
    points = Keypoints("grid", ("1", "2", "3"), np.array([[10, 10], [300, 200], [-5, -5]], float), [2, 1, 0])
    (photo,) = known.shapes_to_photo([points])
    (again,) = known.shapes_to_quadrat([photo])
    assert np.allclose(again.xy_px[:2], points.xy_px[:2], atol=1e-6)
    assert list(photo.visibility) == [VISIBLE, 1, HIDDEN]


@pytest.mark.parametrize("k1", [0.0, -0.12])
@pytest.mark.parametrize("side", [150, 600])
def test_a_drawn_quadrat_shows_what_the_photo_does(k1, side):
    """A checkerboard of 10 x 10 fields, drawn into the photo by the renderer's maps, comes out even again."""
    view = camera.look(np.random.default_rng(1), Settings(lens_k1=(k1, k1), size_px=900), (100.0, 100.0))
    known = seen_by(k1, side=side)
    w, h = view.size_wh
    pixels = np.stack(np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5), -1).reshape(-1, 2)
    cm = apply_homography(np.linalg.inv(view.cm_to_photo), view.lens.straighten(pixels)).reshape(h, w, 2)
    fields = np.floor(cm / 10).sum(axis=2) % 2
    photo = np.repeat((50 + 150 * fields)[..., None], 3, axis=2).astype(np.uint8)
    drawn = known.draw(photo)
    assert drawn.shape == (side, side, 3)
    at = (np.arange(side) + 0.5) * 10 / side
    even = 50 + 150 * ((np.floor(at)[:, None] + np.floor(at)[None]) % 2)
    inner = np.minimum(at % 1, 1 - at % 1) > 0.1
    off = np.abs(drawn[..., 0] - even)[np.ix_(inner, inner)]
    assert off.max() <= 12


@pytest.mark.parametrize("k1", [0.0, -0.1])
def test_what_lies_outside_the_photo_is_black(k1):
    size_wh = (400, 300)
    corners = np.array([[-60, 20], [330, 10], [340, 280], [-50, 290]], float)
    bent = Lens(size_wh, k1)
    h = fit_homography(bent.straighten(corners), 200 * SQUARE)[0]
    known = QuadratMapping("a.jpg", size_wh, (200, 200), 2.0, h, bent)
    drawn = known.draw(np.full((300, 400, 3), 255, np.uint8))
    assert drawn[:, :20].max() == 0
    assert drawn[5:-5, 50:].min() == 255


def test_a_photo_of_another_size_is_refused():
    with pytest.raises(ValueError, match="not the same photo"):
        seen_by(0.0).draw(np.zeros((10, 10, 3), np.uint8))


def test_a_mapping_is_kept_exactly(tmp_path):
    known = replace(seen_by(-0.08), verdict=Verdict(REVIEW, 0.4, ("why",)), source="grid", maker={"a": [1, None]})
    mapping.write(tmp_path / "a.mapping.json", known)
    again = mapping.read(tmp_path / "a.mapping.json")
    assert (again.photo_to_quadrat == known.photo_to_quadrat).all()
    for name in ("photo", "photo_size_wh", "size_wh", "px_per_cm", "lens", "verdict", "source", "maker"):
        assert getattr(again, name) == getattr(known, name)
    raw = json.loads((tmp_path / "a.mapping.json").read_text("utf-8"))
    both = np.array(raw["quadrat_to_photo"]) @ np.array(raw["photo_to_quadrat"])
    assert np.allclose(both / both[2, 2], np.eye(3))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "quadratseg-mapping", "version": 1}'])
def test_a_damaged_mapping_is_refused_by_name(tmp_path, text):
    (tmp_path / "a.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match="a.json: not a readable mapping"):
        mapping.read(tmp_path / "a.json")


@pytest.mark.parametrize("k1", [0.0, -0.12])
def test_a_margin_lies_round_the_frame(k1, tmp_path):
    plain = seen_by(k1)
    shift = np.array([[1, 0, 40], [0, 1, 40], [0, 0, 1.0]])
    wider = replace(plain, size_wh=(680, 680), photo_to_quadrat=shift @ plain.photo_to_quadrat, margin_px=40.0)
    assert np.allclose(wider.corners_xy_px, plain.corners_xy_px, atol=1e-6)
    assert np.allclose(wider.frame_xy_px, 40 + 600 * SQUARE)
    noise = np.random.default_rng(0).integers(0, 255, (*plain.photo_size_wh[::-1], 3), dtype=np.uint8)
    photo = cv2.GaussianBlur(noise, (0, 0), 4)
    inner = wider.draw(photo)[40:-40, 40:-40].astype(int)
    assert np.abs(inner - plain.draw(photo)).max() <= 2
    mapping.write(tmp_path / "a.json", wider)
    assert mapping.read(tmp_path / "a.json").margin_px == 40


def test_a_file_from_before_there_were_margins_has_none(tmp_path):
    mapping.write(tmp_path / "a.json", seen_by(0.0))
    raw = json.loads((tmp_path / "a.json").read_text())
    del raw["margin_px"]
    (tmp_path / "a.json").write_text(json.dumps(raw))
    assert mapping.read(tmp_path / "a.json").margin_px == 0


@pytest.mark.parametrize("margin", [-1.0, 300.0, float("nan")])
def test_a_margin_without_a_frame_is_refused(margin):
    with pytest.raises(ValueError, match="margin_px is"):
        replace(seen_by(0.0), margin_px=margin)
