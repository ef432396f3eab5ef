"""A function that paints through its real handler and the host: what is asked and what is answered."""

from __future__ import annotations

import base64
import io
import json
import socket
import time

import httpx
import nuclio_sdk
import nuclio_sdk.logger
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from deploy.host import Host, Limits
from deploy.serving import painting
from quadrat import images
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE

from .conftest import b64, photo
from .painter import (
    COLOUR,
    GRID,
    MASK,
    PAINTER,
    XY,
    Worker,
    answer,
    error_of,
    flat,
    mask_of,
    picture,
    png,
    request,
    skeleton,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# ------------------------------------------------------------------------------------------------ what is asked


@pytest.mark.parametrize("wrap", [dict, json.dumps, lambda body: json.dumps(body).encode()])
def test_a_mask_is_painted_and_nothing_else(worker, wrap):
    response = worker.ask(wrap(request(return_mask=True)))
    found = answer(response)
    assert set(found) == {"image", "mask", "format", "painted_fraction", "warnings"}
    assert (found["format"], found["painted_fraction"], found["warnings"]) == ("png", round(4 / 48, 6), [])
    painted = picture(found["image"])
    assert (painted[MASK] == COLOUR).all()
    assert np.array_equal(painted[~MASK], photo()[~MASK])
    assert np.array_equal(picture(found["mask"])[..., 0], MASK * np.uint8(255))
    assert response.headers["X-Quadrat-Painted-Fraction"] == "0.083333"
    assert (response.headers["X-Quadrat-Model"], response.headers["X-Quadrat-Note"]) == ("flat", "For tests only.")
    assert "X-Quadrat-Shapes" not in response.headers
    assert {"X-Quadrat-Decode-Seconds", "X-Quadrat-Predict-Seconds", "X-Quadrat-Encode-Seconds"} <= set(
        response.headers
    )


@pytest.mark.parametrize(
    "grid",
    [
        {"keypoints": XY.tolist()},
        {"keypoints": [[x, y, 2] for x, y in XY.tolist()]},
        {"keypoints": flat()},
        {"skeleton": skeleton()},
        {"skeleton": skeleton(), "mask": None, "keypoints": None},
    ],
    ids=["pairs", "triples", "flat", "skeleton", "skeleton and nulls"],
)
def test_points_arrive_in_the_order_of_the_layout_however_they_come(worker, grid):
    found = answer(worker.ask(request(**grid)))
    points, mask, force = worker.asked
    assert (points.label, points.names, mask, force) == ("grid", GRID.names, None, False)
    assert np.array_equal(points.xy_px, XY)
    assert (points.visibility == VISIBLE).all()
    assert found["painted_fraction"] > 0
    assert "mask" not in found


def test_visibility_is_taken_over(worker):
    rows = [[x, y, k % 3] for k, (x, y) in enumerate(XY.tolist())]
    elements = skeleton()["elements"]
    elements[0]["outside"], elements[1]["occluded"] = True, True
    answer(worker.ask(request(keypoints=rows)))
    assert worker.asked[0].visibility.tolist() == [k % 3 for k in range(117)]
    answer(worker.ask(request(skeleton={"elements": elements})))
    assert worker.asked[0].visibility[-3:].tolist() == [VISIBLE, OCCLUDED, HIDDEN]


def test_the_layout_may_be_named(worker):
    named = [{"name": "layout", "value": "grid9x13"}, {"name": "confidence", "value": "88"}]
    answer(worker.ask(request(skeleton=skeleton(attributes=named))))
    assert dict(worker.asked[0].attributes) == {"layout": "grid9x13"}


def test_a_layout_of_ones_own_is_known_by_its_count(painter_environment, tmp_path):
    (tmp_path / "small.yaml").write_text("label: strings\nlattice: {columns: 3, rows: 2}\n")
    painter_environment.setenv("TEMPLATE", str(tmp_path / "small.yaml"))
    worker = Worker()
    answer(worker.ask(request(keypoints=XY[:6].tolist())))
    assert (worker.asked[0].label, len(worker.asked[0].names)) == ("strings", 6)
    assert "expected all of a layout, 6 (small)" in error_of(worker.ask(request(keypoints=flat())))["message"]


def test_half_a_photo_is_painted_only_by_force(worker):
    most = np.ones((48, 64), np.bool_)
    error = error_of(worker.ask(request(mask=mask_of(most))))
    assert error == {
        "code": "bad_mask",
        "message": "field `mask`: the mask covers over half of the photo: send `force`",
    }
    assert answer(worker.ask(request(mask=mask_of(most), force=True)))["painted_fraction"] == 1


def test_an_empty_mask_gives_the_same_photo_and_a_warning(worker):
    found = answer(worker.ask(request(mask=mask_of(np.zeros((48, 64), np.bool_)))))
    assert (found["painted_fraction"], found["warnings"]) == (0, ["there is nothing to paint"])
    assert np.array_equal(picture(found["image"]), photo())
    assert worker.lines[-1]["with"]["warnings"] == found["warnings"]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_exif_and_profile_go_along_and_what_is_lost_is_said(worker, kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Orientation] = "A maker", 6
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "S", 2: (17.0, 29.0, 41.5)})
    lying = Image.fromarray(np.rot90(photo())).convert("L")
    buffer = io.BytesIO()
    lying.save(buffer, "JPEG", exif=exif, icc_profile=SRGB)
    found = answer(worker.ask(request(image=b64(buffer.getvalue()), format=kind)))
    assert found["warnings"] == ["the photo is written as RGB of 8 bits a channel: it was gray"]
    image = Image.open(io.BytesIO(base64.b64decode(found["image"])))
    assert (image.format, image.size, image.mode) == (kind.upper(), (64, 48), "RGB")
    written = image.getexif()
    assert (written[ExifTags.Base.Make], written[ExifTags.Base.Orientation]) == ("A maker", 1)
    assert written.get_ifd(ExifTags.IFD.GPSInfo) == exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert image.info["icc_profile"] == SRGB


def test_answers_are_counted_and_logged(worker):
    worker.ask(request())
    worker.ask(b"text")
    text = worker.main.handler(worker.context, nuclio_sdk.Event(method="GET", path="/metrics")).body
    assert 'quadrat_function_answers_total{status="200"} 1.0' in text
    assert "quadrat_function_painted_fraction_count 1.0" in text
    first, second = (line["with"] for line in worker.lines[-2:])
    assert (first["painted_fraction"], first["warnings"]) == (0.083333, [])
    assert second["status"] == 400
    assert {"decode_ms", "predict_ms", "encode_ms"} <= set(first)


def test_an_answer_that_no_function_takes_says_so():
    assert painting._too_large(images.MAX_BYTES) == []
    (warning,) = painting._too_large(images.MAX_BYTES + 1)
    assert "has 50331649 bytes, more than a function takes (50331648): `format` jpeg" in warning


# ------------------------------------------------------------------------------------------------ the host


@pytest.fixture(scope="module")
def host():
    with Host([PAINTER.parent], port=0) as running:
        yield running


def listed(host, project=None):
    headers = {"x-nuclio-project-name": project} if project else {}
    return list(httpx.get(f"{host.url}/api/functions", headers=headers).json())


def test_cvat_does_not_see_it_and_others_do(host):
    assert listed(host, "cvat") == []
    assert listed(host, "quadratseg") == listed(host) == ["fake-painter"]


def test_the_host_serves_it_and_counts_what_it_painted(host):
    response = httpx.post(host.urls["fake-painter"], json=request(keypoints=XY.tolist()))
    assert response.status_code == 200
    assert float(response.headers["x-quadrat-painted-fraction"]) == response.json()["painted_fraction"] > 0
    text = httpx.get(f"{host.url}/metrics").text
    assert 'quadrat_painted_fraction_count{function="fake-painter"} 1.0' in text


@pytest.mark.slow
def test_an_answer_of_a_hundred_megabytes_comes_through(host):
    """A photo of 45 megapixels as PNG, which is of noise here, the largest that it can be; sent as a JPEG."""
    noise = np.random.default_rng(0).integers(0, 256, (5500, 8200, 3), np.uint8)
    mask = np.zeros(noise.shape[:2], np.uint8)
    mask[:9] = 255
    body = {"image": b64(images.encode_jpeg(noise)), "mask": png(mask)}
    response = httpx.post(host.urls["fake-painter"], json=body, timeout=100)
    assert response.status_code == 200
    assert len(response.content) > 100_000_000
    found = response.json()
    assert found["warnings"] == painting._too_large(len(base64.b64decode(found["image"])))
    painted = images.decode(base64.b64decode(found["image"]), max_bytes=2**28)
    assert (painted[:9] == COLOUR).all()
    assert np.array_equal(painted[9:], images.decode(base64.b64decode(body["image"]))[9:])


def test_answers_that_nobody_fetches_do_not_pile_up():
    limits = Limits(workers=1, queue=0, max_body=2 * 2**20, body_s=0.4)
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), np.uint8)
    body = {"image": b64(images.encode_jpeg(noise, 30)), "mask": png(np.zeros((1600, 1600), np.uint8))}
    with Host([PAINTER.parent], port=0, limits=limits) as host, socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect(("127.0.0.1", int(host.url.rsplit(":", 1)[1])))
        text = json.dumps(body).encode()
        head = f"POST /functions/fake-painter HTTP/1.1\r\nhost: x\r\ncontent-length: {len(text)}\r\n\r\n"
        silent.sendall(head.encode() + text)
        answers = []
        while answers.count(503) == 0 or answers[-1] != 200:  # refused while it waits; taken once it is thrown away
            assert len(answers) < 200
            response = httpx.post(host.urls["fake-painter"], json=request())
            answers.append(response.status_code)
            if response.status_code == 503:
                assert response.json()["error"]["code"] == "busy"
            time.sleep(0.1)


def test_a_larger_answer_has_longer_to_be_fetched():
    limits = Limits(max_body=100, body_s=60)
    assert [limits.fetch_s(size) for size in (0, 100, 101, 1000)] == [60, 60, 120, 600]
