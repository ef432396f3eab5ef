"""docs/environment.md names every environment variable that the code reads, with the files that do; and no other."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "environment.md").read_text("utf-8")
MODULES = ("coral_seg_yolo", "DINOv2_mmseg", "grid_pose_detection", "grid_inpainting")
ROOMS = ("quadrat", "data_engineering", "yolo", *MODULES, "deploy", "benchmarks")
NO_NAME_OF_THEIR_OWN = {
    "deploy/host/cli.py",  # --token-env NAME
    "deploy/serving/settings.py",  # `_Reader.get`
    "deploy/bridge/log.py",  # every secret of `deploy.bridge.settings.IN_FILES`, to hide it
    "deploy/bridge/secret_file.py",  # whatever stands in --env-file
    "deploy/bridge/settings.py",  # NAME and NAME_FILE of each of them
    "grid_inpainting/backends.py",  # hands LAMA_MODEL to simple-lama-inpainting
}
SHELLS_OWN = {"BASH_SOURCE", "PATH", "PWD", "SECONDS"}


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "tests" not in path.parts)


def asked(tree: ast.AST) -> Iterator[ast.expr]:
    """The key of each ``environ[key]``, ``environ.get(key)``, ``getenv(key)`` and ``reader.get(key)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            yield node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            whose = ast.unparse(node.func.value)
            on_environment = re.search(r"environ\b|\benv\b|reader$", whose) and node.func.attr in ("get", "setdefault")
            if on_environment or node.func.attr == "getenv":
                yield node.args[0]


def assigned(node: ast.Assign) -> list[str]:
    """Names on the left: of ``NAME = text`` and of ``FIRST, SECOND = text, text``."""
    return ast.unparse(node.targets[0]).strip("()").split(", ")


def meant(trees: Iterable[ast.Module], key: ast.expr) -> list[str]:
    """What a key is: a text, a constant of a module, or the keys of the mapping that a loop goes through."""
    if isinstance(key, ast.Constant):
        return [key.value]
    if not isinstance(key, ast.Name):
        return []
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.Assign) and key.id in (names := assigned(node)):
            values = [node.value] if len(names) == 1 else node.value.elts
            return [ast.literal_eval(values[names.index(key.id)])]
        if isinstance(node, ast.For) and key.id in ast.unparse(node.target).strip("()").split(", "):
            assert isinstance(node.iter, ast.Call)
            assert isinstance(node.iter.func, ast.Attribute)
            return list(ast.literal_eval(node.iter.func.value))
    return []


def where(trees: dict[str, ast.Module], file: str, key: ast.expr) -> tuple[list[ast.Module], ast.expr]:
    """The file that says what a key is, and its name there: its own, or the one that it imports the name from."""
    imports = [node for node in ast.walk(trees[file]) if isinstance(node, ast.ImportFrom)]
    if isinstance(key, ast.Attribute):
        names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
        return [trees[names[ast.unparse(key.value)].replace(".", "/") + ".py"]], ast.Name(key.attr)
    for node in imports:
        for alias in node.names:
            if isinstance(key, ast.Name) and key.id == (alias.asname or alias.name):
                return [trees[str(node.module).replace(".", "/") + ".py"]], ast.Name(alias.name)
    return [trees[file]], key


def read_by_the_code() -> dict[str, set[str]]:
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in sources()}
    found = defaultdict(set)
    for file, tree in trees.items():
        for key in asked(tree):
            names = meant(*where(trees, file, key))
            assert names or file in NO_NAME_OF_THEIR_OWN, f"{file}: {ast.unparse(key)}"
            for name in names:
                found[name].add(file)
    return dict(found)


def on_the_page() -> dict[str, set[str]]:
    """Variable -> files of its row; sections without a column for files are left out."""
    found: dict[str, set[str]] = {}
    files = ""
    for row in re.findall(r"^\|(.*)\|$", PAGE, re.MULTILINE):
        cells = [cell.strip() for cell in row.split("|")]
        if cells[0] == "Variable":
            files = cells[-1]
        elif files in ("Read in", "Set in"):
            found.update({name: set(re.findall("`(.+?)`", cells[-1])) for name in re.findall("`(.+?)`", cells[0])})
    return found


def test_the_page_and_the_code_name_the_same_variables_and_files():
    assert on_the_page() == read_by_the_code()


def test_the_search_finds_each_way_of_asking():
    found = read_by_the_code()
    assert "deploy/serving/settings.py" in found["MODEL_PATH"]  # reader.get
    assert "deploy/serving/labels.py" in found["FUNCTION_YAML"]  # (os.environ if ... else env).get
    assert "deploy/log.py" in found["QUADRAT_LOG_FILE"]  # a constant of the module
    assert "deploy/serving/__init__.py" in found["HF_HUB_OFFLINE"]  # a loop over a mapping
    assert "yolo/trainer.py" in found["OMP_NUM_THREADS"]  # environ[...]


def test_the_page_names_every_variable_of_the_set_up():
    script = (ROOT / "setup" / "environment.sh").read_text("utf-8")
    names = set(re.findall(r"\$\{?([A-Z_]{4,})", script)) - SHELLS_OWN
    assert "TORCH_BACKEND" in names
    section = PAGE.split("## Setting up")[1].split("\n## ")[0]
    assert names == set(re.findall(r"`([A-Z_]{4,})`", section))
