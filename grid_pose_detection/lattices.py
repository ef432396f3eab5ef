"""Random lattices as a camera sees them, with what a detector gets wrong: what the matching is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid_pose_detection.candidates import ANY, CROSSING, END, Candidates
from quadrat import geometry
from quadrat.template import Template

Floats = NDArray[np.float64]
_Seen = Callable[[Floats], Floats]

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@dataclass(frozen=True, slots=True)
class Settings:
    """What a random lattice is like. Ranges are uniform.

    Attributes:
        missing: share of the template's points that have no candidate.
        false: share of the candidates that are no point of the template: half of them anywhere in the photo, a quarter
            on the bars of the frame, a quarter 0.15 to 0.5 cells beside a true point.
        noise: standard deviation along each axis of the photo, in cells (root of the cell's area there).
        tilt_deg: of the camera, in any direction.
        roll_deg: largest turn about the camera's axis.
        turned_deg: lattices which perspective and roll together turn further than this in the photo are drawn anew.
        focal: in longer sides of the photo.
        fill: height of the quadrat in heights of the photo, if it were not tilted.
        lens_k1: radial distortion at the photo's corner (division model); below 0 barrel.
        sag: standard deviation of a string's bow, as a share of the frame's side.
        kinds: whether candidates say ``CROSSING`` or ``END``, and the ends of strings on the frame are among them even
            where they are no points of the template; else all are ``ANY``.
        confused: share of the kinds that are wrong.
    """

    missing: float = 0.4
    false: float = 0.2
    noise: float = 0.05
    tilt_deg: tuple[float, float] = (0.0, 40.0)
    roll_deg: float = 30.0
    turned_deg: float = 40.0
    focal: tuple[float, float] = (0.75, 1.3)
    fill: tuple[float, float] = (0.74, 0.92)
    lens_k1: tuple[float, float] = (-0.12, 0.03)
    sag: float = 0.006
    kinds: bool = False
    confused: float = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class RandomLattice:
    """Candidates, and what they were made from.

    Attributes:
        template: whose points they are.
        candidates: in random order.
        truth_px: float64 ``[K, 2]``, where each point of the template lies in the photo (some may lie outside).
        cell_px: float64 ``[K]``, root of the area of a cell there.
        origin: int64 ``[N]``, the point that each candidate is; -1 for a false one.
        size_wh: of the photo in px.
    """

    template: Template
    candidates: Candidates
    truth_px: Floats
    cell_px: Floats
    origin: NDArray[np.int64]
    size_wh: tuple[int, int]

    def errors(self, xy_px: Floats) -> Floats:
        """Distances in cells ``[K]`` of points from their truth."""
        return np.asarray(np.linalg.norm(xy_px - self.truth_px, axis=1) / self.cell_px)

    def without(self, points: NDArray[np.bool_]) -> RandomLattice:
        """The same without the candidates of some points: bool ``[K]``."""
        keep = (self.origin < 0) | ~points[self.origin]
        c = self.candidates
        return replace(
            self, candidates=Candidates(c.xy_px[keep], c.scores[keep], c.kinds[keep]), origin=self.origin[keep]
        )


def random_lattice(rng: np.random.Generator, template: Template, settings: Settings | None = None) -> RandomLattice:
    """Draw one lattice.

    Args:
        rng: its source of chance.
        template: layout; its sides in cm count.
        settings: what it is like; ``None`` means the defaults.
    """
    given = settings or Settings()
    size_wh = (1280, int(1280 / rng.choice([4 / 3, 1.0, 3 / 2])))
    k1 = rng.uniform(*given.lens_k1)
    camera = _camera(rng, template.size_cm, given, size_wh)

    def seen(uv: Floats) -> Floats:
        return _bend(geometry.apply_homography(camera, uv), k1, size_wh)

    hung = _hang(rng, template, given.sag)
    truth = seen(hung)
    across, down = (seen(hung + step) - seen(hung - step) for step in np.diag(_steps(template)) / 2)
    cell_px = np.sqrt(np.abs(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]))
    found = np.flatnonzero(rng.random(len(truth)) >= given.missing)
    true_px = truth[found] + rng.normal(size=(len(found), 2)) * (given.noise * cell_px[found])[:, None]
    inside = ((true_px > 0) & (true_px < size_wh)).all(axis=1)
    found, true_px = found[inside], true_px[inside]
    count = round(len(found) * given.false / (1 - given.false)) if given.false < 1 else len(truth)
    beside = rng.choice(found, count) if len(found) else np.zeros(count, np.int64)
    false_px = _false(rng, seen, truth[beside], cell_px[beside], size_wh)
    if given.false >= 1:
        found, true_px = found[:0], true_px[:0]
    ends_px = seen(_ends_beyond(rng, template, given))
    origin = np.concatenate([found, np.full(count + len(ends_px), -1)])
    xy = np.concatenate([true_px, false_px, ends_px])
    kinds = _kinds(rng, template, origin, given)
    kinds[len(kinds) - len(ends_px) :] = END
    order = rng.permutation(len(xy))
    candidates = Candidates(xy[order], rng.uniform(0.3, 1.0, len(xy)), kinds[order])
    return RandomLattice(template, candidates, truth, cell_px, origin[order], size_wh)


def _camera(
    rng: np.random.Generator, size_cm: tuple[float, float], given: Settings, size_wh: tuple[int, int]
) -> Floats:
    """Homography from the frame (0..1) to px of a pinhole that looks at about the middle and sees all corners."""
    while True:
        tilt, toward = np.radians(rng.uniform(*given.tilt_deg)), rng.uniform(0, 2 * np.pi)
        roll = np.radians(rng.uniform(-given.roll_deg, given.roll_deg))
        turned = _about((np.cos(toward), np.sin(toward), 0), tilt) @ _about((0, 0, 1), roll)
        focal, fill = rng.uniform(*given.focal) * max(size_wh), rng.uniform(*given.fill)
        centre = np.array(size_wh) * rng.uniform(0.48, 0.52, 2)
        camera = _pinhole(turned, focal, centre, size_cm, fill * min(size_wh))
        while not _shows(camera, size_wh):
            fill *= 0.95
            camera = _pinhole(turned, focal, centre, size_cm, fill * min(size_wh))
        if abs(geometry.tilt_deg(geometry.apply_homography(camera, _CORNERS))) <= given.turned_deg:
            return camera


def _pinhole(turned: Floats, focal: float, centre: Floats, size_cm: tuple[float, float], side_px: float) -> Floats:
    sides = np.array(size_cm) / max(size_cm)
    flat = np.array([[sides[0], 0, -sides[0] / 2], [0, sides[1], -sides[1] / 2], [0, 0, 1]])
    pose = np.column_stack([turned[:, 0], turned[:, 1], [0, 0, focal / side_px]])
    return np.asarray(np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]]) @ pose @ flat)


def _shows(camera: Floats, size_wh: tuple[int, int]) -> bool:
    mapped = _CORNERS @ camera[:, :2].T + camera[:, 2]
    share = mapped[:, :2] / mapped[:, 2:] / size_wh
    return bool((mapped[:, 2] > 0).all() and (share > 0.02).all() and (share < 0.98).all())


def _about(axis: tuple[float, float, float], angle: float) -> Floats:
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)


def _bend(xy: Floats, k1: float, size_wh: tuple[int, int]) -> Floats:
    half = np.array(size_wh) / 2
    out = xy - half
    r2 = np.square(out).sum(axis=-1, keepdims=True) / np.square(half).sum()
    return np.asarray(out * 2 / (1 + np.sqrt(np.maximum(1 - 4 * k1 * r2, 0))) + half)


def _steps(template: Template) -> Floats:
    """Width and height of a cell as shares of the frame."""
    return np.array([np.median(np.diff(np.unique(template.uv[:, i].round(9)))) for i in (0, 1)])


def _hang(rng: np.random.Generator, template: Template, sag: float) -> Floats:
    """Places of the points on strings that bow, each by itself; ends stay on the frame."""
    uv, rc = template.uv, template.lattice_rc
    slack = sag * rng.uniform(0.2, 1.5, 2)
    moved = uv.copy()
    for axis in (0, 1):
        bows = rng.normal(size=template.lattice_shape[1 - axis]).clip(-2.5, 2.5) * slack[axis]
        fixed = (uv[:, axis] <= 0) | (uv[:, axis] >= 1)
        moved[:, axis] += np.where(fixed, 0, bows[rc[:, 1 - axis]] * np.sin(np.pi * uv[:, 1 - axis]))
    return moved


def _false(
    rng: np.random.Generator, seen: _Seen, beside_px: Floats, cell_px: Floats, size_wh: tuple[int, int]
) -> Floats:
    """Places ``[count, 2]``: anywhere, on the bars of the frame, and beside true points."""
    count = len(beside_px)
    anywhere = rng.uniform(0, 1, (count, 2)) * size_wh
    angle, off = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.15, 0.5, count) * cell_px
    doubles = beside_px + off[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    sort = rng.choice(3, (count, 1), p=[0.5, 0.25, 0.25])
    return np.where(sort == 0, anywhere, np.where(sort == 1, seen(_on_bars(rng, count)), doubles))


def _on_bars(rng: np.random.Generator, count: int) -> Floats:
    along, side = rng.uniform(0, 1, count), rng.integers(0, 4, count)
    across = (side % 2).astype(np.float64)
    uv = np.stack([along, across], axis=1)
    return np.where((side < 2)[:, None], uv, uv[:, ::-1])


def _ends_beyond(rng: np.random.Generator, template: Template, given: Settings) -> Floats:
    """Where strings end on the frame, of a layout whose points do not lie there: ``[n, 2]`` in the frame."""
    if not given.kinds or given.false >= 1 or np.any((template.uv <= 0) | (template.uv >= 1)):
        return np.zeros((0, 2))
    u, v = (np.unique(template.uv[:, i].round(9)) for i in (0, 1))
    down, across = (np.stack([np.repeat(p, 2), np.tile([0.0, 1.0], len(p))], axis=1) for p in (u, v))
    ends = np.concatenate([down, across[:, ::-1]])
    return ends[rng.random(len(ends)) >= given.missing]


def _kinds(
    rng: np.random.Generator, template: Template, origin: NDArray[np.int64], given: Settings
) -> NDArray[np.int64]:
    if not given.kinds:
        return np.full(len(origin), ANY)
    ends = np.any((template.uv <= 0) | (template.uv >= 1), axis=1)
    kinds = np.where(ends[origin], END, CROSSING)
    kinds = np.where(rng.random(len(origin)) < given.confused, CROSSING + END - kinds, kinds)
    return np.where(origin < 0, rng.integers(CROSSING, END + 1, len(origin)), kinds)
