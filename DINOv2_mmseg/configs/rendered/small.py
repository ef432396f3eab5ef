"""The model that ships: a small transformer, on rendered quadrats. No DINOv2 weights: random ones behind a stem.

The stem starts from the YOLO11n that ships with `coral_seg_yolo`, which has learnt on rendered quadrats too:

    python -m coral_seg_yolo.export --format torchscript --out data/stem
    python -m DINOv2_mmseg.train ... model.backbone.stem_weights=data/stem/coral-yolo11n.torchscript
"""

_base_ = "../_base_/small.py"

model = dict(
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),  # colours of 0..1, as the stem learnt
    backbone=dict(out_indices=(1, 2, 3), stem="csp", arguments=dict(depth=4)),
)

label_stride = 2
steps = 3000
stem_lr = 0.1
val_limit = 40
