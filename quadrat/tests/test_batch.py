from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np
import pytest

from quadrat import batch, files, images
from quadrat.formats import coco, cvat_xml, shapes_json
from quadrat.predictor import Card, Explained
from quadrat.shapes import Instance, Keypoints
from quadrat.verdict import FAILED, REVIEW, Judged, Verdict


class Finder:
    """Finds one box in every photo, and counts how often it is asked."""

    card = Card("fake", "instances", ("box",), note="made up")

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, image_rgb: np.ndarray, *, threshold: float | None = None) -> list:
        self.calls += 1
        return [Instance("box", (1, 1, 3, 3), np.ones((2, 2), bool), 0.5)]


class Judge:
    """Finds a point in bright photos."""

    card = Card("fake", "keypoints", ("frame",))
    layouts = ()

    def predict_judged(self, image_rgb: np.ndarray, *, threshold: float | None = None) -> Judged:
        if not image_rgb.any():
            return Judged((), Verdict(FAILED, 0.0, ("too dark", "no frame")))
        point = Keypoints("frame", ("1",), np.full((1, 2), 4.0), score=0.7, attributes={"verdict": REVIEW})
        return Judged((point,), Verdict(REVIEW, 0.7, ("one point only",)))

    def predict(self, image_rgb: np.ndarray, *, threshold: float | None = None) -> tuple:
        return self.predict_judged(image_rgb).shapes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, value in (("a.jpg", 0), ("a.png", 200), ("sub/a.png", 200)):
        images.write(tmp_path / "photos" / name, np.full((20, 30, 3), value, np.uint8))
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return tmp_path / "photos"


def test_names_are_distinct_whatever_the_photos_are_called():
    paths = [PurePath(name) for name in ("a.jpg", "a.png", "b.c.jpg", "a.png", "a.png", "x/a.jpg")]
    assert files.distinct_names(paths) == ["a", "a.png", "b.c", "a.png-2", "a.png-3", "x/a"]


def test_photos_are_named_by_their_place_in_the_folder_given(photos: Path):
    names = batch.name_photos([photos / "sub", photos])
    assert {path.relative_to(photos).as_posix(): name for path, name in names.items()} == {
        "sub/a.png": "sub/a",  # the last folder that holds it says its place
        "a.jpg": "a",
        "a.png": "a.png",
        "bad.jpg": "bad",
    }
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        batch.name_photos([photos / "none"])


@pytest.mark.parametrize("error", [ValueError, OSError, MemoryError])
def test_work_goes_on_past_what_fails(error: type[Exception]):
    def work(photo: Path, name: str) -> str:
        if name == "b":
            raise error("broken")
        return name * 2

    done, failed = batch.each({Path(f"{name}.jpg"): name for name in "abc"}, work)
    assert done == {Path("a.jpg"): "aa", Path("c.jpg"): "cc"}
    assert failed == {Path("b.jpg"): f"{error.__name__}: broken"}
    with pytest.raises(ZeroDivisionError):  # a mistake of ours is no property of a photo
        batch.each({Path("a.jpg"): "a"}, lambda *_: 1 // 0)


def test_every_photo_gets_its_files_and_a_bad_one_its_reason(photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    done, failed = batch.predict(Finder(), [photos], out, maker={"weights": "w"})
    assert list(failed) == [photos / "bad.jpg"]
    assert len(done) == 3
    for folder, suffix in (("shapes", "json"), ("overlays", "jpg")):
        made = {path.relative_to(out / folder).as_posix() for path in (out / folder).rglob("*.*")}
        assert made == {f"a.{suffix}", f"a.png.{suffix}", f"sub/a.{suffix}"}
    known = shapes_json.read(out / "shapes" / "sub" / "a.json")
    assert (known.image, known.size_wh, known.meta["note"]) == ("sub/a.png", (30, 20), "made up")
    assert known.instances[0].score == 0.5
    assert [photo.image for photo in coco.read(out / "coco.json")] == ["a.jpg", "a.png", "sub/a.png"]
    assert [len(photo.shapes) for photo in cvat_xml.read(out / "cvat.xml")] == [1, 1, 1]


def test_what_is_done_is_done_again_only_when_something_changed(photos: Path, tmp_path: Path):
    finder, out = Finder(), tmp_path / "out"

    def calls(**settings) -> int:
        before = finder.calls
        maker = {"weights": "w", "size": (1, 2), **settings.pop("maker", {})}
        done = batch.predict(finder, [photos], out, maker=maker, **settings).done
        assert len(done) == 3
        assert all(found.instances for found in done.values())
        return finder.calls - before

    assert calls(overlays=False) == 3
    assert calls(overlays=False) == 0
    assert calls() == 3  # the pictures are not there yet
    assert calls() == 0
    (out / "shapes" / "a.json").write_text("{")
    assert calls() == 1
    images.write(photos / "a.png", np.zeros((20, 31, 3), np.uint8))
    assert calls() == 1
    assert calls(maker={"confidence": 0.4}) == 3


def test_the_verdict_is_kept_and_told(photos: Path, tmp_path: Path):
    done, _ = batch.predict(Judge(), [photos], tmp_path / "out", maker={})
    assert batch.verdicts(done) == {
        FAILED: {photos / "a.jpg": "too dark; no frame"},
        REVIEW: {photos / "a.png": "one point only", photos / "sub" / "a.png": "one point only"},
    }
    known = shapes_json.read(tmp_path / "out" / "shapes" / "a.json")
    assert (known.shapes, known.meta["verdict"], known.meta["score"]) == ((), FAILED, 0.0)
    assert batch.verdicts(batch.predict(Judge(), [photos], tmp_path / "out", maker={}).done) == batch.verdicts(done)


def test_the_verdict_stands_on_the_picture(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    notes: list[str] = []
    monkeypatch.setattr(batch.overlay, "draw", lambda image_rgb, *_, note, **__: notes.append(note) or image_rgb)
    batch.predict(Judge(), [photos / "a.jpg", photos / "a.png"], tmp_path / "judged", maker={})
    batch.predict(Finder(), [photos / "a.jpg"], tmp_path / "out", maker={})
    assert notes == ["Verdict failed: too dark; no frame.", "Verdict review: one point only.", "made up"]


def test_other_weights_have_another_fingerprint(tmp_path: Path):
    folder = tmp_path / "export"
    files.write_text(folder / "large.bin", "12345")
    files.write_text(folder / "small.xml", "1")
    before = batch.fingerprint(folder)
    assert before == batch.fingerprint(folder / "large.bin")
    files.write_text(folder / "large.bin", "1234567")
    assert batch.fingerprint(folder) != before


class Explainer(Finder):
    def predict_explained(self, image_rgb: np.ndarray, *, threshold: float | None = None) -> Explained:
        return Explained(self.predict(image_rgb), {"refiner": "none", "scale": "0.5"})


def test_what_a_predictor_explains_is_kept(photos: Path, tmp_path: Path):
    batch.predict(Explainer(), [photos / "a.png"], tmp_path / "out", maker={})
    found = shapes_json.read(tmp_path / "out" / "shapes" / "a.json")
    assert found.meta["facts"] == {"refiner": "none", "scale": "0.5"}
    assert [shape.label for shape in found.shapes] == ["box"]


class Notes:
    """Something more that is made of each photo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_there(self, name: str) -> bool:
        return (self.folder / f"{name}.txt").is_file()

    def make(self, image_rgb: np.ndarray, name: str, found: object) -> None:
        files.write_text(self.folder / f"{name}.txt", str(image_rgb.max()))


def test_what_is_made_besides_is_made_once_and_again_where_it_is_gone(photos: Path, tmp_path: Path):
    finder, out = Finder(), tmp_path / "out"
    batch.predict(finder, [photos], out, maker={})
    for calls in (6, 6):  # all three once more, since there are no notes; then none
        batch.predict(finder, [photos], out, maker={}, extra=Notes(out))
        assert finder.calls == calls
    assert (out / "sub" / "a.txt").read_text() == "200"
    (out / "sub" / "a.txt").unlink()
    batch.predict(finder, [photos], out, maker={}, extra=Notes(out))
    assert finder.calls == 7
