"""Weights -> OpenVINO, ONNX, TorchScript, or a ``.pt`` to give away; kept only if it finds what torch finds.

    python -m coral_seg_yolo.export --weights first --images photos/
    python -m coral_seg_yolo.export --weights weights/x.pt --format onnx --out somewhere
    python -m coral_seg_yolo.export --weights first --format pt --name coral-reef --out shared

`model.load` takes all of them. On every photo the outputs are compared number by number, and then the colonies. An
export that differs ends up as ``NAME.failed``; what was there under its name stays. A ``.pt`` to give away holds the
network alone: no optimizer, no history, and no folder names of the machine that trained it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from coral_seg_yolo import model, parity
from quadrat import images
from quadrat.predictor import write_card
from yolo import framework

NEEDS = {"openvino": ("openvino",), "torchscript": (), "onnx": ("onnx", "onnxruntime", "onnxslim"), "pt": ()}
FOLDER_ARGUMENTS = ("data", "project", "name", "save_dir", "model", "pretrained", "resume", "cfg", "tracker", "source")
MOST_PHOTOS = 8


def main(
    weights: str | None = None,
    *,
    format: str = "openvino",
    out: Path | None = None,
    name: str | None = None,
    half: bool = False,
    dynamic: bool = False,
    imgsz: int = 0,
    photos: Sequence[Path] = (),
) -> tuple[Path, parity.Parity]:
    """Export weights.

    Args:
        weights: a ``.pt`` file, or a run.
        format: ``openvino``, ``torchscript``, ``onnx`` or ``pt``.
        out: folder to put the result in; `None` puts it beside the weights.
        name: what the weights are called from now on; `None` leaves it.
        half: store weights in 16 bits (OpenVINO), half the size.
        dynamic: take any input size, so that photos need no padding to a square (OpenVINO, ONNX).
        imgsz: longer side in px of the input that the result takes photos to, a multiple of 32; 0 leaves that of the
            training. A network trained on small pictures often finds more in larger ones: `evaluate` tells.
        photos: photos and folders of photos for the check, of which the first `MOST_PHOTOS` are taken; none: made-up
            pictures, on which there may be little to find.

    Returns:
        The file or folder that was written, its card beside it, and by how much it differs from torch.

    Raises:
        ValueError: the weights are no ``.pt`` file, the format is not known, or a package or a photo is missing.
        RuntimeError: the export differs from torch; the message names the worst figure.
    """
    source = model.find_weights(weights)
    if source.suffix != ".pt":
        raise ValueError(f"{source} is exported already: expected a .pt file or a run")
    _check_packages(format)
    if format == "pt" and name is None:
        raise ValueError("format 'pt' needs a --name: the weights would have the name of their source")
    pictures = _pictures(photos)
    original = model.load(source)
    size_px = _input_size(imgsz) or original.network.facts.size_px
    original.network.facts = replace(original.network.facts, size_px=size_px)
    card = replace(original.card, name=name or original.card.name)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copy(source, Path(temporary) / f"{name or source.stem}.pt"))
        made = _strip(copy, size_px) if format == "pt" else _export(copy, format, size_px, half, dynamic)
        target = (out or source.parent) / made.name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_card(made, card)
        try:
            compared = parity.compare(original, model.load(made), pictures)
            parity.check(compared, parity.HALF if half else parity.EXACT)
        except RuntimeError as error:
            failed = _put(made, target.with_name(f"{target.name}.failed"))
            raise RuntimeError(f"{made.name}: {error}; it lies in {failed}") from error
        _put(made, target)
    write_card(target, card)
    return target, compared


def _pictures(photos: Sequence[Path]) -> list[parity.Rgb]:
    found = [photo for source in photos for photo in images.list_photos(source)]
    return [images.read(photo) for photo in found[:MOST_PHOTOS]] or parity.drawn_photos()


def _put(made: Path, target: Path) -> Path:
    """Move a file or folder to its place, whole; what is there is replaced."""
    draft = Path(shutil.move(made, target.with_name(f".{target.name}")))
    if target.is_dir():
        shutil.rmtree(target)
    return draft.replace(target)


def _check_packages(format: str) -> None:
    if format not in NEEDS:
        raise ValueError(f"format {format!r} is not known: expected one of {', '.join(NEEDS)}")
    missing = [package for package in NEEDS[format] if importlib.util.find_spec(package) is None]
    if missing:
        raise ValueError(f"format {format!r} needs what is not installed: pip install {' '.join(missing)}")


def _input_size(imgsz: int) -> int:
    if imgsz < 0 or imgsz % 32:
        raise ValueError(f"imgsz is {imgsz}: expected a multiple of 32 px, or 0 for that of the training")
    return imgsz


def _strip(checkpoint: Path, size_px: int) -> Path:
    """Write a checkpoint anew with the network alone."""
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    full, _ = torch_safe_load(str(checkpoint))
    network = full.get("ema") or full["model"]
    network.args = {key: value for key, value in full["train_args"].items() if key not in FOLDER_ARGUMENTS}
    network.args["imgsz"] = size_px
    network.yaml.pop("yaml_file", None)
    kept = {key: full[key] for key in ("version", "license", "docs") if key in full}
    torch.save({"model": network, "train_args": network.args, **kept}, checkpoint)
    return checkpoint


def _export(copy: Path, format: str, size_px: int, half: bool, dynamic: bool) -> Path:
    """Export beside `copy`, as ultralytics does."""
    framework.quiet()
    from ultralytics import YOLO

    options: dict[str, Any] = {"imgsz": size_px} | ({"dynamic": dynamic} if format != "torchscript" else {})
    if half and format == "openvino":
        options["quantize"] = 16
    return Path(YOLO(copy).export(format=format, device="cpu", **options))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.export", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help=".pt file, run folder or run name (default: what ships)")
    parser.add_argument("--format", default="openvino", choices=tuple(NEEDS))
    parser.add_argument("--out", type=Path, help="folder for the result (default: beside the weights)")
    parser.add_argument("--name", help="what the weights are called from now on")
    parser.add_argument("--half", action="store_true", help="16-bit weights, half the size (OpenVINO)")
    parser.add_argument("--imgsz", type=int, default=0, help="longer side of the input in px (default: as trained)")
    parser.add_argument("--dynamic", action="store_true", help="any input size (OpenVINO, ONNX)")
    parser.add_argument(
        "--images", dest="photos", type=Path, nargs="+", default=(), help="photos for the check (default: made-up ones)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = vars(_parse(None))
    as_json = arguments.pop("json")
    try:
        written, figures = main(**arguments)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"export: {error}")
    worst = ", ".join(
        f"{what} by at most {share:.4%} of their largest value" for what, share in figures.tensors.items()
    )
    print(f"against torch on {figures.photos} pictures: {worst};")
    print(f"{figures.colonies} colonies: scores differ by at most {figures.score:.5f}, IoU {figures.iou:.4f} or more")
    print(f"wrote {written}")
    if as_json:
        print(json.dumps({"export": str(written), **asdict(figures)}))
