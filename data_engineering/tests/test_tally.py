"""Average precision against pycocotools, the reference."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data_engineering.tally import CONFIDENCES, Tally, best_confidence, box_ious, mask_ious
from quadrat import masks
from quadrat.formats import coco
from quadrat.shapes import Annotations, Instance

LABELS = ("Acropora", "Fungia", "Porites")


def scene(seed: int) -> tuple[list[Instance], list[Instance], np.ndarray]:
    """True and predicted instances: some shifted, some of another class, some missed, some made up."""
    rng = np.random.default_rng(seed)
    truth, predicted = [], []
    for _ in range(rng.integers(0, 12)):
        x, y, w, h = rng.integers(0, 150), rng.integers(0, 80), rng.integers(4, 40), rng.integers(4, 40)
        label = str(rng.choice(LABELS[:2] if seed % 3 else LABELS))
        truth.append(Instance(label, (x, y, x + w, y + h), rng.random((h, w)) < 0.9))
        for _ in range(rng.integers(0, 3)):
            dx, dy = rng.integers(-w // 6 - 1, w // 6 + 2, 2)
            box = (x + dx, y + dy, x + dx + w, y + dy + h)
            if min(box) >= 0:
                other = label if rng.random() < 0.7 else str(rng.choice(LABELS))
                predicted.append(Instance(other, box, rng.random((h, w)) < 0.9, round(float(rng.random()), 3)))
    guesses = rng.random((len(predicted), len(LABELS))) * 0.3
    for row, one in zip(guesses, predicted, strict=True):
        row[LABELS.index(one.label)] = one.score
    return truth, predicted, guesses


def reference(scenes: list, *, all_guesses: bool, one_class: bool) -> np.ndarray:
    """pycocotools' average precision at each IoU, mean over the classes: float64 ``[10]``."""
    label = (lambda name: "coral") if one_class else str
    truths, results = [], []
    for number, (truth, *_) in enumerate(scenes):
        shapes = tuple(Instance(label(t.label), t.xyxy_px, t.mask) for t in truth)
        truths.append(Annotations(f"{number}", (200, 130), shapes))
    raw = coco.to_dict(truths)
    number_of = {category["name"]: category["id"] for category in raw["categories"]}
    for number, (_, predicted, guesses) in enumerate(scenes):
        for row, one in zip(guesses, predicted, strict=True):
            kinds = dict(zip(LABELS, row, strict=True)) if all_guesses else {label(one.label): one.score}
            results += [
                {"image_id": number + 1, "category_id": number_of[name], "score": float(value), "segmentation": rle}
                for name, value in kinds.items()
                if name in number_of
                for rle in [coco._instance(one, truths[number], False)["segmentation"]]
            ]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = raw
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(results), "segm")
        evaluation.params.maxDets = [1, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 2].mean(axis=(1, 2))


@pytest.mark.parametrize("all_guesses", [False, True])
def test_average_precision_is_that_of_pycocotools(all_guesses: bool) -> None:
    scenes = [scene(seed) for seed in range(12)]
    count = Tally(LABELS)
    for truth, predicted, guesses in scenes:
        count.add(truth, predicted, guesses if all_guesses else None)
    ours = np.mean([one.ap for one in count.by_label().values()], axis=0)
    theirs = reference(scenes, all_guesses=all_guesses, one_class=False)
    assert np.allclose(ours, theirs, atol=1e-9)
    assert 0.05 < ours[0] < 0.95
    any_coral = reference(scenes, all_guesses=False, one_class=True)
    assert np.allclose(count.any_label().ap, any_coral, atol=1e-9)
    assert count.any_label().support == sum(len(truth) for truth, *_ in scenes)


def test_overlaps_are_those_of_the_masks_and_boxes() -> None:
    for seed in range(6):
        truth, predicted, _ = scene(seed)
        exact = np.array([[masks.iou(t, p) for p in predicted] for t in truth]).reshape(len(truth), len(predicted))
        ours = mask_ious(truth, predicted)
        assert np.allclose(ours[exact >= 0.5], exact[exact >= 0.5])
        assert (ours[exact < 0.5] <= exact[exact < 0.5] + 1e-12).all()
    assert box_ious([Instance("a", (0, 0, 4, 4), np.eye(4, dtype=bool))], [
        Instance("a", (2, 0, 6, 4), np.ones((4, 4), bool))
    ]).tolist() == [[8 / 24]]  # fmt: skip


def test_confusion_has_missed_and_made_up_ones_in_the_background() -> None:
    def box(label: str, x: int, score: float = 1.0) -> Instance:
        return Instance(label, (x, 0, x + 10, 10), np.ones((10, 10), bool), score)

    count = Tally(LABELS)
    count.add(
        [box("Acropora", 0), box("Fungia", 20), box("Porites", 40), box("Porites", 60)],
        [box("Acropora", 0, 0.9), box("Acropora", 20, 0.8), box("Porites", 80, 0.7), box("Porites", 40, 0.2)],
    )
    assert count.confusion(0.5).tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 1, 0]]
    assert count.confusion(0.1).tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0]]
    assert count.found_ious(0.5).tolist() == [1, 1]
    assert (count.predictions(0.5), count.predictions()) == (3, 4)
    with pytest.raises(ValueError, match="are not known"):
        count.add([box("Pavona", 0)], [])


def test_precision_recall_and_f1_follow_from_the_counts_above_a_confidence() -> None:
    def box(x: int, score: float = 1.0) -> Instance:
        return Instance("Porites", (x, 0, x + 10, 10), np.ones((10, 10), bool), score)

    count = Tally(("Porites",))
    count.add([box(0), box(20), box(40)], [box(0, 0.9), box(60, 0.6), box(20, 0.3)])
    [one] = count.by_label().values()
    at = {confidence: int(np.searchsorted(CONFIDENCES, confidence)) for confidence in (0.2, 0.5, 0.7, 0.95)}
    assert [one.precision[i] for i in at.values()] == pytest.approx([2 / 3, 1 / 2, 1, 1])
    assert [one.recall[i] for i in at.values()] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0])
    assert [one.f1[i] for i in at.values()] == pytest.approx([2 / 3, 2 / 5, 1 / 2, 0])
    assert CONFIDENCES[best_confidence([one])] <= 0.3


def test_nothing_at_all_is_no_error() -> None:
    count = Tally(LABELS)
    count.add([], [])
    assert count.by_label() == {}
    assert np.isnan(count.any_label().ap).all()
    assert best_confidence([]) == 0
