"""A network of the SAM family on one photo, through transformers' `SamModel`.

Segment Anything: Kirillov et al., ICCV 2023; CoralSCOP, the same trained on corals: Zheng et al., CVPR 2024.

The photo is looked at once; then any number of prompts (a point in a thing, a box round it) each give masks on a grid
of cells (256 x 256 for the published networks) and the network's own guess of their IoU with the thing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

VARIABLE = "SAM_WEIGHTS"
SOURCES = (
    "facebook/sam-vit-base on the Hugging Face hub is such a folder; the checkpoint of CoralSCOP "
    "(github.com/zhengziqiang/CoralSCOP) or of segment-anything becomes one by "
    "`python -m DINOv2_mmseg.convert sam CHECKPOINT --out FOLDER`"
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the photos that SAM was trained on, colours 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A photo that the network has looked at.

    Attributes:
        embedding: tensor ``[1, C, h, w]``.
        size_wh: of the photo in px.
        factor_xy: px of the network's input a px of the photo, across and down (rounding makes them differ a little).
        cell_xy_px: width and height in px of the photo of a cell of the masks; cell (0, 0) begins in the photo's
            top-left corner.
        grid_wh: cells that the photo reaches into.
    """

    embedding: Any
    size_wh: tuple[int, int]
    factor_xy: tuple[float, float]
    cell_xy_px: tuple[float, float]
    grid_wh: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """What the network is asked for; a mask or three each.

    Attributes:
        points_xy_px: ``[N, 2]``, a point in each thing, px of the photo.
        boxes_xyxy_px: ``[N, 4]``, the box round each; `None` asks with the points alone.
    """

    points_xy_px: NDArray[np.float64]
    boxes_xyxy_px: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.points_xy_px)


class Sam:
    """A loaded network. Thread-unsafe.

    Args:
        model: transformers' `SamModel`; if its config says ``single_mask``, a point gives one mask and not three.
        device: of torch.
    """

    def __init__(self, model: Any, device: str = "cpu") -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.input_px = int(model.config.vision_config.image_size)
        self.single_mask = bool(getattr(model.config, "single_mask", False))
        patch_px = int(model.config.vision_config.patch_size)
        self.cell_px = self.input_px / (self.input_px // patch_px * 4)

    def look(self, image_rgb: NDArray[np.uint8]) -> Seen:
        """Look at a photo.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.
        """
        import torch

        height, width = image_rgb.shape[:2]
        pixels, (w, h) = _input(image_rgb, self.input_px)
        with torch.inference_mode():
            embedding = self.model.get_image_embeddings(torch.from_numpy(pixels).to(self.device))
        factor = (w / width, h / height)
        cell = (self.cell_px / factor[0], self.cell_px / factor[1])
        return Seen(embedding, (width, height), factor, cell, (-int(-w // self.cell_px), -int(-h // self.cell_px)))

    def answers(self, seen: Seen, prompts: Prompts, batch: int) -> Iterator[tuple[Floats, Floats]]:
        """The masks for some prompts, a batch at a time.

        A point alone may mean a thing or its part: it gives three masks (one, for a network of single masks). With its
        box it gives one.

        Args:
            seen: what `look` gave.
            prompts: what to ask for.
            batch: prompts at a time; bounds the memory.

        Yields:
            float32 ``[M, h, w]`` on the cells of `Seen.grid_wh`: a mask is where it is above 0; float32 ``[M]``: the
            network's guess of each one's IoU, about 0..1.
        """
        import torch

        three = prompts.boxes_xyxy_px is None and not self.single_mask
        width, height = seen.grid_wh
        for start in range(0, len(prompts), batch):
            asked = self._tensors(seen, prompts, slice(start, start + batch))
            with torch.inference_mode():
                said = self.model(image_embeddings=seen.embedding, multimask_output=three, **asked)
            logits = said.pred_masks[0, :, :, :height, :width].flatten(0, 1).float().cpu().numpy()
            yield logits, said.iou_scores[0].flatten().float().cpu().numpy()

    def _tensors(self, seen: Seen, prompts: Prompts, part: slice) -> dict[str, Any]:
        import torch

        def tensor(xy_px: NDArray[np.float64]) -> Any:
            # the network counts from pixel centres and adds the half px itself
            place = xy_px * np.asarray(seen.factor_xy) - 0.5
            return torch.from_numpy(place.astype(np.float32))[None].to(self.device)

        points = tensor(prompts.points_xy_px[part][:, None])
        asked = {"input_points": points, "input_labels": torch.ones(points.shape[:3], device=self.device)}
        if prompts.boxes_xyxy_px is not None:
            corners = tensor(prompts.boxes_xyxy_px[part].reshape(-1, 2, 2))
            asked["input_boxes"] = corners.flatten(2)
        return asked


def _input(image_rgb: NDArray[np.uint8], side_px: int) -> tuple[Floats, tuple[int, int]]:
    """The photo as the network wants it, float32 ``[1, 3, side, side]``, and the width and height it has in there."""
    height, width = image_rgb.shape[:2]
    scale = side_px / max(height, width)
    w, h = max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))
    small = cv2.resize(image_rgb, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    pixels = np.zeros((1, 3, side_px, side_px), np.float32)
    pixels[0, :, :h, :w] = ((small / np.float32(255) - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)
    return pixels, (w, h)


# ---------------------------------------------------------------------------------------------- loading


def find_weights(path: str | Path | None = None) -> Path:
    """The folder with ``config.json`` and ``model.safetensors`` that `path` means.

    Args:
        path: the folder or a file in it; `None`: what ``SAM_WEIGHTS`` says.

    Raises:
        FileNotFoundError: there is none; the message says where such weights are to be had.
    """
    given = path or os.environ.get(VARIABLE)
    if not given:
        raise FileNotFoundError(f"no SAM network: set {VARIABLE} to a folder of one; {SOURCES}")
    found = Path(given)
    folder = found.parent if found.name in {"model.safetensors", "config.json"} else found
    missing = [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{given} ({VARIABLE}): no {' and no '.join(missing)} there; expected a folder in transformers' format: "
            f"{SOURCES}"
        )
    return folder


def load(path: str | Path | None = None, device: str = "cpu") -> Sam:
    """Load a network.

    Args:
        path: see `find_weights`.
        device: of torch.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the folder is of another network, or weights are missing.
    """
    folder = find_weights(path)
    from transformers import SamConfig, SamModel

    config = SamConfig.from_pretrained(folder, local_files_only=True)
    if config.architectures and "SamModel" not in config.architectures:
        raise ValueError(f"{folder} holds {config.architectures}: expected SamModel")
    model, said = SamModel.from_pretrained(
        folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    lacking = sorted({*said["missing_keys"], *(str(one) for one in said["mismatched_keys"])})
    if lacking:
        raise ValueError(f"{folder}: {len(lacking)} weights are missing or of another shape: {', '.join(lacking[:5])}")
    return Sam(model, device)
