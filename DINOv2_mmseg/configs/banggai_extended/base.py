"""A dataset with extended labels: 10 classes and what is no coral."""

_base_ = "../_base_/dinov2_segformer.py"

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
