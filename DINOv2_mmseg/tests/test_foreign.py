from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from DINOv2_mmseg import foreign, model, network
from quadrat.predictor import Card, write_card

from .conftest import Trained
from .tiny_segmenter import LABELS, drawn

CONFIG = """
norm = dict(type="BN", requires_grad=True)
crop_size = (64, 64)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
        pad_val=0, seg_pad_val=255, size=crop_size,
    ),
    backbone=dict(
        type="MixVisionTransformer", embed_dims=8, num_stages=4, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 1, 1],
        patch_sizes=[7, 3, 3, 3], sr_ratios=[8, 4, 2, 1], out_indices=(0, 1, 2, 3), mlp_ratio=2,
    ),
    decode_head=dict(
        type="SegformerHead", in_channels=[8, 8, 8, 8], in_index=[0, 1, 2, 3], channels=16, dropout_ratio=0.1,
        num_classes=150, norm_cfg=norm, align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(96, 96), stride=(48, 48)),
)
"""


@pytest.fixture
def theirs(tmp_path: Path) -> SimpleNamespace:
    """A SegFormer as mmsegmentation trains it: config, network and checkpoint with what mmengine puts in."""
    from mmengine.config import Config
    from mmengine.logging import HistoryBuffer

    config = tmp_path / "theirs.py"
    config.write_text(CONFIG)
    torch.manual_seed(0)
    built = network.build(Config.fromfile(str(config))["model"], 3).eval()
    for weight in built.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    checkpoint = {
        "meta": {"dataset_meta": {"classes": LABELS, "palette": [[0, 0, 0]] * 3}, "iter": 7, "cfg": CONFIG},
        "state_dict": built.state_dict(),
        "message_hub": {"log_scalars": {"train/loss": HistoryBuffer([1.0, 0.5], [1, 1])}, "runtime_info": {"iter": 7}},
        "optimizer": {"state": {}, "param_groups": [{"lr": np.float64(0.1)}]},
    }
    torch.save(checkpoint, tmp_path / "theirs.pth")
    return SimpleNamespace(config=config, path=tmp_path / "theirs.pth", network=built, checkpoint=checkpoint)


def test_a_segformer_of_mmsegmentation_is_loaded(theirs: SimpleNamespace) -> None:
    loaded, spec = foreign.load(theirs.path, theirs.config)
    assert (spec.labels, spec.background) == (LABELS, LABELS[:1])
    assert (spec.window_px, spec.patch_px, spec.work_px) == (96, 32, 0)
    image = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        wanted = network.logits(theirs.network, image)
        assert torch.equal(network.logits(loaded, image), wanted)
    assert wanted.shape == (1, 3, 24, 16)
    assert not loaded.training


def test_a_predictor_takes_checkpoint_and_config(theirs: SimpleNamespace) -> None:
    found = model.load(theirs.path, config=theirs.config, work_px=96)
    assert found.card.labels == LABELS[1:]
    dense = found.segment(drawn(0)[0])
    assert (dense.scores.shape, dense.map.index.shape) == ((3, 24, 24), (64, 64))
    write_card(theirs.path, Card("theirs", "semantic", ("background", "a", "b")))
    with pytest.raises(ValueError, match=r"weights has 3, only there: \['Porites', 'Acropora'\]; card has 3"):
        model.load(theirs.path, config=theirs.config)


def test_a_checkpoint_and_config_of_our_own_runs_are_loaded(trained: Trained) -> None:
    run = trained.run("whole")
    loaded, spec = foreign.load(run / "checkpoints" / "last.pth", run / "config.py")
    kept, known = network.load(run / "weights" / "last.safetensors")
    assert (spec.labels, spec.background, spec.work_px, spec.window_px, spec.patch_px) == (
        known.labels,
        known.background,
        known.work_px,
        known.window_px,
        known.patch_px,
    )
    image = torch.rand(1, 3, 64, 80)
    with torch.no_grad():
        assert torch.equal(network.logits(loaded, image), network.logits(kept, image))


def test_a_state_dict_alone_does_where_the_config_names_the_classes(theirs: SimpleNamespace) -> None:
    torch.save(theirs.network.state_dict(), theirs.path)
    with pytest.raises(ValueError, match="neither the config nor .*theirs.pth names the classes"):
        foreign.load(theirs.path, theirs.config)
    theirs.config.write_text(f"{CONFIG}\nclasses = {list(LABELS)}\n")
    assert foreign.load(theirs.path, theirs.config)[1].labels == LABELS


def test_classes_that_differ_are_named_side_by_side(theirs: SimpleNamespace) -> None:
    theirs.config.write_text(f"{CONFIG}\nmetainfo = dict(classes=('background', 'Porites', 'Fungia'))\n")
    with pytest.raises(
        ValueError, match=r"config has 3, only there: \['Fungia'\]; weights has 3, only there: \['Acropora'\]"
    ):
        foreign.load(theirs.path, theirs.config)


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_in_a_checkpoint_is_run(theirs: SimpleNamespace, tmp_path: Path) -> None:
    torch.save({**theirs.checkpoint, "extra": Harmful(tmp_path / "harm")}, theirs.path)
    with pytest.raises(ValueError, match="cannot be opened as weights alone.*save its state_dict by itself"):
        foreign.load(theirs.path, theirs.config)
    assert not (tmp_path / "harm").exists()


class Reaching:
    """Asks for something of a history of figures that is no figure."""

    def __reduce__(self) -> Any:
        from mmengine.logging import HistoryBuffer

        return getattr, (HistoryBuffer, "__init__")


def test_a_checkpoint_cannot_reach_further_by_the_figures_it_names(theirs: SimpleNamespace) -> None:
    torch.save({**theirs.checkpoint, "extra": Reaching()}, theirs.path)
    with pytest.raises(ValueError, match="cannot be opened as weights alone .it asks for __init__"):
        foreign.load(theirs.path, theirs.config)


def test_what_does_not_fit_is_named(theirs: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="theirs.pth does not say which network.*SEGFORMER_CONFIG"):
        foreign.load(theirs.path, None)
    for text, expected in (("model = = 3", "not readable as a config"), ("a = 3", "no `model`")):
        (tmp_path / "bad.py").write_text(text)
        with pytest.raises(ValueError, match=f"SEGFORMER_CONFIG .*bad.py: {expected}"):
            foreign.load(theirs.path, tmp_path / "bad.py")
    with pytest.raises(ValueError, match="not readable as a config"):
        foreign.load(theirs.path, tmp_path / "missing.py")
    theirs.config.write_text(CONFIG.replace("channels=16", "channels=8"))
    with pytest.raises(ValueError, match=r"is of another network than its config says: 0 missing.*other shapes"):
        foreign.load(theirs.path, theirs.config)
    torch.save([1, 2], theirs.path)
    with pytest.raises(ValueError, match="holds a list: expected a checkpoint"):
        foreign.load(theirs.path, theirs.config)
