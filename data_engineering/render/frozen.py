"""Frozen sets: seeds and settings that figures are measured on, as ``<name>.yaml`` beside this file.

A set has a part for each task, as ``validation-v1/colonies``: a photo without a frame says nothing about corners.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from data_engineering.render.settings import VERSION, Settings, from_dict


def load(name: str) -> tuple[int, int, Settings]:
    """Count, seed and settings of one task's part of a frozen set.

    Args:
        name: ``validation-v1/colonies`` and the like.

    Raises:
        ValueError: there is no such set or part, or this renderer draws other pixels than the one it was frozen with.
    """
    stem = name.partition("/")[0]
    version, found = _read(stem)
    parts = {f"{stem}/{task}": raw for task, raw in found.items()}
    if name not in parts:
        raise ValueError(f"unknown frozen set {name!r}: expected one of {', '.join(parts)}")
    if version != VERSION:
        raise ValueError(
            f"{name} was frozen with renderer version {version}, this is {VERSION}: "
            "take a newer set, or check out the commit that the figures name"
        )
    raw = parts[name]
    return int(raw["count"]), int(raw["seed"]), from_dict(raw["settings"])


def tasks(stem: str) -> dict[str, dict]:
    """All parts of a set such as ``validation-v1`` as its file has them."""
    return _read(stem)[1]


def _read(stem: str) -> tuple[int, dict[str, dict]]:
    home = Path(__file__).parent
    path = home / f"{stem}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in home.glob("*.yaml")))
        raise ValueError(f"unknown frozen set {stem!r}: expected one of {known}, with a task, as NAME/TASK")
    raw = yaml.safe_load(path.read_text("utf-8"))
    return int(raw["renderer_version"]), raw["tasks"]
