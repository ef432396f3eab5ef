"""The skeletons that the functions offer are those of the layouts, so that neither drifts from the other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy import spec, validate
from deploy.serving import labels
from quadrat import cvat_labels, template

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "cvat"
FUNCTIONS = {"pth-yolo-gridcorners": "corners", "pth-yolo-gridpose": "grid11x11"}
EXAMPLES = {"corners": "corner_annotation_example.json", "grid11x11": "grid_annotation_example.json"}


def files():
    for name, layout in FUNCTIONS.items():
        for variant in ("function.yaml", "function-gpu.yaml"):
            yield ROOT / "grid_pose_detection" / "deploy" / name / "nuclio" / variant, layout


FILES = pytest.mark.parametrize(
    ("path", "layout"),
    list(files()),
    ids=lambda value: "/".join(value.parts[-3:]) if isinstance(value, Path) else value,
)


@FILES
def test_a_function_offers_the_skeleton_that_its_layout_makes(path, layout):
    assert spec.spec_text(template.load(layout)) in path.read_text("utf-8"), f"run: python -m deploy.spec {layout}"
    (offered,) = json.loads(yaml.safe_load(path.read_text("utf-8"))["metadata"]["annotations"]["spec"])
    wanted = labels.skeleton_for(template.load(layout))
    assert offered.pop("svg").split() == wanted.pop("svg").split()
    assert offered == wanted


@FILES
@pytest.mark.skipif(not SHARED.is_dir(), reason="the CVAT examples are not here")
def test_a_function_offers_what_the_real_projects_have(path, layout):
    (real,) = json.loads((SHARED / EXAMPLES[layout]).read_text())
    (offered,) = labels.read_labels(path).values()
    assert (offered.name, offered.type) == (real["name"], real["type"])
    assert [point.name for point in offered.sublabels] == [point["name"] for point in real["sublabels"]]
    (attribute,) = offered.attributes
    assert attribute.values == tuple(real["attributes"][0]["values"])
    (real_attribute,) = labels.parse_spec(json.dumps([real]))[real["name"]].attributes
    assert attribute == real_attribute


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings of a CVAT server are not here")
def test_a_skeleton_is_offered_as_cvat_took_it():
    calls = json.loads((SHARED / "recordings" / "guide_c" / "guide_c_function_calls.json").read_text())
    taken = calls[0]["response"]["quadrat-corners"]["metadata"]["annotations"]["spec"]
    (recorded,) = json.loads(taken)
    made = labels.skeleton_for(template.load("corners"))
    assert set(made) == set(recorded) - {"id"}
    assert set(made["sublabels"][0]) == set(recorded["sublabels"][0]) - {"id"}
    assert made["attributes"] == recorded["attributes"]
    circle = made["svg"].split("\n")[0]
    assert {word.split("=")[0] for word in circle.split()} == {
        word.split("=")[0] for word in recorded["svg"].split("</circle>")[0].split()
    } - {""}


def test_a_layout_of_ones_own_is_printed_ready_for_a_function(tmp_path):
    layout = tmp_path / "mine.yaml"
    layout.write_text("lattice: {columns: 5, rows: 4}\n")
    command = [sys.executable, "-m", "deploy.spec", str(layout), "--label", "net"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    path = next(files())[0]
    head, rest = path.read_text("utf-8").split("    spec: >-\n")
    own = tmp_path / "function.yaml"
    own.write_text(head + printed + rest[rest.index("\nspec:") + 1 :])
    assert validate.check_file(own) == []
    offered = labels.read_labels(own)
    assert len(offered["net"].sublabels) == 20
    assert cvat_labels.read_skeleton(offered["net"].model_dump(mode="json")).edges == ()


def test_an_unknown_layout_is_named():
    command = [sys.executable, "-m", "deploy.spec", "grid3x3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown layout 'grid3x3'" in done.stderr
