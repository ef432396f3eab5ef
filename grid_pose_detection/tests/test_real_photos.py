"""The hand-marked corners, and what the shipped weights make of those photographs (which lie outside the project)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import grid_real_photos, marked_photos
from quadrat import images
from quadrat.geometry import is_convex, order_corners

PHOTOS = Path(__file__).resolve().parents[2].parent / "shared" / "photos"
MARKS = json.loads((Path(__file__).parent / "real_corners.json").read_text("utf-8"))

SHIPPED = yaml.safe_load((Path(__file__).parents[2] / "weights" / "index.yaml").read_text("utf-8"))["default"]

needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason="the real photographs are not here")


def test_every_framed_photograph_is_marked():
    frames = [raw["frame"] for raw in MARKS["framed"]]
    assert {frame: frames.count(frame) for frame in frames} == {"aluminium": 3, "dark": 11, "ruler": 1}
    assert len({raw["sha256"] for raw in (*MARKS["framed"], *MARKS["without_frame"])}) == 16


@pytest.mark.parametrize("raw", MARKS["framed"], ids=lambda raw: raw["photo"])
def test_marks_are_a_square_seen_from_above(raw):
    corners = np.array(raw["corners_px"], np.float64)
    assert is_convex(corners)
    np.testing.assert_array_equal(order_corners(corners), corners)
    assert (corners > 0).all()
    assert (corners < raw["size_wh"]).all()
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    assert sides.max() / sides.min() < 1.1
    assert len(raw["visibility"]) == 4


@needs_photos
def test_the_photographs_are_those_that_were_marked():
    photos = marked_photos.load(PHOTOS)
    assert len(photos) == 16
    for photo in photos:
        assert images.read_size_wh(photo.path) == photo.size_wh


@needs_photos
@pytest.mark.skipif("grid_pose_detection/corners" not in SHIPPED, reason="no weights for corners ship yet")
def test_the_shipped_weights_find_the_dark_frames_and_accept_little_that_is_wrong():
    from grid_pose_detection import model

    found = grid_real_photos.corners(model.load(task="corners"), marked_photos.load(PHOTOS))
    assert found["frames"]["dark"]["right"] == 11, found["photos"]
    assert found["frames"]["all"]["falsely_accepted"] <= 1, found["photos"]  # the frame of rulers; none is wanted
    assert all(row["verdict"] != "ok" for row in found["unframed"]), found["unframed"]
