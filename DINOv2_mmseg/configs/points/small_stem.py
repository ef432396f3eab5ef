"""Points, from the stem of the YOLO11n that ships with `coral_seg_yolo` (../rendered/small.py); else as small.py."""

_base_ = "small.py"

model = dict(
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),
    backbone=dict(stem="csp"),
)
stem_lr = 0.2
