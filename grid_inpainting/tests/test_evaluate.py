from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from grid_inpainting import evaluate, lpips, measuring, metrics, prepare, report
from grid_inpainting.folder import Pair, of_rendered, read_mask
from grid_inpainting.segmentation import Comparison
from quadrat import images, masks, template
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations, Instance

from .conftest import SIZE_WH, FakeRemover, draw_strings, grid, write_scene


@pytest.fixture(autouse=True)
def no_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips, "load", lambda device: None)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos by the renderer."""
    from data_engineering.render.folder import render_folder
    from data_engineering.render.settings import Settings

    settings = Settings(size_px=320, frames={"pvc": 1.0}, layouts={"grid11x11": 1.0})
    return render_folder(tmp_path_factory.mktemp("rendered"), 2, 3, settings, workers=1)


def test_rendered_photos_are_measured_and_shown(rendered: Path, tmp_path: Path) -> None:
    result = evaluate.main(rendered=rendered, out=tmp_path / "out", backend=["opencv"])
    assert result["photos"] == 2
    assert result["skipped"] == {}
    assert result["weights"] is None
    assert "without a network" in result["note"]
    assert list(result["painting"]) == ["opencv", "telea", "navier-stokes", "none"]
    for one in result["painting"].values():
        assert one["photos"] == 2
        assert 5 < one["hole"]["psnr_db"] < 60
        assert -1 <= one["band"]["ssim"] <= 1
        assert one["lpips"] is None
    assert result["painting"]["opencv"]["hole"] == result["painting"]["telea"]["hole"]  # it is Telea
    true = result["strings"]["true"]
    assert list(result["strings"]) == ["true"]
    assert 0 < true["precision"]["mean"] <= 1
    assert 0 < true["recall"]["mean"] <= 1
    assert true["painted_share"]["mean"] > 0
    assert true["true_share"]["mean"] > 0
    out = tmp_path / "out"
    assert json.loads((out / "figures.json").read_text()) == json.loads(json.dumps(result))
    rows = list(csv.DictReader((out / "photos.csv").open()))
    assert {row["layout"] for row in rows} == {"grid11x11"}
    mean = np.mean([float(row["psnr_db_band_opencv"]) for row in rows])
    assert mean == pytest.approx(result["painting"]["opencv"]["band"]["psnr_db"], abs=1e-3)
    for name in ("painting.png", "strings.png", "sheet.jpg"):
        assert min(images.read(out / name).shape[:2]) > 300
    assert len(list((out / "worst").iterdir())) == 2
    assert "navier-stokes" in evaluate.table(result)


def test_figures_are_those_of_the_pictures(scenes: Path, remover: FakeRemover) -> None:
    pair = of_rendered(scenes)[0]
    photo, pictures = measuring.Meter({"lama": remover}).measure(pair)
    hole = draw_strings(grid(), SIZE_WH, 5)
    strings = read_mask(pair.strings, SIZE_WH)
    clean, before = images.read(pair.clean), images.read(pair.photo)
    painted = remover.remove(before, mask=hole).image_rgb
    np.testing.assert_array_equal(pictures.painted, painted)
    for method, picture in (("lama", painted), ("none", before)):
        for region, mask in (("hole", hole), ("band", metrics.near(strings, 8))):
            [wanted] = metrics.measure(picture, clean, mask)
            assert getattr(photo.paintings[method], region) == wanted
    found = photo.strings["true"]
    assert found.recall == 1
    corners = grid(template.load("corners")).xy_px
    inside = np.zeros(SIZE_WH[::-1], bool)
    (left, top), (right, bottom) = np.rint(corners.min(0)).astype(int), np.rint(corners.max(0)).astype(int)
    inside[top:bottom, left:right] = True
    assert found.true_share == pytest.approx(strings[inside].mean(), abs=0.01)
    assert found.painted_share == pytest.approx(hole[inside].mean(), abs=0.01)
    assert photo.paintings["lama"].band.psnr_db > photo.paintings["none"].band.psnr_db + 5


def test_the_outline_comes_from_the_grid_where_corners_are_hidden(remover: FakeRemover) -> None:
    corners = grid(template.load("corners"))
    hidden = replace(corners, visibility=np.array([2, 2, 0, 2]), xy_px=corners.xy_px * [[1], [1], [0], [1]])
    meter = measuring.Meter({"lama": remover})
    for shapes in ((corners, grid()), (hidden, grid()), (grid(),)):
        outline = meter.outline(Annotations("a.jpg", SIZE_WH, shapes))
        np.testing.assert_allclose(outline, corners.xy_px, atol=1e-6)
    assert meter.outline(Annotations("a.jpg", SIZE_WH, (hidden,))) is None


def test_what_a_network_did_not_find_counts(scenes: Path, tmp_path: Path, remover: FakeRemover) -> None:
    points = tmp_path / "points"
    for number in range(4):
        name = f"reef_2024_q{number}"
        shapes, meta = (
            ((grid(),), {"verdict": "ok"}) if number else ((), {"verdict": "failed", "reasons": ["too dark"]})
        )
        shapes_json.write(points / "shapes" / f"{name}.json", Annotations(f"{name}.jpg", SIZE_WH, shapes, meta))
    result = evaluate.main(rendered=scenes, points=points, limit=0, out=tmp_path / "out")
    found = result["strings"]["found"]
    assert result["photos"] == 6
    assert found["photos"] == 3
    assert found["not_found"] == 3
    assert found["recall"]["mean"] == 1
    assert found["recall_of_all"] == pytest.approx(0.5)
    assert found["reasons"]["no grid points: too dark"] == 1
    assert result["strings"]["true"]["not_found"] == 0
    assert result["painting"]["lama, found points"]["photos"] == 3
    [bare] = result["skipped"].items()
    assert "reef_2024_q6" in bare[0]
    assert "no grid points" in bare[1]
    assert "not found in 3 photos" in evaluate.table(result)


def test_prepared_folders_and_limits(scenes: Path, tmp_path: Path, remover: FakeRemover) -> None:
    prepare.main(tmp_path / "d", rendered=scenes, only="val")
    result = evaluate.main(data=tmp_path / "d", split="val", limit=2, backend=["opencv"])
    assert result["photos"] == 2
    assert result["weights"] is None
    with pytest.raises(ValueError, match="no photo with strings in split 'test'"):
        evaluate.main(data=tmp_path / "d")


def test_unfit_wishes_are_refused(scenes: Path, tmp_path: Path, remover: FakeRemover) -> None:
    for wishes, reason in (
        ({"rendered": scenes, "data": scenes}, "one folder"),
        ({"rendered": scenes, "backend": ["magic"]}, "expected some of"),
        ({"rendered": scenes, "field": "x"}, "go together"),
        ({"rendered": tmp_path}, "data_engineering.render"),
    ):
        with pytest.raises(ValueError, match=reason):
            evaluate.main(**wishes)
    write_scene(tmp_path / "bare", "a", layout=None)
    with pytest.raises(ValueError, match="no photo could be measured"):
        evaluate.main(rendered=tmp_path / "bare")


def test_a_photo_that_cannot_be_read_is_skipped(tmp_path: Path, remover: FakeRemover) -> None:
    for number in range(3):
        write_scene(tmp_path / "r", f"q{number}", number)
    (tmp_path / "r" / "photos" / "q0.jpg").write_bytes(b"no photo")
    images.write(tmp_path / "r" / "clean" / "q1.jpg", np.zeros((30, 20, 3), np.uint8))
    result = evaluate.main(rendered=tmp_path / "r")
    assert result["photos"] == 1
    assert "without 20 x 30 px" in result["skipped"][str(tmp_path / "r" / "photos" / "q1.jpg")]


def test_lpips_is_averaged_where_it_is_there(scenes: Path, remover: FakeRemover, monkeypatch) -> None:
    monkeypatch.setattr(lpips, "load", lambda device: lambda picture, truth, region: float(region.mean()))
    result = evaluate.main(rendered=scenes, limit=2)
    assert 0 < result["painting"]["telea"]["lpips"] < 1


SEGMENTER = """
import sys
from pathlib import Path
import numpy as np
from quadrat import images, masks
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations

photos, out = Path(sys.argv[1]), Path(sys.argv[3])
assert sys.argv[2] == "--out"
for path in images.list_photos(photos):
    image = images.read(path)
    found = masks.instance_from_mask("Porites", image[..., 0] > 200)
    size_wh = image.shape[1], image.shape[0]
    shapes = (found,) if found else ()
    shapes_json.write(out / "shapes" / f"{path.stem}.json", Annotations(path.name, size_wh, shapes))
"""


def segmenter_scene(root: Path) -> list[tuple[Pair, Annotations]]:
    """One bright colony, which bright strings cross."""
    write_scene(root, "a")
    colony = np.zeros(SIZE_WH[::-1], bool)
    colony[60:120, 100:180] = True
    for kind in ("clean", "photos"):
        image = np.full((*SIZE_WH[::-1], 3), 60, np.uint8)
        image[colony] = 220
        if kind == "photos":
            image[draw_strings(grid(), SIZE_WH, 3)] = 240
        images.write(root / kind / "a.jpg", image, 95)
    [pair] = of_rendered(root)
    known = shapes_json.read(pair.truth)
    instance = masks.instance_from_mask("Porites", colony)
    assert isinstance(instance, Instance)
    known = replace(known, shapes=(*known.shapes, instance))
    shapes_json.write(pair.truth, known)
    return [(pair, known)]


def test_segmentation_is_compared_before_and_after(tmp_path: Path, remover: FakeRemover) -> None:
    (tmp_path / "segmenter.py").write_text(SEGMENTER)
    segmenter_scene(tmp_path / "r")
    result = evaluate.main(rendered=tmp_path / "r", segmentation=f"python {tmp_path / 'segmenter.py'}")
    told = result["segmentation"]
    assert told["photos"] == 1
    assert told["command"].startswith(sys.executable)
    assert told["strings"]["map50"] == 0  # strings and colony are one
    assert told["clean"]["mask_iou"] > 0.98
    assert told["removed"]["recall"] == 1
    assert "never any strings" in evaluate.table(result)


def test_a_segmentation_that_fails_says_why(tmp_path: Path) -> None:
    [(pair, known)] = segmenter_scene(tmp_path / "r")

    def compared(command: str) -> Comparison:
        (tmp_path / command[-1]).mkdir()
        made = Comparison(tmp_path / command[-1], command)
        made.add(pair, images.read(pair.clean), known)
        return made

    with pytest.raises(ValueError, match=r"status 3:\noh no"):
        compared("""python -c 'print("oh no"); raise SystemExit(3)' 1""").figures()
    with pytest.raises(ValueError, match=r"wrote no a\.json"):
        compared("python -c pass 2").figures()
    with pytest.raises(ValueError, match="is empty"):
        Comparison(tmp_path, " ")


def test_figures_go_into_fiftyone(scenes: Path, tmp_path: Path, remover: FakeRemover, monkeypatch) -> None:
    import data_engineering

    written = {}
    stand_in = SimpleNamespace(set_facts=lambda name, field, facts: written.update({(name, field): facts}))
    monkeypatch.setitem(sys.modules, "data_engineering.dataset", stand_in)  # the real one takes seconds to start
    monkeypatch.setattr(data_engineering, "dataset", stand_in, raising=False)
    evaluate.main(rendered=scenes, limit=3, fiftyone="reef", field="lama")
    [((name, field), facts)] = written.items()
    assert (name, field) == ("reef", "lama")
    path, first = next(iter(facts.items()))
    assert path == (scenes / "photos" / "reef_2024_q0.jpg").resolve()
    assert set(first) == {"recall", "precision", "painted_share", "psnr_db", "ssim"}
    assert first["recall"] == 1


def test_the_worst_come_first(scenes: Path, remover: FakeRemover) -> None:
    crops = report.Crops(["reef_2024_q1"])
    scores = {}
    for pair in of_rendered(scenes)[:4]:
        photo, pictures = measuring.Meter({"lama": remover}).measure(pair)
        crops.add(photo, pictures)
        scores[photo.name] = photo.paintings["lama"].band.ssim
    assert [name for name, _ in crops.worst()] == sorted(scores, key=scores.__getitem__)
    assert len(crops.shown) == 1
    assert crops.shown[0].shape == (2 * 240, 2 * (3 * 256 + 6), 3)


def test_strings_alone_are_measured_without_painting(rendered: Path, tmp_path: Path) -> None:
    whole = evaluate.main(rendered=rendered, backend=["opencv"])
    result = evaluate.main(rendered=rendered, strings_only=True, points=rendered / "truth", out=tmp_path / "out")
    assert result["strings"]["true"] == whole["strings"]["true"]
    assert result["strings"]["found"] == result["strings"]["true"]
    assert (result["painting"], result["note"], result["weights"]) == ({}, "", None)
    assert not (tmp_path / "out" / "painting.png").exists()
    assert "recall" in evaluate.table(result)
    assert "PSNR" not in evaluate.table(result)
    with pytest.raises(ValueError, match="--strings-only"):
        evaluate.main(rendered=rendered, strings_only=True, segmentation="python -m nothing")
