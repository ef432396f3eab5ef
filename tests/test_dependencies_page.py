"""docs/dependencies.md explains every dependency of pyproject.toml and every line of overrides.txt, and no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def direct() -> set[str]:
    """Names of all that pyproject.toml asks for, extras included."""
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return {re.split(r"[^\w.-]", line)[0].lower() for line in lines} - {PROJECT["name"]}


def rows(section: str) -> list[list[str]]:
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)
    ]


def explained() -> dict[str, str]:
    """Package -> why, of every row in the tables of packages."""
    found = {}
    for section in ("The ground floor", "Models", "Data", "Serving", "Development", "Benchmarks"):
        head, _, *body = rows(section)
        for row in body:
            found.update(dict.fromkeys(row[0].lower().split(", "), row[head.index("Why")]))
    return found


def test_every_dependency_is_explained_and_nothing_else():
    assert set(explained()) == direct()
    assert all(explained().values())


def test_the_extra_of_a_package_is_named():
    head, _, *body = rows("Models")
    for row in body:
        for package in row[0].lower().split(", "):
            extras = {
                extra
                for extra, lines in PROJECT["optional-dependencies"].items()
                if any(re.match(rf"{re.escape(package)}\b(?!-)", line.lower()) for line in lines)
            }
            assert set(re.findall(r"`(\w+)`", row[head.index("Extra")])) == extras, package


def test_every_override_is_explained():
    lines = [line for line in (ROOT / "overrides.txt").read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert lines
    assert all(f"`{line}`" in PAGE for line in lines)
