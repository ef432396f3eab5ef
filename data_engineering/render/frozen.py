"""Frozen sets: seeds and settings that figures are measured on, as ``<name>.yaml`` beside this file."""

from __future__ import annotations

from pathlib import Path

import yaml

from data_engineering.render.settings import VERSION, Settings, from_dict


def load(name: str) -> tuple[int, int, Settings]:
    """Count, seed and settings of a frozen set.

    Args:
        name: ``validation-v0`` and the like.

    Raises:
        ValueError: there is no such set, or this renderer draws other pixels than the one it was frozen with.
    """
    home = Path(__file__).parent
    path = home / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in home.glob("*.yaml")))
        raise ValueError(f"unknown frozen set {name!r}: expected one of {known}")
    raw = yaml.safe_load(path.read_text("utf-8"))
    if raw["renderer_version"] != VERSION:
        raise ValueError(
            f"{name} was frozen with renderer version {raw['renderer_version']}, this is {VERSION}: "
            "take a newer set, or check out the commit that the figures name"
        )
    return int(raw["count"]), int(raw["seed"]), from_dict(raw["settings"])
