from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from DINOv2_mmseg import folder, views
from DINOv2_mmseg.views import Views
from quadrat import images

LABELS = ("background", "Porites", "Acropora")
GROUND, RED = (60, 60, 60), (240, 60, 60)
STILL: dict[str, Any] = {"scales": (1.0, 1.0), "turns": False, "tilt_deg": 0.0, "colour": 0.0, "blur": 0.0}


def write(root: Path, name: str, photo: np.ndarray, index: np.ndarray) -> views.Pair:
    images.write(root / f"{name}.png", photo)
    (root / f"{name}-label.png").write_bytes(folder.encode_label(index, LABELS))
    return root / f"{name}.png", root / f"{name}-label.png"


def scene(size_wh: tuple[int, int], centre: tuple[int, int], radius: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc of class 1 on gray."""
    index = cv2.circle(np.zeros(size_wh[::-1], np.uint8), centre, radius, 1, -1)
    return np.array([GROUND, RED], np.uint8)[index], index


@pytest.fixture
def pairs(tmp_path: Path) -> list[views.Pair]:
    return [write(tmp_path, f"p{i}", *scene((150, 110), (60 + 5 * i, 50), 22 + i)) for i in range(4)]


def taken(sample: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 ``[H, W, 3]`` and classes ``[h, w]`` of a sample."""
    return sample["inputs"].numpy().transpose(1, 2, 0), sample["data_samples"].gt_sem_seg.data[0].numpy()


# ------------------------------------------------------------------------------------------ same numbers again


def test_a_sample_depends_on_the_seed_and_its_number_alone(pairs: list[views.Pair]) -> None:
    one, other = (Views(pairs, 64, 150, seed=3, length=100, augment={"tilt_deg": 20}) for _ in range(2))
    for number in (7, 0, 41, 7):  # whatever was drawn before
        (image, index), (image2, index2) = taken(one[number]), taken(other[number])
        assert (image == image2).all()
        assert (index == index2).all()
    assert (taken(one[0])[0] != taken(one[4])[0]).any()
    another = Views(pairs, 64, 150, seed=4, length=100, augment={"tilt_deg": 20})
    assert any((taken(one[i])[0] != taken(another[i])[0]).any() for i in range(4))


def test_each_photo_comes_once_a_round_in_an_order_of_its_own(tmp_path: Path) -> None:
    shades = [20, 60, 100, 140, 180, 220]
    flat = [write(tmp_path, f"s{v}", np.full((20, 20, 3), v, np.uint8), np.zeros((20, 20), np.uint8)) for v in shades]
    drawn = Views(flat, 16, 0, seed=0, length=60, augment=STILL)
    orders = [[int(taken(drawn[6 * k + i])[0].mean()) for i in range(6)] for k in range(10)]
    assert all(sorted(order) == shades for order in orders)
    assert len({tuple(order) for order in orders}) > 5
    assert len(drawn) == 60


def test_a_sample_is_what_mmsegmentation_takes(pairs: list[views.Pair]) -> None:
    sample = Views(pairs, 64, 150, seed=0, length=9)[2]
    assert (sample["inputs"].dtype, tuple(sample["inputs"].shape)) == (torch.uint8, (3, 64, 64))
    truth = sample["data_samples"].gt_sem_seg.data
    assert (truth.dtype, tuple(truth.shape)) == (torch.int64, (1, 64, 64))
    assert sample["data_samples"].img_shape == (64, 64)


# ------------------------------------------------------------------------------------------ image and classes


def redness(image: np.ndarray) -> np.ndarray:
    """How much of a pixel is disc, 0..1."""
    return np.clip((image[..., 0].astype(float) - image[..., 1] - 8) / 172, 0, 1)


@pytest.mark.parametrize(
    "augment",
    [
        {},
        {"turns": True},
        {"tilt_deg": 45.0},
        {"scales": (0.4, 3.0)},
        {"scales": (0.4, 2.5), "turns": True, "tilt_deg": 30.0},
    ],
)
@pytest.mark.parametrize("label_stride", [1, 2])
def test_classes_stay_with_what_they_are_of(
    pairs: list[views.Pair], augment: dict[str, Any], label_stride: int
) -> None:
    drawn = Views(pairs, 64, 150, 5, 40, augment={**STILL, **augment}, label_stride=label_stride)
    both = either = 0
    for number in range(40):
        image, index = taken(drawn[number])
        assert index.shape == (64 // label_stride,) * 2
        assert set(np.unique(index)) <= {0, 1, folder.IGNORE}
        whole = index.repeat(label_stride, 0).repeat(label_stride, 1)
        seen, said, known = redness(image) > 0.5, whole == 1, whole != folder.IGNORE
        both += (seen & said & known).sum()
        either += ((seen | said) & known).sum()
    assert both / either > (0.97 if label_stride == 1 else 0.93)
    assert either > 5000


@pytest.mark.parametrize("label_stride", [1, 2, 4])
@pytest.mark.parametrize("scale", [0.41, 0.63, 1.03, 1.7])
def test_classes_are_not_shifted(tmp_path: Path, scale: float, label_stride: int) -> None:
    """The middles of a disc by colour and by class, in px of the view, agree on average over many places.

    Of 2 x 2 pixels none is in the middle: at just such a scale the nearest one lies half a px beside it.
    """
    side, rng, found = round(64 / scale) + 12, np.random.default_rng(0), []
    for number in range(20):
        x, y = (side // 2 + int(v) for v in rng.integers(-5, 6, 2))
        pair = write(tmp_path, f"c{number}", *scene((side, side), (x, y), round(side / 4)))
        drawn = Views([pair], 64, side, 0, 1, augment={**STILL, "scales": (scale, scale)}, label_stride=label_stride)
        image, index = taken(drawn[0])
        weight = redness(image)
        middle = np.array([(weight.sum(axis=k) @ (np.arange(64) + 0.5)) / weight.sum() for k in (0, 1)])
        rows, columns = np.nonzero(index == 1)
        found.append(np.array([(columns.mean() + 0.5) * label_stride, (rows.mean() + 0.5) * label_stride]) - middle)
    assert np.abs(np.mean(found, axis=0)).max() < 0.1 * label_stride


def test_what_lies_beyond_the_photo_is_not_known(tmp_path: Path) -> None:
    pair = write(tmp_path, "small", *scene((30, 20), (12, 9), 6))
    image, index = taken(Views([pair], 64, 0, 0, 1, augment=STILL)[0])
    beyond = (image == np.array(views._FILL_RGB)).all(axis=-1)
    assert (index == folder.IGNORE).sum() == 64 * 64 - 30 * 20
    assert ((index == folder.IGNORE) == beyond).all()
    turned = Views([pair], 64, 30, 0, 9, augment={**STILL, "tilt_deg": 45.0})
    assert all((taken(turned[i])[1] == folder.IGNORE).any() for i in range(9))


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 200), (64, 64), (900, 5)])
@pytest.mark.parametrize("sparse", [False, True])
def test_photos_of_any_shape_do(tmp_path: Path, size_wh: tuple[int, int], sparse: bool) -> None:
    index = np.zeros(size_wh[::-1], np.uint8)
    pair = write(tmp_path, "odd", np.full((*size_wh[::-1], 3), 90, np.uint8), index)
    for number in range(6):
        image, classes = taken(Views([pair], 48, 100, 1, 9, sparse=sparse, augment={"tilt_deg": 10.0})[number])
        assert (image.shape, classes.shape) == ((48, 48, 3), (48, 48))


def test_views_of_one_class_alone_are_tried_again(tmp_path: Path) -> None:
    index = np.zeros((200, 200), np.uint8)
    index[:, :60] = 1
    pair = write(tmp_path, "halves", np.zeros((200, 200, 3), np.uint8), index)
    drawn = [taken(Views([pair], 50, 0, 0, 60, augment=STILL)[i])[1] for i in range(60)]
    both = np.mean([0.15 < (one == 1).mean() < 0.85 for one in drawn])
    assert both > 0.6  # a third of all places


# ------------------------------------------------------------------------------------------ points


@pytest.mark.parametrize("size_wh", [(50, 50), (31, 77), (300, 300), (1, 1)])
def test_no_point_gets_lost_when_a_label_shrinks(size_wh: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    index = np.full((200, 300), folder.IGNORE, np.uint8)
    index[rng.integers(0, 200, 60), rng.integers(0, 300, 60)] = rng.integers(0, 3, 60)
    small = views.resized_label(index, size_wh, sparse=True)
    assert small.shape == size_wh[::-1]
    there: dict[tuple[int, int], set[int]] = {}
    for y, x in zip(*np.nonzero(index != folder.IGNORE), strict=True):
        cell = int((y + 0.5) * size_wh[1] / 200), int((x + 0.5) * size_wh[0] / 300)
        there.setdefault(cell, set()).add(int(index[y, x]))
    for cell, classes in there.items():
        assert small[cell] in classes
    if size_wh == (50, 50):
        known = views.resized_label(index, size_wh, sparse=False) != folder.IGNORE
        assert known.sum() < len(there)  # else nothing would have been at stake
        assert (small != folder.IGNORE).sum() == len(there)  # and none is made up


def test_a_view_of_points_holds_one_at_its_place(tmp_path: Path) -> None:
    """Dots of one px in a large photo: each view has a point, and its pixel has the dot's colour."""
    index = np.full((400, 600), folder.IGNORE, np.uint8)
    photo = np.full((400, 600, 3), 60, np.uint8)
    for number, (x, y) in enumerate([(30, 40), (550, 90), (300, 200), (80, 350)]):
        index[y, x] = number % 3
        cv2.circle(photo, (x, y), 6, RED, -1)
    pair = write(tmp_path, "dots", photo, index)
    augment = {**STILL, "scales": (0.5, 2.0), "turns": True, "tilt_deg": 10.0}
    drawn, found = Views([pair], 64, 600, 0, 40, sparse=True, augment=augment), 0
    for number in range(40):
        image, classes = taken(drawn[number])
        rows, columns = np.nonzero(classes != folder.IGNORE)
        found += len(rows) > 0
        assert (redness(image)[rows, columns] > 0.5).all()
    assert found >= 38  # a tilt may turn one out


# ------------------------------------------------------------------------------------------ colours


def test_colours_change_as_much_as_is_asked_for() -> None:
    photo = scene((64, 64), (30, 30), 20)[0]
    before = photo.copy()

    def off(colour: float, blur: float) -> float:
        how = views.Augment(colour=colour, blur=blur)
        made = [views.recolour(photo, how, np.random.default_rng(k)) for k in range(20)]
        assert {one.dtype for one in made} == {np.dtype(np.uint8)}
        return float(np.mean([np.abs(one.astype(int) - photo).mean() for one in made]))

    assert off(0, 0) == 0
    assert 1 < off(0.2, 0) < off(1.0, 0) < 80
    assert 0 < off(0, 0.5) < off(0, 1.0) < 5
    assert (photo == before).all()
