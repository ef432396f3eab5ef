"""One colour a label, the same in overlays, CVAT and the FiftyOne app."""

from __future__ import annotations

import cv2
import numpy as np

from data_engineering import taxonomy
from quadrat import cvat_labels


def test_colours_of_the_genera_are_told_apart():
    codes = [cvat_labels.colour(name)[1:] for name in taxonomy.labels("genus")]
    rgb = np.array([[[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes]], np.float32)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1000 * np.eye(len(codes))
    assert apart.min() > 25  # CIELAB; about 2 is the least that a person sees
