"""deploy/docker: the images are made of what is there, run as nobody, and have all the code that they need."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy.host import cli
from deploy.host.functions import discover

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
IMAGES = ("bridge", "host", "host-gpu", "fiftyone")

# Imports all of a command, from the folder it is in alone, and neither FiftyOne nor a framework.
IMPORTS = """
import importlib, pkgutil, sys
command, folder = sys.argv[1:]
package = importlib.import_module(command)
for module in pkgutil.walk_packages(getattr(package, "__path__", []), f"{command}."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
ours = ("quadrat", "data_engineering", "deploy", "yolo", "coral_seg_yolo", "DINOv2_mmseg")
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] in ours and getattr(module, "__file__", None):
        assert module.__file__.startswith(folder), (name, module.__file__)
assert not {"fiftyone", "torch"} & set(sys.modules)
"""


def stages():
    """Name of each stage -> its base and its instructions."""
    found = {}
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if start := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            lines = found[start[2]] = (start[1], [])
        elif found and line and not line.startswith("#"):
            lines[1].append(line)
    return found


def instructions(name):
    """Of a stage and those that it goes out from."""
    base, lines = stages()[name]
    return [*(instructions(base) if base in stages() else []), *lines]


def copied(image):
    """What of the repository goes into an image."""
    return [line.split()[1] for line in instructions(image) if line.startswith("COPY ") and "--from" not in line]


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_as_nobody_and_their_parts_are_there(image):
    lines = instructions(image)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert all((ROOT / path).exists() for path in copied(image))
    let_in = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert all(f"!{path}" in let_in for path in copied(image))


def test_extras_that_images_install_are_there():
    extras = set(re.findall(r"--extra (\S+)", DOCKERFILE.read_text()))
    assert extras <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def test_the_host_serves_the_networks_that_openvino_runs():
    (entry,) = [line for line in stages()["host"][1] if line.startswith("ENTRYPOINT")]
    command = json.loads(entry.removeprefix("ENTRYPOINT"))
    assert command[:3] == ["python", "-m", "deploy.host"]
    asked = dict(cli._parser().parse_args(command[3:]).model_path)
    packaged = yaml.safe_load((ROOT / "weights" / "index.yaml").read_text())["packaged"]
    assert sorted(asked.values()) == sorted(f"weights/{folder}" for folder in packaged.values())
    assert set(asked) == {function.name for function in discover([ROOT])}


@pytest.mark.parametrize(
    ("image", "command"),
    [("bridge", "deploy.bridge"), ("host", "deploy.host"), ("fiftyone", "data_engineering.review")],
)
def test_an_image_has_all_the_code_that_its_command_imports(image, command, tmp_path):
    for path in copied(image):
        if (ROOT / path).is_dir() and path != "weights":
            shutil.copytree(
                ROOT / path, tmp_path / path, ignore=shutil.ignore_patterns("tests", "__pycache__", "*.zip")
            )
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTS, command, tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
