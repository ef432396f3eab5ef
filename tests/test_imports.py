"""The import law where import-linter cannot see it: Nuclio's main.py, and what a command loads before it starts."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from quadrat.__main__ import VERBS, modules

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LINTER = PYPROJECT["tool"]["importlinter"]
FRAMEWORKS = {
    "torch",
    "torchvision",
    "ultralytics",
    "openvino",
    "mmseg",
    "mmengine",
    "mmcv",
    "timm",
    "peft",
    "transformers",
    "skimage",
    "sklearn",
    "safetensors",
    "simple_lama_inpainting",
    "pytorch_lightning",
    "torchmetrics",
    "fiftyone",
}
MODULES = modules()
PACKAGES = sorted({package.split(".")[0] for package in PYPROJECT["tool"]["setuptools"]["packages"]})
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if "tests" not in path.parts]
MAINS = [path for path in SOURCES if path.name == "main.py" and path.parent.name == "nuclio"]


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, inside functions too; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(names: Iterator[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check():
    assert MODULES
    assert MAINS
    assert len(SOURCES) > 20


def test_every_package_is_in_pyproject():
    """One that is not listed would be missing from an installation; benchmarks are run from the repository."""
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in ROOT.glob("*/**/__init__.py")
        if not {"tests", "benchmarks"} & set(path.relative_to(ROOT).parts)
        and not path.relative_to(ROOT).parts[0].startswith(".")  # environments and caches
    }
    assert found == set(PYPROJECT["tool"]["setuptools"]["packages"])


def forbids(source: str, target: str) -> bool:
    """Whether one of import-linter's contracts forbids `source` to import `target`."""
    contracts = [c for c in LINTER["contracts"] if c["type"] == "forbidden"]
    return any(source in c["source_modules"] and target in c["forbidden_modules"] for c in contracts)


def test_the_linter_knows_every_package_and_module():
    assert set(LINTER["root_packages"]) == set(PACKAGES)
    for module in MODULES:
        assert forbids("data_engineering", module), f"add {module} to the contract 2-4"
        assert forbids("deploy", module), f"add {module} to the contract 2-4"
        for stage in ("train", "predict", "model", "export"):
            if (ROOT / module / f"{stage}.py").is_file():
                assert forbids(f"{module}.{stage}", "data_engineering"), f"add {module}.{stage} to the contract 3"


def test_the_linter_finds_no_breach():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_imports_only_what_its_room_may(path):
    room, found = path.relative_to(ROOT).parts[0], top(imported(path))
    if room in MODULES:
        assert not found & (set(MODULES) - {room}), "modules never import each other"
    if "fiftyone" in found:
        assert room == "data_engineering"
        assert not path.name.startswith("cvat")
    if "cvat_sdk" in found:
        assert room == "data_engineering"
        assert path.name.startswith("cvat")


@pytest.mark.parametrize(
    "path", [ROOT / m / f"{stage}.py" for m in MODULES for stage in ("prepare", "predict")] + MAINS, ids=name_of
)
def test_prepare_predict_and_main_never_import_a_framework(path):
    assert not top(imported(path)) & FRAMEWORKS, "go through model.load"


@pytest.mark.parametrize("path", MAINS, ids=name_of)
def test_a_function_is_its_module_and_deploy_serving(path):
    siblings = {name for name in imported(path) if name.split(".")[0] in PACKAGES}
    module = path.relative_to(ROOT).parts[0]
    for name in siblings:
        assert name.split(".")[0] in ("quadrat", module) or f"{name}.".startswith("deploy.serving."), name
    assert len(path.read_text("utf-8").splitlines()) < 40


def commands() -> list[str]:
    """All that can be run with ``python -m``: the stages, and files that end in a main guard."""
    stages = [f"{module}.{verb}" for module in MODULES for verb in VERBS]
    guarded = [path for path in SOURCES if "__name__ ==" in path.read_text("utf-8") and path not in MAINS]
    others = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in guarded]
    return sorted({*stages, *others})


@pytest.mark.parametrize("command", commands())
def test_a_command_loads_no_framework_before_its_arguments_are_parsed(command):
    code = f"import sys, {command}; print(*sorted(set(sys.modules) & {FRAMEWORKS!r}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_cvat_sdk_is_imported_by_the_files_that_are_named_for_it_alone():
    users = [path for path in SOURCES if "cvat_sdk" in top(imported(path))]
    assert users
    assert [name_of(path) for path in users if not name_of(path).startswith("data_engineering/cvat_")] == []
