"""Colonies outlined by a SAM network, named by the semantic map.

1. Masks come from the image (`proposals`).
2. Each gets its genus by vote: every cell counts for the class that the semantic map has there, by the probability of
   that class. Masks whose votes are background for the larger part are dropped.
3. Its score is the predicted IoU times the mean probability of its genus over its cells. Below `min_threshold` it is
   dropped; up to `unsure_threshold` it is kept with the attribute ``unsure: "true"`` for a person to look at.
4. Overlaps: the best score takes a pixel. What keeps less than `Settling.least_left` of itself that way was another
   view of what is there already (a part of a colony, or several colonies as one) and is dropped.
5. Semantic colonies that no mask covers are kept: the parts left over that are at least `Settling.least_width` times
   as wide as the colony they are of. (Thinner ones are the rims that two outlines of one colony leave.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg import sam as networks
from DINOv2_mmseg.dense import Dense
from DINOv2_mmseg.instances import min_area, regions, scored
from DINOv2_mmseg.proposals import Asking, Proposal, in_photo, prompts, proposals
from DINOv2_mmseg.sam import Sam, Seen
from quadrat import masks
from quadrat.shapes import Instance, SemanticMap


@dataclass(frozen=True, slots=True)
class Settling:
    """How overlaps are settled.

    Attributes:
        least_left: 0..1: a mask that loses more than the rest of its pixels to better ones is dropped.
        least_width: 0..1: what masks leave of a semantic colony is kept where it is at least this wide, as a part of
            the colony's own width.
    """

    least_left: float = 0.5
    least_width: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The semantic map on the cells of a SAM network.

    Attributes:
        kinds: uint8 ``[h, w]``, the class at each cell's centre; 255 where it is not known.
        probabilities: float32 ``[C, h, w]``, of every class there.
    """

    kinds: NDArray[np.uint8]
    probabilities: NDArray[np.float32]


class Refiner:
    """A SAM network that outlines what a semantic map names. Thread-unsafe.

    Args:
        sam: the network.
        asking: how masks are found.
        settling: how overlaps are settled.
    """

    def __init__(self, sam: Sam, asking: Asking | None = None, settling: Settling | None = None) -> None:
        self.sam = sam
        self.asking = asking or Asking()
        self.settling = settling or Settling()

    def refine(
        self,
        image_rgb: NDArray[np.uint8],
        dense: Dense,
        colonies: Sequence[Instance],
        background: Collection[str],
        *,
        min_threshold: float = 0.05,
        unsure_threshold: float = 0.2,
    ) -> list[Instance]:
        """Outline the colonies of a photo.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.
            dense: what the semantic network says of it.
            colonies: of the same map, without overlap (`instances.colonies`).
            background: classes that are no colonies.
            min_threshold: 0..1, the lowest score to return.
            unsure_threshold: 0..1; what scores below it has the attribute ``unsure``.

        Returns:
            Best score first, no pixel in two of them.

        Raises:
            ValueError: the photo and `dense` are not of one size.
        """
        if image_rgb.shape[1::-1] != dense.size_wh:
            raise ValueError(
                f"the photo is {image_rgb.shape[1::-1]} px, its semantic map {dense.size_wh}: expected one"
            )
        seen = self.sam.look(image_rgb)
        found = proposals(self.sam, seen, prompts(dense, colonies, background, self.asking), self.asking)
        named = name(found, view(dense, seen), dense.map.labels, background)
        sure_enough = [one for one in named if one.cells.score >= min_threshold]
        outlined, taken = settle(sure_enough, seen, min_area(dense.size_wh), self.settling)
        rest = uncovered(colonies, taken, dense, self.settling)
        return judged([*outlined, *rest], min_threshold, unsure_threshold)


def load(path: str | Path | None = None, device: str = "cpu") -> Refiner:
    """Load the network of a folder, of ``SAM_WEIGHTS`` for `None`.

    Raises:
        FileNotFoundError: there is none; the message says where such weights are to be had.
        ValueError: the folder is of another network, or weights are missing.
    """
    return Refiner(networks.load(path, device))


# ---------------------------------------------------------------------------------------------- names


def view(dense: Dense, seen: Seen) -> View:
    """The semantic map at the centres of a network's cells."""
    (grid_w, grid_h), (width, height) = seen.grid_wh, dense.size_wh
    x = np.minimum((np.arange(grid_w) + 0.5) * seen.cell_xy_px[0], width - 0.5)
    y = np.minimum((np.arange(grid_h) + 0.5) * seen.cell_xy_px[1], height - 0.5)
    kinds = dense.map.index[np.ix_(y.astype(np.int64), x.astype(np.int64))]
    at_x, at_y = np.meshgrid(x / dense.cell_xy_px[0] - 0.5, y / dense.cell_xy_px[1] - 0.5)
    places = (at_x.astype(np.float32), at_y.astype(np.float32))
    read = [cv2.remap(one, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for one in dense.scores]
    return View(kinds, np.stack(read))


def name(found: Sequence[Proposal], here: View, labels: Sequence[str], background: Collection[str]) -> list[Proposal]:
    """Give masks their genus and their score; those that are mostly background, or of nothing known, are gone.

    Args:
        found: masks with their predicted IoU as score.
        here: the semantic map on the same cells.
        labels: its classes.
        background: those that are no colonies.

    Returns:
        Masks with the genus as label and predicted IoU times mean probability as score, best score first.
    """
    none = np.array([label in background for label in labels])
    named = []
    for one in found:
        x0, y0, x1, y1 = one.cells.xyxy_px
        part = (slice(y0, y1), slice(x0, x1))
        votes = vote(here.kinds[part][one.cells.mask], here.probabilities[:, *part][:, one.cells.mask])
        if votes[~none].sum() <= votes[none].sum():
            continue
        kind = int(np.where(none, -1, votes).argmax())
        probability = float(here.probabilities[kind][part][one.cells.mask].mean())
        score = min(max(one.cells.score * probability, 0.0), 1.0)
        named.append(replace(one, cells=Instance(labels[kind], one.cells.xyxy_px, one.cells.mask, score)))
    return sorted(named, key=lambda one: -one.cells.score)


def vote(kinds: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """How many votes each class has: float64 ``[C]``.

    Args:
        kinds: uint8 ``[N]``, the class of each cell; 255 does not vote.
        probabilities: float32 ``[C, N]``; a cell's vote counts as much as the probability of its class.
    """
    known = np.flatnonzero(kinds != SemanticMap.IGNORE)
    weights = probabilities[kinds[known], known]
    return np.bincount(kinds[known], weights=weights, minlength=len(probabilities))


# ---------------------------------------------------------------------------------------------- overlaps


def settle(
    named: Sequence[Proposal], seen: Seen, min_area_px: int, how: Settling
) -> tuple[list[Instance], NDArray[np.bool_]]:
    """Turn masks into pixels of the photo, each pixel to the best score that has it.

    Args:
        named: best score first.
        seen: the photo.
        min_area_px: what keeps fewer pixels is dropped.
        how: what else is dropped.

    Returns:
        The colonies, without overlap; bool ``[H, W]``, the pixels that they have.
    """
    taken = np.zeros(seen.size_wh[::-1], np.bool_)
    kept = []
    for one in named:
        whole = in_photo(one, seen, one.cells.label, one.cells.score)
        if whole is None:
            continue
        x0, y0, x1, y1 = whole.xyxy_px
        here = taken[y0:y1, x0:x1]
        free = whole.mask & ~here
        left = int(np.count_nonzero(free))
        rest = masks.instance_from_mask(whole.label, free, (x0, y0), whole.score)
        if rest is not None and left >= max(min_area_px, how.least_left * whole.area_px):
            here |= free
            kept.append(rest)
    return kept, taken


def uncovered(colonies: Sequence[Instance], taken: NDArray[np.bool_], dense: Dense, how: Settling) -> list[Instance]:
    """What masks have left of semantic colonies, rims aside, with its own mean probability as score.

    Args:
        colonies: without overlap.
        taken: bool ``[H, W]``, the pixels that masks have.
        dense: what the semantic network says.
        how: what is a rim.
    """
    least, rest = min_area(dense.size_wh), []
    for colony in colonies:
        x0, y0, x1, y1 = colony.xyxy_px
        free = colony.mask & ~taken[y0:y1, x0:x1]
        if np.count_nonzero(free) == colony.area_px:
            rest.append(colony)
            continue
        wide = how.least_width * half_width(colony.mask)
        for part in regions(free, colony.label, least):
            if half_width(part.mask) >= wide:
                px0, py0, px1, py1 = part.xyxy_px
                moved = Instance(part.label, (px0 + x0, py0 + y0, px1 + x0, py1 + y0), part.mask)
                rest.append(scored(moved, dense, dense.map.labels.index(colony.label)))
    return rest


def half_width(mask: NDArray[np.bool_]) -> float:
    """Radius in px of the largest circle inside a mask."""
    padded = cv2.copyMakeBorder(np.ascontiguousarray(mask).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5).max())


def judged(colonies: Sequence[Instance], min_threshold: float, unsure_threshold: float) -> list[Instance]:
    """Best score first, none below `min_threshold`; those below `unsure_threshold` get the attribute ``unsure``."""
    kept = sorted((one for one in colonies if one.score >= min_threshold), key=lambda one: -one.score)
    return [
        replace(one, attributes={**one.attributes, "unsure": "true"}) if one.score < unsure_threshold else one
        for one in kept
    ]
