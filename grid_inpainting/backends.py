"""What paints the windows: LaMa through simple-lama-inpainting, LaMa through OpenVINO, or OpenCV without a network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_inpainting.inpaint import Paint
from grid_inpainting.weights import read_painter

LAMA, OPENVINO, OPENCV = "lama", "openvino", "opencv"
BACKENDS = (LAMA, OPENVINO, OPENCV)
PRECISIONS = ("f32", "bf16")

_TELEA_RADIUS_PX = 3
_TRIAL_PX = 64


def lama(path: Path, device: str) -> Paint:
    """A TorchScript file as `SimpleLama` loads it: ``model(image [B, 3, H, W] 0..1, mask [B, 1, H, W]) -> image``.

    Raises:
        ValueError: no TorchScript file, or one that does not paint pictures.
    """
    import torch

    model = _through_simple_lama(path, device)

    def paint(images: NDArray[np.float32], holes: NDArray[np.float32]) -> NDArray[np.float32]:
        picture = torch.from_numpy(images).to(device).permute(0, 3, 1, 2) / 255  # stays channels last in memory
        with torch.inference_mode():
            painted = model(picture, torch.from_numpy(holes)[:, None].to(device))
        return (painted.float().clamp(0, 1) * 255).permute(0, 2, 3, 1).cpu().numpy()

    return _tried(paint, path)


def _through_simple_lama(path: Path, device: str) -> Any:
    with _environment("LAMA_MODEL", str(path)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        from simple_lama_inpainting import SimpleLama

        try:
            model = SimpleLama(device).model
        except RuntimeError as error:
            raise ValueError(
                f"{path} is no TorchScript file that can be loaded ({str(error).splitlines()[0]}). LAMA_MODEL takes"
                " what `python -m grid_inpainting.export` writes, or big-lama.pt of simple-lama-inpainting; a"
                " checkpoint of a training is made into one with `python -m grid_inpainting.convert`"
            ) from error
    return model


@contextmanager
def _environment(name: str, value: str) -> Any:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def openvino(path: Path, precision: str, side_px: int) -> Paint:
    """An OpenVINO folder of `grid_inpainting.export`, or a TorchScript file that is converted when it is loaded.

    Args:
        path: folder or file.
        precision: of the convolutions, ``f32`` or ``bf16``; spectra are always computed in 32 bits.
        side_px: of the windows: OpenVINO plans for one size.

    Raises:
        ValueError: neither folder nor TorchScript file.
    """
    import openvino as ov

    core = ov.Core()
    model = (
        core.read_model(next(iter(sorted(path.glob("*.xml"))))) if path.is_dir() else to_openvino(read_painter(path))
    )
    model.reshape({model.input(0): [1, 3, side_px, side_px], model.input(1): [1, 1, side_px, side_px]})
    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", hints)

    def paint(images: NDArray[np.float32], holes: NDArray[np.float32]) -> NDArray[np.float32]:
        painted = []
        for image, hole in zip(images, holes, strict=True):
            picture = np.ascontiguousarray(image.transpose(2, 0, 1)[None] / 255, np.float32)
            painted.append(compiled([picture, hole[None, None]])[0][0].transpose(1, 2, 0))
        return np.clip(np.stack(painted), 0, 1) * np.float32(255)

    return paint


def to_openvino(painter: Any) -> Any:
    """A `lama.Painter` as an OpenVINO model, straight from torch: ONNX knows no inverse real transform."""
    import openvino as ov
    import torch

    example = torch.zeros(1, 3, _TRIAL_PX, _TRIAL_PX), torch.zeros(1, 1, _TRIAL_PX, _TRIAL_PX)
    return ov.convert_model(painter, example_input=example)


def opencv() -> Paint:
    """Telea's method (2004): no weights, no texture."""
    return by_opencv(cv2.INPAINT_TELEA)


def by_opencv(method: int) -> Paint:
    """A method of `cv2.inpaint`: ``INPAINT_TELEA`` or ``INPAINT_NS``."""

    def paint(images: NDArray[np.float32], holes: NDArray[np.float32]) -> NDArray[np.float32]:
        pictures = np.rint(images).astype(np.uint8)
        painted = [
            cv2.inpaint(picture, (hole > 0).astype(np.uint8), _TELEA_RADIUS_PX, method)
            for picture, hole in zip(pictures, holes, strict=True)
        ]
        return np.stack(painted).astype(np.float32)

    return paint


def _tried(paint: Callable[..., NDArray[np.float32]], path: Path) -> Paint:
    """A painter that has painted once, so that a file of another kind is found out at the start."""
    picture = np.zeros((1, _TRIAL_PX, _TRIAL_PX, 3), np.float32)
    try:
        painted = paint(picture, np.ones((1, _TRIAL_PX, _TRIAL_PX), np.float32))
    except Exception as error:  # whatever the file's code raises
        raise ValueError(f"{path} does not paint: model(image, mask) failed ({_last_line(error)})") from error
    if painted.shape != picture.shape:
        raise ValueError(f"{path} made {list(painted.shape)} of a picture {list(picture.shape)}: expected the same")
    return paint


def _last_line(error: Exception) -> str:
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
