"""Points, a linear head on a frozen ViT-B: the least that can go wrong with few points."""

_base_ = "../_base_/linear.py"

model = dict(backbone=dict(name="vit_base_patch14_reg4_dinov2", tune="frozen", out_indices=(11,)))
steps = 2000
monitor = "overall_accuracy"
