from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from DINOv2_mmseg import optimizing

from .tiny_segmenter import tiny_network

SETTINGS = {"lr": 0.01, "backbone_lr": 0.1, "stem_lr": 0.3, "layer_decay": 0.5, "weight_decay": 0.05}


def rates_of(network: torch.nn.Module, **settings: Any) -> dict[str, tuple[float, float]]:
    """Rate and decay by parameter's name."""
    groups = optimizing.parameter_groups(network, {**SETTINGS, **settings})
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups)  # none twice
    return {name: found[id(p)] for name, p in network.named_parameters() if id(p) in found}


def test_each_block_learns_slower_than_the_one_above_it() -> None:
    network, _ = tiny_network()
    rates = rates_of(network)
    assert rates.keys() == dict(network.named_parameters()).keys()
    last = 0.01 * 0.1
    assert rates["decode_head.conv_seg.weight"][0] == 0.01
    assert rates["backbone.vit.norm.weight"][0] == pytest.approx(last)
    assert rates["backbone.vit.blocks.1.attn.qkv.weight"][0] == pytest.approx(last)
    assert rates["backbone.vit.blocks.1.norm1.weight"][0] == pytest.approx(last)
    assert rates["backbone.vit.blocks.0.mlp.fc1.weight"][0] == pytest.approx(last * 0.5)
    for name in ("patch_embed.proj.last.weight", "pos_embed", "cls_token", "reg_token"):
        assert rates[f"backbone.vit.{name}"][0] == pytest.approx(last * 0.25)


def test_a_stem_that_starts_from_weights_has_a_rate_of_its_own() -> None:
    network, _ = tiny_network((*"ab",), 0, "model.backbone.stem=csp")
    stem = {name: rate for name, (rate, _) in rates_of(network).items() if ".proj." in name and ".blocks." not in name}
    new = stem.pop("backbone.vit.patch_embed.proj.last.weight"), stem.pop("backbone.vit.patch_embed.proj.last.bias")
    assert new == pytest.approx((0.00025, 0.00025))
    assert len(stem) > 20
    assert set(stem.values()) == {0.01 * 0.1 * 0.25 * 0.3}


def test_without_a_decay_of_layers_the_backbone_has_one_rate() -> None:
    network, _ = tiny_network()
    rates = rates_of(network, layer_decay=1.0)
    assert {rate for name, (rate, _) in rates.items() if name.startswith("backbone.")} == {0.001}


def test_biases_norms_and_embeddings_do_not_decay() -> None:
    network, _ = tiny_network()
    for name, (_, decay) in rates_of(network).items():
        none = (
            name.endswith((".bias", "pos_embed", "cls_token", "reg_token", ".gamma"))
            or ".norm" in name
            or ".bn" in name
        )
        parameter = network.get_parameter(name)
        assert decay == (0.0 if none or parameter.ndim == 1 else 0.05), name
        assert decay == 0.0 or parameter.ndim > 1


def test_what_is_frozen_is_in_no_group() -> None:
    network, _ = tiny_network((*"ab",), 0, "model.backbone.tune=frozen")
    learning = [name for name in rates_of(network) if not name.startswith("decode_head.")]
    assert learning  # the stem, which no pretrained weights fit
    assert all(".patch_embed.proj." in name for name in learning)
    network.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing is trained"):
        optimizing.parameter_groups(network, SETTINGS)


def test_low_rank_additions_have_their_blocks_rate() -> None:
    network, _ = tiny_network((*"ab",), 0, "model.backbone.tune=lora", "model.backbone.lora_rank=2")
    rates = {name: rate for name, (rate, _) in rates_of(network).items() if name.startswith("backbone.")}
    assert all("lora_" in name or ".patch_embed.proj." in name for name in rates)
    assert {round(rate / 0.001, 6) for name, rate in rates.items() if ".blocks.0." in name} == {0.5}
    assert {round(rate / 0.001, 6) for name, rate in rates.items() if ".blocks.1." in name} == {1.0}


def test_rates_rise_then_fall_as_a_cosine() -> None:
    factors = [optimizing.rate_factor(step, 100, 10) for step in range(101)]
    assert factors[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert factors[100] == pytest.approx(0.01)
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))
    assert optimizing.rate_factor(0, 1, 0) == 1
    assert optimizing.rate_factor(5, 5, 9) == pytest.approx(6 / 9)  # a run shorter than its warm-up


def test_mixed_precision_computes_in_16_bits_and_learns_in_32() -> None:
    layer = torch.nn.Linear(4, 4)
    wrapper = optimizing.MixedPrecision(torch.optim.SGD(layer.parameters(), 0.1))
    with wrapper.optim_context(layer):
        out = layer(torch.ones(2, 4))
    assert out.dtype == torch.bfloat16
    before = layer.weight.detach().clone()
    wrapper.update_params(out.float().square().mean())
    assert layer.weight.dtype == torch.float32
    assert not torch.equal(layer.weight, before)
