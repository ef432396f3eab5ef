"""What `weights/` says of itself is so, and the functions that find colonies answer real photographs as CVAT wants."""

from __future__ import annotations

import base64
import hashlib
import importlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from quadrat import images
from quadrat.predictor import read_card

ROOT = Path(__file__).parents[1]
INDEX = yaml.safe_load((ROOT / "weights" / "index.yaml").read_text("utf-8"))
PHOTOS = ROOT.parent / "shared" / "photos"
FUNCTIONS = {  # folder -> key of its weights, and which of the real photographs it is asked about: every n-th
    "coral_seg_yolo/deploy/pth-yolo-coralseg": ("coral_seg_yolo", 1),
    "DINOv2_mmseg/deploy/pth-mmseg-coralscopsegformer": ("DINOv2_mmseg", 4),
}
SHIPPED = [folder for folder, (key, _) in FUNCTIONS.items() if key in INDEX["default"]]


@pytest.mark.parametrize("name", sorted(INDEX["files"]))
def test_every_file_is_what_the_index_says(name):
    entry, path = INDEX["files"][name], ROOT / "weights" / name
    listed = {path / file: what for file, what in entry["files"].items()} if path.is_dir() else {path: entry}
    for file, what in listed.items():
        data = file.read_bytes()
        assert len(data) == what["bytes"]
        assert hashlib.sha256(data).hexdigest() == what["sha256"]
    assert entry["bytes"] == sum(what["bytes"] for what in listed.values())
    assert not path.is_dir() or set(path.iterdir()) == set(listed)
    assert {"what", "command", "data", "metrics", "licence"} <= set(entry)
    card = read_card(path)
    assert card is not None
    assert "rendered" in card.trained_on
    assert card.note, "weights that saw rendered quadrats only must say so"


def test_the_index_lists_all_and_every_default_is_there():
    listed = set(INDEX["files"])
    there = {p.name for p in (ROOT / "weights").iterdir() if p.suffix not in (".yaml", ".md")}
    assert there == listed
    assert set(INDEX["default"].values()) <= listed
    made_of = {name: entry["made_of"] for name, entry in INDEX["files"].items() if "made_of" in entry}
    assert {key: made_of[name] for key, name in INDEX["packaged"].items()} == INDEX["default"]
    assert sum(entry["bytes"] for entry in INDEX["files"].values()) < 60 * 2**20


@pytest.fixture(scope="module")
def photo():
    """A rendered quadrat."""
    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings

    return render(7, Settings(size_px=640, layouts={"grid11x11": 1.0})).photo


def _both(key):
    return [ROOT / "weights" / INDEX[which][key] for which in ("default", "packaged")]


@pytest.mark.parametrize("key", ["coral_seg_yolo", "grid_pose_detection/corners", "grid_pose_detection/grid"])
def test_openvino_finds_what_the_checkpoint_finds(key, photo):
    module, *_ = key.split("/")
    model, parity = (importlib.import_module(f"{module}.{name}") for name in ("model", "parity"))
    found = parity.compare(*(model.load(path) for path in _both(key)), [photo])
    assert found.colonies > 3 if key == "coral_seg_yolo" else found.points >= 4
    parity.check(found, parity.HALF)


def test_openvino_names_the_pixels_as_the_checkpoint_does(photo):
    from DINOv2_mmseg import model

    torch_one, export = (model.load(path).segment(photo).map.index for path in _both("DINOv2_mmseg"))
    assert len(np.unique(torch_one)) > 2
    assert (torch_one == export).mean() > 0.99


def test_openvino_paints_what_the_checkpoint_paints(photo):
    from grid_inpainting import model

    hole = np.zeros(photo.shape[:2], bool)
    hole[200:206] = hole[:, 300:306] = True
    torch_one, export = (model.load(path).remove(photo, mask=hole).image_rgb for path in _both("grid_inpainting"))
    assert (torch_one != photo)[hole].mean() > 0.5
    assert np.abs(torch_one.astype(int) - export).max() <= 1


@pytest.fixture(scope="module", params=SHIPPED)
def function(request):
    """Folder and URL of a function that runs on what ships."""
    from deploy.host import Host

    with Host([ROOT / request.param], port=0) as running:
        assert not running.failures
        yield request.param, running.urls[Path(request.param).name]


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the real photographs are not here")
def test_real_photographs_are_answered_as_cvat_stores_them(function):
    import httpx

    from deploy.serving import labels, schema

    folder, url = function
    offered = labels.read_labels(ROOT / folder / "nuclio" / "function.yaml")
    photos = images.list_photos(PHOTOS)[:: FUNCTIONS[folder][1]]
    assert photos
    for photo in photos:
        body = {"image": base64.b64encode(photo.read_bytes()).decode(), "threshold": 0.05}
        response = httpx.post(url, json=body, timeout=120)
        assert response.status_code == 200, photo
        size_wh = images.read_size_wh(photo)
        schema.check_answer(response.json(), schema.Rules(size_wh, offered, masks_to_polygons=True))


def test_a_rendered_quadrat_is_annotated(function):
    import httpx

    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings
    from quadrat.formats import cvat_answer

    folder, url = function
    photo = render(7, Settings(size_px=640)).photo
    body = {"image": base64.b64encode(images.encode_jpeg(photo)).decode()}
    response = httpx.post(url, json=body, timeout=120)
    size_wh = (photo.shape[1], photo.shape[0])
    assert cvat_answer.read(response.json(), size_wh)
    shipped = ROOT / "weights" / INDEX["default"][FUNCTIONS[folder][0]]
    assert response.headers["X-Quadrat-Model"] == read_card(shipped).name
    assert "rendered" in response.headers["X-Quadrat-Note"]
