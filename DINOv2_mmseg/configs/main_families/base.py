"""A dataset with the main families and what is no coral."""

_base_ = "../_base_/dinov2_segformer.py"

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
