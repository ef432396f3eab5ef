from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from DINOv2_mmseg.stems import ConvStem, CspStem


def picture(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stem", [ConvStem((4, 6, 128), 32, 16), CspStem(32, 16)])
def test_a_stem_makes_patches_and_keeps_a_finer_map_once(stem: ConvStem | CspStem) -> None:
    with torch.no_grad():
        assert stem.eval()(picture(32, 48)).shape == (1, 32, 2, 3)
    assert stem.take_finer().shape == (1, stem.finer_channels, 4, 6)
    assert stem.finer_channels == 128
    assert stem._finer is None  # else it would keep the graph alive


@pytest.mark.parametrize("stem", [ConvStem((4, 6, 8), 32, 16), CspStem(32, 16)])
def test_a_cell_looks_at_its_patch_more_than_at_others(stem: ConvStem | CspStem) -> None:
    """The strongest gradient of a cell falls nearer to the middle of its own patch than to that of another."""
    image = picture(96, 96).requires_grad_()
    for parameter in stem.parameters():
        nn.init.constant_(parameter, 0.05)
    stem.eval()(image)[0, :, 3, 2].sum().backward()
    assert image.grad is not None
    seen = image.grad.abs().sum(dim=(0, 1))
    y, x = divmod(int(seen.argmax()), 96)
    assert abs(y - 55.5) < 16
    assert abs(x - 39.5) < 16


def test_a_stem_must_make_the_patch() -> None:
    with pytest.raises(ValueError, match=r"stem_widths \[4, 6\] halve 3 times: no patch of 16 px"):
        ConvStem((4, 6), 32, 16)
    with pytest.raises(ValueError, match="patches of 16 px, not 14"):
        CspStem(32, 14)


def test_the_csp_stem_is_the_first_layers_of_a_yolo11n(tmp_path: Path) -> None:
    tasks = pytest.importorskip("ultralytics.nn.tasks")
    torch.manual_seed(0)
    yolo = tasks.SegmentationModel("yolo11n-seg.yaml", nc=3, verbose=False).eval()
    for name, figure in yolo.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            figure.uniform_(0.3, 1.2)
    fused = yolo.fuse(verbose=False)
    image = picture(64, 96)
    kept, x = [], image
    with torch.no_grad():
        for layer in fused.model[:7]:
            x = layer(x)
            kept.append(x)
    save_file(
        {f"net.{name}": value.contiguous() for name, value in fused.state_dict().items()}, tmp_path / "y.safetensors"
    )
    stem = CspStem(32, 16, str(tmp_path / "y.safetensors")).eval()
    with torch.no_grad():
        found = stem(image)
        torch.testing.assert_close(stem.take_finer(), kept[4], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(found, stem.last(kept[6]), atol=1e-4, rtol=1e-3)


def test_weights_come_from_a_torchscript_as_well(tmp_path: Path) -> None:
    theirs = CspStem(32, 16).eval()
    scripted = torch.jit.trace(nn.Sequential(OrderedDict(model=theirs.model)).eval(), picture(32, 32))
    scripted.save(str(tmp_path / "y.torchscript"))
    mine = CspStem(8, 16, str(tmp_path / "y.torchscript")).eval()
    with torch.no_grad():
        torch.testing.assert_close(mine.model(picture(32, 32)), theirs.model(picture(32, 32)))


def test_weights_that_are_missing_or_of_something_else_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="stem_weights is /nowhere.safetensors: no such file"):
        CspStem(32, 16, "/nowhere.safetensors")
    save_file({"model.0.conv.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors has 0 weights model.0.conv.bias of \[16\]"):
        CspStem(32, 16, str(tmp_path / "other.safetensors"))
