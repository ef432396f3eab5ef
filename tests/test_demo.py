"""The main job as a person runs it, with the weights that ship."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from deploy import demo, demo_report, stages
from quadrat import images
from quadrat.formats import cvat_xml, shapes_json

WEIGHTS = yaml.safe_load((Path(__file__).parents[1] / "weights" / "index.yaml").read_text("utf-8"))["default"]


@pytest.fixture(autouse=True)
def backend(monkeypatch):
    """OpenCV paints until weights that paint ship."""
    if "grid_inpainting" not in WEIGHTS:
        monkeypatch.setenv("INPAINT_BACKEND", "opencv")


def test_the_demo_renders_annotates_and_scores(tmp_path, capsys):
    done, failed = demo.main(out=tmp_path, count=2, fiftyone=False)
    assert not failed
    assert len(done) == 2
    assert sum(len(item.annotations.instances) for item in done) > 0
    read_back = cvat_xml.read(tmp_path / "annotations.xml")
    assert [photo.image for photo in read_back] == [item.photo.name for item in done]
    for item in done:
        assert shapes_json.read(tmp_path / "shapes" / f"{item.photo.stem}.json").size_wh == item.annotations.size_wh
        assert images.read_size_wh(item.overlay)[0] > item.annotations.size_wh[0]
        assert "rendered quadrats only" in item.note
        assert "coral_seg_yolo.train" in item.note
    assert images.read(tmp_path / "contact_sheet.jpg").size
    printed = capsys.readouterr().out
    assert "mask mAP50" in printed
    assert ("cannot start" in printed) == ("DINOv2_mmseg" not in WEIGHTS)
    for stage, label in demo_report.POINTS.values():  # both photographs show a frame with a grid
        assert f"{stage}: right on 2 of 2" in printed
        assert [label in {points.label for points in photo.keypoints} for photo in read_back] == [True, True]
    assert all(item.verdict(stages.CORNERS) in ("ok", "review") for item in done)
    for item in done:
        clean = images.read(tmp_path / "clean" / f"{item.photo.stem}.jpg")
        assert clean.shape[1::-1] == item.annotations.size_wh
        assert 0 < item.clean["painted_fraction"] < 0.3
        assert item.nearness.after < item.nearness.before or "grid_inpainting" not in WEIGHTS
    assert re.search(r"clean: PSNR where it was painted [\d.]+ dB, .* nearer to the truth on [012] of 2", printed)
    height, width = images.read(tmp_path / "stages.jpg").shape[:2]
    assert width > 2 * height
    assert all(str(item.overlay) in printed for item in done)
    assert "the whole chain: 2 of 2 photographs went through" in printed
    [(iou, photos)] = re.findall(r"chain: IoU of coral ([\d.]+) inside the frame of (\d) photographs", printed)
    assert (float(iou) > 0.5, photos) == (True, "2")
    assert "the same photographs as they were: IoU of coral" in printed
    through = cvat_xml.read(tmp_path / "chain" / "annotations.xml")
    assert [photo.image for photo in through] == [item.photo.name for item in done]
    assert images.read(tmp_path / "chain" / "contact_sheet.jpg").size
    if "DINOv2_mmseg" in WEIGHTS:
        check_segmenter(tmp_path / "segmenter", done, printed)
    else:
        assert not (tmp_path / "segmenter" / "annotations.xml").exists()
        assert [item.segmented_count for item in done] == ["-", "-"]


def check_segmenter(folder, done, printed):
    """Its colonies lie beside those of the other function, and are scored too."""
    assert re.search(r"\d+ colonies by the segmenter: mask mAP50 [\d.]+", printed)
    assert ", segmenter/*" in printed
    assert [photo.image for photo in cvat_xml.read(folder / "annotations.xml")] == [item.photo.name for item in done]
    assert sum(len(item.segmented.instances) for item in done) > 0
    for item in done:
        found = shapes_json.read(folder / "shapes" / f"{item.photo.stem}.json")
        assert found.size_wh == item.annotations.size_wh
        assert len(found.instances) == len(item.segmented.instances)
        (facts,) = found.meta["functions"].values()
        assert facts["refiner"] == "watershed"
        assert 0 < float(facts["scale"]) <= 1
        assert images.read_size_wh(folder / "overlays" / f"{item.photo.stem}.jpg")[0] > item.annotations.size_wh[0]


def test_the_demo_goes_on_past_a_bad_photo_and_lists_it(tmp_path, capsys):
    photos = tmp_path / "photos"
    for name in ("a/reef.jpg", "b/reef.jpg"):
        images.write(photos / name, np.full((200, 300, 3), 90, np.uint8))
    (photos / "broken.jpg").write_bytes(images.encode_jpeg(np.zeros((64, 64, 3), np.uint8))[:200])
    done, failed = demo.main(photos, out=tmp_path / "out", fiftyone=False)
    assert [path.name for path in failed] == ["broken.jpg"]
    assert sorted(item.overlay.name for item in done) == ["reef-2.jpg", "reef.jpg"]
    assert all(item.verdict(stages.GRID) == "failed" for item in done)
    printed = capsys.readouterr().out
    assert re.search(r"left out .*broken\.jpg: .*cut short", printed)
    assert "corners: 0 ok, 0 review, 2 failed" in printed
    assert "the whole chain: 0 of 2 photographs went through" in printed
    assert "reef.jpg review: corners: no quadrat frame found" in printed
    assert not list((tmp_path / "out" / "clean").glob("*"))  # there was no grid to remove


def test_the_demo_says_which_function_cannot_start_and_goes_on_with_the_others(tmp_path, capsys, monkeypatch):
    images.write(tmp_path / "photos" / "reef.jpg", np.full((200, 300, 3), 90, np.uint8))
    monkeypatch.setenv("INPAINT_BACKEND", "lama")
    missing = dict.fromkeys(("corner_weights", "grid_weights", "clean_weights", "segmenter_weights"), "nowhere.pt")
    done, failed = demo.main(tmp_path / "photos", out=tmp_path / "out", fiftyone=False, **missing)
    assert (len(done), failed) == (1, {})
    printed = capsys.readouterr().out
    assert "pth-yolo-gridcorners cannot start, the others go on without it:" in printed
    assert "nowhere.pt: no such weights file" in printed
    assert "pth-lama cannot start, the others go on without it:" in printed
    assert "pth-mmseg-coralscopsegformer cannot start, the others go on without it:" in printed
    assert "the chain needs pth-yolo-gridcorners, pth-yolo-gridpose, pth-lama: left out" in printed
    assert done[0].verdict(stages.CORNERS) == "-"
    assert (done[0].segmented, done[0].segmented_count) == (None, "-")
    assert not list((tmp_path / "out" / "segmenter").rglob("*.*"))


def test_the_demo_ends_where_no_function_can_start(tmp_path, monkeypatch):
    images.write(tmp_path / "photos" / "reef.jpg", np.full((200, 300, 3), 90, np.uint8))
    monkeypatch.setenv("INPAINT_BACKEND", "lama")
    names = ("weights", "corner_weights", "grid_weights", "clean_weights", "segmenter_weights")
    missing = dict.fromkeys(names, "nowhere.pt")
    with pytest.raises(RuntimeError, match=r"pth-yolo-coralseg cannot start: .*nowhere\.pt"):
        demo.main(tmp_path / "photos", out=tmp_path / "out", fiftyone=False, **missing)
