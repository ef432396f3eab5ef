"""ViT-S with UPerNet's head in place of SegFormer's."""

_base_ = "../_base_/upernet.py"

classes = [
    "background",
    "Acanthastrea",
    "Acropora",
    "Astreopora",
    "Atrea",
    "Fungia",
    "Goniastrea",
    "Leptastrea",
    "Merulinidae",
    "Millepora",
    "Montastrea",
    "Montipora",
    "Other",
    "Pavona/Leptoseris",
    "Pocillopora",
    "Porites",
    "Psammocora",
]
losses = dict(ce=1.0, dice=0.5)
class_weights = "sqrt"
layer_decay = 0.8
