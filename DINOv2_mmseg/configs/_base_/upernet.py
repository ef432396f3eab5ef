"""UPerNet's head: pooled context and a pyramid over four blocks."""

_base_ = "dinov2_segformer.py"

model = dict(
    decode_head=dict(
        _delete_=True,
        type="UPerHead",
        pool_scales=(1, 2, 3, 6),
        channels=256,
        dropout_ratio=0.1,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
    )
)
