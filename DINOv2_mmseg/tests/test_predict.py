from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from DINOv2_mmseg import folder, model, predict
from DINOv2_mmseg.dense import Dense
from quadrat import files, images, masks
from quadrat.formats import coco, cvat_xml, shapes_json
from quadrat.predictor import Card, Explained
from quadrat.shapes import SemanticMap

LABELS = ("background", "Porites", "Acropora")


class Fake:
    """Finds the right half of every photo, unsurely, and counts how often it looks."""

    card = Card("fake", "instances", LABELS[1:], note="made up")
    semantic_card = Card("fake", "semantic", LABELS, note="made up", background=LABELS[:1])

    def __init__(self) -> None:
        self.looks = 0
        self.given: dict[str, object] = {}

    def segment(self, image_rgb: np.ndarray) -> Dense:
        self.looks += 1
        height, width = image_rgb.shape[:2]
        index = np.zeros((height, width), np.uint8)
        index[:, width // 2 :] = 1
        return Dense(SemanticMap(LABELS, index), np.zeros((3, 4, 4), np.float32), (width / 4, height / 4), 0.5)

    def explain(self, image_rgb: np.ndarray, dense: Dense, *, threshold: float | None = None) -> Explained:
        more = {"score": 0.1, "attributes": {"unsure": "true"}}
        colony = masks.instance_from_mask("Porites", dense.map.index == 1, **more)
        return Explained([colony], {"refiner": str(self.given["refiner"]), "scale": "0.500"})


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()

    def load(*_: object, **given: object) -> Fake:
        made.given = given
        return made

    monkeypatch.setattr(model, "load", load)
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(model, "find_weights", lambda _: tmp_path / "w.safetensors")
    return made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "a.png", "sub/a.png"):
        images.write(tmp_path / "photos" / name, np.full((30, 40, 3), 90, np.uint8))
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return tmp_path / "photos"


def test_a_bad_photo_does_not_stop_the_others(photos: Path, fake: Fake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert list(predict.main([photos], out)) == [photos / "bad.jpg"]
    known = shapes_json.read(out / "shapes" / "sub" / "a.json")
    assert (known.image, known.meta["note"]) == ("sub/a.png", "made up")
    assert known.meta["facts"] == {"refiner": "watershed", "scale": "0.500"}
    assert (known.instances[0].area_px, dict(known.instances[0].attributes)) == (600, {"unsure": "true"})
    assert len(list((out / "overlays").rglob("*.jpg"))) == 3
    assert len(coco.read(out / "coco.json")) == 3
    assert [dict(shape.attributes) for shape in cvat_xml.read(out / "cvat.xml")[0].shapes] == [{"unsure": "true"}]
    assert not (out / "maps").exists()


def test_maps_hold_the_class_of_every_pixel_after_one_look(photos: Path, fake: Fake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict.main([photos], out, maps=True)
    assert fake.looks == 3
    assert {path.relative_to(out / "maps").as_posix() for path in (out / "maps").rglob("*.png")} == {
        "a.png",
        "a.png.png",
        "sub/a.png",
    }
    index = folder.read_label(out / "maps" / "sub" / "a.png")
    assert index.shape == (30, 40)
    assert (index[:, :20] == 0).all()
    assert (index[:, 20:] == 1).all()
    assert (out / "maps" / "classes.txt").read_text().splitlines() == list(LABELS)
    picture = images.read(out / "map_overlays" / "a.jpg")
    assert np.abs(picture[15, 10].astype(int) - 90).max() < 12  # background is left as it is
    assert np.abs(picture[15, 30].astype(int) - 90).max() > 25


def test_what_is_done_is_not_done_again_unless_something_changes(photos: Path, fake: Fake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for expected, options in (
        (3, {}),
        (3, {}),
        (6, {"maps": True}),  # the maps were not there
        (6, {"maps": True}),
        (6, {}),
        (9, {"tidy": 4}),
        (12, {"scales": (0.75, 1.0)}),
        (15, {"refiner": "components"}),
    ):
        predict.main([photos], out, overlays=False, **options)
        assert fake.looks == expected, options
    assert not (out / "map_overlays").exists()
    (tmp_path / "w.safetensors").write_bytes(b"other weights")
    predict.main([photos], out, overlays=False, refiner="components")
    assert fake.looks == 18


@pytest.fixture
def sam_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SAM_WEIGHTS", raising=False)
    for name in ("config.json", "model.safetensors"):
        files.write_text(tmp_path / "sam" / name, "{}")
    return tmp_path / "sam"


@pytest.mark.parametrize(
    ("named", "refiner", "expected"),
    [(False, None, "watershed"), (True, None, "sam"), (True, "components", "components"), (True, "sam", "sam")],
)
def test_sam_outlines_colonies_where_its_weights_are_named(
    named: bool, refiner: str | None, expected: str, photos: Path, fake: Fake, sam_folder: Path, tmp_path: Path
) -> None:
    sam = str(sam_folder) if named else None
    predict.main([photos / "a.jpg"], tmp_path / "out", sam=sam, refiner=refiner)
    assert (fake.given["refiner"], fake.given["sam"]) == (expected, sam)


def test_other_weights_of_sam_are_noticed_also_where_the_environment_names_them(
    photos: Path, fake: Fake, sam_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM_WEIGHTS", str(sam_folder))
    for looks, text in ((1, "{}"), (1, "{}"), (2, "other weights, longer than the config")):
        if text != "{}":
            (sam_folder / "model.safetensors").write_text(text)
        predict.main([photos / "a.jpg"], tmp_path / "out", refiner="sam")
        assert fake.looks == looks


def test_every_option_reaches_the_model(photos: Path, fake: Fake, tmp_path: Path) -> None:
    config = tmp_path / "c.py"
    config.write_text("")
    options = ["--config", config, "--min-threshold", 0.1, "--unsure-threshold", 0.3, "--work-px", 900, "--tidy", 3]
    options += ["--scales", 0.5, 1, "--flip", "--refiner", "components", "--device", "mps", "--out", tmp_path / "out"]
    predict.main(**vars(predict._parse([str(photos), *map(str, options)])))
    assert fake.given == {
        "config": str(config),
        "sam": None,
        "refiner": "components",
        "min_threshold": 0.1,
        "unsure_threshold": 0.3,
        "work_px": 900,
        "scales": (0.5, 1.0),
        "flip": True,
        "tidy_px": 3,
    }


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "DINOv2_mmseg.predict", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_missing_weights_are_said_without_a_traceback(photos: Path, tmp_path: Path) -> None:
    done = run(photos, "--out", tmp_path / "out", "--weights", tmp_path / "no.safetensors")
    assert done.returncode == 1
    assert done.stderr.startswith("predict: ")
    assert "no.safetensors" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["predict", "model"])
def test_importing_a_command_imports_no_framework(module: str) -> None:
    frameworks = ("torch", "mmseg", "mmengine", "timm", "peft", "transformers", "skimage", "sklearn", "fiftyone")
    code = f"import sys, DINOv2_mmseg.{module}; print([m for m in {frameworks} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_predictor_is_kept_as_it_is(fake: Fake) -> None:
    fake.given = {"refiner": "watershed"}
    keeping = predict.Keeping(fake)
    image = np.zeros((20, 20, 3), np.uint8)
    (colony,) = keeping.predict(image)
    assert colony.xyxy_px == (10, 0, 20, 20)
    assert keeping.dense.map.index.shape == (20, 20)
    assert keeping.card is fake.card
