"""ViT-S with UPerNet's head in place of SegFormer's."""

_base_ = "../_base_/upernet.py"

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
losses = dict(ce=1.0, dice=0.5)
class_weights = "sqrt"
layer_decay = 0.8
