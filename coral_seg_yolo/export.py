"""Weights -> OpenVINO, TorchScript, ONNX, or a ``.pt`` to give away; checked against torch before it is kept.

    python -m coral_seg_yolo.export --weights first
    python -m coral_seg_yolo.export --weights weights/x.pt --format onnx --out somewhere
    python -m coral_seg_yolo.export --weights first --format pt --name coral-reef --out shared

`model.load` takes the OpenVINO folder and the ``.pt`` file; the others are for programs of one's own. A ``.pt`` to give
away holds the network alone: no optimizer, no history, and no folder names of the machine that trained it.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coral_seg_yolo import framework, model, networks
from quadrat import images
from quadrat.predictor import Card, read_card, write_card

NEEDS = {"openvino": ("openvino",), "torchscript": (), "onnx": ("onnx", "onnxruntime", "onnxslim"), "pt": ()}
FOLDER_ARGUMENTS = ("data", "project", "name", "save_dir", "model", "pretrained", "resume", "cfg", "tracker", "source")
TOLERANCE = {False: 0.001, True: 0.02}  # largest difference as a share of the largest value; with half-size weights


def main(
    weights: str | None = None,
    *,
    format: str = "openvino",
    out: Path | None = None,
    name: str | None = None,
    half: bool = False,
    dynamic: bool = False,
    image: Path | None = None,
) -> Path:
    """Export weights.

    Args:
        weights: a ``.pt`` file, or a run.
        format: ``openvino``, ``torchscript``, ``onnx`` or ``pt``.
        out: folder to put the result in; `None` puts it beside the weights.
        name: what the weights are called from now on; `None` leaves it.
        half: store weights in 16 bits (OpenVINO), half the size.
        dynamic: take any input size, so that photos need no padding to a square (OpenVINO, ONNX).
        image: photo for the check; `None` takes made-up texture.

    Returns:
        The file or folder that was written. Its card lies beside it.

    Raises:
        ValueError: the weights are no ``.pt`` file, the format is not known, or a package is missing.
        RuntimeError: the export gives other numbers than torch; nothing is kept.
    """
    source = model.find_weights(weights)
    if source.suffix != ".pt":
        raise ValueError(f"{source} is exported already: expected a .pt file or a run")
    _check_packages(format)
    if format == "pt" and name is None:
        raise ValueError("format 'pt' needs a --name: the weights would have the name of their source")
    network = networks.load(source, "cpu")
    card = read_card(source) or Card(source.stem, "instances", network.facts.labels)
    card = replace(card, name=name or card.name)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copy(source, Path(temporary) / f"{name or source.stem}.pt"))
        made = _strip(copy) if format == "pt" else _export(copy, format, half, dynamic)
        batch = _batch(image, network.facts.size_px)
        _check_parity(network(batch), _run(made, batch), made.name, TOLERANCE[half])
        target = (out or source.parent) / made.name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(shutil.move(made, target.with_name(f".{target.name}")))
        if target.is_dir():
            shutil.rmtree(target)
        draft.replace(target)
    write_card(target, card)
    return target


def _check_packages(format: str) -> None:
    if format not in NEEDS:
        raise ValueError(f"format {format!r} is not known: expected one of {', '.join(NEEDS)}")
    missing = [package for package in NEEDS[format] if importlib.util.find_spec(package) is None]
    if missing:
        raise ValueError(f"format {format!r} needs what is not installed: pip install {' '.join(missing)}")


def _strip(checkpoint: Path) -> Path:
    """Write a checkpoint anew with the network alone."""
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    full, _ = torch_safe_load(str(checkpoint))
    network = full.get("ema") or full["model"]
    network.args = {key: value for key, value in full["train_args"].items() if key not in FOLDER_ARGUMENTS}
    network.yaml.pop("yaml_file", None)
    kept = {key: full[key] for key in ("version", "license", "docs") if key in full}
    torch.save({"model": network, "train_args": network.args, **kept}, checkpoint)
    return checkpoint


def _export(copy: Path, format: str, half: bool, dynamic: bool) -> Path:
    """Export beside `copy`, as ultralytics does."""
    framework.quiet()
    from ultralytics import YOLO

    options: dict[str, Any] = {"dynamic": dynamic} if format != "torchscript" else {}
    if half and format == "openvino":
        options["quantize"] = 16
    return Path(YOLO(copy).export(format=format, device="cpu", **options))


def _batch(image: Path | None, side: int) -> NDArray[np.float32]:
    if image is not None:
        import cv2

        photo = cv2.resize(images.read(image), (side, side), interpolation=cv2.INTER_AREA)
    else:
        blocks = np.random.default_rng(0).integers(0, 256, (side // 16, side // 16, 3), np.uint8)
        photo = blocks.repeat(16, 0).repeat(16, 1)
    return np.ascontiguousarray(photo.transpose(2, 0, 1)[None]).astype(np.float32) / 255


def _run(made: Path, batch: NDArray[np.float32]) -> tuple[Any, NDArray[np.float32]]:
    if made.is_dir() or made.suffix == ".pt":
        return networks.load(made, "cpu")(batch)
    import torch
    from ultralytics.nn.autobackend import AutoBackend

    with torch.inference_mode():
        predictions, prototypes = AutoBackend(str(made), torch.device("cpu"))(torch.from_numpy(batch))
    return predictions, np.asarray(prototypes[0])


def _check_parity(torch_outputs: Any, outputs: Any, name: str, tolerance: float) -> None:
    for what, expected, got in zip(("predictions", "prototypes"), torch_outputs, outputs, strict=True):
        expected, got = np.asarray(expected, np.float64), np.asarray(got, np.float64)
        if expected.shape != got.shape:
            raise RuntimeError(f"{name}: {what} are {list(got.shape)}, torch gives {list(expected.shape)}; not kept")
        # Each output row (a coordinate, a class, a coefficient) has a scale of its own.
        axes = tuple(range(2, expected.ndim)) if what == "predictions" else tuple(range(1, expected.ndim))
        scale = np.maximum(np.abs(expected).max(axes, keepdims=True), 1e-3)
        worst = float((np.abs(expected - got) / scale).max())
        if not worst <= tolerance:
            raise RuntimeError(f"{name}: {what} differ from torch by {worst:.2%}, allowed {tolerance:.2%}; not kept")
        print(f"{name}: {what} differ from torch by at most {worst:.4%} of their largest value")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.export", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help=".pt file, run folder or run name (default: what ships)")
    parser.add_argument("--format", default="openvino", choices=tuple(NEEDS))
    parser.add_argument("--out", type=Path, help="folder for the result (default: beside the weights)")
    parser.add_argument("--name", help="what the weights are called from now on")
    parser.add_argument("--half", action="store_true", help="16-bit weights, half the size (OpenVINO)")
    parser.add_argument("--dynamic", action="store_true", help="any input size (OpenVINO, ONNX)")
    parser.add_argument("--image", type=Path, help="photo for the check against torch (default: made-up texture)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        print(f"wrote {main(**vars(_parse(None)))}")
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"export: {error}")
