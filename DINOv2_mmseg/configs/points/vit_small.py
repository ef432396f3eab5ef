"""Points, from DINOv2's weights: ViT-S with registers, its blocks nearly left as they are."""

_base_ = "../_base_/dinov2_segformer.py"

augment = dict(scales=(0.7, 1.4), tilt_deg=20.0)
layer_decay = 0.7
steps = 4000
monitor = "overall_accuracy"
