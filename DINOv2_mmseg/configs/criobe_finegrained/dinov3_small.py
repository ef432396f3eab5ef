"""DINOv3 ViT-S in place of DINOv2. Its weights have a licence of their own: read it before you take them."""

_base_ = "base.py"

model = dict(backbone=dict(name="vit_small_patch16_dinov3"))
crop_px = 512
work_px = 1024
