"""A SAM checkpoint from outside -> a folder in transformers' format that `SAM_WEIGHTS` takes; opened once, never again.

    python -m DINOv2_mmseg.convert sam vit_b_coralscop.pth --out coralscop

Takes checkpoints of segment-anything (``sam_vit_b_01ec64.pth`` and its larger siblings) and of CoralSCOP, which are
laid out alike; of CoralSCOP also a folder of ``image_encoder.pth``, ``prompt_encoder.pth`` and ``mask_decoder.pth``.
CoralSCOP's own head, which tells coral from background, has no place in transformers' network and is left out (here the
semantic map does that); its network gives one mask a point, which the folder's ``config.json`` says.

What the checkpoint holds besides weights is never run, unless `--trust` allows to open it as a pickle.
"""

from __future__ import annotations

import argparse
import pickle
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTS = ("image_encoder", "prompt_encoder", "mask_decoder")
PREFIXES = ("", "module.", "model.", "sam.")
"""What trainings put before the names of the weights."""
CORALSCOP_ONLY = re.compile(r"mask_decoder\.cate_")
CONSTANTS = {"pixel_mean", "pixel_std"}
"""Kept by some checkpoints; transformers' format has no such weights and `sam` knows the numbers."""

_ATTENTION = r"(?:self_attn|cross_attn_token_to_image|cross_attn_image_to_token)"
_RULES: tuple[tuple[str, str, dict[str, str]], ...] = (
    # the name in a checkpoint, in transformers, and what the group "at" (a place in a list of layers) is called there
    (r"image_encoder\.pos_embed", "vision_encoder.pos_embed", {}),
    (r"image_encoder\.patch_embed\.proj\.(\w+)", "vision_encoder.patch_embed.projection.{}", {}),
    (r"image_encoder\.blocks\.(\d+)\.norm(\d\.\w+)", "vision_encoder.layers.{}.layer_norm{}", {}),
    (r"image_encoder\.blocks\.(\d+)\.((?:attn|mlp)\..+)", "vision_encoder.layers.{}.{}", {}),
    (
        r"image_encoder\.neck\.(?P<at>\d)\.(\w+)",
        "vision_encoder.neck.{}.{}",
        {"0": "conv1", "1": "layer_norm1", "2": "conv2", "3": "layer_norm2"},
    ),
    (
        r"prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix",
        "shared_image_embedding.positional_embedding",
        {},
    ),
    (r"prompt_encoder\.point_embeddings\.(\d\.weight)", "prompt_encoder.point_embed.{}", {}),
    (
        r"prompt_encoder\.mask_downscaling\.(?P<at>\d)\.(\w+)",
        "prompt_encoder.mask_embed.{}.{}",
        {"0": "conv1", "1": "layer_norm1", "3": "conv2", "4": "layer_norm2", "6": "conv3"},
    ),
    (r"prompt_encoder\.((?:no_mask_embed|not_a_point_embed)\.weight)", "prompt_encoder.{}", {}),
    (r"mask_decoder\.((?:iou_token|mask_tokens)\.weight)", "mask_decoder.{}", {}),
    (
        r"mask_decoder\.output_upscaling\.(?P<at>\d)\.(\w+)",
        "mask_decoder.{}.{}",
        {"0": "upscale_conv1", "1": "upscale_layer_norm", "3": "upscale_conv2"},
    ),
    (
        r"mask_decoder\.(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.(?P<at>\d)\.(\w+)",
        "mask_decoder.{}.{}.{}",
        {"0": "proj_in", "1": "layers.0", "2": "proj_out"},
    ),
    (r"mask_decoder\.transformer\.norm_final_attn\.(\w+)", "mask_decoder.transformer.layer_norm_final_attn.{}", {}),
    (r"mask_decoder\.transformer\.(layers\.\d+)\.norm(\d\.\w+)", "mask_decoder.transformer.{}.layer_norm{}", {}),
    (
        rf"mask_decoder\.transformer\.((?:layers\.\d+\.(?:{_ATTENTION}|mlp)|final_attn_token_to_image)\..+)",
        "mask_decoder.transformer.{}",
        {},
    ),
)
_NAMES = tuple((re.compile(pattern), name, places) for pattern, name, places in _RULES)


def main(checkpoint: Path, out: Path, *, trust: bool = False) -> list[str]:
    """Convert a checkpoint of segment-anything or CoralSCOP.

    Args:
        checkpoint: a file of `torch.save`, or a folder of three.
        out: the folder to write; not there yet, or empty.
        trust: open the checkpoint even if that runs code that it contains.

    Returns:
        The weights that were left out: those of CoralSCOP's own head.

    Raises:
        ValueError: it cannot be opened without `trust`, a weight is missing, has no place or another shape.
        FileExistsError: `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already: give a folder that is empty or not there")
    state = weights_of(checkpoint, trust)
    left_out = sorted(name for name in state if CORALSCOP_ONLY.match(name))
    kept = {name: value for name, value in state.items() if name not in CONSTANTS and name not in set(left_out)}
    model = build(kept, single_mask=bool(left_out))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as draft:
        made = Path(draft) / "made"
        model.save_pretrained(made)
        if out.exists():
            out.rmdir()
        shutil.move(made, out)
    return left_out


# ---------------------------------------------------------------------------------------------- opening


def weights_of(checkpoint: Path, trust: bool = False) -> dict[str, Any]:
    """The weights of a checkpoint by the names of segment-anything.

    Raises:
        ValueError: it cannot be read, or not without `trust`, or holds no such network.
    """
    if checkpoint.is_dir():
        opened: Any = {
            f"{part}.{name}": value
            for part in PARTS
            for name, value in _open(checkpoint / f"{part}.pth", trust).items()
        }
    else:
        opened = _open(checkpoint, trust)
    for key in ("state_dict", "model"):
        opened = opened.get(key, opened) if isinstance(opened, Mapping) else {}
    for prefix in PREFIXES:
        if f"{prefix}image_encoder.pos_embed" in opened:
            return {name.removeprefix(prefix): value for name, value in opened.items()}
    raise ValueError(f"{checkpoint}: no SAM in it; expected weights named image_encoder.pos_embed and so on")


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


# ---------------------------------------------------------------------------------------------- names and shapes


def renamed(name: str) -> str | None:
    """What transformers calls a weight of segment-anything; `None` for a name that is none of its."""
    for pattern, template, places in _NAMES:
        if match := pattern.fullmatch(name):
            parts = list(match.groups())
            if places:
                at = pattern.groupindex["at"] - 1
                if parts[at] not in places:
                    return None
                parts[at] = places[parts[at]]
            return template.format(*parts)
    return None


def build(state: Mapping[str, Any], *, single_mask: bool = False) -> Any:
    """Transformers' `SamModel` with the weights of a checkpoint.

    Args:
        state: weights by the names of segment-anything.
        single_mask: the network gives one mask a point, not three.

    Raises:
        ValueError: a weight is missing, has no place or another shape; the message names it.
    """
    from transformers import SamModel

    new = {name: renamed(name) for name in state}
    if unknown := sorted(name for name, given in new.items() if given is None):
        raise ValueError(f"{len(unknown)} weights have no place in SAM: {', '.join(unknown[:8])}")
    model = SamModel(config_of(state, single_mask))
    weights = {given: state[name] for name, given in new.items() if given}
    tied = "shared_image_embedding.positional_embedding"  # the prompts' too
    expected = set(model.state_dict()) - {"prompt_encoder.shared_embedding.positional_embedding"}
    if missing := sorted(expected - set(weights)):
        raise ValueError(f"{len(missing)} weights are missing (by transformers' names): {', '.join(missing[:8])}")
    try:
        model.load_state_dict({**weights, "prompt_encoder.shared_embedding.positional_embedding": weights[tied]})
    except RuntimeError as error:
        raise ValueError(f"weights do not fit each other: {error}") from error
    return model.eval()


def config_of(state: Mapping[str, Any], single_mask: bool = False) -> Any:
    """Transformers' `SamConfig` for the shapes of a checkpoint's weights.

    Raises:
        ValueError: a weight that the shapes are read from is missing.
    """
    from transformers import SamConfig

    try:
        vision, prompt, decoder = _vision(state), _prompt(state), _decoder(state)
    except KeyError as error:
        raise ValueError(f"the weight {error} is missing") from error
    prompt |= {key: vision[key] for key in ("image_size", "patch_size")}
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    config.architectures = ["SamModel"]
    config.single_mask = single_mask
    return config


def _vision(state: Mapping[str, Any]) -> dict[str, Any]:
    _, grid, _, hidden = state["image_encoder.pos_embed"].shape
    patch = state["image_encoder.patch_embed.proj.weight"].shape[-1]
    count = _count(state, r"image_encoder\.blocks\.(\d+)\.")
    reaches = [state[f"image_encoder.blocks.{place}.attn.rel_pos_h"].shape for place in range(count)]
    windows = [(length + 1) // 2 for length, _ in reaches]
    return {
        "hidden_size": hidden,
        "output_channels": state["image_encoder.neck.0.weight"].shape[0],
        "num_hidden_layers": count,
        "num_attention_heads": hidden // reaches[0][1],
        "image_size": grid * patch,
        "patch_size": patch,
        "window_size": min(windows),
        "global_attn_indexes": [place for place, window in enumerate(windows) if window == grid],
        "num_pos_feats": state["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"].shape[1],
        "mlp_dim": state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
    }


def _prompt(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "hidden_size": state["prompt_encoder.no_mask_embed.weight"].shape[1],
        "mask_input_channels": state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
        "num_point_embeddings": _count(state, r"prompt_encoder\.point_embeddings\.(\d+)\."),
    }


def _decoder(state: Mapping[str, Any]) -> dict[str, Any]:
    hidden = state["mask_decoder.iou_token.weight"].shape[1]
    narrow = state["mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight"].shape[0]
    return {
        "hidden_size": hidden,
        "mlp_dim": state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        "num_hidden_layers": _count(state, r"mask_decoder\.transformer\.layers\.(\d+)\."),
        "num_attention_heads": 8,  # of every published one; no weight tells it
        "attention_downsample_rate": hidden // narrow,
        "num_multimask_outputs": state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
        "iou_head_hidden_dim": state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    }


def _count(state: Mapping[str, Any], pattern: str) -> int:
    places = [int(match[1]) for name in state if (match := re.match(pattern, name))]
    return max(places, default=-1) + 1


# ---------------------------------------------------------------------------------------------- command


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    what = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m DINOv2_mmseg.convert", description=what)
    parser.add_argument("kind", choices=["sam"], help="what the checkpoint is of")
    parser.add_argument(
        "checkpoint", type=Path, help="a .pth file of segment-anything or CoralSCOP, or a folder of three"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--trust", action="store_true", help="open it even if that runs code it contains")
    given = parser.parse_args(argv)
    try:
        left_out = main(given.checkpoint, given.out, trust=given.trust)
    except (ValueError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    print(f"{given.out}: set SAM_WEIGHTS to it")
    if left_out:
        print(f"left out: {len(left_out)} weights of CoralSCOP's own head; the semantic map does its work")
    return 0


if __name__ == "__main__":
    sys.exit(run())
