"""ViT-S with UPerNet's head in place of SegFormer's."""

_base_ = "../_base_/upernet.py"

classes = [
    "background",
    "Acroporidae",
    "Agariciidae",
    "Fungiidae",
    "Merulinidae",
    "Other",
    "Pocilloporidae",
    "Poritidae",
]
losses = dict(ce=1.0, dice=0.5)
class_weights = "sqrt"
layer_decay = 0.8
