from __future__ import annotations

import numpy as np
import pytest

from quadrat import template
from quadrat.predictor import Card, JudgingPredictor, read_card, write_card
from quadrat.verdict import FAILED, Judged, Verdict


class Judging:
    card = Card("judging", "keypoints", ("quadrat_corner",), layouts=("corners",))
    layouts = (template.load("corners"),)

    def predict(self, image_rgb, *, threshold=None):
        return self.predict_judged(image_rgb, threshold=threshold).shapes

    def predict_judged(self, image_rgb, *, threshold=None):
        return Judged((), Verdict(FAILED, 0.0, ("no quadrat frame found",)))


class Plain:
    card = Card("plain", "instances", ("Porites",))

    def predict(self, image_rgb, *, threshold=None):
        return ()


def test_a_judging_predictor_is_told_from_a_plain_one():
    assert isinstance(Judging(), JudgingPredictor)
    assert not isinstance(Plain(), JudgingPredictor)
    assert Judging().predict(np.zeros((1, 1, 3), np.uint8)) == ()


@pytest.mark.parametrize("card", [Judging.card, Plain.card])
def test_a_card_comes_back(tmp_path, card):
    write_card(tmp_path / "w.pt", card)
    assert read_card(tmp_path / "w.pt") == card


def test_a_card_from_before_there_were_layouts_is_read(tmp_path):
    path = write_card(tmp_path / "w.pt", Plain.card)
    assert "layouts" not in path.read_text("utf-8")
    path.write_text("name: w\ntask: instances\nlabels: [a]\nshape: round\n", "utf-8")
    with pytest.raises(ValueError, match="at most .*layouts"):
        read_card(tmp_path / "w.pt")
