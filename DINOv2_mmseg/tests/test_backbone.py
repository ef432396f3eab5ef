from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from DINOv2_mmseg import backbone
from DINOv2_mmseg.backbone import DINOv2

V2, REGISTERS, V3 = "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 56}


@pytest.fixture(autouse=True)
def _no_weights_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(backbone.WEIGHTS_VARIABLE, raising=False)
    torch.manual_seed(0)


def small(name: str = V2, **more: Any) -> DINOv2:
    arguments = {**SMALL, **more.pop("arguments", {})}
    return DINOv2(name, **{"out_indices": (0, 1), **more}, arguments=arguments)


def picture(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [V2, REGISTERS, V3])
def test_an_image_of_any_size_gives_a_cell_a_patch(name: str) -> None:
    network = small(name, arguments={"img_size": 64 if name == V3 else 56}).eval()
    patch = network.patch_px
    assert (patch, network.channels) == (16 if name == V3 else 14, [32, 32])
    for height, width in ((1, 1), (patch, patch), (patch + 1, 3), (59, 200), (4 * patch, 4 * patch)):
        with torch.no_grad():
            maps = network(picture(height, width, 2))
        cells = -(-height // patch), -(-width // patch)
        assert [tuple(one.shape) for one in maps] == [(2, 32, *cells)] * 2


def test_registers_and_the_number_of_blocks_are_what_the_name_says() -> None:
    assert small(REGISTERS).vit.reg_token.shape == (1, 4, 32)
    assert small(V2).vit.reg_token is None
    assert small(V3).vit.reg_token.shape[1] == 4
    assert len(small(arguments={"depth": 3}, out_indices=(0, 1, 2))(picture(14, 14))) == 3


def test_blocks_are_given_from_the_first() -> None:
    network = small(arguments={"depth": 3}, out_indices=(0, 2)).eval()
    every = network.vit.forward_intermediates(picture(28, 28), norm=True, intermediates_only=True)
    some = network(picture(28, 28))
    assert torch.equal(some[0], every[0])
    assert torch.equal(some[1], every[2])


@pytest.mark.parametrize("name", [V2, V3])
def test_what_is_no_whole_patch_is_padded_right_and_below(name: str) -> None:
    network = small(name, arguments={"img_size": 64 if name == V3 else 56}).eval()
    image, p = picture(59, 75), network.patch_px
    height, width = (-(-side // p) * p for side in (59, 75))
    whole = torch.zeros(1, 3, height, width)
    whole[..., :59, :75] = image
    assert torch.equal(backbone._padded(image, p), whole)
    assert backbone._padded(whole, p) is whole or torch.equal(backbone._padded(whole, p), whole)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(network(image), network(whole), strict=True))


def each_for_itself(network: DINOv2) -> DINOv2:
    """Without attention a cell sees its own patch alone."""
    for block in network.vit.blocks:
        nn.init.zeros_(block.attn.proj.weight)
        nn.init.zeros_(block.attn.proj.bias)
    return network


def test_a_cell_begins_at_a_multiple_of_the_patch() -> None:
    network = each_for_itself(small()).eval()
    image = picture(59, 75)
    with torch.no_grad():
        before = network(image)[-1]
        for y, x in ((0, 0), (13, 14), (58, 74), (27, 28), (56, 69)):
            other = image.clone()
            other[..., y, x] += 5
            changed = (network(other)[-1] - before).abs().amax(dim=1)[0] > 1e-6
            assert changed.nonzero().tolist() == [[y // 14, x // 14]]


def test_the_position_embedding_is_interpolated() -> None:
    """In an image twice as large a place in the middle is known from both its neighbours of before."""
    network = each_for_itself(small()).eval()
    with torch.no_grad():
        network.vit.pos_embed.normal_()
        same, twice = (network(torch.zeros(1, 3, side, side))[-1] for side in (56, 112))
    assert same.shape[-1] == 4
    assert twice.shape[-1] == 8
    near = nn.functional.interpolate(same, scale_factor=2, mode="nearest")
    far = near.flip(-1)
    assert (twice - near).abs().mean() < 0.7 * (twice - far).abs().mean()


# ------------------------------------------------------------------------------------------ what is trained


@pytest.mark.parametrize("name", [V2, V3])
def test_low_rank_additions_alone_are_trained_and_begin_as_nothing(name: str) -> None:
    torch.manual_seed(0)
    plain = small(name).eval()
    torch.manual_seed(0)
    added = small(name, tune="lora", lora_rank=2).eval()
    image = picture(40, 40)
    with torch.no_grad():
        for a, b in zip(plain(image), added(image), strict=True):
            torch.testing.assert_close(a, b)
    trained = {n: p for n, p in added.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * 2  # up and down of two matrices in two blocks
    assert all("lora_" in n and 2 in p.shape for n, p in trained.items())
    added.train()
    sum(one.square().mean() for one in added(image)).backward()
    assert all(p.grad is not None for p in trained.values())
    assert all(p.grad is None for p in added.parameters() if not p.requires_grad)


def test_a_frozen_network_stays_as_in_inference() -> None:
    network = small(tune="frozen", arguments={"drop_path_rate": 0.9, "proj_drop_rate": 0.9}).train()
    assert not any(module.training for module in network.vit.modules())
    assert not any(p.requires_grad for p in network.parameters())
    first, second = network(picture(28, 28)), network(picture(28, 28))
    assert torch.equal(first[-1], second[-1])
    loose = small(arguments={"drop_path_rate": 0.9, "proj_drop_rate": 0.9}).train()
    assert not torch.equal(loose(picture(28, 28))[-1], loose(picture(28, 28))[-1])


def gradients(network: DINOv2) -> tuple[dict[str, torch.Tensor], int]:
    """Of all that is trained, and how often the first block ran."""
    runs: list[int] = []
    network.vit.blocks[0].register_forward_pre_hook(lambda *_: runs.append(1))
    sum(one.square().mean() for one in network.train()(picture(28, 42, 2))).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}, len(runs)


@pytest.mark.parametrize("tune", ["full", "lora"])
@pytest.mark.parametrize("name", [V2, V3])
def test_checkpointing_computes_again_and_gives_the_same_gradients(name: str, tune: str) -> None:
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        found.append(gradients(small(name, checkpointing=checkpointing, tune=tune)))
    (plain, once), (saved, twice) = found
    assert (once, twice) == (1, 2)
    assert plain.keys() == saved.keys()
    assert len(plain) >= 4
    for key, value in plain.items():
        torch.testing.assert_close(saved[key], value)


# ------------------------------------------------------------------------------------------ convolutional stem


def stemmed(**more: Any) -> DINOv2:
    arguments = {"patch_size": 16, "img_size": 64}
    return small(REGISTERS, stem="conv", stem_widths=(4, 6, 8), arguments=arguments, **more)


def test_a_stem_gives_a_finer_map_first() -> None:
    network = stemmed(stem_map=True).eval()
    assert network.channels == [8, 32, 32]
    with torch.no_grad():
        shapes = [tuple(one.shape) for one in network(picture(70, 33))]
    assert shapes == [(1, 8, 10, 6), (1, 32, 5, 3), (1, 32, 5, 3)]
    assert network.vit.patch_embed.proj._finer is None  # else it would keep the graph alive
    assert stemmed().channels == [32, 32]
    assert small(stem_map=True).channels == [32, 32]  # a patch's one convolution has no finer map


# ------------------------------------------------------------------------------------------ weights


def random_vit(name: str = V2) -> nn.Module:
    torch.manual_seed(7)
    size = {"img_size": 64} if name == V3 else {}
    network = timm.create_model(name, pretrained=False, num_classes=0, **{**SMALL, **size})
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.2)
    return network


def save_plain(network: nn.Module, path: Path) -> None:
    torch.save(network.state_dict(), path)


def save_safetensors(network: nn.Module, path: Path) -> None:
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)


def save_as_meta(network: nn.Module, path: Path) -> None:
    """As facebookresearch/dinov2 names things: a mask token, registers apart, a place of the class token's own."""
    tensors = {**network.state_dict(), "mask_token": torch.zeros(1, 32)}
    if "reg_token" in tensors:
        tensors["register_tokens"] = tensors.pop("reg_token")
        of_class = torch.full((1, 1, 32), 0.25)
        tensors["pos_embed"] = torch.cat([of_class, tensors["pos_embed"]], dim=1)
        tensors["cls_token"] = tensors["cls_token"] - of_class
    torch.save(tensors, path)


@pytest.mark.parametrize(
    ("name", "save", "file"),
    [
        (V2, save_plain, "weights.pth"),
        (V2, save_safetensors, "model.safetensors"),
        (V2, save_as_meta, "dinov2_vits14_pretrain.pth"),
        (REGISTERS, save_as_meta, "dinov2_vits14_reg4_pretrain.pth"),
        (V3, save_safetensors, "model.safetensors"),
    ],
)
def test_weights_are_taken_from_a_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    save: Callable[[nn.Module, Path], None],
    file: str,
) -> None:
    theirs = random_vit(name).eval()
    save(theirs, tmp_path / file)
    monkeypatch.setenv(backbone.WEIGHTS_VARIABLE, str(tmp_path / file))
    size = {"img_size": 64} if name == V3 else {}
    by_variable = small(name, pretrained="timm", arguments=size).eval()
    monkeypatch.delenv(backbone.WEIGHTS_VARIABLE)
    by_path = small(name, pretrained=str(tmp_path / file), arguments=size).eval()
    image = picture(4 * by_path.patch_px, 4 * by_path.patch_px)
    with torch.no_grad():
        wanted = theirs.forward_intermediates(image, norm=True, intermediates_only=True)[-1]
        for network in (by_variable, by_path):
            torch.testing.assert_close(network(image)[-1], wanted, atol=1e-5, rtol=1e-4)


def test_weights_of_another_image_size_fit(tmp_path: Path) -> None:
    save_plain(random_vit(), tmp_path / "w.pth")
    network = small(pretrained=str(tmp_path / "w.pth"), arguments={"img_size": 84})
    assert network.vit.pos_embed.shape == (1, 37, 32)


def test_without_pretrained_the_variable_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backbone.WEIGHTS_VARIABLE, "/nowhere.pth")
    assert small(pretrained="")


@pytest.mark.parametrize("by_variable", [True, False])
def test_missing_weights_name_the_variable_and_where_to_get_some(
    monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    if by_variable:
        monkeypatch.setenv(backbone.WEIGHTS_VARIABLE, "/nowhere.pth")
    with pytest.raises(FileNotFoundError, match="(?s)DINOV2_WEIGHTS.*/nowhere.pth: no such file.*huggingface.co/timm"):
        small(pretrained="timm" if by_variable else "/nowhere.pth")


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = timm.create_model

    def offline(name: str, pretrained: bool = False, **more: Any) -> nn.Module:
        if pretrained:
            raise OSError("no route to huggingface.co\nand more")
        return plain(name, **more)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(FileNotFoundError, match="OSError: no route to.*huggingface.co/timm.*DINOV2_WEIGHTS"):
        small(pretrained="timm")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_plain(random_vit(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="does not hold the weights of vit_small_patch14_dinov2.*blocks.2"):
        small(pretrained=str(tmp_path / "w.pth"), arguments={"depth": 3})
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match="does not hold the weights of"):
        small(pretrained=str(tmp_path / "text.pth"))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"name": "vit_tiny_dinov9"}, "timm has no such network; there are .*vit_small_patch14_dinov2"),
        ({"tune": "half"}, "expected full, lora, frozen"),
        ({"stem": "wood"}, "patch, conv, csp"),
        ({"out_indices": (0, 2)}, "has the blocks 0 to 1"),
        ({"out_indices": ()}, "has the blocks 0 to 1"),
    ],
)
def test_unfit_arguments_are_refused(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        small(**wrong)


@pytest.mark.parametrize(
    ("name", "width", "depth"),
    [
        ("vit_base_patch14_dinov2", 768, 12),
        ("vit_base_patch14_reg4_dinov2", 768, 12),
        ("vit_large_patch14_reg4_dinov2", 1024, 24),
        ("vit_small_patch14_reg4_dinov2", 384, 12),
    ],
)
def test_large_networks_are_built_as_published(name: str, width: int, depth: int) -> None:
    with torch.device("meta"):
        network = DINOv2(name, out_indices=(0, depth - 1))
    assert (network.channels, len(network.vit.blocks), network.patch_px) == ([width] * 2, depth, 14)
    assert network.vit.pos_embed.shape[1] in (37**2, 37**2 + 1)
