"""Paints masks, and a dot at every point, in one colour; misbehaves on photos of certain widths."""

import numpy as np

from quadrat import template
from quadrat.predictor import Card, Painted
from quadrat.shapes import HIDDEN

COLOUR = (10, 20, 30)
FAULT_WIDTH = 101


class FlatRemover:
    card = Card("flat", "inpainting", (), note="For tests only.")

    def __init__(self, settings):
        if settings.lama_model == "text.pt":
            raise ValueError("text.pt is no TorchScript file")
        names = ("grid9x13", "grid11x11") if settings.template == "auto" else (settings.template,)
        self.layouts = [template.load(name) for name in names]
        self.asked = []

    def remove(self, image_rgb, *, keypoints=None, mask=None, force=False):
        self.asked.append((keypoints, mask, force))
        if image_rgb.shape[1] == FAULT_WIDTH:
            raise RuntimeError("secret")
        if mask is None:
            mask = self._dots(keypoints, image_rgb.shape[:2])
        if mask.mean() > 0.5 and not force:
            raise ValueError("the mask covers over half of the photo: send `force`")
        painted = image_rgb.copy()
        painted[mask] = COLOUR
        return Painted(painted, mask, () if mask.any() else ("there is nothing to paint",))

    def _dots(self, keypoints, size_hw):
        xy = keypoints.xy_px
        seen = (xy >= 0).all(1) & (xy < size_hw[::-1]).all(1) & (keypoints.visibility != HIDDEN)
        if seen.sum() < 4:
            raise ValueError(f"{seen.sum()} points lie in the photo: expected at least 4")
        mask = np.zeros(size_hw, np.bool_)
        x, y = xy[seen].astype(int).T
        mask[y, x] = True
        return mask
