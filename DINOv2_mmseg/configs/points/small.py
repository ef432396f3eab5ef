"""Points, from random weights: a smaller transformer yet, and views round points."""

_base_ = "../_base_/small.py"

model = dict(
    backbone=dict(out_indices=(0, 1), arguments=dict(img_size=256, embed_dim=128, depth=2)),
    decode_head=dict(channels=64, dropout_ratio=0.2),
)

work_px = 1024
crop_px = 256
augment = dict(scales=(0.7, 1.4), tilt_deg=20.0, colour=0.6)
losses = dict(dice=0.0)
class_weights = "none"
steps = 300
warmup_steps = 50
weight_decay = 0.1
ema = 0.99
val_period = 100
monitor = "overall_accuracy"
log_period = 10
