"""ViT-S with registers, trained gently from DINOv2's weights: where to begin."""

_base_ = "base.py"
