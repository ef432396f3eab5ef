"""Which weights a path, a run or nothing at all means, and a generator's weights out of any of them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import yaml

from quadrat import experiment

MODULE = "grid_inpainting"
FOLDER = Path(__file__).resolve().parents[1] / "weights"
"""What ships."""
FIRST = "model.1.ffc.convl2l.weight"
"""The first weights of a generator."""


def find(path: str | Path | None = None) -> Path:
    """The TorchScript file or OpenVINO folder that `path` means.

    Args:
        path: a file, an OpenVINO folder, a run folder or a run's name; `None` takes ``LAMA_MODEL``, else what ships.

    Raises:
        FileNotFoundError: there is none.
    """
    given = path or os.environ.get("LAMA_MODEL") or _shipped()
    found = Path(given)
    if found.is_file() or (found.is_dir() and list(found.glob("*.xml"))):
        return found
    if found.suffix:  # a file name, not the name of a run
        raise FileNotFoundError(
            f"{found}: no such weights; expected a TorchScript file (LAMA_MODEL), an OpenVINO folder or a run"
        )
    run = experiment.find_run(MODULE, found)
    best = run / "weights" / "best.pt"
    if not best.is_file():
        raise FileNotFoundError(f"{run} has no weights/best.pt yet: its training has not come to a validation")
    return best


def _shipped() -> Path:
    index = FOLDER / "index.yaml"
    raw = yaml.safe_load(index.read_text("utf-8")) if index.is_file() else {}
    name = (raw.get("default") or {}).get(MODULE)
    if not name or not (FOLDER / name).exists():
        raise FileNotFoundError(f"{index} names no weights of {MODULE} that are there: give a path (LAMA_MODEL)")
    return FOLDER / name


def read_generator(source: str | Path) -> dict[str, Any]:
    """The generator's weights by their names in `lama.Generator`.

    Args:
        source: ``.safetensors`` of `grid_inpainting.convert`, a TorchScript file of ours, a run's ``.ckpt``, or a run:
            its best weights.

    Raises:
        ValueError: no generator in it.
        FileNotFoundError: no such file or run.
    """
    import torch

    path = Path(source)
    if path.suffix not in (".safetensors", ".ckpt"):
        path = find(source)
    if not path.is_file():
        raise FileNotFoundError(f"init {path}: no such file")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if path.suffix == ".ckpt":
        kept = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        return _generator_in({name: value for name, value in kept.items() if name.startswith("averaged.")}, path)
    return _generator_in(open_script(path).state_dict(), path)


def read_painter(source: str | Path) -> Any:
    """The network of a TorchScript file, a run or ``.safetensors``, as a `lama.Painter` for torch, ready to paint.

    Raises:
        ValueError, FileNotFoundError: as `read_generator`.
    """
    from grid_inpainting import lama

    generator = read_generator(source)
    path = Path(source)
    diffused = path.suffix != ".safetensors" and bool(getattr(open_script(find(path)), "diffused", False))
    painter = lama.Painter(lama.Generator(**lama.shape_of(generator)), diffused)
    painter.generator.load_state_dict(generator, strict=True)
    return painter.eval()


def open_script(path: Path, device: str = "cpu") -> Any:
    """A TorchScript module.

    Raises:
        ValueError: the file is none.
    """
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")  # simple-lama-inpainting takes nothing newer
        try:
            return torch.jit.load(path, map_location=device)
        except RuntimeError as error:
            raise ValueError(f"{path} is no TorchScript file ({str(error).splitlines()[0]})") from error


def _generator_in(state: dict[str, Any], path: Path) -> dict[str, Any]:
    """The generator's weights, whatever module they lie under."""
    first = next((name for name in state if name.endswith(FIRST)), None)
    if first is None:
        raise ValueError(f"{path} holds no generator of LaMa: expected weights named {FIRST} and so on")
    prefix = first.removesuffix(FIRST)
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(f"{prefix}model.")}
