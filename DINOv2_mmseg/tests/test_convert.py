from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from DINOv2_mmseg import convert, sam  # noqa: E402

from .tiny_sam import tiny_sam  # noqa: E402

# How segment-anything names its weights: `self.blocks`, `self.norm1`, `nn.Sequential` of a neck and so on in its
# image_encoder.py, prompt_encoder.py, mask_decoder.py and transformer.py, from the names that transformers has.
TO_ORIGINAL = (
    (r"^shared_image_embedding.positional_embedding$", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^vision_encoder.patch_embed.projection", "image_encoder.patch_embed.proj"),
    (r"^vision_encoder.neck.conv1", "image_encoder.neck.0"),
    (r"^vision_encoder.neck.layer_norm1", "image_encoder.neck.1"),
    (r"^vision_encoder.neck.conv2", "image_encoder.neck.2"),
    (r"^vision_encoder.neck.layer_norm2", "image_encoder.neck.3"),
    (r"^vision_encoder.layers", "image_encoder.blocks"),
    (r"^vision_encoder.pos_embed", "image_encoder.pos_embed"),
    (r"mask_embed.conv1", "mask_downscaling.0"),
    (r"mask_embed.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed.conv2", "mask_downscaling.3"),
    (r"mask_embed.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed.conv3", "mask_downscaling.6"),
    (r"point_embed\.(\d)", r"point_embeddings.\1"),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"(mlps\.\d|iou_prediction_head)\.layers\.0", r"\1.layers.1"),
    (r"(mlps\.\d|iou_prediction_head)\.proj_in", r"\1.layers.0"),
    (r"(mlps\.\d|iou_prediction_head)\.proj_out", r"\1.layers.2"),
    (r"layer_norm_final_attn", "norm_final_attn"),
    (r"\.layer_norm(\d)", r".norm\1"),
)
KNOWN = {  # as the published checkpoints have them
    "image_encoder.pos_embed",
    "image_encoder.patch_embed.proj.bias",
    "image_encoder.blocks.0.norm1.weight",
    "image_encoder.blocks.2.attn.rel_pos_w",
    "image_encoder.blocks.1.mlp.lin2.weight",
    "image_encoder.neck.3.bias",
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    "prompt_encoder.point_embeddings.3.weight",
    "prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.mask_downscaling.6.bias",
    "mask_decoder.transformer.layers.1.cross_attn_image_to_token.out_proj.bias",
    "mask_decoder.transformer.layers.0.norm4.weight",
    "mask_decoder.transformer.final_attn_token_to_image.q_proj.weight",
    "mask_decoder.transformer.norm_final_attn.bias",
    "mask_decoder.output_upscaling.3.weight",
    "mask_decoder.output_hypernetworks_mlps.3.layers.2.bias",
    "mask_decoder.iou_prediction_head.layers.1.weight",
}


def original(model: Any) -> dict[str, Any]:
    """The weights of a `SamModel` by the names of segment-anything."""
    state = {}
    for name, value in model.state_dict().items():
        if name == "prompt_encoder.shared_embedding.positional_embedding":
            continue  # tied to the image's
        for pattern, given in TO_ORIGINAL:
            name = re.sub(pattern, given, name)
        state[name] = value.clone()
    return state


def answer(model: Any) -> tuple[Any, Any]:
    """Masks and guesses for a fixed photo, a point and a box."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randn(1, 3, 64, 64, generator=generator)
    with torch.no_grad():
        said = model(
            pixel_values=pixels,
            input_points=torch.tensor([[[[20.0, 30.0]]]]),
            input_labels=torch.ones(1, 1, 1),
            input_boxes=torch.tensor([[[5.0, 9.0, 50.0, 44.0]]]),
        )
    return said.pred_masks, said.iou_scores


def same(a: Any, b: Any) -> bool:
    """Whether two networks answer alike, but for the last digit (memory laid out otherwise is summed otherwise)."""
    pairs = list(zip(answer(a), answer(b), strict=True))
    assert all(wanted.std() > 1e-2 for _, wanted in pairs)  # else likeness says nothing
    return all(torch.allclose(made, wanted, rtol=1e-4, atol=1e-4) for made, wanted in pairs)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_sam()


def test_the_original_names_are_those_of_published_checkpoints(model: Any) -> None:
    names = set(original(model))
    assert names >= KNOWN
    assert not any("vision_encoder" in name or "layer_norm" in name or "proj_in" in name for name in names)


def test_a_converted_checkpoint_answers_as_the_network_it_came_from(model: Any, tmp_path: Path) -> None:
    torch.save(original(model), tmp_path / "sam.pth")
    assert convert.run(["sam", str(tmp_path / "sam.pth"), "--out", str(tmp_path / "deep" / "out")]) == 0
    loaded = sam.load(tmp_path / "deep" / "out")
    assert same(loaded.model, model)
    assert all(torch.equal(loaded.model.state_dict()[name], value) for name, value in model.state_dict().items())
    assert loaded.model.config.vision_config.global_attn_indexes == [1]
    assert not loaded.single_mask
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["out"]


def test_exchanged_weights_are_seen(model: Any) -> None:
    state = original(model)
    a, b = "image_encoder.blocks.0.norm1.weight", "image_encoder.blocks.0.norm2.weight"
    state[a], state[b] = state[b] + 0.5, state[a]
    assert not same(convert.build(state), model)


@pytest.mark.parametrize("wrap", [lambda s: {"model": s}, lambda s: {f"module.{k}": v for k, v in s.items()}])
def test_what_trainings_wrap_round_the_weights_is_taken_off(model: Any, tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(original(model)), tmp_path / "sam.pth")
    assert convert.main(tmp_path / "sam.pth", tmp_path / "out") == []
    assert same(sam.load(tmp_path / "out").model, model)


def coralscop(model: Any) -> dict[str, Any]:
    """With the head that CoralSCOP's mask_decoder.py adds."""
    extra = [
        "cate_output_hypernetworks_mlps.0.layers.0.weight",
        "cate_feature_projection_head.layers.2.bias",
        "cate_prediction_head.layers.1.weight",
    ]
    return {**original(model), **{f"mask_decoder.{name}": torch.zeros(3) for name in extra}}


def test_coralscop_keeps_its_masks_and_gives_one_a_point(model: Any, tmp_path: Path) -> None:
    torch.save(coralscop(model), tmp_path / "coralscop.pth")
    left_out = convert.main(tmp_path / "coralscop.pth", tmp_path / "out")
    assert len(left_out) == 3
    assert all(name.startswith("mask_decoder.cate_") for name in left_out)
    loaded = sam.load(tmp_path / "out")
    assert loaded.single_mask
    assert same(loaded.model, model)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["single_mask"] is True


def test_three_files_in_a_folder(model: Any, tmp_path: Path) -> None:
    state = coralscop(model)
    (tmp_path / "parts").mkdir()
    for part in convert.PARTS:
        own = {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(f"{part}.")}
        torch.save(own, tmp_path / "parts" / f"{part}.pth")
    convert.main(tmp_path / "parts", tmp_path / "out")
    assert same(sam.load(tmp_path / "out").model, model)


def test_missing_unknown_and_misshapen_weights_are_named(model: Any) -> None:
    state = original(model)
    with pytest.raises(ValueError, match="no place.*image_encoder.extra, mask_decoder.hq"):
        convert.build({**state, "image_encoder.extra": torch.zeros(1), "mask_decoder.hq": torch.zeros(1)})
    fewer = {name: value for name, value in state.items() if name != "image_encoder.neck.1.bias"}
    with pytest.raises(ValueError, match="1 weights are missing.*neck.layer_norm1.bias"):
        convert.build(fewer)
    no_grid = {name: value for name, value in state.items() if name != "prompt_encoder.no_mask_embed.weight"}
    with pytest.raises(ValueError, match="no_mask_embed"):
        convert.build(no_grid)
    with pytest.raises(ValueError, match="(?s)do not fit.*norm_final_attn"):
        convert.build({**state, "mask_decoder.transformer.norm_final_attn.bias": torch.zeros(3)})


def test_code_in_a_checkpoint_is_run_under_trust_alone(
    model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sam.pth"
    torch.save({"model": original(model), "args": Path("somewhere")}, path)
    assert convert.run(["sam", str(path), "--out", str(tmp_path / "out")]) == 1
    assert "--trust" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert convert.run(["sam", str(path), "--out", str(tmp_path / "out"), "--trust"]) == 0


def test_bad_files_are_said(tmp_path: Path, model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert convert.run(["sam", str(tmp_path / "none.pth"), *out]) == 1
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "text.pth").write_bytes(b"not a checkpoint")
    assert convert.run(["sam", str(tmp_path / "text.pth"), *out]) == 1
    torch.save({"backbone.weight": torch.zeros(1)}, tmp_path / "other.pth")
    assert convert.run(["sam", str(tmp_path / "other.pth"), *out]) == 1
    assert "image_encoder.pos_embed" in capsys.readouterr().err
    torch.save(original(model), tmp_path / "sam.pth")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    assert convert.run(["sam", str(tmp_path / "sam.pth"), *out]) == 1
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_a_folder_that_lacks_weights_is_refused(model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("vision_encoder.neck.conv1.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"neck\.conv1\.weight"):
        sam.load(tmp_path)


def test_missing_weights_name_the_variable_and_where_they_are_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    monkeypatch.delenv("SAM_WEIGHTS", raising=False)
    with pytest.raises(FileNotFoundError, match=r"SAM_WEIGHTS.*facebook/sam-vit-base.*CoralSCOP"):
        sam.load()
    with pytest.raises(FileNotFoundError, match=r"SAM_WEIGHTS.*no config.json and no model.safetensors"):
        sam.load(tmp_path / "sam.pth")
    model.save_pretrained(tmp_path)
    monkeypatch.setenv("SAM_WEIGHTS", str(tmp_path))
    assert sam.load().input_px == 64
    assert sam.find_weights(tmp_path / "model.safetensors") == tmp_path
