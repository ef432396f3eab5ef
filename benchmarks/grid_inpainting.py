"""Cases of `grid_inpainting`: windows against the bare network, and against SimpleLama on the whole photo.

``LAMA_MODEL`` names other weights than those that ship.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import photos
from benchmarks.cases import CheckError, Sides, case

SIZE_WH = (1920, 1440)
STRING_PX = 7
MODULE = "grid_inpainting"
_PHOTO = "1920 x 1440 px, rendered reef"
_EQUAL = "torch float32 on both sides, the same weights"
_LIKE = 0.06
"""Most that both may differ in the hole on average, as a share of white: the network looks at all that it is given."""


@functools.cache
def _photo() -> NDArray[np.uint8]:
    from quadrat import images

    return images.decode(photos.reef_jpeg(*SIZE_WH))


def mask_of(kind: str, size_wh: tuple[int, int], width_px: int) -> NDArray[np.bool_]:
    """Strings of a quadrat that fills the photo, bool ``[H, W]``: a ``grid`` of 9 and 9, or two ``diagonals``."""
    width, height = size_wh
    half, left, top = 0.45 * height, width / 2, height / 2
    x, y = np.arange(width) + 0.5 - left, np.arange(height)[:, None] + 0.5 - top
    inside = (np.abs(x) <= half) & (np.abs(y) <= half)
    if kind == "diagonals":
        return inside & (np.abs(np.abs(x) - np.abs(y)) <= width_px / 2**0.5)
    places = (np.arange(1, 10) / 5 - 1) * half
    offsets = (v[..., None] - places for v in (x, y))
    on_x, on_y = ((-width_px / 2 <= d) & (d < width_px / 2) for d in offsets)
    return inside & (on_x.any(axis=-1) | on_y.any(axis=-1))


@functools.cache
def _paint(backend: str) -> Any:
    from grid_inpainting import model

    return model.load(backend=backend, precision="bf16" if backend == "openvino" else "f32").paint


@functools.cache
def _simple_lama() -> Any:
    import os

    from grid_inpainting import weights

    os.environ["LAMA_MODEL"] = str(weights.find())
    import torch
    from simple_lama_inpainting import SimpleLama

    return SimpleLama(torch.device("cpu"))


def _ours(kind: str, backend: str) -> NDArray[np.uint8]:
    from grid_inpainting.inpaint import inpaint

    return inpaint(_photo(), mask_of(kind, SIZE_WH, STRING_PX), _paint(backend))[0]


def _whole(kind: str) -> NDArray[np.uint8]:
    height, width = _photo().shape[:2]
    painted = _simple_lama()(_photo(), mask_of(kind, SIZE_WH, STRING_PX).astype(np.uint8) * 255)
    return np.asarray(painted)[:height, :width]


@case(
    MODULE,
    "windows-forward",
    measures="`inpaint`: photo and mask in, photo out; ratio = time(forward passes) / time(ours)",
    peer="the bare forward passes of the windows that hold a part of the hole, their tensors made before",
    photo=_PHOTO,
    objects="18 strings of 7 px",
    encoding="arrays in, arrays out",
    precision=_EQUAL,
    target=0.95,
    repeat=7,
)
def windows_forward() -> Sides:
    """What cutting, blending and laying over cost beside the network."""
    import torch

    from grid_inpainting.inpaint import inpaint

    given: list[tuple[Any, Any]] = []
    photo, mask, model = _photo(), mask_of("grid", SIZE_WH, STRING_PX), _simple_lama().model

    def note(images: NDArray[np.float32], holes: NDArray[np.float32]) -> NDArray[np.float32]:
        picture = torch.from_numpy(images.copy()).permute(0, 3, 1, 2) / 255
        given.append((picture, torch.from_numpy(holes.copy())[:, None]))
        return images

    inpaint(photo, mask, note)

    def peer() -> None:
        with torch.inference_mode():
            for picture, hole in given:
                model(picture, hole)

    def check() -> dict[str, object]:
        count = sum(len(picture) for picture, _ in given)
        return {"windows": count, "window px": int(given[0][0].shape[-1]), "painted": f"{mask.mean():.1%} of the photo"}

    return Sides(lambda: inpaint(photo, mask, _paint("lama")), peer, check)


def _against_simple_lama(kind: str, backend: str) -> Sides:
    def check() -> dict[str, object]:
        mask = mask_of(kind, SIZE_WH, STRING_PX)
        ours, whole = _ours(kind, backend), _whole(kind)
        off = float(np.abs(ours[mask].astype(float) - whole[mask]).mean() / 255)
        if off > _LIKE:
            raise CheckError(f"they differ in the hole by {off:.3f} of white on average: expected at most {_LIKE}")
        return {"mean difference in the hole": off, "painted": f"{mask.mean():.1%} of the photo"}

    return Sides(lambda: _ours(kind, backend), lambda: _whole(kind), check)


def _simple_lama_case(kind: str, strings: str, backend: str, target: float | None) -> None:
    best = backend == "openvino"

    @case(
        MODULE,
        f"simple-lama-{kind}{'-openvino' if best else ''}",
        measures=f"`inpaint` with the backend {backend}: photo and mask in, photo out",
        peer="`SimpleLama` on the whole photo",
        photo=_PHOTO,
        objects=strings,
        encoding="arrays in, arrays out",
        precision="the same weights; ours bf16 where the processor has it, theirs torch float32" if best else _EQUAL,
        target=target,
        repeat=3,
    )
    def prepare() -> Sides:
        return _against_simple_lama(kind, backend)


_simple_lama_case("diagonals", "2 strings of 7 px", "lama", 2.0)
_simple_lama_case("grid", "18 strings of 7 px", "lama", 2.0)
_simple_lama_case("diagonals", "2 strings of 7 px", "openvino", None)
_simple_lama_case("grid", "18 strings of 7 px", "openvino", None)
