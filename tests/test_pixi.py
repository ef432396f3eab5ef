"""pixi.toml cannot be solved in a test, so this checks what can go stale in it: commands, extras, versions, stages."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import jsonschema
import pytest

from quadrat.__main__ import VERBS, modules

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT.parent / "shared" / "pixi.schema.json"
PIXI = tomllib.loads((ROOT / "pixi.toml").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ENVIRONMENTS = ("default", "coral-seg-yolo", "dinov2-mmseg", "grid-pose", "grid-inpainting", "data", "deploy", "dev")
FRAMEWORK_EXTRA = {
    "coral-seg-yolo": "yolo",
    "dinov2-mmseg": "mmseg",
    "grid-pose": "yolo",
    "grid-inpainting": "inpainting",
}
ENVIRONMENT_OF = {
    "coral_seg_yolo": "coral-seg-yolo",
    "DINOv2_mmseg": "dinov2-mmseg",
    "grid_pose_detection": "grid-pose",
    "grid_inpainting": "grid-inpainting",
}


def tasks_of(environment: str) -> dict[str, str]:
    """Task name -> command, for one environment."""
    found: dict[str, str] = {}
    for feature in PIXI["environments"][environment]:
        for name, task in PIXI["feature"][feature].get("tasks", {}).items():
            found[name] = task if isinstance(task, str) else task["cmd"]
    return found


def extras_of(environment: str) -> set[str]:
    tables = [PIXI["feature"][feature].get("pypi-dependencies", {}) for feature in PIXI["environments"][environment]]
    projects = [table["quadratseg"] for table in tables if "quadratseg" in table]
    assert len(projects) == 1, f"{environment} must take this project exactly once"
    assert projects[0]["path"] == "."
    return set(projects[0]["extras"])


def lower_bound(requirement: str) -> str:
    match = re.match(r"[^<>=!~\s]*\s*(>=\s*[\d.]+)", requirement)
    assert match, requirement
    return match[1].replace(" ", "")


@pytest.mark.skipif(not SCHEMA.is_file(), reason="pixi's schema is not beside the checkout")
def test_the_manifest_is_valid():
    jsonschema.validate(PIXI, json.loads(SCHEMA.read_text("utf-8")))


def test_the_environments_that_were_asked_for_exist():
    assert set(ENVIRONMENTS) <= set(PIXI["environments"])
    for features in PIXI["environments"].values():
        assert set(features) <= set(PIXI["feature"])


def test_no_feature_is_unused():
    assert set(PIXI["feature"]) == {f for features in PIXI["environments"].values() for f in features}


@pytest.mark.parametrize("environment", PIXI["environments"])
def test_every_environment_takes_extras_that_pyproject_has(environment):
    extras = extras_of(environment)
    assert extras <= set(PROJECT["optional-dependencies"])
    if environment in FRAMEWORK_EXTRA:
        assert FRAMEWORK_EXTRA[environment] in extras


@pytest.mark.parametrize(("conda", "pypi"), [("pytorch", "torch"), ("torchvision", "torchvision")])
def test_what_comes_from_conda_has_the_bounds_of_pyproject(conda, pypi):
    wanted = {r for extra in PROJECT["optional-dependencies"].values() for r in extra if re.match(rf"{pypi}\W", r)}
    assert {lower_bound(r) for r in wanted} == {PIXI["feature"]["torch"]["dependencies"][conda]}


def test_python_and_overrides_agree():
    assert lower_bound(PIXI["dependencies"]["python"]) == PROJECT["requires-python"]
    overrides = PIXI["pypi-options"]["dependency-overrides"]
    lines = [line for line in (ROOT / "overrides.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert {re.split(r"[\s;>=]", line)[0] for line in lines} == set(overrides)
    assert {lower_bound(line) for line in lines if ">=" in line} == {overrides["numpy"], overrides["pillow"]}
    assert (ROOT / overrides["opencv-python"]["path"] / "pyproject.toml").is_file()


def test_the_variables_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("$(CURDIR)", "$PIXI_PROJECT_ROOT")
    assert dict(re.findall(r"^export (\w+) := (.+)$", makefile, re.MULTILINE)) == PIXI["activation"]["env"]


def command_exists(words: list[str]) -> bool:
    """Whether ``python -m NAME`` names a module here, or the first word is a command that a dependency installs."""
    if words[:2] == ["python", "-m"]:
        path = ROOT / words[2].replace(".", "/")
        if path.with_suffix(".py").is_file() or (path / "__main__.py").is_file():
            return True
        outside = not (ROOT / words[2].split(".")[0]).is_dir()
        return outside and importlib.util.find_spec(words[2]) is not None
    return bool(entry_points(group="console_scripts", name=words[0])) or words[0] == "ruff"


@pytest.mark.parametrize("environment", PIXI["environments"])
def test_every_task_names_a_command_that_exists(environment):
    for name, command in tasks_of(environment).items():
        for part in command.split("&&"):
            assert command_exists(shlex.split(part)), f"{environment}: task {name!r} calls {part.strip()!r}"


def test_a_made_up_command_is_noticed():
    assert not command_exists(["python", "-m", "quadrat.nothing"])
    assert not command_exists(["python", "-m", "no_such_package"])
    assert not command_exists(["no-such-command"])


def test_every_module_has_its_stages_in_its_environment():
    assert modules()
    for module in modules():
        tasks = tasks_of(ENVIRONMENT_OF[module])
        assert {verb: tasks.get(verb) for verb in VERBS} == {verb: f"python -m {module}.{verb}" for verb in VERBS}


def test_the_default_environment_has_the_stages_for_any_module_and_the_main_commands():
    tasks = tasks_of("default")
    assert {"demo", "test", "app", "host", "docs"} <= set(tasks)
    for verb in VERBS:
        assert tasks[verb] == f"python -m quadrat {verb}"


def test_a_task_that_two_environments_have_is_not_ambiguous():
    default = PIXI["feature"]["all"]["tasks"]
    others = [tasks_of(environment) for environment in PIXI["environments"] if environment != "default"]
    for name in set(default) & {name for tasks in others for name in tasks}:
        assert default[name]["default-environment"] == "default", name
