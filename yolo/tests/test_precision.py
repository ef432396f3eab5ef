from __future__ import annotations

import torch
from ultralytics.nn.tasks import BaseModel, SegmentationModel

from yolo.precision import bfloat16_training


def test_training_computes_in_bfloat16_and_validation_does_not():
    torch.manual_seed(0)
    network = SegmentationModel("yolo11n-seg.yaml", nc=2, verbose=False)
    photo = torch.rand(1, 3, 64, 64)
    seen = []
    network.model[0].conv.register_forward_hook(lambda _module, _input, output: seen.append(output.dtype))
    plain = BaseModel._predict_once
    with bfloat16_training():
        trained = network.train()(photo)
        network.eval()(photo)
    assert seen == [torch.bfloat16, torch.float32]
    assert all(v.dtype == torch.float32 for v in torch.utils._pytree.tree_leaves(trained) if torch.is_tensor(v))
    assert BaseModel._predict_once is plain
