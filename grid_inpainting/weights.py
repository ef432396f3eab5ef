"""Which weights a path, a run or nothing at all means, and a generator's weights out of any of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from quadrat import experiment

MODULE = "grid_inpainting"
FOLDER = Path(__file__).resolve().parents[1] / "weights"
"""What ships."""


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
    if not name or not (FOLDER / name).is_file():
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
        return _under(kept, "averaged.module.generator.", path)
    return _under(torch.jit.load(path, map_location="cpu").state_dict(), "generator.", path)


def _under(state: dict[str, Any], prefix: str, path: Path) -> dict[str, Any]:
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not found:
        raise ValueError(f"{path} holds no weights under {prefix!r}: expected a painter of grid_inpainting")
    return found
