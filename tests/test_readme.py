"""What README and docs tell people to type exists: make targets, modules with their options, pixi tasks, files."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from quadrat.__main__ import VERBS, modules

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(page for package in ("data_engineering", "deploy", *modules()) for page in (ROOT / package).rglob("*.md")),
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PIXI = tomllib.loads((ROOT / "pixi.toml").read_text("utf-8"))
MADE_BY_USERS = (
    "data/",
    "runs/",
    "renders/",
    "site/",
    "photos/",
    "frames/",
    "functions/",
    "red_things/",
    "results/",
    "weights/my-",
    "registry.example.org/",
    "service/",  # a resource of Kubernetes
    "secrets/",
    "bridge-data/",
    "./",
    "../",
)  # frames, functions and red_things: the examples of a new layout and of a new module
FROZEN_SETS = ("validation-v",)


def commands(page: Path) -> list[list[str]]:
    """Words of every command in a page: lines of bash blocks, and `inline code` that begins like one."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(
        r"`((?:make|pixi run|(?:\.venv/bin/)?python -m|\.venv/bin/\S+) [^`]*)`", prose.replace("\n", " ")
    )
    words = (shlex.split(line.replace("…", " "), comments=True) for line in lines)
    return [[word for word in line if not re.fullmatch(r"[A-Z_]+=.*", word)] for line in words if line]


@functools.cache
def help_of(module: str, verb: str = "") -> str:
    command = [sys.executable, "-m", module, *([verb] if verb else []), "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def module_file(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__main__.py") if file.is_file()), None)


def check_module(module: str, arguments: list[str]) -> None:
    if module == "quadrat":
        if len(arguments) == 1:
            assert arguments[0] in VERBS
            return
        verb, name, *arguments = (arguments[0], *(word.replace("-", "_") for word in arguments[1:2]), *arguments[2:])
        assert verb in VERBS
        if name == "MODULE":
            return
        module = f"{name}.{verb}"
    if not (ROOT / module.split(".")[0]).is_dir():
        return  # somebody else's, as mkdocs
    assert module_file(module), f"python -m {module}: no such module"
    options = {word.split("=")[0] for word in arguments if word.startswith("--")}
    words = [word for word in arguments if re.fullmatch(r"[a-z]+", word)]
    verbs = [word for word in words if re.search(rf"^    {word} ", help_of(module), re.MULTILINE)]
    helps = [help_of(module), *(help_of(module, verb) for verb in verbs[:1])] if options else []
    known = {option for text in helps for option in re.findall(r"--[a-z0-9-]+", text)}
    assert options <= known, f"python -m {module} has no {sorted(options - known)}"


def check_pixi(words: list[str]) -> None:
    environment = "default"
    while words[0].startswith("-"):
        option, value, *words = words
        environment = value if option == "-e" else environment
    task, *arguments = words
    for feature in PIXI["environments"][environment]:
        found = PIXI["feature"][feature].get("tasks", {}).get(task)
        if found:
            command = shlex.split(found if isinstance(found, str) else found["cmd"])
            if command[:2] == ["python", "-m"]:
                check_module(command[2], command[3:] + arguments)
            return
    raise AssertionError(f"pixi environment {environment!r} has no task {task!r}")


def check(words: list[str], folder: Path = ROOT) -> None:
    if words[0] == "make":
        assert set(words[1:]) <= TARGETS, f"make {words[1:]}"
    elif words[:2] == ["pixi", "run"]:
        check_pixi(words[2:])
    elif words[0].endswith("python") and "-m" in words[1:2]:
        check_module(words[2], words[3:])
    for word in words:
        if re.fullmatch(r"[A-Za-z_.][\w.-]*(/[\w.-]+)+(\.yaml|\.toml|\.sh|/)?", word) and not word.startswith(
            (*MADE_BY_USERS, *FROZEN_SETS, ".venv")
        ):
            assert (folder / word).exists() or (ROOT / word).exists(), f"{word} is not in the repository"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_page_exists(page):
    folder = ROOT
    for words in commands(page):
        if words[:1] == ["cd"]:
            folder = ROOT / words[1]
        elif words:
            check(words, folder)


def test_the_check_finds_commands():
    assert ["make", "demo"] in commands(ROOT / "README.md")
    assert ["make", "test"] in commands(ROOT / "README.md")


@pytest.mark.parametrize(
    "words",
    [
        ["make", "coffee"],
        ["pixi", "run", "coffee"],
        ["pixi", "run", "-e", "coral-seg-yolo", "coffee"],
        ["python", "-m", "quadrat.coffee"],
        ["python", "-m", "coral_seg_yolo.train", "--coffee"],
        ["python", "-m", "coral_seg_yolo.train", "--config", "coral_seg_yolo/configs/coffee.yaml"],
    ],
    ids=" ".join,
)
def test_a_made_up_command_is_noticed(words):
    with pytest.raises(AssertionError):
        check(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s#]+)", text):
        if not re.match(r"\w+:", link):
            assert (page.parent / link).exists(), link


def test_readme_begins_with_the_two_commands():
    top = (ROOT / "README.md").read_text("utf-8")[:1200]
    assert "make demo" in top
    assert "make test" in top


def test_every_target_of_make_is_explained_and_phony():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == TARGETS == set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
