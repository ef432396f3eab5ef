"""Strings in a layout that is not built in: drawn where its file says, named in the truth, guarded in the folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_engineering.render import layouts
from data_engineering.render.__main__ import main
from data_engineering.render.folder import render_folder
from data_engineering.render.scene import render
from data_engineering.render.settings import Settings, from_dict, to_dict
from quadrat import template
from quadrat.shapes import VISIBLE

PLAIN = Settings(
    size_px=320,
    rectified_px=160,
    colonies=(2, 4),
    frames={"pvc": 1.0},
    clutter={},
    crop_probability=0.0,
    lens_k1=(0, 0),
)
SQUARE = {"size_cm": [70, 70], "lattice": {"columns": 5, "rows": 5}}


def write(path: Path, **content: object) -> str:
    path.write_text(yaml.safe_dump(content))
    return str(path)


def only(layout: str) -> Settings:
    return replace(PLAIN, layouts={layout: 1.0})


@pytest.mark.parametrize("name", ["grid11x11", "grid9x13"])
def test_a_file_draws_the_pixels_of_the_layout_that_is_built_in(tmp_path, name):
    known = template.load(name)
    points = {"points_cm": known.xy_cm.tolist(), "lattice_rc": known.lattice_rc.tolist()}
    file = write(tmp_path / "other.yaml", name=name, size_cm=list(known.size_cm), **points)
    ours, theirs = render(5, only(file)), render(5, only(name))
    assert np.array_equal(ours.photo, theirs.photo)
    assert ours.annotations.meta == theirs.annotations.meta


def test_the_truth_has_the_points_and_the_name_of_the_file(tmp_path):
    file = write(tmp_path / "small_frame.yaml", **SQUARE)
    sample = render(3, replace(only(file), sag=0.0))
    shape = template.load(file)
    (grid,) = (points for points in sample.annotations.keypoints if points.label == "grid")
    assert grid.attributes["layout"] == sample.annotations.meta["layout"] == "small_frame"
    assert grid.names == shape.names
    assert sample.annotations.meta["size_cm"] == [70, 70]
    matrix = np.array(sample.annotations.meta["cm_to_photo"])
    placed = np.column_stack([shape.xy_cm, np.ones(25)]) @ matrix.T
    np.testing.assert_allclose(grid.xy_px, placed[:, :2] / placed[:, 2:], atol=1e-6)
    column, row = np.floor(grid.xy_px[np.asarray(grid.visibility) == VISIBLE]).astype(int).T
    assert sample.strings[row, column].mean() > 0.95


def test_one_string_runs_through_points_that_were_measured_one_by_one(tmp_path):
    even = template.even_lattice("even", 3, 3, size_cm=(60, 60))
    crooked = even.xy_cm + np.random.default_rng(0).normal(0, 0.4, (9, 2))
    straight = layouts.load(write(tmp_path / "measured.yaml", size_cm=[60, 60], points_cm=crooked.tolist()))
    assert straight is not None
    assert [len(np.unique(straight.uv[:, axis])) for axis in (0, 1)] == [3, 3]
    np.testing.assert_allclose(straight.xy_cm[4], [crooked[1::3, 0].mean(), crooked[3:6, 1].mean()])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"size_cm": [70, 70], "lattice": {"columns": 2, "rows": 2, "on_frame": True}}, "no row or column inside"),
        ({"size_cm": [5, 70], "lattice": {"columns": 3, "rows": 3}}, "expected sides of at least 10"),
        ({"lattice": {"columns": 0, "rows": 3}}, "not a layout: lattice of 0 columns"),
    ],
)
def test_what_cannot_be_strung_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"render setting layouts is .*or layout files: .*{message}"):
        only(write(tmp_path / "bad.yaml", **content))


def test_corners_are_no_layout_of_strings_and_a_file_must_be_there(tmp_path, capsys):
    with pytest.raises(ValueError, match="layouts is .*corners"):
        only("corners")
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(tmp_path / "out"), "--layout", str(tmp_path / "nowhere.yaml")])
    assert "nowhere.yaml: cannot be read" in capsys.readouterr().err


def test_a_folder_knows_its_layout_file_by_path_and_content(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    file = Path("frames/mine.yaml")
    write(file, **SQUARE)
    arguments = ["--out", "out", "--count", "1", "--size", "160", "--workers", "1", "--layout", str(file)]
    assert main(arguments) == 0
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["settings"]["layouts"] == {"frames/mine.yaml": 1.0}
    assert manifest["layout_files"] == layouts.digests(["none", "frames/mine.yaml"])
    assert to_dict(from_dict(manifest["settings"])) == manifest["settings"]
    write(file, **{**SQUARE, "name": "another"})
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "made with another layout_files" in capsys.readouterr().err


def test_without_layout_files_the_manifest_is_as_it_was(tmp_path):
    manifest = json.loads((render_folder(tmp_path, 0, 0, PLAIN, workers=1) / "manifest.json").read_text())
    assert "layout_files" not in manifest
