"""DINOv2 ViT-S on rendered quadrats, from DINOv2's weights."""

_base_ = "../_base_/dinov2_segformer.py"

losses = dict(ce=1.0, dice=0.5)
class_weights = "sqrt"
layer_decay = 0.8
