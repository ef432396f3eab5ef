"""Points, from random weights: a small transformer with a convolutional stem, for a machine without a GPU."""

_base_ = "../rendered/small.py"

model = dict(decode_head=dict(dropout_ratio=0.2))
work_px = 1024
crop_px = 256
label_stride = 1  # points are single pixels
augment = dict(scales=(0.7, 1.4), tilt_deg=20.0, colour=0.6)
losses = dict(ce=1.0, dice=0.0)
class_weights = "none"
steps = 400
batch_size = 8
warmup_steps = 50
weight_decay = 0.1
ema = 0.99
val_period = 100
val_limit = 0
monitor = "overall_accuracy"
log_period = 10
