"""A training's settings: mmengine configs over ``configs/_base_/settings.py``, and ``key=value`` over both."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent / "configs"
DEFAULT = CONFIGS / "_base_" / "small.py"

ON_RESUME = (
    "steps", "workers", "val_period", "val_limit", "patience", "keep_best", "log_period", "batch_size", "accumulate",
)  # fmt: skip
"""What a run that goes on may change. With `batch_size` its numbers are no longer those of an unbroken run."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "precision": ("f32", "bf16"),
    "class_weights": ("none", "sqrt", "balanced"),
    "monitor": ("miou", "overall_accuracy", "mean_accuracy", "frequency_weighted_iou", "dice"),
}

OVERFIT: Mapping[str, Any] = {
    "augment": {"scales": (1.0, 1.0), "turns": False, "tilt_deg": 0.0, "colour": 0.0, "blur": 0.0},
    "ema": 0.0,
    "weight_decay": 0.0,
}


def read(path: str | Path | None, overrides: Sequence[str] = (), *, over: Mapping[str, Any] | None = None) -> Any:
    """A config with all its settings.

    Args:
        path: an mmengine Python config, `None` for `DEFAULT`.
        overrides: ``key=value``, dotted keys reach into dicts: ``model.backbone.tune=lora``.
        over: settings that go over the file's and under `overrides`.

    Returns:
        An ``mmengine.Config``.

    Raises:
        ValueError: an unknown key (with near matches), a value of another type, a file that is not readable.
    """
    from mmengine.config import Config

    source = Path(path) if path else DEFAULT
    if not source.is_file():
        raise ValueError(f"{source}: no such configuration file")
    try:
        config = Config.fromfile(str(source), lazy_import=False)
    except Exception as error:  # a Python file can raise anything
        raise ValueError(f"{source}: not readable as a config ({type(error).__name__}: {error})") from error
    known = Config.fromfile(str(CONFIGS / "_base_" / "settings.py"), lazy_import=False)
    _check_keys(source, config, [*known, "model"])
    if "model" not in config:
        raise ValueError(f"{source}: no `model`: begin with _base_ = a file of {CONFIGS.name}/_base_")
    for key, value in (over or {}).items():
        config[key] = value
    override(config, overrides)
    return config


def override(config: Any, overrides: Sequence[str]) -> None:
    """Put ``key=value`` texts into a config, and check its values.

    Raises:
        ValueError: as `read`.
    """
    for each in overrides:
        _override(config, each)
    _check(config)


def to_json(config: Any) -> dict[str, Any]:
    """A config as JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    return plain


def _check_keys(source: Path, config: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in config:
        if key not in known:
            raise ValueError(f"{source}: {_unknown(key, known)}")


def _unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key.rpartition(".")[2], known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known keys: {', '.join(sorted(known))}"
    return f"unknown key {key!r}; {hint}"


def _override(config: Any, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ValueError(f"{override!r}: expected key=value, for example steps=3000")
    *parents, last = key.split(".")
    place = config._cfg_dict  # a mapping, which the config itself is not
    for parent in parents:
        if not isinstance(place, Mapping) or parent not in place:
            raise ValueError(_unknown(key, list(place) if isinstance(place, Mapping) else []))
        place = place[parent]
    # What goes to mmsegmentation or timm has more keys than a config states: they refuse what they do not know.
    free = parents[:1] == ["model"]
    if not isinstance(place, Mapping) or (last not in place and not free):
        raise ValueError(_unknown(key, list(place) if isinstance(place, Mapping) else []))
    place[last] = _value(override, text, place.get(last))


def _value(override: str, text: str, before: Any) -> Any:
    import ast

    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    if isinstance(before, str):
        return value if isinstance(value, str) else text  # a run may be called 2024, and class_weights none
    if before is None or (value is None and not isinstance(before, (int, float))):
        return value
    if isinstance(before, (list, tuple)) and isinstance(value, (list, tuple)):
        return value
    kinds = (int, float) if isinstance(before, float) else type(before)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(before, bool):
        raise ValueError(f"{override!r}: expected a value like {before!r}")
    return value


def _check(config: Any) -> None:
    for key, allowed in _CHOICES.items():
        if config[key] not in allowed:
            raise ValueError(f"{key} is {config[key]!r}: expected {', '.join(allowed)}")
    for key in ("steps", "accumulate", "val_period", "keep_best", "crop_px", "log_period"):
        if config[key] < 1:
            raise ValueError(f"{key} is {config[key]}: expected at least 1")
    if config["val_period"] % config["accumulate"]:  # gradients that are added up halfway cannot be saved
        raise ValueError(
            f"val_period is {config['val_period']}: expected a multiple of accumulate, {config['accumulate']}"
        )
    if not 0 <= config["ema"] < 1:
        raise ValueError(f"ema is {config['ema']}: expected 0 (none) to below 1")
    _check_keys(Path("losses"), config["losses"], ("ce", "dice", "focal", "lovasz"))
    if not any(weight > 0 for weight in config["losses"].values()):
        raise ValueError(f"losses are {dict(config['losses'])}: expected one above 0")
