from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from grid_pose_detection import model, rectify
from quadrat import images, mapping, masks, template, verdict
from quadrat.formats import shapes_json
from quadrat.predictor import Card
from quadrat.shapes import Annotations, Keypoints
from quadrat.verdict import FAILED, REVIEW, Judged, Verdict

NAMES = ("1", "2", "3", "4")
SIZE = (320, 240)
XY = np.array([[60, 30], [260, 36], [272, 215], [48, 210]], float)
DENTED = np.array([[60, 30], [260, 36], [90, 60], [48, 210]], float)
OUTSIDE = XY - (70, 0)


def corners(xy=XY, **facts) -> Keypoints:
    return Keypoints("quadrat_corner", NAMES, xy, **facts)


def picture(seed: int = 0) -> np.ndarray:
    return cv2.resize(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8), SIZE)


@pytest.fixture
def reef(tmp_path):
    """Three photos in folders, with the shapes of a person: good, partly outside the photo, not convex."""
    for number, (name, xy) in enumerate((("2024/a", XY), ("2025/a", OUTSIDE), ("bad", DENTED))):
        images.write(tmp_path / "photos" / f"{name}.png", picture(number))
        known = Annotations(f"{name}.png", SIZE, (corners(xy),), {"size_cm": [50, 50]})
        shapes_json.write(tmp_path / "marked" / f"{name}.json", known)
    return tmp_path


def files(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def go(reef, **settings) -> rectify.Report:
    given = {"corners": reef / "marked", "px_per_cm": 3.0, "png": True, **settings}
    return rectify.main([reef / "photos"], reef / "out", **given)


def test_a_folder_is_rectified_and_what_is_not_fit_is_listed(reef):
    report = go(reef)
    assert files(reef / "out") == [f"{y}/a{s}" for y in (2024, 2025) for s in (".mapping.json", ".png")]
    assert report.failed == {reef / "photos" / "bad.png": "the four corners are not convex"}
    assert list(report.review) == [reef / "photos" / "2025" / "a.png"]
    assert "outside the photo" in report.review[reef / "photos" / "2025" / "a.png"]
    quadrat = images.read(reef / "out" / "2024" / "a.png")
    assert quadrat.shape == (150, 150, 3)  # 50 cm, as the annotation says
    cut = images.read(reef / "out" / "2025" / "a.png")
    assert cut[:, :5].max() == 0
    kept = mapping.read(reef / "out" / "2024" / "a.mapping.json")
    assert kept.photo == "2024/a.png"
    assert np.allclose(kept.corners_xy_px, XY, atol=1e-6)


def test_the_size_of_the_frame_can_be_given(reef):
    go(reef, size_cm=(40.0, 30.0), png=False)
    assert images.read(reef / "out" / "2024" / "a.jpg").shape == (90, 120, 3)


def test_a_margin_shows_what_lies_round_the_frame(reef):
    go(reef)
    plain = images.read(reef / "out" / "2024" / "a.png")
    go(reef, margin=0.1)
    wider = images.read(reef / "out" / "2024" / "a.png")
    assert wider.shape == (180, 180, 3)
    assert np.abs(wider[15:-15, 15:-15].astype(int) - plain).max() <= 1
    kept = mapping.read(reef / "out" / "2024" / "a.mapping.json")
    assert (kept.size_wh, kept.margin_px, kept.px_per_cm) == ((180, 180), 15, 3)
    assert np.allclose(kept.corners_xy_px, XY, atol=1e-6)
    with pytest.raises(ValueError, match="margin is -1"):
        go(reef, margin=-1)


def test_what_is_done_is_not_done_again_unless_something_changed(reef):
    go(reef)
    first = {path: path.stat().st_mtime_ns for path in (reef / "out").rglob("a.png")}
    report = go(reef)
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert list(report.review) == [reef / "photos" / "2025" / "a.png"]  # is said again
    known = Annotations("2024/a.png", SIZE, (corners(XY + 2),), {"size_cm": [50, 50]})
    shapes_json.write(reef / "marked" / "2024" / "a.json", known)
    go(reef)
    changed = [path.parent.name for path, then in first.items() if path.stat().st_mtime_ns != then]
    assert changed == ["2024"]
    (reef / "out" / "2025" / "a.png").unlink()
    go(reef)
    assert (reef / "out" / "2025" / "a.png").is_file()
    go(reef, px_per_cm=2.0)
    assert images.read(reef / "out" / "2024" / "a.png").shape == (100, 100, 3)


def test_what_is_no_longer_right_is_taken_away(reef):
    go(reef)
    shapes_json.write(reef / "marked" / "2024" / "a.json", Annotations("2024/a.png", SIZE, (corners(DENTED),)))
    assert reef / "photos" / "2024" / "a.png" in go(reef).failed
    assert files(reef / "out") == ["2025/a.mapping.json", "2025/a.png"]


def test_results_among_the_photos_are_no_photos(reef):
    out = reef / "photos" / "quadrats"
    for _ in range(2):
        report = rectify.main([reef / "photos"], out, corners=reef / "marked", px_per_cm=3.0, png=True)
        assert len(report.failed) == 1
    before = (reef / "photos" / "2024" / "a.png").read_bytes()
    with pytest.raises(ValueError, match="choose another --out"):
        rectify.main([reef / "photos" / "2024"], reef / "photos" / "2024", corners=reef / "marked", png=True)
    assert (reef / "photos" / "2024" / "a.png").read_bytes() == before


def test_one_bad_photo_stops_nothing(reef):
    (reef / "photos" / "2024" / "0.jpg").write_bytes(b"no photo")
    images.write(reef / "photos" / "unmarked.png", picture())
    images.write(reef / "photos" / "2025" / "a.png", picture()[:100])
    known = Annotations("0.jpg", SIZE, (corners(),))
    shapes_json.write(reef / "marked" / "2024" / "0.json", known)
    report = go(reef)
    told = {path.name: reason for path, reason in report.failed.items()}
    assert set(told) == {"0.jpg", "unmarked.png", "a.png", "bad.png"}
    assert "nothing is annotated" in told["unmarked.png"]
    assert "was annotated at (320, 240) px" in told["a.png"]
    assert files(reef / "out") == ["2024/a.mapping.json", "2024/a.png"]


def test_photos_with_nothing_marked_are_listed_with_the_reason(reef):
    shapes_json.write(reef / "marked" / "bad.json", Annotations("bad.png", SIZE, (), {}))
    assert go(reef).failed[reef / "photos" / "bad.png"] == "neither corners nor a grid are annotated"
    told = Annotations("bad.png", SIZE, (), {"reasons": ["no quadrat frame found"]})
    shapes_json.write(reef / "marked" / "bad.json", told)
    assert go(reef).failed[reef / "photos" / "bad.png"] == "no quadrat frame found"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"px_per_cm": 0.0}, "px_per_cm is 0.0"),
        ({"px_per_cm": float("nan")}, "px_per_cm is nan"),
        ({"size_cm": (50.0, 0.0)}, "size_cm is"),
        ({"weights": "a.pt"}, "corners and weights are both given"),
    ],
)
def test_settings_are_checked_first(reef, settings, words):
    with pytest.raises(ValueError, match=words):
        go(reef, **settings)
    assert not (reef / "out").exists()


def test_a_quadrat_too_large_to_keep_is_refused(reef):
    assert "choose a smaller --px-per-cm" in go(reef, px_per_cm=300.0).failed[reef / "photos" / "2024" / "a.png"]


# ------------------------------------------------------------------------------------------------ back


def test_shapes_go_back_to_the_photo(reef):
    go(reef)
    ring = np.array([[30, 30], [120, 40], [100, 110], [40, 90]], float)
    coral = masks.instance_from_rings("Porites", [ring], (150, 150), 0.8, {"year": "2024"})
    shapes_json.write(reef / "found" / "2024" / "a.json", Annotations("2024/a.png", (150, 150), (coral,), {"maker": 1}))
    assert rectify.bring_back([reef / "found"], reef / "out", reef / "back").failed == {}
    back = shapes_json.read(reef / "back" / "2024" / "a.json")
    assert (back.image, back.size_wh, dict(back.meta)) == ("2024/a.png", SIZE, {"maker": 1, "quadrat": "2024/a.png"})
    kept = mapping.read(reef / "out" / "2024" / "a.mapping.json")
    right = masks.instance_from_rings("Porites", [kept.to_photo(ring)], SIZE)
    (found,) = back.instances
    assert masks.iou(found, right) > 0.97
    assert (found.score, dict(found.attributes)) == (0.8, {"year": "2024"})


def test_shapes_that_fit_no_mapping_are_listed(reef):
    go(reef)
    shapes_json.write(reef / "found" / "2024" / "a.json", Annotations("2024/a.png", (160, 150)))
    shapes_json.write(reef / "found" / "lost.json", Annotations("lost.png", (150, 150)))
    (reef / "found" / "broken.json").write_text("[]", "utf-8")
    told = {p.name: why for p, why in rectify.bring_back([reef / "found"], reef / "out", reef / "back").failed.items()}
    assert "quadrat is of (150, 150) px" in told["a.json"]
    assert "no mapping" in told["lost.json"]
    assert "not a readable shapes JSON" in told["broken.json"]
    assert not (reef / "back").exists()
    with pytest.raises(FileNotFoundError, match="no shapes JSON"):
        rectify.bring_back([reef / "nowhere"], reef / "out", reef / "back")


# ------------------------------------------------------------------------------------------------ predicted


class Predicting:
    """Finds the same corners in every photo but a white one."""

    card = Card("fake", "keypoints", ("quadrat_corner",), layouts=("corners",))

    def __init__(self, asked: list[int]):
        self.asked = asked

    def predict_judged(self, image_rgb, *, threshold=None):
        self.asked.append(1)
        if image_rgb.min() == 255:
            return Judged((), Verdict(FAILED, 0.0, ("no quadrat frame found",)))
        return verdict.judged(corners(), template.load("corners"), Verdict(REVIEW, 0.4, ("corner 3 not seen",)))

    def predict(self, image_rgb, *, threshold=None):
        return self.predict_judged(image_rgb).shapes


def test_corners_are_predicted_on_the_fly(reef, monkeypatch):
    asked: list[int] = []
    weights = reef / "w.pt"
    weights.write_bytes(b"w")
    monkeypatch.setattr(model, "load", lambda path, *, task, device: Predicting(asked))
    monkeypatch.setattr(model, "find_weights", lambda path, task: weights)
    images.write(reef / "photos" / "white.png", np.full((240, 320, 3), 255, np.uint8))
    report = go(reef, corners=None)
    assert report.failed == {reef / "photos" / "white.png": "no quadrat frame found"}
    assert set(report.review.values()) == {"corner 3 not seen"}
    assert len(report.review) == 3
    assert mapping.read(reef / "out" / "bad.mapping.json").verdict == Verdict(REVIEW, 0.4, ("corner 3 not seen",))
    assert len(asked) == 4
    go(reef, corners=None)
    assert len(asked) == 5  # only the one that failed
    weights.write_bytes(b"other weights")
    go(reef, corners=None)
    assert len(asked) == 9


# ------------------------------------------------------------------------------------------------ command line


def test_the_command_tells_what_failed(reef):
    given = ["--out", reef / "out", "--corners", reef / "marked", "--size-cm", "50", "50", "--px-per-cm", "3"]
    command = [sys.executable, "-m", "grid_pose_detection.rectify", reef / "photos", *given]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"failed {reef / 'photos' / 'bad.png'}: the four corners are not convex" in done.stderr
    assert "review" in done.stderr
    (reef / "photos" / "bad.png").unlink()
    assert rectify.run(list(map(str, command[3:]))) == 0


@pytest.mark.parametrize(
    "argv",
    [
        ["--out", "o"],
        ["p", "--out", "o", "--back", "s"],
        ["p", "--out", "o", "--mappings", "m"],
        ["--out", "o", "--back", "s"],
    ],
)
def test_photos_and_back_are_told_apart(argv):
    with pytest.raises(SystemExit, match="2"):
        rectify.run(argv)


def test_a_wrong_setting_is_one_line(reef, capsys):
    assert rectify.run([str(reef / "photos"), "--out", str(reef / "out"), "--corners", str(reef / "none.xml")]) == 1
    assert "rectify: " in capsys.readouterr().err
