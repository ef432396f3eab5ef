"""ViT-L with registers, of which only low-rank additions are trained: the most accurate that one GPU trains."""

_base_ = "base.py"

model = dict(
    backbone=dict(
        name="vit_large_patch14_reg4_dinov2",
        out_indices=(5, 11, 17, 23),
        tune="lora",
        checkpointing=True,
    )
)
backbone_lr = 0.5
layer_decay = 1.0
batch_size = 2
accumulate = 4
precision = "bf16"
