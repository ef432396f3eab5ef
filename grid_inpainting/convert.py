"""A checkpoint from outside -> safetensors and the TorchScript that `LAMA_MODEL` takes; opened once, never again.

    python -m grid_inpainting.convert big-lama/models/best.ckpt --out big-lama.safetensors --trust

Takes LaMa's generator out of a training's checkpoint, such as the official ``big-lama``. That one is a pickle: opening
it runs code that it contains, which `--trust` allows. `train` begins with the result: ``init=big-lama.safetensors
hole=black width=64 downsamplings=3 blocks=18``.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quadrat.files import atomic_write
from quadrat.predictor import Card, write_card

PREFIXES = ("generator.", "module.generator.", "")
"""Where checkpoints keep the generator; the first that fits counts."""


def main(checkpoint: Path, out: Path, *, trust: bool = False) -> dict[str, Any]:
    """Convert a checkpoint.

    Args:
        checkpoint: a file of `torch.save`.
        out: ``.safetensors``; a TorchScript file ``.pt`` and its card are written beside it.
        trust: open it even if that runs code that it contains.

    Returns:
        The arguments of `lama.Generator` that it fits.

    Raises:
        ValueError: it cannot be opened without `trust`, holds no such generator, or `out` is of another kind.
    """
    import torch
    from safetensors.torch import save_file

    from grid_inpainting import lama

    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: expected a name that ends in .safetensors")
    weights = _generator(_open(checkpoint, trust))
    shape = lama.shape_of(weights)
    generator = lama.Generator(**shape)
    try:
        generator.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{checkpoint} is not the generator {shape}: {error}") from error
    with atomic_write(out) as draft:
        save_file({name: value.contiguous() for name, value in weights.items()}, draft)
    script = out.with_suffix(".pt")
    with torch.no_grad():
        lama.save_torchscript(lama.Painter(generator), script)
    write_card(script, Card(out.stem, "inpainting", (), trained_on=f"unknown: {checkpoint.name}", licence="unknown"))
    return shape


def _open(checkpoint: Path, trust: bool) -> Any:
    import torch

    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=not trust)
    except FileNotFoundError as error:
        raise ValueError(f"{checkpoint}: no such file") from error
    except pickle.UnpicklingError as error:
        hint = "it holds more than weights: if you trust where it comes from, give --trust"
        raise ValueError(f"{checkpoint}: {hint if not trust else f'cannot be read ({error})'}") from error
    except (RuntimeError, EOFError, ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{checkpoint}: cannot be read ({error}); expected a checkpoint of torch.save") from error


def _generator(opened: Any) -> dict[str, Any]:
    state = opened.get("state_dict", opened) if isinstance(opened, Mapping) else {}
    for prefix in PREFIXES:
        names = [name for name in state if name.startswith(f"{prefix}model.")]
        found = {name.removeprefix(prefix): state[name] for name in names}
        if found:
            return found
    raise ValueError(f"no generator in it: expected weights named {PREFIXES[0]}model.1.ffc.convl2l.weight and so on")


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    what = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m grid_inpainting.convert", description=what)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of LaMa's training")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--trust", action="store_true", help="open it even if that runs code it contains")
    given = parser.parse_args(argv)
    try:
        shape = main(**vars(given))
    except (ValueError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    print(f"{given.out} and {given.out.with_suffix('.pt')}: generator {shape}")
    return 0


if __name__ == "__main__":
    sys.exit(run())
