"""A linear head on a frozen ViT-B: minutes of training, and what the features alone are worth."""

_base_ = "../_base_/linear.py"

classes = [
    "background",
    "Acropora",
    "Astreopora",
    "Fungia",
    "Merulinidae",
    "Millepora",
    "Montipora",
    "Other",
    "Pavona/Leptoseris",
    "Pocillopora",
    "Porites",
]
model = dict(backbone=dict(name="vit_base_patch14_reg4_dinov2", tune="frozen", out_indices=(11,)))
class_weights = "sqrt"
steps = 4000
