from __future__ import annotations

import numpy as np
import pytest

from quadrat.formats import cvat_answer
from quadrat.shapes import HIDDEN, VISIBLE

CONFIDENCE = [{"name": "confidence", "value": "70"}, {"name": "health", "value": "bleached"}]


def polygon(x: int, **more) -> dict:
    points = [x, 2, x + 4, 2, x + 4, 6, x, 6]
    return {"label": "Porites", "type": "polygon", "points": points, "attributes": CONFIDENCE, **more}


def test_parts_of_one_group_are_one_colony():
    alone, whole = cvat_answer.read([polygon(0, group_id=1), polygon(10), polygon(20, group_id=1)], (50, 20))
    assert alone.xyxy_px == (10, 2, 14, 6)
    assert whole.xyxy_px == (0, 2, 24, 6)
    assert whole.area_px == 32
    assert (whole.score, dict(whole.attributes)) == (0.7, {"health": "bleached"})


def test_masks_and_skeletons():
    mask = {"label": "coral", "type": "mask", "mask": [1, 0, 0, 1, 8, 9, 9, 10], "points": [8, 9, 10, 9, 10, 11]}
    elements = [
        {"label": "1", "type": "points", "points": [3, 4]},
        {"label": "2", "type": "points", "points": [0, 0], "outside": True},
    ]
    coral, corners = cvat_answer.read([mask, {"label": "frame", "type": "skeleton", "elements": elements}], (50, 20))
    assert coral.xyxy_px == (8, 9, 10, 11)
    assert coral.mask.tolist() == [[True, False], [False, True]]
    assert corners.names == ("1", "2")
    assert corners.visibility.tolist() == [VISIBLE, HIDDEN]
    assert np.allclose(corners.xy_px[0], [3, 4])


def test_what_lies_outside_is_cut_and_nothing_gives_nothing():
    assert cvat_answer.read([], (5, 5)) == ()
    assert cvat_answer.read([polygon(60)], (50, 20)) == ()
    assert cvat_answer.read([polygon(48)], (50, 20))[0].xyxy_px == (48, 2, 50, 6)
    with pytest.raises(KeyError):
        cvat_answer.read([{"type": "circle"}], (5, 5))
