"""Pins are written where Nuclio reads them, and uv resolves them as constraints.txt says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy import pins

ROOT = Path(__file__).parents[2]
FOLDERS = pins.find()
EACH = pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)


def text_of(folder, variant="function.yaml"):
    return (folder / "nuclio" / variant).read_text("utf-8")


@EACH
@pytest.mark.parametrize("variant", list(pins.VARIANTS))
def test_what_is_read_is_what_the_image_installs(folder, variant):
    text = text_of(folder, variant)
    steps = yaml.safe_load(text)["spec"]["build"]["directives"]["preCopy"]
    (command,) = [step["value"] for step in steps if step["kind"] == "RUN"]
    assert command.startswith(pins.COMMAND)
    assert command.endswith(" ".join(pins.read(text)))
    assert len(pins.read(text)) >= 10


@EACH
def test_a_processors_image_has_openvino_and_none_of_what_it_does_not_need(folder):
    names = {pin.split("==")[0] for pin in pins.read(text_of(folder))}
    assert "openvino" in names
    assert not names & {"torch", "torchvision", "ultralytics", "onedl-mmsegmentation", "timm", "fastapi", "fiftyone"}
    assert "openvino-telemetry" not in names, "an image reports home to nobody"
    assert not {name for name in names if name.startswith(("nvidia-", "cuda-"))}


def test_writing_the_same_changes_nothing_and_writing_more_keeps_the_rest(tmp_path):
    path = shutil.copy(FOLDERS[0] / "nuclio" / "function.yaml", tmp_path)
    before = Path(path).read_text()
    found = pins.read(before)
    assert not pins.write(Path(path), found)
    assert Path(path).read_text() == before
    assert pins.write(Path(path), [*found, "zzz==1"])
    assert pins.read(Path(path).read_text()) == [*found, "zzz==1"]
    assert max(map(len, Path(path).read_text().splitlines())) == max(map(len, before.splitlines()))
    pins.write(Path(path), found)
    assert Path(path).read_text() == before


def test_a_file_without_the_command_is_refused(tmp_path):
    path = tmp_path / "function.yaml"
    path.write_text("spec: {}\n")
    with pytest.raises(pins.PinsError, match="expected a line `pip install"):
        pins.write(path, ["a==1"])


def test_uv_is_asked_for_one_environment_with_the_projects_constraints(tmp_path, monkeypatch):
    recorder = tmp_path / "uv"
    recorder.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat > {tmp_path}/override\necho numpy==2.4.6\n')
    recorder.chmod(0o755)
    monkeypatch.setattr(pins, "uv", lambda: str(recorder))
    assert pins.compile_pins(Path("names.in"), "3.11") == ["numpy==2.4.6"]
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:2] == ["pip", "compile"]
    for option, value in [("--constraint", "constraints.txt"), ("--python-version", "3.11"), ("--override", "-")]:
        assert value in [after for before, after in zip(asked, asked[1:], strict=False) if before == option]
    assert (tmp_path / "override").read_text() == pins.NOT_INSTALLED


def test_no_solution_is_said(monkeypatch):
    monkeypatch.setattr(pins, "uv", lambda: shutil.which("false"))
    with pytest.raises(pins.PinsError, match=r"names.in: uv found no solution"):
        pins.compile_pins(Path("names.in"), "3.11")


def test_unknown_names_are_said():
    command = [sys.executable, "-m", "deploy.pins", "pth-nobody"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no function is named pth-nobody: there are pth-mmseg" in done.stderr


@EACH
def test_the_base_image_has_what_the_functions_image_would_install(folder):
    lines = pins.dockerfile(folder).splitlines()
    assert lines[0] == "FROM python:3.11-slim-bookworm"
    assert lines[-1] == f"RUN {pins.COMMAND} {' '.join(pins.read(text_of(folder)))}"


@pytest.mark.slow
def test_the_pins_are_those_that_uv_finds_today():
    for folder in FOLDERS:
        for variant, names in pins.VARIANTS.items():
            assert pins.compile_pins(folder / names, "3.11") == pins.read(text_of(folder, variant)), folder / variant
