"""Folders of samples: the same bytes however made, resumed, and refused where they do not belong."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import data_engineering
from data_engineering.render import folder, frozen
from data_engineering.render.__main__ import main
from data_engineering.render.folder import render_folder
from data_engineering.render.scene import render
from data_engineering.render.settings import VERSION, Settings, from_dict, to_dict
from quadrat import images
from quadrat.formats import shapes_json

SMALL = Settings(size_px=192, rectified_px=96, colonies=(2, 4), frames={"pvc": 1.0}, layouts={"grid9x13": 1.0})
KINDS = {"photos": ".jpg", "clean": ".jpg", "strings": ".png", "truth": ".json"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    one = contents(render_folder(tmp_path / "a", 3, 7, SMALL, workers=1))
    assert one == contents(render_folder(tmp_path / "b", 3, 7, SMALL, workers=2))
    assert len(one) == 3 * 8 + 1
    assert one.keys() >= {f"rectified/{kind}/render7_2026_00002{suffix}" for kind, suffix in KINDS.items()}


def test_what_is_there_is_kept_and_what_is_missing_made_again(tmp_path):
    folder = render_folder(tmp_path, 2, 1, SMALL, workers=1)
    before = contents(folder)
    times = {p: p.stat().st_mtime_ns for p in folder.rglob("render1_2026_00000.*")}
    (folder / "rectified/clean/render1_2026_00001.jpg").unlink()
    (folder / "truth/render1_2026_00001.json").unlink()
    render_folder(tmp_path, 2, 1, SMALL, workers=1)
    assert contents(folder) == before
    assert times == {p: p.stat().st_mtime_ns for p in folder.rglob("render1_2026_00000.*")}
    assert (
        len(json.loads((render_folder(tmp_path, 3, 1, SMALL, workers=1) / "manifest.json").read_text())["samples"]) == 3
    )


def test_the_manifest_names_what_it_took(tmp_path):
    manifest = json.loads((render_folder(tmp_path, 1, 4, SMALL, workers=1) / "manifest.json").read_text())
    assert (manifest["version"], manifest["seed"], manifest["samples"]) == (VERSION, 4, ["render4_2026_00000"])
    assert from_dict(manifest["settings"]) == SMALL


def test_files_agree_with_one_another(tmp_path):
    folder = render_folder(tmp_path, 1, 2, SMALL, workers=1)
    for part in (folder, folder / "rectified"):
        truth = shapes_json.read(part / "truth/render2_2026_00000.json")
        sizes = {
            images.read_size_wh(part / kind / f"render2_2026_00000{KINDS[kind]}") for kind in ("photos", "strings")
        }
        assert sizes == {truth.size_wh}
        assert truth.image == "render2_2026_00000.jpg"
        assert {k.label for k in truth.keypoints} == {"quadrat_corner", "grid"}


def test_another_seed_or_other_settings_do_not_mix_in(tmp_path):
    render_folder(tmp_path, 1, 0, SMALL, workers=1)
    with pytest.raises(ValueError, match="another seed: choose another folder"):
        render_folder(tmp_path, 1, 5, SMALL, workers=1)
    with pytest.raises(ValueError, match="another settings"):
        render_folder(tmp_path, 1, 0, Settings(size_px=200), workers=1)


def test_a_folder_from_before_a_setting_is_filled_up_with_it_off(tmp_path):
    path = render_folder(tmp_path, 1, 0, SMALL, workers=1) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["settings"]["corner_covers"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="another settings"):
        render_folder(tmp_path, 1, 0, replace(SMALL, corner_covers={"knots": 1.0}), workers=1)
    render_folder(tmp_path, 1, 0, SMALL, workers=1)
    assert json.loads(path.read_text())["settings"]["corner_covers"] == {}


def test_backgrounds_that_cannot_be_read_are_listed_and_left_out(tmp_path):
    photos = tmp_path / "mine"
    images.write(photos / "reef.jpg", np.full((90, 120, 3), (20, 160, 60), np.uint8))
    (photos / "broken.jpg").write_bytes(b"not a photo")
    arguments = ["--count", "2", "--size", "160", "--workers", "1", "--layout", "grid11x11"]
    assert main(["--out", str(tmp_path / "out"), "--backgrounds", str(photos), *arguments]) == 0
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["backgrounds"] == ["reef.jpg"]
    assert list(manifest["unreadable_backgrounds"]) == ["broken.jpg"]
    assert len(list((tmp_path / "out/photos").iterdir())) == 2


def test_no_readable_background_is_an_error(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/broken.jpg").write_bytes(b"no")
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(tmp_path / "out"), "--count", "1", "--backgrounds", str(tmp_path / "mine")])
    assert "none of 1 backgrounds can be read" in capsys.readouterr().err


def test_a_contact_sheet_among_photographs(tmp_path, capsys):
    images.write(tmp_path / "real/a.jpg", np.full((80, 80, 3), 200, np.uint8))
    settings = tmp_path / "settings.yaml"
    settings.write_text("rectified_px: 96\ncolonies: [2, 3]\n")
    arguments = ["--count", "3", "--size", "160", "--settings", str(settings), "--overlay"]
    main(["--contact-sheet", str(tmp_path / "sheet.png"), "--among", str(tmp_path / "real"), *arguments])
    sheet = images.read(tmp_path / "sheet.png")
    assert sheet.shape == (960, 960, 3)
    row, column = divmod(int(capsys.readouterr().out.split()[-1]) - 1, 2)
    flat = (sheet == 200).all(-1).reshape(2, 480, 2, 480).mean((1, 3))
    assert flat[row, column] > 0.9
    assert (flat > 0.5).sum() == 1


def test_either_a_folder_or_a_sheet_must_be_asked_for(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--count", "1"])
    assert "--out DIR or --contact-sheet FILE" in capsys.readouterr().err


def test_settings_survive_json():
    assert from_dict(json.loads(json.dumps(to_dict(SMALL)))) == SMALL


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sise_px": 3}, r"unknown render settings \['sise_px'\]"),
        ({"size_px": 3}, "size_px is 3: expected at least 128"),
        ({"layouts": {"grid8x8": 1}}, "layouts is .*grid8x8"),
        ({"frames": {"none": 1}, "layouts": {"grid9x13": 1}}, "frames is .*hang on"),
        ({"colonies": [9, 3]}, "colonies is"),
        ({"noise": [5, 1]}, "noise is"),
        ({"tilt_deg": [0, 60]}, "tilt_deg is .*horizon"),
        ({"crop_probability": 1.5}, "crop_probability is 1.5: expected 0..1"),
    ],
)
def test_wrong_settings_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(values)


@pytest.mark.parametrize("task", ["colonies", "corners", "grid", "inpainting"])
def test_frozen_sets_are_drawn_as_when_they_were_frozen(task):
    """A change of the renderer that fails here needs a higher VERSION and a new frozen set."""
    first = frozen.tasks("validation-v1")[task]["first"]
    count, seed, settings = frozen.load(f"validation-v1/{task}")
    sample = render(seed * folder.MOST, settings)
    assert count == 300
    assert len(sample.annotations.instances) == first["colonies"]
    assert np.abs(sample.photo.mean((0, 1)) - first["mean_rgb"]).max() < 0.3
    labels = {point.label for point in sample.annotations.keypoints}
    assert labels >= {"colonies": set(), "corners": {"quadrat_corner"}}.get(task, {"quadrat_corner", "grid"})


def test_frozen_sets_are_named_and_guarded(monkeypatch):
    for wrong in ("validation-none/colonies", "validation-v1", "validation-v1/fish"):
        with pytest.raises(ValueError, match=r"unknown frozen set .* expected one of .*validation-v1"):
            frozen.load(wrong)
    monkeypatch.setattr(frozen, "VERSION", VERSION + 1)
    with pytest.raises(ValueError, match="frozen with renderer version"):
        frozen.load("validation-v1/grid")


def test_a_dataset_is_made_on_request_only(tmp_path, monkeypatch):
    calls = []
    stand_in = types.ModuleType("data_engineering.dataset")
    stand_in.from_rendered = lambda folder, name: calls.append((folder, name))
    monkeypatch.setitem(sys.modules, "data_engineering.dataset", stand_in)
    monkeypatch.setattr(data_engineering, "dataset", stand_in, raising=False)
    arguments = ["--out", str(tmp_path), "--count", "1", "--size", "160", "--workers", "1"]
    main(arguments)
    assert calls == []
    main([*arguments, "--fiftyone", "reef"])
    assert calls == [(tmp_path, "reef")]


def test_rendering_needs_no_framework():
    code = "import sys, data_engineering.render.folder; sys.exit(bool({'fiftyone', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
