"""A dataset with fine-grained labels: 16 genera and what is no coral."""

_base_ = "../_base_/dinov2_segformer.py"

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
