from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from grid_inpainting.lines import straight_strings
from grid_inpainting.strings import detect_lines, score
from grid_inpainting.tests.test_strings import seabed
from quadrat import images

PHOTOS = Path(__file__).parents[3] / "shared" / "photos"
MCR = sorted((PHOTOS / "mcr_lter_moorea").glob("*.jpg"))
UNSTRUNG = [*sorted((PHOTOS / "utp_australes").glob("*.jpg")), *sorted((PHOTOS / "eilat").glob("*.JPG00.png"))]
RED = (214, 78, 60)


def framed(colour=RED, width: int = 4, strung: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A photo with a frame, a tape, a ruler and two slightly sagging diagonals, and where these are."""
    photo = seabed(1, 600)
    strings = np.zeros((600, 600), np.uint8)
    t = np.linspace(0, 1, 40)
    for line in (np.stack([t, t], 1), np.stack([t, 1 - t], 1)):
        xy = 40 + 520 * line + 2.5 * np.sin(np.pi * t)[:, None]
        cv2.polylines(strings, [np.round(xy * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
    weight = strings[..., None] / 255 * strung
    photo = (photo * (1 - weight) + np.array(colour) * weight).astype(np.uint8)
    cv2.rectangle(photo, (28, 28), (572, 572), (44, 46, 50), 22)
    cv2.line(photo, (0, 330), (600, 300), (236, 236, 232), 14)
    cv2.line(photo, (540, 180), (540, 420), (96, 70, 190), 12)
    strings[:40], strings[-40:], strings[:, :40], strings[:, -40:] = 0, 0, 0, 0
    tape = cv2.line(np.zeros_like(strings), (0, 330), (600, 300), 1, 16)
    strings[tape > 0] = 0
    return photo, strings > 25


@pytest.mark.parametrize(("colour", "width"), [(RED, 2), (RED, 6), ((235, 235, 230), 4), ((20, 20, 24), 4)])
def test_two_diagonals_are_found_and_nothing_else(colour, width):
    photo, truth = framed(colour, width)
    assert len(straight_strings(photo)) == 2
    found = detect_lines(photo)
    agreement = score(found.mask, truth)
    assert agreement.recall > 0.95
    assert agreement.precision > 0.8
    assert width <= found.width_px <= width + 5


def test_frame_tape_and_ruler_are_no_strings():
    photo, _ = framed(strung=False)
    found = detect_lines(photo)
    assert not found.mask.any()
    assert found.width_px == 0
    assert "no straight string" in found.warnings[0]


def test_the_lines_run_from_border_to_border():
    ends = straight_strings(framed()[0])
    on_border = (np.abs(ends) < 1e-6) | (np.abs(ends - 600) < 1e-6)
    assert on_border.any(-1).all()
    for start, end in ends:
        assert np.abs(np.abs(end - start) - 600).max() < 30


def test_a_given_width_is_kept():
    photo, _ = framed()
    narrow, wide = detect_lines(photo, width_px=3), detect_lines(photo, width_px=9)
    assert (narrow.width_px, wide.width_px) == (3, 9)
    assert score(wide.mask, narrow.mask).recall == 1
    assert wide.mask.sum() > 2 * narrow.mask.sum()


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 900, 3), (64, 64, 3)])
def test_photos_without_anything_in_them(shape):
    found = detect_lines(np.full(shape, 90, np.uint8))
    assert found.mask.shape == shape[:2]
    assert not found.mask.any()


@pytest.mark.skipif(len(MCR) < 2, reason="the photographs are not here")
@pytest.mark.parametrize("path", MCR[1:3], ids=lambda path: path.name)
def test_the_red_diagonals_of_moorea(path):
    photo = images.read(path)
    found = detect_lines(photo)
    assert found.mask.mean() < 0.04
    h, w = found.mask.shape
    ends = straight_strings(photo) / (w, h)
    assert len(ends) == 2
    slopes = sorted((end - start)[1] / (end - start)[0] for start, end in ends)
    assert slopes == pytest.approx([-1, 1], abs=0.1)
    red = (2 * photo[..., 0].astype(int) - photo[..., 1] - photo[..., 2]).astype(np.float32)
    beside = cv2.dilate(found.mask.view(np.uint8), np.ones((31, 31), np.uint8)).astype(bool) & ~found.mask
    assert red[found.mask].mean() > red[beside].mean() + 60


@pytest.mark.skipif(not UNSTRUNG, reason="the photographs are not here")
@pytest.mark.parametrize("path", UNSTRUNG[-2:], ids=lambda path: path.name)
def test_photographs_without_strings(path):
    assert not detect_lines(images.read(path)).mask.any()
