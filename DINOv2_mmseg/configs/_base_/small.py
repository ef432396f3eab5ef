"""A small transformer with a convolutional stem, from random weights: for a machine without GPU or DINOv2's weights."""

_base_ = "dinov2_segformer.py"

model = dict(
    backbone=dict(
        out_indices=(1, 3, 5),
        stem="conv",
        stem_widths=(32, 64, 128),
        stem_map=True,  # the first of the head's maps, of half the stride
        pretrained="",
        arguments=dict(
            patch_size=16, img_size=320, embed_dim=256, depth=6, num_heads=4, init_values=0.1, drop_path_rate=0.0
        ),
    ),
    decode_head=dict(channels=128, norm_cfg=dict(type="BN", requires_grad=True)),
)

work_px = 640
crop_px = 320
augment = dict(scales=(0.75, 1.5))
losses = dict(ce=1.0, dice=0.5)
class_weights = "sqrt"
steps = 4000
batch_size = 8
lr = 1e-3
backbone_lr = 1.0  # it learns from nothing, as the head does
warmup_steps = 200
ema = 0.998
workers = 1
val_period = 500
