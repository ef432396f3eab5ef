"""What divers fix to a frame: taped blocks, cameras, floats, poles, bolts, labels, colour patches.

Every function gives a `Patch` whose x runs along the bar.
"""

from __future__ import annotations

import cv2
import numpy as np

from data_engineering.render import patches
from data_engineering.render.patches import Patch, Rgb, blob, cloud, scratch, solid, streaks, tube, worn, write

_FOAM: tuple[Rgb, ...] = ((214, 142, 44), (222, 176, 40), (196, 120, 52), (40, 70, 170), (70, 74, 78))
_TAPES: tuple[Rgb, ...] = (
    (176, 182, 190),
    (176, 182, 190),
    (168, 172, 178),
    (188, 190, 192),
    (70, 72, 76),
    (34, 62, 166),
    (206, 168, 62),
    (160, 54, 50),
    (236, 236, 232),
)
_PATCHES: tuple[Rgb, ...] = (
    (60, 196, 214),
    (204, 70, 84),
    (32, 112, 98),
    (214, 186, 66),
    (226, 226, 220),
    (66, 80, 156),
)
_RULERS: tuple[tuple[Rgb, Rgb], ...] = (
    ((196, 200, 203), (40, 42, 48)),
    ((186, 186, 178), (52, 48, 44)),
    ((238, 236, 224), (30, 30, 34)),
    ((196, 168, 84), (44, 36, 20)),
    ((96, 88, 190), (226, 226, 240)),
    ((176, 140, 92), (40, 32, 24)),
)


def ruler(rng: np.random.Generator, length: int, width: int, px_per_cm: float) -> Patch:
    """A ruler of steel, wood or plastic that has been under water for a while."""
    ground, ink = _RULERS[rng.integers(len(_RULERS))]
    strip = patches.ruler(rng, length, width, px_per_cm, ground, ink)
    return solid(worn(rng, strip, rng.uniform(0, 0.9), 2 * width))


def wrap(rng: np.random.Generator, length: int, width: int, colour: Rgb | None = None) -> Patch:
    """Duct tape wound round a bar: two facets, wrinkles across, a lifted end."""
    colour = colour or _TAPES[rng.integers(len(_TAPES))]
    picture = np.repeat(tube(colour, width, 0.7, 1.02), length, 1)
    fold = int(width * rng.uniform(0.3, 0.75))
    upper, lower = rng.uniform(0.9, 1.15), rng.uniform(0.55, 0.85)
    picture[:fold] *= upper
    picture[fold:] *= lower
    wrinkles = cv2.GaussianBlur(streaks(rng, (width, length), max(width, 6)).T, (0, 0), max(length / 60, 0.6))
    shine = 1.2 if max(colour) - min(colour) < 30 else 0.7
    picture *= (1 + shine * 0.13 * wrinkles + 0.12 * cloud(rng, (length, width), 0.7 * width))[..., None]
    for x in rng.uniform(0, length, rng.integers(1, 4)):
        x = int(x)
        cv2.line(picture, (x, 0), (x + int(rng.normal(0, 2)), width), tuple(0.6 * c for c in colour), 1, cv2.LINE_AA)
    ends = np.array([[0, 0], [length, 0], [length, width], [0, width]], np.float64)
    return solid(picture, blob(ends + rng.normal(0, 0.04 * width, (4, 2)).clip(-3, 3), (length, width)))


def block(rng: np.random.Generator, length: int, width: int) -> Patch:
    """A foam or wooden block taped to the bar: tape at one or both ends, a cable tie in its middle."""
    foam = _FOAM[rng.integers(len(_FOAM))]
    picture = np.repeat(tube(foam, width, 0.72, 1.0, shift=0.2), length, 1)
    picture *= (1 + 0.08 * cloud(rng, (length, width), 4) + 0.05 * streaks(rng, (length, width), 30))[..., None]
    fold = int(width * rng.uniform(0.55, 0.8))
    picture[fold:] *= 0.68
    taped = rng.integers(3)
    spans = ((0.3, 0.7),) if taped == 0 else ((0.0, 0.42), (0.58, 1.0)) if taped == 1 else ((0.0, 1.0),)
    silver = _TAPES[0] if rng.random() < 0.75 else None
    for low, high in spans:
        a, b = int(low * length), int(high * length)
        picture[:, a:b] = wrap(rng, max(b - a, 2), width, silver).rgb[:, : b - a]
        picture[:, max(a - 1, 0) : a + 1] *= 0.75
    if rng.random() < 0.7:
        x, thick = int(length * rng.uniform(0.45, 0.55)), max(width // 12, 1)
        cv2.line(picture, (x, 0), (x + int(rng.normal(0, 3)), width), (226, 226, 220), thick, cv2.LINE_AA)
        cv2.circle(picture, (x, int(width * rng.uniform(0.3, 0.6))), thick + 1, (206, 206, 200), -1, cv2.LINE_AA)
    return solid(worn(rng, picture, rng.uniform(0, 0.35), width))


def camera(rng: np.random.Generator, size: int) -> Patch:
    """A dive computer or action camera in its housing, on a clamp."""
    wide, tall = size, int(size * rng.uniform(0.75, 1.0))
    h = int(tall * 1.45)
    picture, alpha = np.full((h, wide, 3), 20, np.float32), np.zeros((h, wide), np.uint8)
    cut = 0.12 * tall
    case = [[cut, 1], [wide - cut, 1], [wide - 1, cut], [wide - 1, tall - cut]]
    case += [[wide - cut, tall], [cut, tall], [1, tall - cut], [1, cut]]
    alpha |= blob(np.array(case), (wide, h))
    alpha[tall - 2 :, int(0.33 * wide) : int(0.67 * wide)] = 255
    picture += 9 * cloud(rng, (wide, h), size / 5)[..., None]
    screen = (int(0.2 * wide), int(0.2 * tall)), (int(0.8 * wide), int(0.68 * tall))
    glow = ((40, 66, 96), (16, 18, 22), (96, 120, 140), (70, 100, 84))[rng.integers(4)]
    cv2.rectangle(picture, (int(0.12 * wide), int(0.12 * tall)), (int(0.88 * wide), int(0.88 * tall)), (40, 41, 43), -1)
    cv2.rectangle(picture, *screen, tuple(float(c) for c in glow), -1)
    for k in range(rng.integers(1, 4)):
        at = (int(0.25 * wide), int((0.34 + 0.15 * k) * tall))
        text = f"{rng.integers(4, 25)}.{rng.integers(10)} {rng.integers(60):02d}"
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size / 190, (190, 205, 205), 1, cv2.LINE_AA)
    for x in (0.09, 0.5, 0.91):
        for y in (0.08, 0.92):
            cv2.circle(picture, (int(x * wide), int(y * tall)), max(size // 26, 1), (150, 154, 156), -1, cv2.LINE_AA)
    shine = np.clip(1 - np.abs(np.arange(wide) / wide - rng.uniform(0.2, 0.8)) * 8, 0, 1)
    picture[:tall] += 26 * shine[None, :, None]
    return solid(picture, alpha)


def floater(rng: np.random.Generator, length: int, width: int) -> Patch:
    """A sleeve of black neoprene, a white or yellow plug at its end."""
    picture = np.repeat(tube((40, 41, 44), width, 0.35, 1.1), length, 1)
    picture *= (1 + 0.15 * cloud(rng, (length, width), 0.6 * width) + 0.1 * streaks(rng, (width, length), width).T)[
        ..., None
    ]
    alpha = blob(np.array([[0, 0.1 * width], [length, 0], [length, width], [0, 0.9 * width]]), (length, width))
    plug, at = ((226, 226, 224), (224, 190, 60))[rng.integers(2)], (int(0.45 * width), width // 2)
    cv2.circle(picture, at, int(0.42 * width), tuple(0.75 * c for c in plug), -1, cv2.LINE_AA)
    cv2.circle(picture, at, int(0.34 * width), tuple(float(c) for c in plug), -1, cv2.LINE_AA)
    cv2.circle(picture, at, max(int(0.1 * width), 1), (110, 120, 120), -1, cv2.LINE_AA)
    return solid(picture, alpha)


def pole(rng: np.random.Generator, length: int, near: float, far: float) -> Patch:
    """A pole that rises towards the lens, so it widens from `near` to `far` px; wear and a band of tape."""
    width = max(int(np.ceil(far)) + 2, 4)
    dark = rng.random() < 0.3
    grey = rng.uniform(50, 80) if dark else rng.uniform(130, 195)
    at = np.linspace(near, far, length)
    across = (np.arange(width)[:, None] + 0.5 - width / 2) / at + 0.5
    profile = tube(
        (int(grey), int(grey + 4), int(grey + 8)), 64, 0.32, 1.02, 0.1 if dark else 0.3, rng.uniform(-0.5, 0.5)
    )
    picture = profile[(across * 64).clip(0, 63).astype(int), 0]
    picture *= (1 + 0.05 * streaks(rng, (length, width), 80) + 0.06 * cloud(rng, (length, width), 4 * width))[..., None]
    scratch(rng, picture, 6)
    if rng.random() < 0.6:
        a = int(rng.uniform(0.05, 0.5) * length)
        b = a + int(width * rng.uniform(0.8, 2.5))
        picture[:, a:b] = wrap(rng, b - a, width).rgb[:, : max(min(b, length) - a, 0)]
    edge = np.clip((0.5 - np.abs(across - 0.5)) * at + 0.5, 0, 1)
    return solid(worn(rng, picture, rng.uniform(0, 0.3), 2 * width), (255 * edge).astype(np.uint8))


def bolt(rng: np.random.Generator, size: int) -> Patch:
    """A bolt with its nut, or the rod of one that sticks up."""
    picture, alpha = np.full((size * 3, size, 3), 118, np.float32), np.zeros((size * 3, size), np.uint8)
    c = size / 2
    turn = rng.uniform(0, 1) + np.arange(6) * np.pi / 3
    nut = np.stack([c + 0.48 * size * np.cos(turn), c + 0.48 * size * np.sin(turn)], 1)
    alpha |= blob(nut, (size, size * 3))
    if rng.random() < 0.5:
        alpha |= blob(np.array([[0.3, 0.5], [0.7, 0.5], [0.66, 2.7], [0.34, 2.7]]) * size, (size, size * 3))
        picture[size::2] -= 40
    cv2.circle(picture, (int(c), int(c)), max(size // 4, 1), (196, 200, 204), -1, cv2.LINE_AA)
    picture += 14 * cloud(rng, (size, size * 3), size / 2)[..., None]
    return solid(picture, alpha)


def colours(rng: np.random.Generator, length: int, width: int) -> Patch:
    """A row of colour patches of plastic or tape, a little skewed."""
    count = int(rng.integers(1, 5))
    picture = np.empty((width, length, 3), np.float32)
    at = np.linspace(0, length, count + 1).astype(int)
    for k, i in enumerate(rng.permutation(len(_PATCHES))[:count]):
        picture[:, at[k] : at[k + 1]] = _PATCHES[i]
        picture[:, at[k] : at[k] + 1] *= 0.7
    picture *= (1 + 0.035 * cloud(rng, (length, width), width) + np.linspace(0.03, -0.06, width)[:, None])[..., None]
    lean = rng.uniform(-0.25, 0.25) * width
    outline = np.array([[lean, 0], [length - lean, 0], [length, width], [0, width]]).clip(0, [length, width])
    return solid(worn(rng, picture, rng.uniform(0, 0.25), width), blob(outline, (length, width)))


def label(rng: np.random.Generator, length: int, width: int) -> Patch:
    """A strip of tape with the site written on it by hand."""
    ground, ink = (((40, 186, 214), (240, 246, 248)), ((238, 238, 230), (24, 26, 40)), ((230, 200, 60), (30, 28, 24)))[
        rng.integers(3)
    ]
    picture = np.broadcast_to(np.array(ground, np.float32), (width, length, 3)).copy()
    text = (
        f"LTER {rng.integers(1, 7)} {rng.integers(2005, 2027)} FRINGE",
        f"SITE {rng.integers(1, 30)} Q{rng.integers(1, 99)}",
    )
    chosen = text[rng.integers(2)]
    height = min(0.55 * width, 0.95 * length / len(chosen))
    write(rng, picture, chosen, (int(0.2 * width), int(0.5 * (width + height))), height, ink)
    picture *= (1 + 0.04 * cloud(rng, (length, width), width))[..., None]
    return solid(worn(rng, picture, rng.uniform(0, 0.2), width))


def elbow(rng: np.random.Generator, width: int, colour: Rgb) -> Patch:
    """A bent sleeve: a quarter disc round the inner corner, which is its lower right one."""
    size = round(width * 1.14)
    y, x = np.mgrid[0:size, 0:size] + 0.5
    radius = np.hypot(size - x, size - y)
    profile = tube(colour, 64, 0.5, 1.0, 0.12, rng.uniform(-0.3, 0.5))
    picture = profile[(radius / size * 64).clip(0, 63).astype(int), 0]
    alpha = (255 * np.clip(size - radius + 0.5, 0, 1)).astype(np.uint8)
    return solid(worn(rng, picture, rng.uniform(0, 0.4), size), alpha)


def link(rng: np.random.Generator, length: int, flat: bool, grey: float) -> Patch:
    """A link of a chain, lying flat or standing on its edge."""
    wire = max(round(length * 0.17), 2)
    h = round(length * 0.62) if flat else wire + 2
    picture, alpha = np.full((h, length, 3), grey, np.float32), np.zeros((h, length), np.uint8)
    half = wire / 2
    t = np.linspace(0, np.pi, 9) - np.pi / 2
    r = h / 2 - half - 0.5
    right = np.stack([length - h / 2 + r * np.cos(t), h / 2 + r * np.sin(t)], 1)
    left = np.stack([h / 2 - r * np.cos(t), h / 2 - r * np.sin(t)], 1)
    path = [np.round(np.concatenate([right, left]) * 16).astype(np.int32)]
    cv2.polylines(alpha, path, True, 255, wire, cv2.LINE_AA, 4)
    lit = [path[0] - np.array([0, 4 * wire], np.int32)]
    cv2.polylines(picture, path, True, (grey * 0.55,) * 3, wire + 2, cv2.LINE_AA, 4)
    cv2.polylines(picture, lit, True, (grey, grey, grey * 1.02), max(wire * 2 // 3, 1), cv2.LINE_AA, 4)
    cv2.polylines(picture, lit, True, (min(grey * 1.5, 240),) * 3, max(wire // 4, 1), cv2.LINE_AA, 4)
    return solid(worn(rng, picture, rng.uniform(0.05, 0.5), length / 2), alpha)
