"""Cases of `coral_seg_yolo`: masks from prototypes, and masks to CVAT's lists."""

from __future__ import annotations

import statistics
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import CheckError, Sides, case

Floats = NDArray[np.float32]


def assembly(
    objects: int, photo_wh: tuple[int, int] = (1920, 1920), input_px: int = 448, least_iou: float = 0.99
) -> Sides:
    """Both ways on made-up prototypes, coefficients and boxes.

    Args:
        objects: number of objects.
        photo_wh: size of the photo.
        input_px: longer side of the network's input.
        least_iou: 0..1, that each mask must have with theirs.
    """
    from yolo import framework, letterbox

    framework.quiet()
    import torch
    from ultralytics.utils import ops

    from coral_seg_yolo import assemble

    width, height = (-(-side * input_px // max(photo_wh) // 32) * 32 for side in photo_wh)
    input_wh = (width, height)
    prototypes, coefficients, boxes = _objects(objects, photo_wh, input_wh)
    tensors: Any = [torch.from_numpy(array) for array in (prototypes, coefficients, boxes)]
    placing = letterbox.place(photo_wh, input_wh)
    native: Any = ops.process_mask_native

    def ours() -> list[tuple[NDArray[np.bool_], tuple[int, int]]]:
        return assemble.box_masks(prototypes, coefficients, boxes, placing, input_wh)

    def theirs() -> NDArray[np.uint8]:
        full: NDArray[np.uint8] = native(*tensors, photo_wh[::-1]).numpy()
        return full

    def check() -> dict[str, object]:
        ious = [_iou(crop, origin, full) for (crop, origin), full in zip(ours(), theirs(), strict=True)]
        if min(ious) < least_iou:
            raise CheckError(f"a mask has an IoU of {min(ious):.4f} with ultralytics': expected at least {least_iou}")
        return {"IoU, least": min(ious), "IoU, mean": statistics.mean(ious)}

    return Sides(ours, theirs, check)


def _objects(count: int, photo_wh: tuple[int, int], input_wh: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
    """Smooth prototypes, and boxes of a tenth of the photo on average."""
    random = np.random.default_rng(0)
    rough = random.normal(size=(32, input_wh[1] // 4, input_wh[0] // 4)).astype(np.float32)
    prototypes = np.stack([cv2.GaussianBlur(one, (0, 0), 4) for one in rough])
    coefficients = random.normal(size=(count, 32)).astype(np.float32)
    centre = random.uniform(0, 1, (count, 2)) * photo_wh
    half = random.uniform(0.02, 0.09, (count, 2)) * photo_wh[0]
    boxes = np.concatenate([centre - half, centre + half], 1).clip(0, (*photo_wh, *photo_wh))
    return prototypes, coefficients, boxes.astype(np.float32)


def _iou(crop: NDArray[np.bool_], origin_xy: tuple[int, int], full: NDArray[np.uint8]) -> float:
    x, y = origin_xy
    inside = full[y : y + crop.shape[0], x : x + crop.shape[1]] > 0
    outside = np.count_nonzero(full) - np.count_nonzero(inside)
    union = np.count_nonzero(crop | inside) + outside
    return np.count_nonzero(crop & inside) / union if union else 1.0


_MASKS = {
    "measures": "masks at photo resolution from prototypes, each in its own box",
    "peer": "ultralytics' own `ops.process_mask_native` (what `retina_masks=True` runs)",
    "photo": "1920 x 1920 px, network input 448 x 448",
    "encoding": "bool arrays; theirs one full frame an object",
    "precision": "float32",
}


@case("coral_seg_yolo", "masks-50", objects=50, target=50, **_MASKS)  # type: ignore[arg-type]
def masks_50() -> Sides:
    """As many as a crowded quadrat has."""
    return assembly(50)


@case("coral_seg_yolo", "masks-300", objects=300, target=50, repeat=5, **_MASKS)  # type: ignore[arg-type]
def masks_300() -> Sides:
    """As many as ultralytics gives by default."""
    return assembly(300)


@case(
    "coral_seg_yolo",
    "masks-to-cvat",
    measures="full-frame masks to CVAT's lists: `masks.instance_from_mask`, `masks.mask_to_cvat`",
    peer="pycocotools: `encode`, `toBbox`, `decode`, cut to the box, to a list",
    photo="12 MP (4000 x 3000)",
    objects=10,
    encoding="lists of 0 and 1 with the box at the end",
    precision="exact",
    target=10,
    needs={"pycocotools": "pycocotools"},
)
def masks_to_cvat() -> Sides:
    """What CVAT takes as a mask."""
    from pycocotools import mask as coco

    from quadrat import masks

    frames = _blobs(10, (4000, 3000))

    def ours() -> list[list[int]]:
        found = [masks.instance_from_mask("coral", frame) for frame in frames]
        return [masks.mask_to_cvat(instance) for instance in found if instance is not None]

    def theirs() -> list[list[int]]:
        lists = []
        for frame in frames:
            runs = coco.encode(np.asfortranarray(frame.view(np.uint8)))
            x, y, w, h = (int(side) for side in coco.toBbox(runs))
            cut = coco.decode(runs)[y : y + h, x : x + w]
            lists.append([*cut.ravel().tolist(), x, y, x + w - 1, y + h - 1])
        return lists

    def check() -> dict[str, object]:
        if ours() != theirs():
            raise CheckError("the lists differ")
        return {"the same": "number for number", "numbers": sum(map(len, ours()))}

    return Sides(ours, theirs, check)


def _blobs(count: int, size_wh: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Colonies of about 300 px across."""
    random = np.random.default_rng(0)
    frames = []
    for _ in range(count):
        frame = np.zeros(size_wh[::-1], np.uint8)
        centre = random.integers(300, np.array(size_wh) - 300)
        for shift in random.integers(-80, 80, (6, 2)):
            cv2.circle(frame, (centre + shift).tolist(), int(random.integers(50, 110)), 1, -1)
        frames.append(frame.view(np.bool_))
    return frames
