"""What runs a network: torch, or an export in OpenVINO, ONNX Runtime or TorchScript. All give the same `inference.Run`.

An export takes the photo's own bytes, uint8 ``[N, H, W, 3]``, of windows of one size, and holds the normalisation. What
it is of lies beside it as ``NAME.spec.json``. OpenVINO and ONNX Runtime need neither torch nor mmsegmentation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from DINOv2_mmseg.inference import Run
from DINOv2_mmseg.spec import Spec
from quadrat import files

PRECISIONS = ("f32", "bf16")
SUFFIXES = (".onnx", ".torchscript")


def spec_path(export: Path) -> Path:
    """Where an export's spec lies: beside a file, in a folder."""
    return export / "spec.json" if export.is_dir() else export.with_name(f"{export.stem}.spec.json")


def write_spec(export: Path, spec: Spec) -> None:
    """Write what an export is of."""
    files.write_json(spec_path(export), asdict(spec))


def read_spec(export: Path) -> Spec:
    """What an export is of.

    Raises:
        ValueError: its spec is not there.
    """
    path = spec_path(export)
    if not path.is_file():
        raise ValueError(f"{export} has no {path.name} beside it: expected what `python -m DINOv2_mmseg.export` wrote")
    return Spec.of_json(json.loads(path.read_text("utf-8")))


def of_torch(model: Any, spec: Spec, precision: str = "f32") -> Run:
    """A torch network on its device; ``bf16`` computes in mixed precision."""
    import torch

    from DINOv2_mmseg import network

    device = next(model.parameters()).device

    def run(images_rgb: Any) -> Any:
        batch = torch.cat([network.normalised(image, spec) for image in images_rgb]).to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return network.logits(model, batch).float().cpu().numpy()

    return run


def of_export(path: Path, device: str, precision: str) -> Run:
    """An export: an OpenVINO folder, ``.onnx`` or ``.torchscript``.

    Raises:
        ValueError: it is none of these.
    """
    if path.is_dir():
        return _openvino(path, device, precision)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected .safetensors, {', '.join(SUFFIXES)}, or an OpenVINO folder")
    return _onnx(path) if path.suffix == ".onnx" else _torchscript(path, device)


def _openvino(folder: Path, device: str, precision: str) -> Run:
    import openvino

    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    if os.environ.get("OV_CACHE_DIR"):
        hints["CACHE_DIR"] = os.environ["OV_CACHE_DIR"]
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(next(folder.glob("*.xml"))), device.upper(), hints)
    return _one_by_one(lambda image: np.asarray(compiled(image)[0], np.float32))


def _onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return _one_by_one(lambda image: session.run(None, {name: image})[0])


def _torchscript(path: Path, device: str) -> Run:
    import torch

    script = torch.jit.load(str(path), map_location=device).eval()

    def run(image: Any) -> Any:
        with torch.inference_mode():
            return script(torch.from_numpy(image).to(device)).float().cpu().numpy()

    return _one_by_one(run)


def _one_by_one(run: Callable[[Any], Any]) -> Run:
    return lambda images_rgb: np.concatenate([run(np.ascontiguousarray(image[None])) for image in images_rgb])
