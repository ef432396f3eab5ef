from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from DINOv2_mmseg import fitting, losses, network  # noqa: F401  (`network` makes mmsegmentation's registry known)
from DINOv2_mmseg.losses import KnownCrossEntropyLoss, KnownDiceLoss, KnownFocalLoss, KnownLovaszLoss

IGNORE = 255
CLASSES = 4
WEIGHTS = [0.5, 1.0, 2.0, 4.0]
ALL = [KnownCrossEntropyLoss, KnownDiceLoss, KnownFocalLoss, KnownLovaszLoss]


def sample(known: float = 0.7) -> tuple[Tensor, Tensor]:
    """Logits ``[2, 4, 5, 6]`` and classes 0 to 2 of some pixels; none is of class 3."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, (2, 5, 6))
    target[rng.random(target.shape) >= known] = IGNORE
    logits = torch.from_numpy(rng.normal(size=(2, CLASSES, 5, 6))).float().requires_grad_()
    return logits, torch.from_numpy(target)


def pixels(logits: Tensor, target: Tensor) -> list[tuple[np.ndarray, int]]:
    """Probabilities and class of each known pixel, in float64."""
    given, classes = logits.detach().double().numpy(), target.numpy()
    found = []
    for n, y, x in zip(*np.nonzero(classes != IGNORE), strict=True):
        shares = np.exp(given[n, :, y, x])
        found.append((shares / shares.sum(), int(classes[n, y, x])))
    return found


def plain_cross_entropy(logits: Tensor, target: Tensor, weights: list[float]) -> float:
    known = pixels(logits, target)
    return sum(-np.log(p[c]) * weights[c] for p, c in known) / sum(weights[c] for _, c in known)


def plain_dice(logits: Tensor, target: Tensor, _: list[float]) -> float:
    known, terms = pixels(logits, target), []
    for k in {c for _, c in known}:
        both = sum(p[k] for p, c in known if c == k)
        terms.append(1 - (2 * both + 1) / (sum(p[k] for p, _ in known) + sum(c == k for _, c in known) + 1))
    return float(np.mean(terms))


def plain_focal(logits: Tensor, target: Tensor, weights: list[float]) -> float:
    known = pixels(logits, target)
    return sum(-((1 - p[c]) ** 2) * np.log(p[c]) * weights[c] for p, c in known) / len(known)


def plain_lovasz(logits: Tensor, target: Tensor, weights: list[float]) -> float:
    """By its definition: errors in falling order, each times what the Jaccard loss gains by it."""
    known, terms = pixels(logits, target), []
    for k in {c for _, c in known}:
        errors = sorted(((abs((c == k) - p[k]), c == k) for p, c in known), reverse=True)
        count, before, value = sum(c == k for _, c in known), 0.0, 0.0
        for number in range(1, len(errors) + 1):
            wrong = [is_k for _, is_k in errors[:number]]
            jaccard = 1 - (count - sum(wrong)) / (count + len(wrong) - sum(wrong))
            value += errors[number - 1][0] * (jaccard - before)
            before = jaccard
        terms.append(value * weights[k])
    return float(np.mean(terms))


@pytest.mark.parametrize("known", [1.0, 0.7, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (KnownCrossEntropyLoss, plain_cross_entropy),
        (KnownFocalLoss, plain_focal),
        (KnownLovaszLoss, plain_lovasz),
        (KnownDiceLoss, plain_dice),
    ],
)
def test_losses_are_what_their_formulas_say(
    kind: type[nn.Module], plain: Callable[[Tensor, Tensor, list[float]], float], weighted: bool, known: float
) -> None:
    if weighted and kind is KnownDiceLoss:
        pytest.skip("classes count alike in Dice")
    logits, target = sample(known)
    more = {"class_weight": WEIGHTS} if weighted else {}
    found = kind(loss_weight=3.0, **more)(logits, target, ignore_index=IGNORE)
    assert found.ndim == 0
    assert float(found) == pytest.approx(3 * plain(logits, target, WEIGHTS if weighted else [1.0] * CLASSES), rel=1e-4)


def test_cross_entropy_is_torchs_and_focal_without_gamma_is_cross_entropy() -> None:
    logits, target = sample()
    wanted = nn.functional.cross_entropy(logits, target, torch.tensor(WEIGHTS), ignore_index=IGNORE)
    assert float(KnownCrossEntropyLoss(WEIGHTS)(logits, target)) == pytest.approx(float(wanted), rel=1e-5)
    wanted = nn.functional.cross_entropy(logits, target, ignore_index=IGNORE)
    assert float(KnownFocalLoss(gamma=0)(logits, target)) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_pixels_that_are_not_known_have_no_say(kind: type[nn.Module]) -> None:
    logits, target = sample(0.4)
    kind()(logits, target, ignore_index=IGNORE).backward()
    unknown = (target == IGNORE)[:, None].expand_as(logits)
    assert (logits.grad[unknown] == 0).all()
    assert logits.grad[~unknown].abs().max() > 0
    other = torch.where(unknown, logits.detach() + 50, logits.detach())
    assert float(kind()(other, target)) == pytest.approx(float(kind()(logits, target)), rel=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_without_a_known_pixel_nothing_is_lost_or_learnt(kind: type[nn.Module]) -> None:
    logits, target = sample()
    loss = kind()(logits, torch.full_like(target, IGNORE), ignore_index=IGNORE)
    assert (loss.ndim, float(loss)) == (0, 0.0)
    loss.backward()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("kind", ALL)
def test_what_is_right_costs_next_to_nothing_and_descending_helps(kind: type[nn.Module]) -> None:
    logits, target = sample()
    right = 40 * nn.functional.one_hot(target.clamp(max=3), CLASSES).permute(0, 3, 1, 2).float()
    assert float(kind()(right, target)) < 0.02
    before = kind()(logits, target)
    before.backward()
    assert kind()(logits.detach() - 0.5 * logits.grad, target) < before


@pytest.mark.parametrize("kind", ALL)
def test_16_bits_are_computed_with_in_32(kind: type[nn.Module]) -> None:
    logits, target = sample()
    found = kind()(logits.detach().bfloat16(), target)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(kind()(logits.detach().bfloat16().float(), target)), rel=1e-6)


def test_a_heads_losses_are_those_that_are_wanted() -> None:
    from mmseg.registry import MODELS

    made = fitting.losses_of({"ce": 1.0, "dice": 0.5, "focal": 0.0, "lovasz": 2}, WEIGHTS)
    built = [MODELS.build(one) for one in made]
    assert [type(one) for one in built] == [KnownCrossEntropyLoss, KnownDiceLoss, KnownLovaszLoss]
    assert [one.loss_name for one in built] == ["loss_ce", "loss_dice", "loss_lovasz"]
    logits, target = sample()
    whole = [
        float(kind(*more)(logits, target)) for kind, more in ((KnownCrossEntropyLoss, (WEIGHTS,)), (KnownDiceLoss, ()))
    ]
    assert [float(one(logits, target)) for one in built[:2]] == pytest.approx([whole[0], 0.5 * whole[1]])
