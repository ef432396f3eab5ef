"""A SAM network of 64 px with random weights, for tests."""

from __future__ import annotations

from typing import Any


def tiny_sam(seed: int = 0, **facts: Any) -> Any:
    """A `SamModel` whose masks have 16 x 16 cells of 4 px."""
    import torch
    from transformers import SamConfig, SamModel

    torch.manual_seed(seed)
    vision = {
        "hidden_size": 16,
        "output_channels": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
        "window_size": 2,
        "global_attn_indexes": [1],
        "num_pos_feats": 8,
        "mlp_dim": 32,
    }
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 8}
    decoder = {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 8, "iou_head_hidden_dim": 24}
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder, **facts)
    model = SamModel(config).eval()
    for weight in model.parameters():  # as made, many are zeros, ones or next to nothing, which hides an exchange
        torch.nn.init.normal_(weight, mean=1.0 if weight.eq(1).all() else 0.0, std=0.3)
    return model
