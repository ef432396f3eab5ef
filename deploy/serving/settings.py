"""What a function takes from its environment."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_LARGEST_SIDE_PX = 10_000
_PRECISIONS = ("f32", "bf16")
_BACKENDS = ("lama", "openvino", "opencv")


class SettingsError(ValueError):
    """One or more environment variables hold what cannot be used; the message names each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a function is to run.

    Attributes:
        model_path: weights file, exported model or finished run (``MODEL_PATH``); ``None`` takes what ships.
        confidence: lowest score to return where the caller names none, 0..1 (``CONF_THRESHOLD``).
        iou: overlap above which two boxes are one colony, 0..1 (``IOU_THRESHOLD``).
        polygons: answer polygons rather than masks (``CONVERT_TO_POLYLINE``).
        tile_px: side of the windows that a large photo is cut into; 0 takes it whole (``TILE_SIZE``).
        template: layout of a quadrat's points: ``auto``, a built-in name or a file (``TEMPLATE``).
        max_cost: farthest that a point may lie from its place in the lattice, in cells, above 0 to 0.5 (``MAX_COST``).
        use_template_matching: match points to the layout rather than take the network's order as it is
            (``USE_TEMPLATE_MATCHING``).
        device: where the model runs, as torch names it (``DEVICE``).
        precision: ``f32``, or ``bf16`` where runtime and processor have it (``PRECISION``).
        lama_model: TorchScript file or export of an inpainting network (``LAMA_MODEL``, else ``MODEL_PATH``); ``None``
            takes what ships.
        line_width: of the strings to paint out, in px of the photo, above 0; ``None`` measures it
            (``GRID_LINE_WIDTH``: a number or ``auto``).
        backend: what paints: ``lama``, ``openvino`` or ``opencv`` (``INPAINT_BACKEND``).
        segformer_weights: of a semantic network (``SEGFORMER_WEIGHTS``, else ``MODEL_PATH``); ``None``: what ships.
        segformer_config: its mmengine config, needed where the weights do not say what network they are of
            (``SEGFORMER_CONFIG``).
        sam_weights: of a network that outlines what the semantic one names (``SAM_WEIGHTS``); ``None``: watershed.
        min_threshold: lowest score of a colony from a semantic network, 0..1 (``MIN_THRESHOLD``).
        unsure_threshold: below it such a colony is marked as unsure, 0..1 (``UNSURE_THRESHOLD``).
        work_px: long side that a semantic network sees of a photo, in px; 0 takes what its weights say (``WORK_PX``).
    """

    model_path: str | None = None
    confidence: float = 0.25
    iou: float = 0.5
    polygons: bool = True
    tile_px: int = 0
    template: str = "auto"
    max_cost: float = 0.35
    use_template_matching: bool = True
    device: str = "cpu"
    precision: str = "f32"
    lama_model: str | None = None
    line_width: float | None = None
    backend: str = "lama"
    segformer_weights: str | None = None
    segformer_config: str | None = None
    sam_weights: str | None = None
    min_threshold: float = 0.05
    unsure_threshold: float = 0.2
    work_px: int = 0

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; a variable that is unset or empty leaves the default.

        Raises:
            SettingsError: naming every variable with a wrong value.
        """
        reader = _Reader(os.environ if env is None else env)
        model_path = reader.get("MODEL_PATH", str, None)
        settings = cls(
            model_path=model_path,
            polygons=reader.get("CONVERT_TO_POLYLINE", _truth, _DEFAULT.polygons),
            device=reader.get("DEVICE", str, _DEFAULT.device),
            precision=reader.get("PRECISION", _one_of(_PRECISIONS), _DEFAULT.precision),
            **_detecting(reader),
            **_matching(reader),
            **_painting(reader, model_path),
            **_segmenting(reader, model_path),
        )
        if reader.wrong:
            raise SettingsError("; ".join(reader.wrong) + ". Set it in function.yaml (env) or in the environment.")
        return settings


class _Reader:
    """Reads variables one by one and collects what is wrong, so that all of it is said at once."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.wrong: list[str] = []

    def get(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self._env.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.wrong.append(f"{name} is {text!r}: expected {error}")
            return default


def _detecting(reader: _Reader) -> dict[str, Any]:
    """What finds colonies one by one."""
    return {
        "confidence": reader.get("CONF_THRESHOLD", _fraction, _DEFAULT.confidence),
        "iou": reader.get("IOU_THRESHOLD", _fraction, _DEFAULT.iou),
        "tile_px": reader.get("TILE_SIZE", _side("the whole photo at once"), _DEFAULT.tile_px),
    }


def _matching(reader: _Reader) -> dict[str, Any]:
    """What finds the points of a quadrat."""
    return {
        "template": reader.get("TEMPLATE", str, _DEFAULT.template),
        "max_cost": reader.get("MAX_COST", _cost, _DEFAULT.max_cost),
        "use_template_matching": reader.get("USE_TEMPLATE_MATCHING", _truth, _DEFAULT.use_template_matching),
    }


def _painting(reader: _Reader, model_path: str | None) -> dict[str, Any]:
    """What paints strings out."""
    return {
        "lama_model": reader.get("LAMA_MODEL", str, model_path),
        "line_width": reader.get("GRID_LINE_WIDTH", _width, _DEFAULT.line_width),
        "backend": reader.get("INPAINT_BACKEND", _one_of(_BACKENDS), _DEFAULT.backend),
    }


def _segmenting(reader: _Reader, model_path: str | None) -> dict[str, Any]:
    """What names every pixel and makes colonies of them."""
    return {
        "segformer_weights": reader.get("SEGFORMER_WEIGHTS", str, model_path),
        "segformer_config": reader.get("SEGFORMER_CONFIG", str, _DEFAULT.segformer_config),
        "sam_weights": reader.get("SAM_WEIGHTS", str, _DEFAULT.sam_weights),
        "min_threshold": reader.get("MIN_THRESHOLD", _fraction, _DEFAULT.min_threshold),
        "unsure_threshold": reader.get("UNSURE_THRESHOLD", _fraction, _DEFAULT.unsure_threshold),
        "work_px": reader.get("WORK_PX", _side("as the weights say"), _DEFAULT.work_px),
    }


_DEFAULT = Settings()


def _fraction(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:  # false for NaN too
        raise ValueError("a number 0..1, such as 0.25")
    return value


def _cost(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 0.5:
        raise ValueError("a number above 0 and up to 0.5, in cells of the grid, such as 0.35")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError("true or false")
    return text.lower() in _TRUE


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(" or ".join(words))
        return text.lower()

    return parse


def _width(text: str) -> float | None:
    if text.lower() == "auto":
        return None
    value = _number(text)
    if not 0 < value < math.inf:
        raise ValueError("auto, or a number of px above 0, such as 6")
    return value


def _side(none: str) -> Callable[[str], int]:
    """Px of a side, or 0 for what `none` says."""

    def parse(text: str) -> int:
        value = int(text) if text.isdecimal() else -1
        if value != 0 and not 64 <= value <= _LARGEST_SIDE_PX:
            raise ValueError(f"0 ({none}) or 64..{_LARGEST_SIDE_PX} px")
        return value

    return parse
