"""The function pth-lama: request JSON -> answer JSON through the real handler, painted by OpenCV and by what ships."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
from pathlib import Path

import cv2
import nuclio_sdk
import numpy as np
import pytest
import yaml
from PIL import ExifTags, Image

from quadrat import images, template
from quadrat.homography import apply_homography, fit_homography

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grid_inpainting" / "deploy" / "pth-lama" / "nuclio"
SHIPS = "grid_inpainting" in yaml.safe_load((ROOT / "weights" / "index.yaml").read_text("utf-8"))["default"]
VARIABLES = ("LAMA_MODEL", "MODEL_PATH", "GRID_LINE_WIDTH", "INPAINT_BACKEND", "TEMPLATE", "DEVICE", "PRECISION")
GRID = template.load("grid11x11")
SIZE_WH, STRING_PX = (640, 480), 5
FRAME = np.array([[90, 30], [560, 50], [590, 450], [60, 440]], np.float64)
XY = apply_homography(fit_homography(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64), FRAME)[0], GRID.uv)


def reef(size_wh=SIZE_WH):
    """Soft spots of brown and green."""
    width, height = size_wh
    noise = np.random.default_rng(3).normal(size=(height // 8, width // 8, 3))
    smooth = cv2.resize(cv2.GaussianBlur(noise, (0, 0), 2), size_wh, interpolation=cv2.INTER_CUBIC)
    return np.clip(np.array([110, 105, 80]) + 160 * smooth, 0, 255).astype(np.uint8)


def strung():
    """The reef with light strings between the points of a grid, and where the strings are."""
    photo, mask = reef(), np.zeros(SIZE_WH[::-1], np.uint8)
    for start, end in GRID.edges:
        if (GRID.uv[start] == GRID.uv[end])[(GRID.uv[start] % 1 == 0)].any():  # along the frame
            continue
        ends = [tuple(np.rint(XY[k] - 0.5).astype(int).tolist()) for k in (start, end)]
        cv2.line(mask, *ends, 255, STRING_PX)
    photo[mask > 0] = (235, 235, 245)
    return photo, mask > 0


PHOTO, STRINGS = strung()


def b64(data):
    return base64.b64encode(data).decode()


def body(photo=PHOTO, **grid):
    return {"image": b64(photo if isinstance(photo, bytes) else images.encode_png(photo)), **grid}


def skeleton(xy=XY, outside=()):
    elements = [
        {"label": name, "type": "points", "points": [float(x), float(y)], "outside": name in outside}
        for name, (x, y) in zip(GRID.names, xy, strict=True)
    ]
    return {"label": "grid", "type": "skeleton", "elements": elements[::-1], "attributes": []}


class Worker:
    """What Nuclio's wrapper does with a function, in this process."""

    def __init__(self):
        self.context = nuclio_sdk.Context(nuclio_sdk.Logger("ERROR"))
        spec = importlib.util.spec_from_file_location("main_lama", FOLDER / "main.py")
        self.main = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.main)
        self.main.init_context(self.context)

    def ask(self, request, status=200):
        response = self.main.handler(self.context, nuclio_sdk.Event(body=json.dumps(request), method="POST"))
        assert (response.status_code, response.content_type) == (status, "application/json"), response.body[:400]
        return response

    def paint(self, request):
        """What was answered, its picture and its mask."""
        found = json.loads(self.ask({**request, "return_mask": True}).body)
        picture, mask = (images.decode(base64.b64decode(found[key])) for key in ("image", "mask"))
        return found, picture, mask[..., 0] > 0

    def refuse(self, request, status=400):
        return json.loads(self.ask(request, status).body)["error"]


@pytest.fixture
def start(monkeypatch):
    """Starts the function with variables of the environment; OpenCV paints unless one says otherwise."""

    def start(**variables):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"INPAINT_BACKEND": "opencv", **variables}.items():
            monkeypatch.setenv(name, value)
        return Worker()

    return start


def off(picture, where):
    """Mean distance from the reef without strings."""
    return float(np.abs(picture[where].astype(int) - reef()[where]).mean())


@pytest.mark.parametrize(
    "grid",
    [
        {"keypoints": XY.tolist()},
        {"keypoints": [v for x, y in XY.tolist() for v in (x, y, 2)]},
        {"skeleton": skeleton()},
    ],
    ids=["pairs", "COCO", "skeleton"],
)
def test_strings_between_points_are_painted_and_nothing_else(start, grid):
    worker = start()
    found, picture, mask = worker.paint(body(**grid))
    assert set(found) == {"image", "mask", "format", "painted_fraction", "warnings"}
    assert np.array_equal(picture[~mask], PHOTO[~mask])
    assert found["painted_fraction"] == round(float(mask.mean()), 6)
    assert mask[STRINGS].mean() > 0.95
    assert mask.mean() < 4 * STRINGS.mean()
    assert off(picture, STRINGS) < 0.25 * off(PHOTO, STRINGS)


def test_headers_say_what_painted(start):
    headers = start().ask(body(skeleton=skeleton())).headers
    assert headers["X-Quadrat-Model"] == "opencv-telea"
    assert "without a network" in headers["X-Quadrat-Note"]
    assert 0 < float(headers["X-Quadrat-Painted-Fraction"]) < 0.5


def test_a_mask_is_painted(start):
    mask = cv2.dilate(STRINGS.astype(np.uint8), np.ones((3, 3)))
    _, picture, painted = start().paint(body(mask=b64(images.encode_png(mask))))
    assert painted[mask > 0].all()
    assert np.array_equal(picture[~painted], PHOTO[~painted])
    assert off(picture, STRINGS) < 0.25 * off(PHOTO, STRINGS)


def test_an_empty_mask_gives_the_same_photo_and_a_warning(start):
    found, picture, painted = start().paint(body(mask=b64(images.encode_png(np.zeros((480, 640), np.uint8)))))
    assert np.array_equal(picture, PHOTO)
    assert (found["painted_fraction"], painted.any()) == (0, False)
    assert "the mask is empty" in found["warnings"][0]


def test_over_half_a_photo_is_painted_by_force_only(start):
    worker, mask = start(), np.zeros((480, 640), np.uint8)
    mask[:300] = 1
    request = body(mask=b64(images.encode_png(mask)))
    error = worker.refuse(request)
    assert error["code"] == "bad_mask"
    assert "62%" in error["message"]
    assert worker.paint({**request, "force": True})[0]["painted_fraction"] >= 0.625


@pytest.mark.parametrize(
    ("grid", "code"),
    [
        ({"keypoints": (XY + 5000).tolist()}, "bad_points"),
        ({"keypoints": XY[:116].tolist()}, "bad_points"),
        ({"keypoints": [[float("nan"), 1.0], *XY[1:].tolist()]}, "bad_field"),
        ({"skeleton": skeleton(outside=GRID.names)}, "bad_points"),
        ({"mask": b64(images.encode_png(np.zeros((640, 480), np.uint8)))}, "bad_mask"),
        ({}, "bad_field"),
    ],
    ids=["outside", "count", "NaN", "hidden", "size", "nothing"],
)
def test_what_cannot_be_painted_is_refused(start, grid, code):
    worker = start()
    error = worker.refuse(body(**grid))
    assert error["code"] == code, error
    assert "field" in error["message"]


def test_exif_goes_along_and_points_are_of_the_photo_as_it_is_seen(start):
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Orientation] = "A maker", 6
    Image.fromarray(np.rot90(PHOTO)).save(buffer, "JPEG", quality=97, subsampling=0, exif=exif)
    found, picture, _ = start().paint(body(buffer.getvalue(), skeleton=skeleton(), format="jpeg"))
    assert picture.shape == PHOTO.shape
    assert off(picture, STRINGS) < 0.3 * off(PHOTO, STRINGS)
    written = Image.open(io.BytesIO(base64.b64decode(found["image"]))).getexif()
    assert (written[ExifTags.Base.Make], written[ExifTags.Base.Orientation]) == ("A maker", 1)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_photos_of_other_kinds_are_painted_and_said(start, mode):
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).convert(mode).save(buffer, "TIFF")
    found, picture, _ = start().paint(body(buffer.getvalue(), skeleton=skeleton()))
    assert picture.shape == PHOTO.shape
    assert any("RGB of 8 bits a channel" in warning for warning in found["warnings"])


def test_a_photo_of_one_pixel_has_nothing_to_paint(start):
    pixel = b64(images.encode_png(np.zeros((1, 1), np.uint8)))
    assert start().paint(body(np.zeros((1, 1, 3), np.uint8), mask=pixel))[0]["painted_fraction"] == 0


def test_a_width_that_is_set_is_kept_to(start):
    narrow, wide = (start(GRID_LINE_WIDTH=px).paint(body(skeleton=skeleton()))[2].mean() for px in ("3", "12"))
    assert 1.5 * narrow < wide


# ------------------------------------------------------------------------------------------------ start


def test_a_file_that_is_no_torchscript_refuses_to_start(start, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"no network at all")
    for name in ("LAMA_MODEL", "MODEL_PATH"):
        with pytest.raises(ValueError, match=r"weights\.pt is no TorchScript file"):
            start(INPAINT_BACKEND="lama", **{name: str(path)})


def test_weights_that_are_not_there_refuse_to_start(start):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        start(INPAINT_BACKEND="lama", LAMA_MODEL="nowhere.pt")


def test_wrong_settings_refuse_to_start(start):
    with pytest.raises(ValueError, match=r"GRID_LINE_WIDTH is '-1'.*INPAINT_BACKEND is 'gimp'"):
        start(GRID_LINE_WIDTH="-1", INPAINT_BACKEND="gimp")
    with pytest.raises(ValueError, match="unknown layout 'grid7x7'"):
        start(TEMPLATE="grid7x7")


# ------------------------------------------------------------------------------------------------ what ships


@pytest.mark.skipif(not SHIPS, reason="no weights that paint ship yet")
def test_what_ships_paints(start):
    worker = start(INPAINT_BACKEND="lama")
    found, picture, mask = worker.paint(body(skeleton=skeleton()))
    assert np.array_equal(picture[~mask], PHOTO[~mask])
    assert off(picture, STRINGS) < 0.25 * off(PHOTO, STRINGS)
    assert found["painted_fraction"] > 0
    assert "rendered quadrats only" in worker.ask(body(skeleton=skeleton())).headers["X-Quadrat-Note"]
