"""ViT-B with registers: better where there are some hundred photographs and a GPU of 16 GB."""

_base_ = "base.py"

model = dict(backbone=dict(name="vit_base_patch14_reg4_dinov2"))
batch_size = 4
accumulate = 2
