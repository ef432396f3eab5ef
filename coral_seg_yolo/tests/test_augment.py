from __future__ import annotations

import numpy as np
import pytest

from coral_seg_yolo import augment, class_scores, model
from quadrat import masks
from quadrat.shapes import Instance

from .conftest import disc
from .test_model import photo

LABELS = ("Acropora", "Porites")
SIZE = (96, 96)


def found(mask: np.ndarray, scores: tuple[float, float]) -> Instance:
    text = class_scores.to_text(np.array(scores))
    best = int(np.argmax(scores))
    return masks.instance_from_mask(LABELS[best], mask, (0, 0), max(scores), {class_scores.ATTRIBUTE: text})


@pytest.mark.parametrize(("across", "down"), augment.VIEWS)
def test_mirroring_is_that_of_the_pixels(across: bool, down: bool) -> None:
    mask = disc((30, 20), 14) & ~disc((24, 20), 5)
    one = masks.instance_from_mask("Porites", mask)
    mirrored = augment.mirror(one, SIZE, across, down)
    drawn = mask[:: -1 if down else 1, :: -1 if across else 1]
    assert (masks.to_full_mask(mirrored, SIZE) == drawn).all()
    back = augment.mirror(mirrored, SIZE, across, down)
    assert back.xyxy_px == one.xyxy_px
    assert (back.mask == one.mask).all()


class Seeing:
    """A predictor that sees in each view what it is told; the views are known by the corner that is white."""

    def __init__(self, views: list[list[Instance]]):
        self.views, self.thresholds = views, []

    def __call__(self, image: np.ndarray, threshold: float) -> list[Instance]:
        self.thresholds.append(threshold)
        corners = [image[0, 0], image[0, -1], image[-1, 0], image[-1, -1]]
        view = int(np.argmax([corner.sum() for corner in corners]))
        across, down = augment.VIEWS[view]
        return [augment.mirror(one, SIZE, across, down) for one in self.views[view]]


def test_views_vote_on_score_label_and_mask() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    image[0, 0] = 255
    small, large = disc((40, 40), 12), disc((40, 40), 14)
    seen = Seeing(
        [
            [found(large, (0.5, 0.3)), found(disc((80, 80), 8), (0.2, 0.0))],
            [found(large, (0.4, 0.5))],
            [found(small, (0.1, 0.4))],
            [],
        ]
    )
    both = augment.predict_augmented(seen, image, 0.04, LABELS)
    assert seen.thresholds == [0.01] * 4
    [first, second] = both
    assert class_scores.of([first], 2).tolist() == [[0.25, 0.3]]  # means over four views
    assert (first.label, first.score) == ("Porites", pytest.approx(0.3))
    assert (masks.to_full_mask(first, SIZE) == large).all()  # 1.0 of 1.4 of the weight
    assert (second.label, second.score) == ("Acropora", pytest.approx(0.05))
    assert augment.predict_augmented(seen, image, 0.2, LABELS)[0].score == pytest.approx(0.3)
    assert len(augment.predict_augmented(seen, image, 0.2, LABELS)) == 1


def test_two_colonies_of_one_view_stay_two() -> None:
    pair = [found(disc((30, 40), 12), (0.6, 0.0)), found(disc((36, 40), 12), (0.5, 0.0))]
    image = np.zeros((96, 96, 3), np.uint8)
    image[0, 0] = 255
    assert len(augment.predict_augmented(Seeing([pair, pair, pair, pair]), image, 0.1, LABELS)) == 2


def test_an_augmented_predictor_does_not_care_how_the_photo_is_turned(make_weights) -> None:
    predictor = model.load(make_weights("yolo11n-seg"), confidence=0.1, augmented=True)
    image = photo(192, 192)
    straight, mirrored = predictor.predict(image), predictor.predict(np.ascontiguousarray(image[:, ::-1]))
    assert straight
    assert [one.score for one in straight] == pytest.approx([one.score for one in mirrored], abs=1e-3)


@pytest.mark.parametrize("tile_px", [0, 96])
def test_scores_for_every_class_come_when_asked_for(make_weights, tile_px: int) -> None:
    predictor = model.load(make_weights("yolo11n-seg"), confidence=0.1, tile_px=tile_px, augmented=True)
    image = photo(192, 192)
    plain, with_scores = predictor.predict(image), predictor.predict(image, every_score=True)
    assert not any(one.attributes for one in plain)
    scores = class_scores.of(with_scores, 3)
    assert len(scores) == len(plain) > 0
    assert (scores.max(1) > 0.05).all()
