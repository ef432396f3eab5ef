"""The steps of the chain, each by itself."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data_engineering.function_url import AnswerError
from deploy import chain
from quadrat import images, masks
from quadrat.shapes import Keypoints

from .functions_stand_in import Said, clean, serving

CORNERS = np.array([[100, 80], [500, 100], [480, 420], [90, 400]], np.float64)


def photo(size_wh=(640, 480), kind="JPEG", **more) -> bytes:
    width, height = size_wh
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    file = io.BytesIO()
    Image.fromarray(np.stack([across, down, down], -1).astype(np.uint8)).save(file, kind, **more)
    return file.getvalue()


def test_the_quadrat_has_a_margin_and_the_photos_own_scale():
    file, way = chain.rectified(photo(), CORNERS, name="reef/a.jpg")
    longest = np.hypot(*(np.roll(CORNERS, -1, axis=0) - CORNERS).T).max()
    assert way.px_per_cm == pytest.approx(longest / 100)
    assert way.size_wh == images.decode(file).shape[1::-1]
    assert way.margin_px == round(0.05 * round(longest))
    assert way.size_wh[0] == round(longest) + 2 * way.margin_px
    assert (way.photo, way.photo_size_wh) == ("reef/a.jpg", (640, 480))
    assert np.allclose(way.corners_xy_px, CORNERS, atol=1e-6)
    assert np.allclose(way.to_photo(way.frame_xy_px), CORNERS, atol=1e-6)


def test_the_quadrat_shows_what_lies_round_its_frame():
    file, way = chain.rectified(photo(), CORNERS, name="a.jpg", px_per_cm=3)
    shown = images.decode(file)
    for at in ((20, 30), (150, 150), (320, 300)):  # the photo's colours say where a pixel is from
        x, y = way.to_photo([np.array(at) + 0.5])[0]
        red, green, _ = shown[at[1], at[0]]
        assert abs(red / 255 * 639 - x) < 4
        assert abs(green / 255 * 479 - y) < 4


def test_the_photos_exif_goes_along():
    exif = Image.Exif()
    exif[271] = "Reef camera"
    file, _ = chain.rectified(photo(exif=exif), CORNERS, name="a.jpg")
    with Image.open(io.BytesIO(file)) as image:
        assert image.getexif()[271] == "Reef camera"
        assert image.format == "JPEG"


def test_a_frame_that_is_not_square_keeps_its_proportions():
    _, way = chain.rectified(photo(), CORNERS, name="a.jpg", size_cm=(50, 100), px_per_cm=4, margin=0.1)
    assert (way.size_wh, way.margin_px) == ((280, 480), 40)


def test_a_large_photo_gives_a_quadrat_that_a_function_takes(monkeypatch):
    monkeypatch.setattr(chain, "_MOST_PIXELS", 90_000)
    file, way = chain.rectified(photo(), CORNERS, name="a.jpg")
    assert way.size_wh[0] * way.size_wh[1] == pytest.approx(90_000, rel=0.02)
    monkeypatch.setattr(images, "MAX_BYTES", len(file) - 1)
    with pytest.raises(ValueError, match="choose a smaller px_per_cm"):
        chain.rectified(photo(), CORNERS, name="a.jpg")


@pytest.mark.parametrize(
    ("corners", "more", "words"),
    [
        (CORNERS[::-1], {}, "do not run clockwise"),
        (CORNERS[:3], {}, "3 corners"),
        (CORNERS + 5000, {}, "outside the photo"),
        (CORNERS, {"size_cm": (0, 100)}, "lengths above 0"),
        (CORNERS, {"px_per_cm": -1.0}, "px_per_cm is -1"),
        (CORNERS, {"px_per_cm": 500.0}, "choose a smaller px_per_cm"),
        (CORNERS, {"margin": 2}, "margin is 2"),
        (np.full((4, 2), np.nan), {}, "corners_xy_px"),
    ],
)
def test_what_cannot_be_rectified_says_why(corners, more, words):
    with pytest.raises(ValueError, match=words):
        chain.rectified(photo(), corners, name="a.jpg", **more)


def test_a_file_that_is_no_photo_says_so():
    with pytest.raises(ValueError, match="no photo"):
        chain.rectified(b"nothing of the kind", CORNERS, name="a.jpg")


def test_shapes_come_back_from_the_quadrat_to_where_they_were():
    _, way = chain.rectified(photo(), CORNERS, name="a.jpg", px_per_cm=8)
    there = masks.instance_from_rings("Porites", [[(200, 200), (260, 210), (250, 300), (190, 280)]], (640, 480))
    again = way.shapes_to_photo(way.shapes_to_quadrat([there]))
    assert masks.iou(there, again[0]) > 0.97


def test_colonies_are_cut_at_the_frame():
    _, way = chain.rectified(photo(), CORNERS, name="a.jpg", px_per_cm=4)
    width, height = way.size_wh
    margin = int(way.margin_px)
    whole = masks.instance_from_mask("Porites", np.ones((height, width), np.bool_), score=0.7)
    outside = masks.instance_from_mask("Fungia", np.ones((margin, 50), np.bool_))
    points = Keypoints("grid", ("1",), np.array([[5.0, 5.0]]))
    (kept,) = chain.inside_frame([whole, outside, points], way)
    assert kept.xyxy_px == (margin, margin, width - margin, height - margin)
    assert (kept.label, kept.score) == ("Porites", 0.7)


def test_the_verdict_is_read_from_the_headers():
    told = chain.verdict_of({"X-Quadrat-Verdict": "review", "X-Quadrat-Score": "0.4", "X-Quadrat-Reasons": "a; b"})
    assert (told.status, told.score, told.reasons, told.layout) == ("review", 0.4, ("a", "b"), "")
    assert told.words == "review: a; b"
    assert chain.verdict_of({"X-Quadrat-Model": "any"}) is None
    assert chain.verdict_of({"X-Quadrat-Verdict": "failed", "X-Quadrat-Score": "0"}).reasons == ("no reason is given",)


@pytest.mark.parametrize(("status", "score"), [("fine", "0.5"), ("ok", "high"), ("ok", "2"), ("ok", "nan")])
def test_a_verdict_that_is_none_is_said(status, score):
    with pytest.raises(AnswerError, match="expected ok, review or failed"):
        chain.verdict_of({"X-Quadrat-Verdict": status, "X-Quadrat-Score": score})


GRID = {"label": "grid", "type": "skeleton", "elements": []}


@pytest.mark.parametrize(("kind", "format_"), [("JPEG", "jpeg"), ("PNG", "png"), ("BMP", "jpeg")])
def test_a_photo_is_cleaned_in_its_own_kind(kind, format_):
    sent = photo(kind=kind)
    with serving({"pth-lama": clean}) as functions:
        done = chain.cleaned(functions.urls["pth-lama"], sent, GRID, request_id="task-7")
    (body,) = functions.bodies("pth-lama")
    assert (body["format"], body["return_mask"], body["skeleton"]) == (format_, False, GRID)
    assert functions.headers[0]["X-Request-Id"] == "task-7"
    assert (done.file, done.painted_fraction, done.warnings, done.note) == (sent, 0.1, (), "Look.")
    chain.check_size(done.file, (640, 480))
    with pytest.raises(AnswerError, match=r"expected \(64, 48\)"):
        chain.check_size(done.file, (64, 48))
    with pytest.raises(AnswerError, match="cannot be read"):
        chain.check_size(b"text", (64, 48))


def test_without_a_grid_the_photo_stays_as_it_is():
    assert chain.cleaned("http://127.0.0.1:9/none", b"photo", None) == chain.Clean(
        b"photo", 0.0, ("no grid to remove",)
    )


@pytest.mark.parametrize("body", [[], {}, {"image": "%%%", "painted_fraction": 0.1, "warnings": []}])
def test_an_answer_without_a_photo_is_said(body):
    with serving({"pth-lama": Said(body)}) as functions, pytest.raises(AnswerError, match="no clean photo"):
        chain.cleaned(functions.urls["pth-lama"], b"photo", GRID)
