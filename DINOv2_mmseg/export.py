"""Weights -> OpenVINO, ONNX, TorchScript, or safetensors to give away; kept only if they say what torch says.

    python -m DINOv2_mmseg.export --weights first --format openvino
    python -m DINOv2_mmseg.export --weights first --format safetensors --half --name coral-small --out weights

`model.load` and ``SEGFORMER_WEIGHTS`` take the result. An export takes windows of one size, the training's. It is
compared with torch on windows of photos or of made-up pictures. One that differs ends up as ``NAME.failed``; what was
there stays.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from DINOv2_mmseg import inference, runners
from DINOv2_mmseg import weights as known_weights
from quadrat import files, images
from quadrat.predictor import Card, card_path, read_card, write_card

FORMATS = ("openvino", "onnx", "torchscript", "safetensors")
ALLOWED = 0.01
"""Largest difference of a probability, in float32 (or 16-bit weights). What bf16 does is stated and not judged."""
MOST_PICTURES = 8


@dataclass(frozen=True)
class Difference:
    """How an export differs from torch.

    Attributes:
        largest: difference of a probability, 0..1.
        mean: of all of them.
        same_class: share of cells whose class is the same, 0..1.
    """

    largest: float
    mean: float
    same_class: float


def main(
    weights: str | None = None,
    *,
    format: str = "openvino",
    out: Path | None = None,
    name: str | None = None,
    half: bool = False,
    photos: Sequence[Path] = (),
) -> tuple[Path, dict[str, Difference]]:
    """Export weights.

    Args:
        weights: ``.safetensors``, a run folder or a run's name; `None` takes what ships.
        format: one of `FORMATS`.
        out: folder to put the result in; `None` puts it beside the weights.
        name: what the weights are called from now on; `None` leaves it.
        half: 16 bits a number (OpenVINO, safetensors): half of the size.
        photos: photos and folders for the comparison; none: made-up pictures.

    Returns:
        The file or folder written, its card beside it, and the difference by precision.

    Raises:
        ValueError: an unknown format, or weights that are an export already.
        RuntimeError: the export differs from torch.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    source = known_weights.find(weights)
    if source.suffix != ".safetensors":
        raise ValueError(f"{source} is exported already: expected .safetensors or a run")
    if format == "safetensors" and not name:
        raise ValueError("format 'safetensors' needs a --name: the weights would have the name of their source")
    from DINOv2_mmseg import network

    model, spec = network.load(source)
    known = read_card(source) or Card(source.stem, "semantic", spec.labels, background=spec.background)
    card = replace(known, name=name or known.name)
    folder = out or source.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as temporary:
        made = _convert(model, spec, Path(temporary), card.name, format, half)
        found = _compare(model, spec, made, _windows(spec.window_px, photos))
        _check(found, made, folder)
        target = files.put_in_place(made, folder / made.name)
        if (beside := runners.spec_path(made)).is_file() and not target.is_dir():
            files.put_in_place(beside, runners.spec_path(target))
    write_card(target, card)
    return target, found


def _convert(model: Any, spec: Any, folder: Path, name: str, format: str, half: bool) -> Path:
    from DINOv2_mmseg import network

    if format == "safetensors":
        made = folder / f"{name}.safetensors"
        network.save(made, model, spec, half=half)
        return made
    import torch

    class Whole(torch.nn.Module):
        """Bytes in, logits out."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in spec.mean_std)
            self.register_buffer("mean", mean)
            self.register_buffer("std", std)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return network.logits(self.model, (image.permute(0, 3, 1, 2).float() - self.mean) / self.std)

    whole = Whole().eval()
    example = torch.zeros(1, spec.window_px, spec.window_px, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing warns of sizes that are constant here
        made = _written(whole, example, folder, name, format, half)
    runners.write_spec(made, replace(spec, model=network.for_inference(spec.model)))
    return made


def _written(whole: Any, example: Any, folder: Path, name: str, format: str, half: bool) -> Path:
    import torch

    if format == "onnx":
        made = folder / f"{name}.onnx"
        torch.onnx.export(whole, (example,), str(made), input_names=["image"], output_names=["logits"], dynamo=False)
        return made
    if format == "torchscript":
        made = folder / f"{name}.torchscript"
        torch.jit.freeze(torch.jit.trace(whole, example, check_trace=False)).save(str(made))
        return made
    import openvino

    made = folder / f"{name}_openvino"
    made.mkdir()
    converted = openvino.convert_model(whole, example_input=example, input=[list(example.shape)])
    openvino.save_model(converted, made / f"{name}.xml", compress_to_fp16=half)
    return made


def _windows(side_px: int, photos: Sequence[Path]) -> list[images.Rgb]:
    """Squares uint8 ``[side, side, 3]`` of photos, or made-up ones: blurred noise."""
    import cv2

    found = [photo for given in photos for photo in images.list_photos(given)][:MOST_PICTURES]
    if found:
        return [cv2.resize(images.read(photo), (side_px, side_px), interpolation=cv2.INTER_AREA) for photo in found]
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, side_px, side_px, 3), np.uint8)
    return [cv2.GaussianBlur(picture, (0, 0), sigma) for picture, sigma in zip(noise, (0.5, 2, 6, 14), strict=True)]


def _compare(model: Any, spec: Any, made: Path, pictures: Sequence[images.Rgb]) -> dict[str, Difference]:
    wanted = _probabilities(runners.of_torch(model, spec), pictures)
    if made.suffix == ".safetensors":
        from DINOv2_mmseg import network

        return {"f32": _difference(wanted, _probabilities(runners.of_torch(*network.load(made)), pictures))}
    precisions = runners.PRECISIONS if made.is_dir() else ("f32",)
    return {p: _difference(wanted, _probabilities(runners.of_export(made, "cpu", p), pictures)) for p in precisions}


def _probabilities(run: inference.Run, pictures: Sequence[images.Rgb]) -> np.ndarray:
    return np.stack([inference.softmax(run(picture[None])[0]) for picture in pictures])


def _difference(wanted: np.ndarray, got: np.ndarray) -> Difference:
    if wanted.shape != got.shape:
        raise RuntimeError(f"the export gives {list(got.shape)}, torch {list(wanted.shape)}")
    off = np.abs(wanted - got)
    same = float((wanted.argmax(axis=1) == got.argmax(axis=1)).mean())
    return Difference(float(off.max()) if np.isfinite(got).all() else float("inf"), float(off.mean()), same)


def _check(found: dict[str, Difference], made: Path, folder: Path) -> None:
    worst = found["f32"].largest
    if not worst <= ALLOWED:  # true for NaN as well
        failed = files.put_in_place(made, folder / f"{made.name}.failed")
        raise RuntimeError(f"{made.name} differs from torch by {worst:.2g}, allowed {ALLOWED:g}; it lies in {failed}")


def _say(found: dict[str, Difference]) -> str:
    return "; ".join(
        f"{precision}: probabilities differ from torch by at most {one.largest:.2g} ({one.mean:.2g} on average), "
        f"{one.same_class:.2%} of the cells have the same class"
        for precision, one in found.items()
    )


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    what = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m DINOv2_mmseg.export", description=what)
    parser.add_argument("--weights", help=".safetensors, run folder or run name (default: what ships)")
    parser.add_argument("--format", choices=FORMATS, default="openvino", help="(default: openvino)")
    parser.add_argument("--out", type=Path, help="folder for the result (default: beside the weights)")
    parser.add_argument("--name", help="what the weights are called from now on")
    parser.add_argument("--half", action="store_true", help="16 bits a number (OpenVINO, safetensors)")
    parser.add_argument("--images", dest="photos", nargs="+", type=Path, default=(), help="photos for the comparison")
    parser.add_argument("--json", action="store_true", help="print the differences as JSON in the last line")
    given = vars(parser.parse_args(argv))
    as_json = given.pop("json")
    try:
        made, found = main(**given)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print(f"{_say(found)}\nwrote {made}, its card {card_path(made).name}")
    if as_json:
        print(json.dumps({"export": str(made), **{p: asdict(one) for p, one in found.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(run())
