"""What `weights/` says of itself is so, and the function that ships answers real photographs as CVAT stores them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
import yaml

from quadrat import images
from quadrat.predictor import read_card

ROOT = Path(__file__).parents[1]
INDEX = yaml.safe_load((ROOT / "weights" / "index.yaml").read_text("utf-8"))
PHOTOS = ROOT.parent / "shared" / "photos"
FUNCTION = ROOT / "coral_seg_yolo" / "deploy" / "pth-yolo-coralseg"


@pytest.mark.parametrize("name", sorted(INDEX["files"]))
def test_every_file_is_what_the_index_says(name):
    entry, path = INDEX["files"][name], ROOT / "weights" / name
    data = path.read_bytes()
    assert len(data) == entry["bytes"]
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert {"command", "data", "metrics", "licence"} <= set(entry)
    card = read_card(path)
    assert card is not None
    assert "rendered" in card.trained_on
    assert card.note, "weights that saw rendered quadrats only must say so"


def test_the_index_lists_all_and_every_default_is_there():
    listed = set(INDEX["files"])
    there = {p.name for p in (ROOT / "weights").iterdir() if p.suffix not in (".yaml", ".md")}
    assert there == listed
    assert set(INDEX["default"].values()) <= listed
    assert sum(entry["bytes"] for entry in INDEX["files"].values()) < 60 * 2**20


@pytest.fixture(scope="module")
def host():
    from deploy.host import Host

    with Host([FUNCTION], port=0) as running:
        assert not running.failures
        yield running


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the real photographs are not here")
def test_real_photographs_are_answered_as_cvat_stores_them(host):
    import httpx

    from deploy.serving import labels, schema

    offered = labels.read_labels(FUNCTION / "nuclio" / "function.yaml")
    url = host.urls["pth-yolo-coralseg"]
    photos = images.list_photos(PHOTOS)
    assert photos
    for photo in photos:
        body = {"image": base64.b64encode(photo.read_bytes()).decode(), "threshold": 0.05}
        response = httpx.post(url, json=body, timeout=120)
        assert response.status_code == 200, photo
        size_wh = images.read_size_wh(photo)
        schema.check_answer(response.json(), schema.Rules(size_wh, offered, masks_to_polygons=True))


def test_a_rendered_quadrat_is_annotated(host):
    import httpx

    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings
    from quadrat.formats import cvat_answer

    photo = render(7, Settings(size_px=640)).photo
    body = {"image": base64.b64encode(images.encode_jpeg(photo)).decode()}
    response = httpx.post(host.urls["pth-yolo-coralseg"], json=body, timeout=120)
    size_wh = (photo.shape[1], photo.shape[0])
    assert cvat_answer.read(response.json(), size_wh)
    assert response.headers["X-Quadrat-Model"] == read_card(ROOT / "weights" / INDEX["default"]["coral_seg_yolo"]).name
    assert "rendered" in response.headers["X-Quadrat-Note"]
