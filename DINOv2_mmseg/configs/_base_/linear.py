"""A linear head: each cell of the last block's map classified by itself. What is usual to judge frozen features."""

_base_ = "dinov2_segformer.py"

model = dict(
    decode_head=dict(
        _delete_=True,
        type="FCNHead",
        num_convs=0,
        concat_input=False,
        channels=384,  # set to the backbone's
        dropout_ratio=0.0,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
    )
)
