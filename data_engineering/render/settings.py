"""Every number that shapes a rendered photograph, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from data_engineering.render.layouts import LAYOUTS, NONE
from data_engineering.render.layouts import load as load_layout

VERSION = 2
"""Raised with every change that alters rendered pixels or truth: figures name it."""

FRAMES = ("none", "aluminium", "pvc", "dark", "chain")
CLUTTER = ("animals", "gear", "tape", "fish", "fin")
COVERS = ("knots", "floats", "blocks", "poles", "struts")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is drawn and how often. Pairs are ``(lowest, highest)``; mappings give relative odds.

    Raises:
        ValueError: a value out of its range, with the key, what it is and what was expected.
    """

    # --- the photograph ---
    size_px: int = 1280  # long side
    aspects: tuple[float, ...] = (4 / 3, 1.0, 3 / 2)  # width over height, chosen at random
    rectified_px: int = 960  # long side of the rectified quadrat
    jpeg_quality: tuple[int, int] = (78, 96)
    # --- the quadrat ---
    layouts: Mapping[str, float] = field(  # others by their file (`layouts.load`): "frames/mine.yaml": 1.0
        default_factory=lambda: {"none": 0.35, "grid11x11": 0.4, "grid9x13": 0.25}
    )
    frames: Mapping[str, float] = field(  # "none" goes with layout "none" alone: strings hang on something
        default_factory=lambda: {"none": 0.22, "aluminium": 0.28, "pvc": 0.24, "dark": 0.22, "chain": 0.04}
    )
    side_cm: tuple[float, ...] = (50.0, 70.0, 100.0)  # of a quadrat without strings; one with strings is as its layout
    fill: tuple[float, float] = (0.74, 0.92)  # the quadrat's height over the photo's
    crop_probability: float = 0.08  # the camera is too near or off, so corners leave the photo
    tilt_deg: tuple[float, float] = (0.0, 14.0)
    roll_deg: float = 6.0  # standard deviation, cut at 25
    lens_k1: tuple[float, float] = (-0.12, 0.03)  # radial distortion at the photo's corners: barrel below 0
    frame_clearance_cm: tuple[float, float] = (6.0, 40.0)  # over the seabed: what grows higher stands before the frame
    corner_covers: Mapping[str, float] = field(default_factory=dict)  # each of `COVERS` with its own probability
    bar_walls_probability: float = 0.0  # bars are boxes: their inner wall is seen, in another tone
    stub_free_probability: float = 0.0  # bars end square at the corners, none runs past them
    # --- strings ---
    string_px: tuple[float, float] = (1.0, 12.0)  # width at 1280 px, mostly thin; scales with size_px
    sag: float = 0.006  # standard deviation of a string's bow, as a share of the quadrat's side
    string_clearance_cm: tuple[float, float] = (3.0, 14.0)  # over the seabed: what grows higher covers the string
    diagonals_probability: float = 0.3  # two strings from corner to corner, where there is no grid
    # --- clutter ---
    clutter: Mapping[str, float] = field(  # each with its own probability
        default_factory=lambda: {"animals": 0.3, "gear": 0.16, "tape": 0.2, "fish": 0.12, "fin": 0.04}
    )
    # --- colonies ---
    colonies: tuple[int, int] = (5, 40)  # a photo; fewer where there is no room for more
    touching_probability: float = 0.45  # a colony is put against one that is there already
    # --- light, water and camera ---
    sun_net_probability: float = 0.3  # shallow water in the sun, whose waves throw a net of light
    water: tuple[float, float] = (0.0, 1.0)  # 0: white light at the surface; 1: 20 m without strobe
    strobe_probability: float = 0.5  # where there is water to speak of: white in the middle, blue around
    drop_probability: float = 0.5  # outside the quadrat the bottom falls off: darker, bluer, blurrier
    blur_px: tuple[float, float] = (0.3, 1.3)  # sigma
    noise: tuple[float, float] = (1.0, 7.0)  # sigma, of 255
    # --- over given photographs ---
    colonies_on_backgrounds: bool = True  # what grows in the given photo stays unlabelled either way

    def __post_init__(self) -> None:
        _check(self.size_px >= 128, "size_px", self.size_px, "at least 128")
        _check(self.rectified_px >= 64, "rectified_px", self.rectified_px, "at least 64")
        _check(all(0.25 <= a <= 4 for a in self.aspects) and self.aspects, "aspects", self.aspects, "ratios 0.25..4")
        _check(0 <= self.colonies[0] <= self.colonies[1] <= 254, "colonies", self.colonies, "0 <= low <= high <= 254")
        _check(self.tilt_deg[1] <= 40, "tilt_deg", self.tilt_deg, "at most 40: beyond it the photo shows the horizon")
        _check(self.fill[0] >= 0.1, "fill", self.fill, "at least 0.1")
        _check(self.side_cm and min(self.side_cm) >= 10, "side_cm", self.side_cm, "sides of at least 10")
        low, high = self.lens_k1
        _check(-0.3 <= low <= high <= 0.15, "lens_k1", self.lens_k1, "-0.3 <= low <= high <= 0.15")
        _check(0 <= self.sag <= 0.03, "sag", self.sag, "0..0.03")
        for key in (f.name for f in fields(self) if f.name.endswith("_probability")):
            _check(0 <= getattr(self, key) <= 1, key, getattr(self, key), "0..1")
        self._check_layouts()
        for key, known in (("layouts", tuple(self.layouts)), ("frames", FRAMES)):
            odds = getattr(self, key)
            good = set(odds) <= set(known) and sum(odds.values()) > 0 and min(odds.values()) >= 0
            _check(good, key, odds, f"odds >= 0, not all 0, for {', '.join(known)}")
        for key, known in (("clutter", CLUTTER), ("corner_covers", COVERS)):
            odds = getattr(self, key)
            good = set(odds) <= set(known) and all(0 <= p <= 1 for p in odds.values())
            _check(good, key, odds, f"probabilities 0..1 for {', '.join(known)}")
        strung = any(odds > 0 for layout, odds in self.layouts.items() if layout != NONE)
        framed = any(odds > 0 for frame, odds in self.frames.items() if frame != "none")
        _check(framed or not strung, "frames", self.frames, "a frame for the layouts with strings to hang on")
        for key in (
            "jpeg_quality",
            "fill",
            "tilt_deg",
            "string_px",
            "string_clearance_cm",
            "frame_clearance_cm",
            "water",
            "blur_px",
            "noise",
        ):
            pair = getattr(self, key)
            _check(len(pair) == 2 and 0 <= pair[0] <= pair[1], key, pair, "a pair 0 <= low <= high")

    def _check_layouts(self) -> None:
        for name in self.layouts:
            try:
                load_layout(name)
            except ValueError as error:
                expected = f"some of {', '.join(LAYOUTS)}, or layout files: {error}"
                raise ValueError(f"render setting layouts is {dict(self.layouts)}: expected {expected}") from error


def to_dict(settings: Settings) -> dict[str, object]:
    """JSON-able form: tuples become lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}


def from_dict(raw: Mapping[str, object]) -> Settings:
    """Read what `to_dict` gave, or a part of it.

    Raises:
        ValueError: unknown keys, named.
    """
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(set(raw) - known):
        raise ValueError(f"unknown render settings {unknown}: expected some of {sorted(known)}")
    return Settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})  # type: ignore[arg-type]


def _check(good: object, key: str, value: object, expected: str) -> None:
    if not good:
        raise ValueError(f"render setting {key} is {value}: expected {expected}")
