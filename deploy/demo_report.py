"""What the demo prints of its photographs: a table, and how near the truth it came where that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from deploy import cleaning, stages
from deploy.asking import Answer
from deploy.stages import COLONIES, CORNERS, GRID, SEGMENTER
from quadrat import images
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations
from quadrat.verdict import FAILED, OK, REVIEW

VERDICTS = (OK, REVIEW, FAILED)
POINTS = {CORNERS: ("corners", "quadrat_corner"), GRID: ("grid", "grid")}


@dataclass(frozen=True, slots=True)
class Done:
    """One photo that went through.

    Attributes:
        answers: of the functions, by name.
        annotations: all that was found, without `segmented`.
        overlay: picture of its colonies.
        note: that stands on the pictures; empty if none need.
        row: small pictures of its stages; none beyond the first `demo.SHEET_PHOTOS`.
        clean: what became of its grid; `None` where the function did not run.
        nearness: of the clean photo to the true one; `None` where nothing was painted or the truth is not known.
        segmented: colonies from a map that names every pixel; `None` where that function did not run.
    """

    photo: Path
    answers: Mapping[str, Answer]
    annotations: Annotations
    overlay: Path
    note: str
    row: Sequence[images.Rgb] = ()
    clean: Mapping[str, Any] | None = None
    nearness: cleaning.Nearness | None = None
    segmented: Annotations | None = None

    @property
    def seconds(self) -> float:
        """What all requests took."""
        facts = [answer.facts for answer in self.answers.values()]
        return float(sum(each.get("seconds", 0) for each in (*facts, self.clean or {})))

    @property
    def painted(self) -> str:
        """The share that was painted; a dash where nothing was."""
        share = (self.clean or {}).get("painted_fraction")
        return "-" if share is None else f"{share:.1%}"

    @property
    def segmented_count(self) -> str:
        """How many colonies the segmenter found; a dash where it did not run."""
        return "-" if self.segmented is None else str(len(self.segmented.instances))

    def verdict(self, function: str) -> str:
        """Of the corners or the grid; a dash where the function did not run."""
        answer = self.answers.get(function)
        return answer.verdict if answer else "-"


def print_table(done: Sequence[Done], failed: Mapping[Path, str]) -> None:
    """A line a photo, and how many corners and grids are fit to go on with."""
    width = max((len(item.photo.name) for item in done), default=5)
    print(f"\n{'photo':<{width}}  corners  grid    painted  colonies  segmenter  seconds  overlay")
    for item in done:
        points = f"{item.verdict(CORNERS):<7}  {item.verdict(GRID):<6}  {item.painted:>7}"
        colonies = f"{len(item.annotations.instances):>8}  {item.segmented_count:>9}"
        print(f"{item.photo.name:<{width}}  {points}  {colonies}  {item.seconds:>7.2f}  {item.overlay}")
    for name, (stage, _) in POINTS.items():
        counts = Counter(item.verdict(name) for item in done if name in item.answers)
        if counts:
            print(f"{stage}: {', '.join(f'{counts[status]} {status}' for status in VERDICTS)}")
    for item in done:
        if item.clean and "error" in item.clean:
            print(f"{item.photo.name} keeps its grid: {item.clean['error']}")
    for photo, reason in failed.items():
        print(f"left out {photo}: {reason}")


def print_score(folder: Path, done: Sequence[Done]) -> None:
    """How near the answers come to what was rendered into `folder`."""
    truth = [truth_of(folder, item) for item in done]
    print(f"\nagainst the truth of {len(done)} rendered photographs:")
    for name, (stage, label) in POINTS.items():
        if name in done[0].answers:
            print(f"  {stage}: {_right(done, truth, label)}")
    _print_nearness([item.nearness for item in done if item.nearness])
    if COLONIES in done[0].answers:
        _print_colonies("", truth, [item.annotations for item in done])
    if SEGMENTER in done[0].answers:
        _print_colonies(" by the segmenter", truth, [item.segmented for item in done if item.segmented])


def _print_colonies(whose: str, truth: Sequence[Annotations], found: Sequence[Annotations]) -> None:
    from data_engineering.score import score

    result = score(truth, found)
    print(
        f"  {result.truths} colonies{whose}: mask mAP50 {result.map50:.3f}, mAP50-95 {result.map50_95:.3f}, "
        f"class-agnostic mAP50 {result.map50_any:.3f}; found {result.recall:.0%}, "
        f"their mean mask IoU {result.mask_iou:.3f}"
    )


def _print_nearness(found: Sequence[cleaning.Nearness]) -> None:
    """Of the pixels that were painted: each photo counts as much as any other."""
    if found:
        before, after = ([cleaning.psnr_db(getattr(each, when)) for each in found] for when in ("before", "after"))
        better = sum(each.after < each.before for each in found)
        print(
            f"  clean: PSNR where it was painted {mean(after):.1f} dB, of the photographs as they were"
            f" {mean(before):.1f} dB; nearer to the truth on {better} of {len(found)}"
        )


def _right(done: Sequence[Done], truth: Sequence[Annotations], label: str) -> str:
    """How many answers are right, of photos with and without such points."""
    pairs = [
        (stages.points_of(item.annotations, label), stages.points_of(t, label))
        for item, t in zip(done, truth, strict=True)
    ]
    right = [(wanted is not None, stages.is_right(found, wanted)) for found, wanted in pairs]
    there, none = ([ok for has, ok in right if has is kind] for kind in (True, False))
    where = "every corner within 5 % of a side" if label == "quadrat_corner" else "every seen point within half a cell"
    return f"right on {sum(there)} of {len(there)} ({where}); nothing found on {sum(none)} of {len(none)} without"


def truth_of(folder: Path, item: Done) -> Annotations:
    """What is in a rendered photo."""
    return shapes_json.read(folder / "truth" / f"{item.photo.stem}.json")
