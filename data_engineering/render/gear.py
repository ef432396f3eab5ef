"""What divers lay over a quadrat or leave beside it: measuring tapes with clips, scale bars, slates, fins, lead, tags.

Every function gives a `Patch` whose longer side runs along x.
"""

from __future__ import annotations

import cv2
import numpy as np

from data_engineering.render import patches
from data_engineering.render.patches import Patch, Rgb, blob, cloud, solid, streaks, worn, write


def tape(rng: np.random.Generator, length: int, width: int, px_per_cm: float) -> Patch:
    """A measuring tape, pulled more or less straight: it sags, and turns on its edge where it is twisted."""
    grounds: tuple[Rgb, ...] = ((240, 238, 228), (240, 238, 228), (212, 186, 84), (206, 208, 204))
    ground = grounds[rng.integers(4)]
    if width < 9:  # on its edge: nothing can be read
        strip = np.repeat(patches.tube(ground, width, 0.6, 1.0), length, 1)
    else:
        strip = patches.ruler(rng, length, width, px_per_cm, ground, (46, 46, 52))
    if rng.random() < 0.5:
        strip = strip[::-1]
    t = np.linspace(0, 1, length)
    lit = 1 + 0.05 * np.interp(t, np.linspace(0, 1, 9), rng.standard_normal(9))
    patch = solid(worn(rng, strip * lit[None, :, None], rng.uniform(0, 0.35), 3 * width))
    slack = rng.normal(0, 0.004) * length
    margin = int(abs(slack)) + 2
    twist = np.ones(length)
    if rng.random() < 0.35:
        twist = np.clip(
            1 - rng.uniform(0.4, 0.85) * np.exp(-(((t - rng.uniform(0, 1)) / rng.uniform(0.05, 0.3)) ** 2)), 0.12, 1
        )
    patch = _narrowed(patches.padded(patch, margin), twist)
    return patches.bent(patch, slack * np.sin(np.pi * t))


def _narrowed(patch: Patch, share: np.ndarray) -> Patch:
    """Each column squeezed about the middle row to its share of the height."""
    h, w = patch.alpha.shape
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32) - (h - 1) / 2)
    y = (y / share + (h - 1) / 2).astype(np.float32)
    tone = (0.72 + 0.28 * share)[None, :, None]
    rgb = cv2.remap(patch.rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Patch((rgb * tone).astype(np.uint8), cv2.remap(patch.alpha, x, y, cv2.INTER_LINEAR))


def clip(rng: np.random.Generator, size: int) -> Patch:
    """A binder clip: a rusty or black body, wire handles on both sides."""
    body: Rgb = ((146, 84, 42), (34, 32, 32), (110, 70, 44))[rng.integers(3)]
    h, w = size * 2, size
    picture, alpha = np.full((h, w, 3), 118, np.float32), np.zeros((h, w), np.uint8)
    top, low = int(0.3 * h), int(0.58 * h)
    for sign, start in ((-1, top), (1, low)):
        reach = start + sign * (0.26 if sign < 0 else 0.38) * h
        path = np.array(
            [
                [0.36, start],
                [0.28, reach],
                [0.42, reach + sign * 3],
                [0.58, reach + sign * 3],
                [0.72, reach],
                [0.64, start],
            ]
        )
        path[:, 0] *= w
        fixed = [np.round(path * 16).astype(np.int32)]
        cv2.polylines(alpha, fixed, False, 255, max(size // 12, 1), cv2.LINE_AA, 4)
        cv2.polylines(picture, fixed, False, (176, 168, 158), max(size // 20, 1), cv2.LINE_AA, 4)
    alpha[top:low, int(0.06 * w) : int(0.94 * w)] = 255
    rust = 1 + 0.3 * cloud(rng, (w, low - top), size / 4, 1.0)
    picture[top:low] = np.array(body, np.float32) * (rust * np.linspace(1.25, 0.6, low - top)[:, None])[..., None]
    return solid(picture, alpha)


def scale_bar(rng: np.random.Generator, length: int, width: int) -> Patch:
    """A bar of black and white (or red and white) steps."""
    dark: Rgb = (26, 26, 28) if rng.random() < 0.7 else (186, 40, 40)
    steps = (np.arange(length) * 10 // length) % 2
    picture = np.where(steps[None, :, None] == 1, np.array(dark, np.float32), np.float32(232))
    picture = np.repeat(picture, width, 0) * (1 + 0.05 * cloud(rng, (length, width), width))[..., None]
    return solid(worn(rng, picture.astype(np.float32), rng.uniform(0, 0.3), width))


def slate(rng: np.random.Generator, length: int, width: int) -> Patch:
    """A diver's slate with a few lines in pencil."""
    ground: Rgb = ((234, 236, 230), (236, 226, 120), (210, 216, 214))[rng.integers(3)]
    picture = np.broadcast_to(np.array(ground, np.float32), (width, length, 3)).copy()
    picture *= (1 + 0.03 * cloud(rng, (length, width), width / 3))[..., None]
    height = width / rng.uniform(6, 9)
    words = ("SITE", "Q", "DATE", "POR", "ACR", "10 m", "20 m", "T2", "cover", "N side", "POC", "FUN")
    for row in np.arange(1.5, width / height - 0.5, 1.45):
        text = f"{words[rng.integers(len(words))]} {rng.integers(1, 99)}"
        write(rng, picture, text, (int(height * rng.uniform(0.6, 1.2)), int(row * height)), 0.75 * height, (70, 70, 84))
    cv2.circle(picture, (int(length - 0.7 * height), int(0.7 * height)), max(int(0.25 * height), 1), (60, 90, 96), -1)
    corner = 0.06 * width
    outline = np.array(
        [
            [corner, 0],
            [length - corner, 0],
            [length, corner],
            [length, width - corner],
            [length - corner, width],
            [corner, width],
            [0, width - corner],
            [0, corner],
        ]
    )
    return solid(worn(rng, picture, rng.uniform(0, 0.2), width / 2), blob(outline, (length, width)))


def fin(rng: np.random.Generator, length: int) -> Patch:
    """The blade of a fin, its tip to the left; ribs along it, out of focus."""
    width = max(round(0.42 * length), 6)
    colour: Rgb = ((28, 30, 34), (28, 30, 34), (206, 180, 40), (30, 70, 150), (190, 190, 186))[rng.integers(5)]
    outline = np.array(
        [
            [0.02, 0.14],
            [0.0, 0.34],
            [0.05, 0.5],
            [0.0, 0.66],
            [0.02, 0.86],
            [0.4, 0.97],
            [1, 0.8],
            [1, 0.2],
            [0.4, 0.03],
        ]
    )
    picture = np.broadcast_to(np.array(colour, np.float32), (width, length, 3)).copy()
    for at in (0.12, 0.35, 0.65, 0.88):
        rib = slice(int((at - 0.035) * width), max(int((at + 0.035) * width), int((at - 0.035) * width) + 1))
        picture[rib] = picture[rib] * 0.7 + 24
    picture *= (1 + 0.06 * streaks(rng, (length, width), 50) + 0.08 * cloud(rng, (length, width), width))[..., None]
    soft = max(length / 110, 0.6)
    return Patch(
        cv2.GaussianBlur(solid(picture).rgb, (0, 0), soft),
        cv2.GaussianBlur(blob(outline * (length, width), (length, width)), (0, 0), soft),
    )


def lead(rng: np.random.Generator, length: int) -> Patch:
    """A dive weight: a grey block with two slots."""
    width = max(round(0.62 * length), 4)
    edge = np.minimum.outer(np.minimum(np.arange(width), np.arange(width)[::-1]), np.full(length, length)).astype(
        np.float32
    )
    edge = np.minimum(edge, np.minimum(np.arange(length), np.arange(length)[::-1])[None])
    lit = 0.55 + 0.45 * np.clip(edge / (0.12 * length), 0, 1)
    picture = (lit * (1 + 0.1 * cloud(rng, (length, width), width / 4)))[..., None] * np.array(
        [112, 114, 116], np.float32
    )
    for x in (0.22, 0.78):
        a, b = int((x - 0.05) * length), int((x + 0.05) * length) + 1
        picture[int(0.15 * width) : int(0.85 * width), a:b] = 34
    return solid(worn(rng, picture.astype(np.float32), rng.uniform(0, 0.6), width))


def tag(rng: np.random.Generator, length: int) -> Patch:
    """A cattle tag with a number, nailed down."""
    width = max(round(0.55 * length), 4)
    colour: Rgb = ((226, 196, 60), (232, 232, 226), (206, 110, 50), (90, 150, 190))[rng.integers(4)]
    picture = np.broadcast_to(np.array(colour, np.float32), (width, length, 3)).copy()
    write(rng, picture, f"{rng.integers(1, 999)}", (int(0.3 * length), int(0.75 * width)), 0.55 * width, (26, 26, 30))
    cv2.circle(picture, (int(0.13 * length), width // 2), max(width // 8, 1), (70, 66, 62), -1, cv2.LINE_AA)
    outline = np.array([[0, 0.3], [0.15, 0], [1, 0], [1, 1], [0.15, 1], [0, 0.7]]) * (length, width)
    return solid(worn(rng, picture, rng.uniform(0.1, 0.7), width), blob(outline, (length, width)))
