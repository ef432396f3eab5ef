from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grid_inpainting import predict
from quadrat import images, template
from quadrat.formats import coco, cvat_xml, shapes_json
from quadrat.shapes import Annotations

from .conftest import SIZE_WH, FakeRemover, draw_strings, grid


@pytest.fixture
def photos(tmp_path: Path, scenes: Path) -> Path:
    """Two photos with strings."""
    for number, name in enumerate(("a.jpg", "sub/b.jpg")):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(scenes / "photos" / f"reef_2024_q{number}.jpg", tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture
def points(tmp_path: Path) -> Path:
    """Predictions of a grid in both photos."""
    for name in ("a", "sub/b"):
        known = Annotations(f"{name}.jpg", SIZE_WH, (grid(template.load("corners")), grid()), {"verdict": "ok"})
        shapes_json.write(tmp_path / "points" / "shapes" / f"{name}.json", known)
    return tmp_path / "points"


def record(out: Path, name: str) -> dict:
    return json.loads((out / f"{name}.removed.json").read_text())


def test_strings_are_gone_and_it_is_written_down(
    photos: Path, points: Path, scenes: Path, tmp_path: Path, remover: FakeRemover
) -> None:
    report = predict.main([photos], tmp_path / "out", points=points)
    assert report.failed == {}
    assert list(report.done) == [photos / "a.jpg", photos / "sub" / "b.jpg"]
    assert not report.failed
    assert not report.nothing
    strings = draw_strings(grid(), SIZE_WH, 3)
    for name, number in (("a", 0), ("sub/b", 1)):
        clean = images.read(scenes / "clean" / f"reef_2024_q{number}.jpg").astype(float)
        before, after = (images.read(root / f"{name}.jpg").astype(float) for root in (photos, tmp_path / "out"))
        assert np.abs(after - clean)[strings].mean() < 0.25 * np.abs(before - clean)[strings].mean()
        told = record(tmp_path / "out", name)
        assert told["photo"] == f"{name}.jpg"
        assert told["size_wh"] == list(SIZE_WH)
        assert told["note"] == "A note."
        assert told["warnings"] == ["drawn, not seen"]
        assert told["painted_fraction"] == pytest.approx(draw_strings(grid(), SIZE_WH, 5).mean(), abs=1e-5)
        assert told["maker"]["weights"] == "fake"
        assert told["maker"]["backend"] == "lama"


@pytest.mark.parametrize("kind", ["coco", "cvat", "one"])
def test_points_come_from_any_of_our_files(kind: str, photos: Path, tmp_path: Path, remover: FakeRemover) -> None:
    known = [Annotations(name, SIZE_WH, (grid(),)) for name in ("a.jpg", "sub/b.jpg")]
    path = tmp_path / {"coco": "coco.json", "cvat": "cvat.xml", "one": "a.json"}[kind]
    if kind == "one":
        shapes_json.write(path, known[0])
    else:
        {"coco": coco, "cvat": cvat_xml}[kind].write(path, known)
    report = predict.main([photos], tmp_path / "out", points=path)
    assert len(report.done) == (1 if kind == "one" else 2)
    assert all(removed.painted_fraction > 0.1 for removed in report.done.values())
    assert ["nothing is annotated" in reason for reason in report.failed.values()] == ([True] if kind == "one" else [])


def test_it_goes_on_where_it_stopped_and_again_where_something_changed(
    photos: Path, points: Path, tmp_path: Path, remover: FakeRemover
) -> None:
    out = tmp_path / "out"
    first = predict.main([photos], out, points=points)
    assert remover.calls == 2
    assert predict.main([photos], out, points=points) == first
    assert remover.calls == 2
    (out / "a.jpg").unlink()
    predict.main([photos], out, points=points)
    assert remover.calls == 3
    moved = Annotations("a.jpg", SIZE_WH, (grid(template.load("grid11x11")),))
    shapes_json.write(points / "shapes" / "a.json", moved)
    predict.main([photos], out, points=points)
    assert remover.calls == 4
    predict.main([photos], out, points=points, force=True)
    assert remover.calls == 6
    predict.main([photos], out, points=points, force=True, keep_masks=tmp_path / "kept")
    assert remover.calls == 8
    predict.main([photos], out, points=points, force=True, format="png")
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == ["a.png", "a.removed.json"]
    images.write(photos / "a.jpg", images.read(photos / "sub" / "b.jpg"))
    predict.main([photos], out, points=points, force=True, format="png")
    assert remover.calls == 11


def test_photos_without_grid_points_are_listed_with_the_reason(
    photos: Path, points: Path, tmp_path: Path, remover: FakeRemover
) -> None:
    out = tmp_path / "out"
    predict.main([photos], out, points=points)
    failed = Annotations("a.jpg", SIZE_WH, (), {"verdict": "failed", "reasons": ["no grid found", "too dark"]})
    shapes_json.write(points / "shapes" / "a.json", failed)
    corners = Annotations("b.jpg", SIZE_WH, (grid(template.load("corners")),))
    shapes_json.write(points / "shapes" / "sub" / "b.json", corners)
    report = predict.main([photos], out, points=points)
    assert report.nothing[photos / "a.jpg"] == "no grid points: no grid found; too dark"
    assert "only corners are known" in report.nothing[photos / "sub" / "b.jpg"]
    assert not [path for path in out.rglob("*") if path.is_file()]  # what was made of other points is gone


def test_a_doubtful_grid_is_removed_with_a_warning(
    photos: Path, points: Path, tmp_path: Path, remover: FakeRemover
) -> None:
    known = Annotations("a.jpg", SIZE_WH, (grid(),), {"verdict": "review", "reasons": ["points are missing"]})
    shapes_json.write(points / "shapes" / "a.json", known)
    predict.main([photos], tmp_path / "out", points=points)
    assert record(tmp_path / "out", "a")["warnings"][0] == "the grid's verdict is review: points are missing"


def test_masks_say_what_to_remove(photos: Path, tmp_path: Path, remover: FakeRemover) -> None:
    mask = draw_strings(grid(), SIZE_WH, 3)
    images.write(tmp_path / "masks" / "a.png", mask.view(np.uint8))
    images.write(tmp_path / "masks" / "sub" / "b.png", np.zeros(SIZE_WH[::-1], np.uint8))
    kept = tmp_path / "kept"
    report = predict.main([photos], tmp_path / "out", masks=tmp_path / "masks", format="png", keep_masks=kept)
    done, empty = report.done.values()
    assert done.painted_fraction == pytest.approx(mask.mean(), abs=1e-6)
    before, after = images.read(photos / "a.jpg"), images.read(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(before[~mask], after[~mask])
    assert (images.read(kept / "a.png")[..., 0] == 255 * mask).all()
    assert empty.warnings == ("nothing to paint",)
    np.testing.assert_array_equal(
        images.read(photos / "sub" / "b.jpg"), images.read(tmp_path / "out" / "sub" / "b.png")
    )


def test_bad_masks_and_photos_fail_alone(
    photos: Path, tmp_path: Path, remover: FakeRemover, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "c.jpg").write_bytes(b"no photo")
    images.write(photos / "d.png", images.read(photos / "a.jpg"))
    images.write(photos / "e.png", images.read(photos / "a.jpg"))
    masks = tmp_path / "masks"
    images.write(masks / "a.png", np.full((50, 60), 255, np.uint8))
    for name in "bcd":
        images.write(masks / f"{name}.png", draw_strings(grid(), SIZE_WH).view(np.uint8))
    images.write(masks / "d.png", np.full(SIZE_WH[::-1], 255, np.uint8))
    assert predict.run([str(photos), "--masks", str(masks), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "1 photos done" in printed.out
    for name, reason in (("a.jpg", "60 x 50 px"), ("c.jpg", "no photo"), ("d.png", "at most half"), ("e.png", "e.png")):
        assert any(f"/{name}: " in line and reason in line for line in printed.err.splitlines()), name
    assert (tmp_path / "out" / "sub" / "b.jpg").is_file()  # its mask lies beside the others


def test_lines_are_found_without_points(photos: Path, scenes: Path, tmp_path: Path, remover: FakeRemover) -> None:
    report = predict.main([photos], tmp_path / "out", detect_lines=True, format="png")
    assert all(removed.painted_fraction > 0.1 for removed in report.done.values())
    assert record(tmp_path / "out", "a")["maker"]["remove"] == "lines"


def test_what_the_camera_wrote_goes_along_and_the_photo_is_upright(
    tmp_path: Path, scenes: Path, remover: FakeRemover
) -> None:
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Reef camera", 6
    with Image.open(scenes / "photos" / "reef_2024_q0.jpg") as upright:
        upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photos" / "a.jpg", exif=exif, quality=95)
    shapes_json.write(tmp_path / "a.json", Annotations("a.jpg", SIZE_WH, (grid(),)))
    report = predict.main([tmp_path / "photos"], tmp_path / "out", points=tmp_path / "a.json")
    assert not report.failed
    with Image.open(tmp_path / "out" / "a.jpg") as made:
        assert made.size == SIZE_WH
        assert made.getexif()[0x010F] == "Reef camera"
        assert made.getexif().get(0x0112, 1) == 1


def test_opencv_is_said_aloud(
    photos: Path, points: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sheet = tmp_path / "out", tmp_path / "sheet.jpg"
    command = [str(photos), "--points", str(points), "--out", str(out), "--backend", "opencv", "--sheet", str(sheet)]
    assert predict.run(command) == 0
    assert "without a network" in capsys.readouterr().out
    told = record(out, "a")
    assert "without a network" in told["note"]
    assert told["maker"]["weights"] is told["maker"]["fingerprint"] is None
    assert images.read(sheet).shape[1] == 2 * 960
    strings, clean = draw_strings(grid(), SIZE_WH, 3), images.read(scenes / "clean" / "reef_2024_q0.jpg").astype(float)
    before, after = (np.abs(images.read(root / "a.jpg") - clean)[strings].mean() for root in (photos, out))
    assert after < before / 2


def test_unfit_wishes_are_refused(photos: Path, points: Path, tmp_path: Path, remover: FakeRemover) -> None:
    with pytest.raises(ValueError, match="expected one of --points"):
        predict.main([photos], tmp_path / "out")
    with pytest.raises(ValueError, match="expected one of --points"):
        predict.main([photos], tmp_path / "out", points=points, detect_lines=True)
    with pytest.raises(ValueError, match="no such folder"):
        predict.main([photos], tmp_path / "out", masks=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="choose another --out"):
        predict.main([photos], photos, points=points)
    with pytest.raises(ValueError, match="expected one of jpeg, png"):
        predict.main([photos], tmp_path / "out", points=points, format="gif")
    assert remover.calls == 0


def test_the_command_refuses_two_sources_before_anything_heavy(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grid_inpainting.predict", "x.jpg", "--out", str(tmp_path), "--detect-lines"]
    ran = subprocess.run([*command, "--masks", "m"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "not allowed with" in ran.stderr
