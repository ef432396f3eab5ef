"""Masks from YOLO's prototypes at photo resolution: ours on box crops against ultralytics' `process_mask_native`.

Both get the same made-up prototypes, coefficients and boxes, by turns; the masks are compared object by object.

    python -m benchmarks.coral_seg_yolo_masks --objects 50 --size 1920 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np


def main(objects: int = 50, size: int = 1920, input_px: int = 640, rounds: int = 7) -> dict[str, Any]:
    """Measure both.

    Args:
        objects: number of objects in the photo.
        size: the photo's width in px; its height is three quarters.
        input_px: longer side of the network's input.
        rounds: each side is timed so many times, by turns.

    Returns:
        Medians in ms (`ours_ms`, `ultralytics_ms`), `ratio`, and the masks' `iou_min` and `iou_mean`.
    """
    from coral_seg_yolo import framework

    framework.quiet()
    import torch
    from ultralytics.utils import ops

    from coral_seg_yolo import assemble

    photo_wh = (size, size * 3 // 4)
    input_wh = (input_px, -(-input_px * 3 // 4 // 32) * 32)
    prototypes, coefficients, boxes = _objects(objects, photo_wh, input_wh)
    tensors = [torch.from_numpy(array) for array in (prototypes, coefficients, boxes)]
    placing = assemble.place(photo_wh, input_wh)

    def ours() -> list[tuple[np.ndarray, tuple[int, int]]]:
        return assemble.box_masks(prototypes, coefficients, boxes, placing, input_wh)

    def theirs() -> np.ndarray:
        return ops.process_mask_native(*tensors, photo_wh[::-1]).numpy()

    ious = [_iou(crop, origin, full) for (crop, origin), full in zip(ours(), theirs(), strict=True)]
    times: dict[str, list[float]] = {"ours": [], "ultralytics": []}
    for _ in range(rounds):
        times["ours"].append(_milliseconds(ours))
        times["ultralytics"].append(_milliseconds(theirs))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "objects": objects,
        "photo_wh": photo_wh,
        "ours_ms": round(medians["ours"], 2),
        "ultralytics_ms": round(medians["ultralytics"], 2),
        "ratio": round(medians["ultralytics"] / medians["ours"], 1),
        "iou_min": round(min(ious), 4),
        "iou_mean": round(statistics.mean(ious), 4),
    }


def _objects(
    count: int, photo_wh: tuple[int, int], input_wh: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth prototypes, and boxes of a tenth of the photo on average."""
    random = np.random.default_rng(0)
    rough = random.normal(size=(32, input_wh[1] // 4, input_wh[0] // 4)).astype(np.float32)
    prototypes = np.stack([cv2.GaussianBlur(one, (0, 0), 4) for one in rough])
    coefficients = random.normal(size=(count, 32)).astype(np.float32)
    centre = random.uniform(0, 1, (count, 2)) * photo_wh
    half = random.uniform(0.02, 0.09, (count, 2)) * photo_wh[0]
    boxes = np.concatenate([centre - half, centre + half], 1).clip(0, (*photo_wh, *photo_wh))
    return prototypes, coefficients, boxes.astype(np.float32)


def _iou(crop: np.ndarray, origin_xy: tuple[int, int], full: np.ndarray) -> float:
    ours = np.zeros(full.shape, bool)
    x, y = origin_xy
    ours[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    union = np.count_nonzero(ours | (full > 0))
    return np.count_nonzero(ours & (full > 0)) / union if union else 1.0


def _milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coral_seg_yolo_masks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--size", type=int, default=1920, help="width of the photo in px")
    parser.add_argument(
        "--input", dest="input_px", type=int, default=640, help="longer side of the network's input in px"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    result = main(**arguments)
    print(
        f"{result['objects']} objects at {result['photo_wh']} px: ours {result['ours_ms']} ms, ultralytics "
        f"{result['ultralytics_ms']} ms, ratio {result['ratio']}, IoU mean {result['iou_mean']} min {result['iou_min']}"
    )
    if as_json:
        print(json.dumps(result))
