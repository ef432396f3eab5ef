"""The network alone: letterboxed photo in, raw predictions (and mask prototypes) out; by torch or a runtime.

OpenVINO and ONNX Runtime do without torch and ultralytics: a function that serves an export need not have them.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from yolo import framework


@dataclass(frozen=True)
class Facts:
    """What a network says of itself.

    Attributes:
        task: ``segment``, ``detect`` or ``pose``.
        labels: class names in the order of its outputs.
        size_px: longer side in px of its input.
        stride: the input's sides are multiples of it.
        rect: whether the input may be a rectangle, else it is a square of `size_px`.
        end2end: whether its predictions need no suppression of doubles.
        keypoints: how many an object has, of a ``pose`` network.
    """

    task: str
    labels: tuple[str, ...]
    size_px: int
    stride: int
    rect: bool
    end2end: bool
    keypoints: int = 0


Outputs = tuple[NDArray[np.float32], NDArray[np.float32] | None]
"""Of a network, see `Network`."""


class Network(Protocol):
    """One loaded network."""

    facts: Facts

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Run float32 ``[1, 3, h, w]`` RGB of 0..1.

        Returns:
            Predictions float32 ``[1, 4 + classes + M, N]`` or, end to end, ``[1, N, 6 + M]``, where M are the
            mask coefficients, or x, y and visibility of every keypoint; prototypes float32 ``[M, mh, mw]`` of a
            ``segment`` network, else `None`.
        """
        ...


def load(path: Path, device: str, precision: str = "f32", *, tasks: Collection[str]) -> Network:
    """Load a ``.pt`` checkpoint, or what a module's ``export`` made of one.

    Args:
        path: file, or OpenVINO folder.
        device: as torch names it; for OpenVINO also its own names.
        precision: of OpenVINO.
        tasks: ultralytics' names of the tasks that will do.

    Raises:
        ValueError: the file is of another kind, or for another task; the message says what would do.
    """
    exported = {".onnx": OnnxNetwork, ".torchscript": ScriptNetwork}.get(path.suffix, TorchNetwork)
    network = OpenVinoNetwork(path, device, precision) if path.is_dir() else exported(path, device)
    if network.facts.task not in tasks:
        raise ValueError(f"{path} is for the task {network.facts.task!r}: expected a network for {' or '.join(tasks)}")
    return network


def _facts(path: Path, raw: Mapping[str, Any], rect: bool) -> Facts:
    """What ultralytics writes into an export."""
    if missing := [key for key in ("task", "names", "imgsz", "stride") if key not in raw]:
        raise ValueError(f"{path} does not say its {', '.join(missing)}: expected an export of this project")
    arguments = raw.get("args") or {}
    return Facts(
        task=str(raw["task"]),
        labels=tuple(str(raw["names"][i]) for i in range(len(raw["names"]))),
        size_px=max(raw["imgsz"]),
        stride=int(raw["stride"]),
        rect=rect,
        end2end=bool(raw.get("end2end") or arguments.get("nms")),
        keypoints=int((raw.get("kpt_shape") or [0])[0]),
    )


def _split(outputs: Iterable[Any]) -> Outputs:
    """Predictions, and prototypes where there are any."""
    predictions, *rest = (np.asarray(output, np.float32) for output in outputs)
    return predictions, rest[0][0] if rest else None


def _of_torch(outputs: Any, task: str) -> Outputs:
    """What torch gives, on the processor."""
    return _split(output.float().cpu().numpy() for output in (outputs if task == "segment" else [outputs]))


class TorchNetwork:
    """An ultralytics checkpoint, opened with ``weights_only=True``, its batch norms fused."""

    def __init__(self, path: Path, device: str):
        framework.quiet()
        import torch
        from ultralytics.nn.tasks import load_checkpoint

        self.torch = torch
        self.device = torch.device(device)
        try:
            model, _ = load_checkpoint(str(path))
        except Exception as error:  # every way in which a foreign file can fail
            raise ValueError(
                f"{path} is no checkpoint that ultralytics opens safely ({type(error).__name__}: "
                f"{str(error).splitlines()[0]}): expected weights of this project's train or ultralytics' own"
            ) from error
        self.model = model.fuse(verbose=False).to(self.device).eval()
        self.facts = Facts(
            task=str(model.task),
            labels=tuple(str(model.names[i]) for i in range(len(model.names))),
            size_px=int(model.args["imgsz"]),
            stride=max(int(model.stride.max()), 32),
            rect=True,
            end2end=bool(getattr(self.model, "end2end", False)),
            keypoints=int(getattr(model, "kpt_shape", [0])[0]),
        )

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """See `Network`."""
        with self.torch.inference_mode():
            outputs, _ = self.model(self.torch.from_numpy(batch).to(self.device))
        return _of_torch(outputs, self.facts.task)


class OpenVinoNetwork:
    """A folder as ``export`` writes it, compiled for low latency.

    Args:
        path: the folder: ``*.xml``, ``*.bin``, ``metadata.yaml``.
        device: ``cpu``, or OpenVINO's own names (``GPU``, ``AUTO``).
        precision: ``f32`` for the numbers of torch, or ``bf16`` where the processor has it (faster).

    ``OV_CACHE_DIR`` names a folder in which compiled networks are kept, for a faster start.
    """

    def __init__(self, path: Path, device: str, precision: str = "f32"):
        import openvino

        xml = next(iter(sorted(path.glob("*.xml"))), None)
        if xml is None or not (path / "metadata.yaml").is_file():
            raise ValueError(f"{path} has no *.xml with a metadata.yaml: expected a folder that `export` wrote")
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        if os.environ.get("OV_CACHE_DIR"):
            hints["CACHE_DIR"] = os.environ["OV_CACHE_DIR"]
        model = openvino.Core().read_model(xml)
        self.compiled = openvino.Core().compile_model(model, device.upper(), hints)
        raw = yaml.safe_load((path / "metadata.yaml").read_text("utf-8"))
        self.facts = _facts(path, raw, rect=bool(model.input().get_partial_shape().is_dynamic))

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """See `Network`."""
        return _split(self.compiled(batch).values())


class OnnxNetwork:
    """An ``.onnx`` file of ultralytics, run by ONNX Runtime.

    Args:
        path: the file.
        device: ``cpu``, or ``cuda`` where ONNX Runtime was built for it.
    """

    def __init__(self, path: Path, device: str):
        import onnxruntime

        provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise ValueError(f"device {device!r}: this ONNX Runtime has only {onnxruntime.get_available_providers()}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
            raw = {key: _literal(text) for key, text in self.session.get_modelmeta().custom_metadata_map.items()}
        except Exception as error:  # its own kinds, all below Exception
            raise ValueError(f"{path} is no ONNX network ({type(error).__name__}: {error})") from error
        height_width = self.session.get_inputs()[0].shape[2:]
        self.facts = _facts(path, raw, rect=not all(isinstance(side, int) for side in height_width))

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """See `Network`."""
        return _split(self.session.run(None, {self.session.get_inputs()[0].name: batch}))


def _literal(text: str) -> Any:
    """A number, list or mapping as ONNX keeps it, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


class ScriptNetwork:
    """A ``.torchscript`` file of ultralytics. Its input is a square."""

    def __init__(self, path: Path, device: str):
        framework.quiet()
        import torch

        self.torch, self.device = torch, torch.device(device)
        written = {"config.txt": ""}
        try:
            self.model = torch.jit.load(str(path), map_location=self.device, _extra_files=written).eval()
            raw = json.loads(written["config.txt"])
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path} is no TorchScript that `export` wrote ({type(error).__name__})") from error
        raw["names"] = {int(index): name for index, name in raw["names"].items()}
        self.facts = _facts(path, raw, rect=False)

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """See `Network`."""
        with self.torch.inference_mode():
            outputs = self.model(self.torch.from_numpy(batch).to(self.device))
        return _of_torch(outputs, self.facts.task)
