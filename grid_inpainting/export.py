"""Weights -> TorchScript or OpenVINO; kept only if it paints what torch paints.

    python -m grid_inpainting.export --weights first --format openvino
    python -m grid_inpainting.export --weights first --format torchscript --name my-lama --out shared

`model.load` and `LAMA_MODEL` take both; the folder runs in OpenVINO, without torch. They are compared with torch on
photos or made-up pictures, of three sizes. An export that differs ends up as ``NAME.failed``; what was there stays.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from grid_inpainting import weights as known_weights
from quadrat import files, images
from quadrat.predictor import Card, read_card, write_card

FORMATS = ("torchscript", "openvino")
ALLOWED = {"torchscript": 1e-4, "openvino": 1e-3}
"""Largest difference of a colour, 0..1, in float32 (or 16-bit weights). What bf16 does is stated and not judged."""
SIDES_PX = (128, 256, 384)


def main(
    weights: str | None = None,
    *,
    format: str = "openvino",
    out: Path | None = None,
    name: str | None = None,
    half: bool = False,
    photos: Sequence[Path] = (),
) -> tuple[Path, dict[str, dict[str, float]]]:
    """Export weights.

    Args:
        weights: a TorchScript file, a run, or ``.safetensors`` of `grid_inpainting.convert`; `None`: what ships.
        format: ``torchscript`` or ``openvino``.
        out: folder to put the result in; `None` puts it beside the weights.
        name: what the weights are called from now on; `None` leaves it.
        half: 16-bit weights, half of the size (OpenVINO).
        photos: photos and folders for the comparison; none: made-up pictures.

    Returns:
        The file or folder written, its card beside it; and by how much it differs from torch in the hole, 0..1, as
        ``{precision: {"max": ..., "mean": ...}}``.

    Raises:
        ValueError: an unknown format, or weights that are no painter.
        RuntimeError: the export differs from torch.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    source = Path(weights) if str(weights or "").endswith(".safetensors") else known_weights.find(weights)
    if source.is_dir():
        raise ValueError(f"{source} is exported already: expected a TorchScript file, a run or .safetensors")
    painter = known_weights.read_painter(source)
    card = replace(read_card(source) or Card(source.stem, "inpainting", ()), name=name or source.stem)
    pictures = _pictures([photo for given in photos for photo in images.list_photos(given)])
    folder = out or source.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as temporary:
        made = _convert(painter, Path(temporary), card.name, format, half)
        differences = _compare(painter, made, format, pictures)
        target = folder / made.name
        worst = next(iter(differences.values()))["max"]
        if not worst <= (allowed := ALLOWED[format]):  # true for NaN as well
            failed = files.put_in_place(made, target.with_name(f"{target.name}.failed"))
            told = f"differs from torch by {worst:.2g}, allowed {allowed:g}"
            raise RuntimeError(f"{made.name} {told}; it lies in {failed}")
        files.put_in_place(made, target)
    write_card(target, card)
    return target, differences


def _convert(painter: Any, folder: Path, name: str, format: str, half: bool) -> Path:
    from grid_inpainting import backends, lama

    script = folder / f"{name}.pt"
    lama.save_torchscript(painter, script)
    if format == "torchscript":
        return script
    import openvino as ov

    made = folder / f"{name}_openvino"
    made.mkdir()
    ov.save_model(backends.to_openvino(painter), made / f"{name}.xml", compress_to_fp16=half)
    return made


Picture = tuple[np.ndarray, np.ndarray]


def _pictures(photos: Sequence[Path]) -> list[Picture]:
    """Squares ``[S, S, 3]`` of photos, or made-up ones, and holes ``[S, S]``."""
    rng = np.random.default_rng(0)
    made = []
    for number, side in enumerate(SIDES_PX):
        if photos:
            photo = images.read(photos[number % len(photos)])
            below, right = (max(side - length, 0) for length in photo.shape[:2])
            picture = np.pad(photo, ((0, below), (0, right), (0, 0)), mode="symmetric")[:side, :side]
        else:
            picture = rng.integers(0, 256, (side, side, 3))
        hole = np.zeros((side, side), bool)
        hole[side // 3 : side // 3 + 9] = hole[:, side // 2 : side // 2 + 5] = True
        made.append((picture.astype(np.float32), hole))
    return made


def _compare(painter: Any, made: Path, format: str, pictures: Sequence[Picture]) -> dict[str, dict[str, float]]:
    """Differences of what the export paints in the hole, by precision."""
    import torch

    from grid_inpainting import backends

    wanted = []
    with torch.inference_mode():
        for picture, hole in pictures:
            image = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
            painted = painter(image, torch.from_numpy(hole)[None, None].float())
            wanted.append(painted[0].permute(1, 2, 0).numpy())
    precisions = ("torchscript",) if format == "torchscript" else backends.PRECISIONS
    told: dict[str, dict[str, float]] = {}
    for precision in precisions:
        off = []
        for (picture, hole), right in zip(pictures, wanted, strict=True):
            paint = (
                backends.lama(made, "cpu")
                if format == "torchscript"
                else backends.openvino(made, precision, picture.shape[0])
            )
            got = paint(picture[None], hole[None].astype(np.float32))[0] / 255
            off.append(np.abs(got - right)[hole].ravel())
        every = np.concatenate(off)
        told[precision] = {"max": float(every.max()), "mean": float(every.mean())}
    return told


def _say(differences: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(
        f"{precision}: colours in the hole differ from torch by at most {one['max']:.2g}, {one['mean']:.2g} on average"
        for precision, one in differences.items()
    )


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    what = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m grid_inpainting.export", description=what)
    parser.add_argument("--weights", help="TorchScript file, run, .safetensors (default: what ships)")
    parser.add_argument("--format", choices=FORMATS, default="openvino", help="(default: openvino)")
    parser.add_argument("--out", type=Path, help="folder for the result (default: beside the weights)")
    parser.add_argument("--name", help="what the weights are called from now on")
    parser.add_argument("--half", action="store_true", help="16-bit weights, half of the size (OpenVINO)")
    parser.add_argument("--images", dest="photos", nargs="+", type=Path, default=(), help="photos for the comparison")
    parser.add_argument("--json", action="store_true", help="print the differences as JSON in the last line")
    given = vars(parser.parse_args(argv))
    as_json = given.pop("json")
    try:
        made, differences = main(**given)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print(f"{made}\n{_say(differences)}")
    if as_json:
        print(json.dumps(differences))
    return 0


if __name__ == "__main__":
    sys.exit(run())
