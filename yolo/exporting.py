"""Weights -> OpenVINO, ONNX, TorchScript, or a ``.pt`` to give away: whole and checked, or what was there stays."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from quadrat import files, images, template
from quadrat.images import Rgb
from quadrat.predictor import Predictor, write_card
from yolo import framework
from yolo.networks import Network

NEEDS = {"openvino": ("openvino",), "torchscript": (), "onnx": ("onnx", "onnxruntime", "onnxslim"), "pt": ()}
"""Format -> packages."""
FOLDER_ARGUMENTS = ("data", "project", "name", "save_dir", "model", "pretrained", "resume", "cfg", "tracker", "source")
MOST_PHOTOS = 8

P = TypeVar("P", bound=Predictor)
C = TypeVar("C")


@dataclass(frozen=True)
class Job(Generic[P, C]):
    """What one module's export is made of.

    Attributes:
        load: loads weights of any format.
        network: of what was loaded.
        pictures: made-up pictures for the check, for want of photographs.
        compare: runs the original and the export on pictures; a `RuntimeError` if they cannot be compared.
        check: raises `RuntimeError` where they differ by more than they may, in 16 bits (true) or else.
    """

    load: Callable[[Path], P]
    network: Callable[[P], Network]
    pictures: Callable[[P], Sequence[Rgb]]
    compare: Callable[[P, P, Sequence[Rgb]], C]
    check: Callable[[C, bool], None]


def export(
    job: Job[P, C],
    source: Path,
    *,
    format: str = "openvino",
    out: Path | None = None,
    name: str | None = None,
    half: bool = False,
    dynamic: bool = False,
    imgsz: int = 0,
    photos: Sequence[Path] = (),
) -> tuple[Path, C]:
    """Export weights.

    Args:
        job: the module's part in it.
        source: a ``.pt`` file; its card, and the layouts that the card names, go with it.
        format: ``openvino``, ``torchscript``, ``onnx`` or ``pt``.
        out: folder to put the result in; `None` puts it beside the weights.
        name: what the weights are called from now on; `None` leaves it.
        half: store weights in 16 bits (OpenVINO), half the size.
        dynamic: take any input size, so that photos need no padding to a square (OpenVINO, ONNX).
        imgsz: longer side in px of the input that the result takes photos to, a multiple of 32; 0 leaves that of the
            training.
        photos: photos and folders of photos for the check, of which the first `MOST_PHOTOS` are taken; none: made-up
            pictures, on which there may be little to find.

    Returns:
        The file or folder that was written, its card beside it, and what `job.compare` found.

    Raises:
        ValueError: the weights are no ``.pt`` file, the format is not known, or a package or a photo is missing.
        RuntimeError: the export differs from torch; the message names the worst figure.
    """
    if source.suffix != ".pt":
        raise ValueError(f"{source} is exported already: expected a .pt file or a run")
    _check_packages(format)
    if format == "pt" and name is None:
        raise ValueError("format 'pt' needs a --name: the weights would have the name of their source")
    found = [photo for given in photos for photo in images.list_photos(given)][:MOST_PHOTOS]
    original = job.load(source)
    network = job.network(original)
    size_px = _input_size(imgsz) or network.facts.size_px
    network.facts = replace(network.facts, size_px=size_px)
    card = replace(original.card, name=name or original.card.name)
    beside = [source.parent / layout for layout in card.layouts if layout not in template.BUILTIN]
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copy(source, Path(temporary) / f"{name or source.stem}.pt"))
        made = _strip(copy, size_px) if format == "pt" else _convert(copy, format, size_px, half, dynamic)
        target = (out or source.parent) / made.name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_card(made, card)
        _copy_beside(beside, made)
        try:
            pictures = [images.read(photo) for photo in found] or job.pictures(original)
            compared = job.compare(original, job.load(made), pictures)
            job.check(compared, half)
        except RuntimeError as error:
            failed = _put(made, target.with_name(f"{target.name}.failed"))
            raise RuntimeError(f"{made.name}: {error}; it lies in {failed}") from error
        _put(made, target)
    write_card(target, card)
    _copy_beside(beside, target)
    return target, compared


def difference(what: str, wanted: NDArray[np.floating], got: NDArray[np.floating], rows: int) -> float:
    """Largest difference of two outputs as a share of their largest value; infinite where a value is no number.

    Args:
        what: name of the output, for the message.
        wanted: of torch.
        got: of the export.
        rows: how many axes come first whose every entry has a scale of its own, such as 2 for a batch of coordinates,
            classes and coefficients.

    Raises:
        RuntimeError: other shapes.
    """
    if wanted.shape != got.shape:
        raise RuntimeError(f"{what} are {list(got.shape)}, torch gives {list(wanted.shape)}")
    if not np.isfinite(got).all():
        return float("inf")
    scale = np.maximum(np.abs(wanted).max(tuple(range(rows, wanted.ndim)), keepdims=True), 1e-3)
    return float((np.abs(wanted.astype(np.float64) - got) / scale).max())


def check_difference(what: str, share: float, allowed: float) -> None:
    """Refuse a `difference` that is too large.

    Raises:
        RuntimeError: says so.
    """
    if not share <= allowed:  # true for NaN as well
        raise RuntimeError(f"{what} differ from torch by {share:.3%} of their largest value, allowed {allowed:.2%}")


def _put(made: Path, target: Path) -> Path:
    """Move a file or folder to its place, whole; what is there is replaced."""
    draft = Path(shutil.move(made, target.with_name(f".{target.name}")))
    if target.is_dir():
        shutil.rmtree(target)
    return draft.replace(target)


def _copy_beside(beside: Sequence[Path], weights: Path) -> None:
    for path in beside:
        if path.parent.resolve() != weights.parent.resolve():
            files.write_bytes(weights.parent / path.name, path.read_bytes())


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
    framework.quiet()
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


def _convert(copy: Path, format: str, size_px: int, half: bool, dynamic: bool) -> Path:
    """Export beside `copy`, as ultralytics does."""
    framework.quiet()
    from ultralytics import YOLO

    options: dict[str, Any] = {"imgsz": size_px} | ({"dynamic": dynamic} if format != "torchscript" else {})
    if half and format == "openvino":
        options["quantize"] = 16
    made = Path(YOLO(copy).export(format=format, device="cpu", **options))
    if format == "openvino":
        _forget_the_date(made / "metadata.yaml")
    return made


def _forget_the_date(metadata: Path) -> None:
    """Without it the same weights give the same bytes on any day."""
    lines = metadata.read_text("utf-8").splitlines(keepends=True)
    files.write_text(metadata, "".join(line for line in lines if not line.startswith("date:")))


# ------------------------------------------------------------------------------------------------ command line


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """The command line of a module's ``export``, to which the module may add."""
    made = argparse.ArgumentParser(prog=f"python -m {module}.export", description=description)
    made.add_argument("--weights", help=".pt file, run folder or run name (default: what ships)")
    made.add_argument("--format", default="openvino", choices=tuple(NEEDS))
    made.add_argument("--out", type=Path, help="folder for the result (default: beside the weights)")
    made.add_argument("--name", help="what the weights are called from now on")
    made.add_argument("--half", action="store_true", help="16-bit weights, half the size (OpenVINO)")
    made.add_argument("--imgsz", type=int, default=0, help="longer side of the input in px (default: as trained)")
    made.add_argument("--dynamic", action="store_true", help="any input size (OpenVINO, ONNX)")
    made.add_argument(
        "--images", dest="photos", type=Path, nargs="+", default=(), help="photos for the check (default: made-up ones)"
    )
    made.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return made


def run(
    parser: argparse.ArgumentParser,
    main: Callable[..., tuple[Path, Any]],
    say: Callable[[Any], str],
    argv: list[str] | None = None,
) -> int:
    """Run a module's ``export`` as a command; returns the exit status.

    Args:
        parser: as `parser` made it.
        main: gets what is parsed; returns what was written and a dataclass of how it differs.
        say: the figures of that dataclass in words.
        argv: default: the process's own.
    """
    arguments = vars(parser.parse_args(argv))
    as_json = arguments.pop("json")
    try:
        written, figures = main(**arguments)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print(say(figures))
    print(f"wrote {written}")
    if as_json:
        print(json.dumps({"export": str(written), **asdict(figures)}))
    return 0


def say_differences(tensors: dict[str, float], photos: int) -> str:
    """Name of an output -> `difference`, in words."""
    worst = ", ".join(f"{what} by at most {share:.4%} of their largest value" for what, share in tensors.items())
    return f"against torch on {photos} pictures: {worst};"
