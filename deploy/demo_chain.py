"""The demo's second half: its photographs through the whole chain, and how near the truth that comes.

Colonies are found on the quadrat without its grid and mapped back, so all that went wrong on the way shows in them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np

from deploy.pipeline import main as run_chain
from deploy.pipeline import record
from deploy.pipeline.photo import GUIDES, Settings
from deploy.pipeline.record import DONE
from deploy.pipeline.result import Result
from deploy.stages import points_of
from quadrat import masks
from quadrat.formats import shapes_json
from quadrat.masks import Mask
from quadrat.shapes import HIDDEN, Annotations, Instance

FOLDER = "chain"
_GUIDE = "c"


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near the truth photographs came that went through the whole chain; NaN where there is nothing to measure.

    Attributes:
        photos: number of them.
        coral_iou: IoU of what is coral, of any kind, pixel by pixel on the photo inside the frame: mean over them.
        truths: number of true colonies inside the frame.
        recall: share of those that were found (matched at IoU >= 0.5).
        mask_iou: mean IoU of those that were found.
    """

    photos: int
    coral_iou: float
    truths: int
    recall: float
    mask_iou: float


def run(
    photos: Sequence[Path], out: Path, host_url: str, running: Mapping[str, str], threshold: float | None
) -> tuple[Result, ...]:
    """Send photographs through the chain; what an earlier demo left of it goes.

    Args:
        photos: files.
        out: of the demo; the results lie in its folder `FOLDER`.
        host_url: of the host.
        running: the functions that it serves; where one of the chain is missing there are no results.
        threshold: lowest score of a colony, 0..1.
    """
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    if missing := [name for name in GUIDES[_GUIDE] if name not in running]:
        print(f"the chain needs {', '.join(missing)}: left out")
        return ()
    print(
        "and through the whole chain: the grid found on the quadrat, removed from it, colonies brought back …",
        flush=True,
    )
    settings = Settings(_GUIDE, threshold)
    return run_chain(photos, out / FOLDER, functions_at=host_url, settings=settings).results


def tell(results: Sequence[Result]) -> None:
    """Say how many photographs came through, and why the others stopped."""
    through = [result for result in results if result.state == DONE]
    print(f"\nthe whole chain: {len(through)} of {len(results)} photographs went through")
    for result in results:
        if result.state != DONE:
            print(f"  {result.job.photo.name} {result.state}: {'; '.join(result.reasons)}")


def tell_nearness(chain: Nearness, direct: Nearness) -> None:
    """Say how near the truth the chain came, and colonies on the same photographs as they were."""
    if chain.photos:
        print(
            f"  chain: IoU of coral {chain.coral_iou:.3f} inside the frame of {chain.photos} photographs that went"
            f" through; found {chain.recall:.0%} of {chain.truths} colonies, their mean mask IoU {chain.mask_iou:.3f}\n"
            f"  the same photographs as they were: IoU of coral {direct.coral_iou:.3f}; found {direct.recall:.0%},"
            f" their mean mask IoU {direct.mask_iou:.3f}"
        )


def came_back(out: Path, results: Sequence[Result]) -> dict[Path, Annotations]:
    """What the chain found on each photo that went through.

    Args:
        out: of the demo.
        results: of `run`.
    """
    through = [result.job for result in results if result.state == DONE]
    return {job.photo: shapes_json.read(record.path_of(out / FOLDER, "colonies", job.name)) for job in through}


def nearness(found: Mapping[Path, Annotations], rendered: Path) -> Nearness:
    """Compare colonies with those that were drawn, inside the true frame.

    Args:
        found: colonies on rendered photos.
        rendered: folder of the renderer, with the truth.
    """
    from data_engineering.score import score

    pairs = []
    for photo, seen in found.items():
        truth = shapes_json.read(rendered / "truth" / f"{photo.stem}.json")
        frame = frame_mask(truth)
        if frame is not None:
            pairs.append((cut(truth, frame), cut(seen, frame)))
    if not pairs:
        return Nearness(0, float("nan"), 0, float("nan"), float("nan"))
    scored = score([truth for truth, _ in pairs], [each for _, each in pairs])
    iou = mean(coral_iou(truth, each) for truth, each in pairs)
    return Nearness(len(pairs), iou, scored.truths, scored.recall, scored.mask_iou)


def frame_mask(truth: Annotations) -> Mask | None:
    """The pixels inside the frame, bool ``[H, W]``; `None` without a frame that is known on all sides."""
    corners = points_of(truth, "quadrat_corner")
    if corners is None or (np.asarray(corners.visibility) == HIDDEN).any():
        return None
    return masks.rings_to_mask([corners.xy_px], (0, 0, *truth.size_wh))


def cut(annotations: Annotations, inside: Mask) -> Annotations:
    """The colonies, as far as they lie in a mask of the photo's size."""
    kept = (_cut(instance, inside) for instance in annotations.instances)
    return replace(annotations, shapes=tuple(instance for instance in kept if instance is not None))


def _cut(instance: Instance, inside: Mask) -> Instance | None:
    x0, y0, x1, y1 = instance.xyxy_px
    mask = instance.mask & inside[y0:y1, x0:x1]
    return masks.instance_from_mask(instance.label, mask, (x0, y0), instance.score, instance.attributes)


def coral_iou(truth: Annotations, found: Annotations) -> float:
    """IoU of the pixels that any colony covers, 0..1; 1 where there is none in either."""
    true, seen = (_covered(each) for each in (truth, found))
    either = np.count_nonzero(true | seen)
    return np.count_nonzero(true & seen) / either if either else 1.0


def _covered(annotations: Annotations) -> Mask:
    mask = np.zeros(annotations.size_wh[::-1], np.bool_)
    for instance in annotations.instances:
        masks.paste(instance, mask)
    return mask
