"""Guide C from raw photographs to coral polygons, with the real command, the real functions and nobody's hand."""

from __future__ import annotations

import pytest

from benchmarks import bridge_guide_c


@pytest.mark.slow
def test_photographs_become_polygons_untouched_by_hand(tmp_path):
    found = bridge_guide_c.main(photos=3, out=tmp_path)
    assert found["through"] + len(found["kept_back"]) == 3
    assert found["usable"] == found["through"] == 2
    assert found["coral_iou"] > 0.6
    assert len(list((tmp_path / "overlays").iterdir())) == 2
