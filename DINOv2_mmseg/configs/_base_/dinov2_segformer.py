"""DINOv2 ViT-S with registers and SegFormer's head on four of its blocks, all trained gently."""

_base_ = "settings.py"

model = dict(
    type="Segmenter",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,  # photos are read as red, green, blue
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type="DINOv2",
        name="vit_small_patch14_reg4_dinov2",
        out_indices=(2, 5, 8, 11),
        tune="full",  # full, lora or frozen
        lora_rank=16,
        checkpointing=False,
        pretrained="timm",  # DINOV2_WEIGHTS goes before it; a path; empty: random
        arguments=dict(drop_path_rate=0.1),  # of timm's network
    ),
    decode_head=dict(
        type="SegformerHead",
        channels=256,
        dropout_ratio=0.1,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
    ),
)
