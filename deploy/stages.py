"""The stages of one photograph, each a function: corners, rectified quadrat, grid, photo without it, colonies twice.

All but the clean photo are asked as CVAT asks them. Colonies are found on the photo as it was taken: one by one, and
from a map that names every pixel. The two answers are kept apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deploy import asking, cells, cleaning
from deploy.asking import Answer
from deploy.cells import cell
from deploy.chain import CLEAN, COLONIES, CORNERS, GRID
from quadrat import geometry, images, template
from quadrat.shapes import HIDDEN, VISIBLE, Annotations, Instance, Keypoints, Shape
from quadrat.verdict import FAILED

SEGMENTER = "pth-mmseg-coralscopsegformer"
FUNCTIONS = (CORNERS, GRID, CLEAN, COLONIES, SEGMENTER)
COLUMNS = 7
"""Pictures in the row of a photo."""
QUADRAT_PX = 720
"""Side of the rectified quadrat in the picture of the stages."""

_RIGHT_WITHIN = {"quadrat_corner": 0.05, "grid": 0.5}  # of the way to the next point: 5 % of a side, half a cell


@dataclass(frozen=True, slots=True)
class Staged:
    """A photo with what the functions that run say of it.

    Attributes:
        image_rgb: the photo.
        answers: of the functions that find something, by name.
        quadrat: seen from above, where corners were found.
        clean: the answer of the function that removes the grid, where it runs.
        clean_quadrat: as `quadrat`, without its grid.
    """

    image_rgb: images.Rgb
    answers: Mapping[str, Answer] = field(default_factory=dict)
    quadrat: geometry.Rectified | None = None
    clean: cleaning.Cleaned | None = None
    clean_quadrat: geometry.Rectified | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in px."""
        return self.image_rgb.shape[1], self.image_rgb.shape[0]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Points and colonies, points first; without those of `segmented`."""
        answers = (answer for name, answer in self.answers.items() if name != SEGMENTER)
        return tuple(shape for answer in answers for shape in answer.shapes)

    @property
    def segmented(self) -> Answer | None:
        """The colonies of the function that names every pixel, where it runs."""
        return self.answers.get(SEGMENTER)


def run(urls: Mapping[str, str], photo: Path, threshold: float | None = None) -> Staged:
    """Send a photo through the functions.

    Args:
        urls: where to ask, by function name; those of `FUNCTIONS` are asked.
        photo: file.
        threshold: lowest score of a colony, 0..1.

    Raises:
        ValueError: a function refused the photo or cannot be used, or the photo cannot be read.
    """
    data, size_wh = photo.read_bytes(), images.read_size_wh(photo)
    answers = {}
    for name in (name for name in FUNCTIONS if name in urls and name != CLEAN):
        least = threshold if name in (COLONIES, SEGMENTER) else None
        answers[name] = asking.found(urls[name], data, size_wh, least)
    grid, clean = answers.get(GRID), None
    if CLEAN in urls:
        clean = cleaning.ask(urls[CLEAN], data, grid.points if grid else None)
    image_rgb, corners = images.decode(data), answers.get(CORNERS)
    quadrat = _rectified(image_rgb, corners)
    painted = clean.image_rgb if clean else None
    return Staged(image_rgb, answers, quadrat, clean, None if painted is None else _rectified(painted, corners))


def _rectified(image_rgb: images.Rgb, corners: Answer | None) -> geometry.Rectified | None:
    """The quadrat from straight above; none without four corners in the photo (CVAT keeps no place outside of it)."""
    points = corners.points if corners else None
    if points is None or (np.asarray(points.visibility) == HIDDEN).any():
        return None
    try:
        return geometry.rectify(image_rgb, points.xy_px, (QUADRAT_PX, QUADRAT_PX))
    except ValueError:  # corners that a person must put right
        return None


# ------------------------------------------------------------------------------------------------ the truth


def is_right(found: Keypoints | None, truth: Keypoints | None) -> bool:
    """Whether points lie where they should: each visible one near its own truth, or none where there is none to find.

    Near is within 5 % of the side for a corner, within half a cell for a point of a grid.
    """
    if found is None or truth is None:
        return found is truth
    layout = template.load(truth.attributes.get("layout", "corners"))
    starts, ends = np.array(layout.edges).T
    step = float(np.median(np.linalg.norm(truth.xy_px[starts] - truth.xy_px[ends], axis=1)))
    seen = np.asarray(truth.visibility) == VISIBLE
    off = np.linalg.norm(found.xy_px - truth.xy_px, axis=1)[seen]
    placed = (np.asarray(found.visibility) != HIDDEN)[seen]
    return bool(found.names == truth.names and placed.all() and (off <= _RIGHT_WITHIN[truth.label] * step).all())


def points_of(annotations: Annotations, label: str) -> Keypoints | None:
    """The points of that label, if there are any."""
    return next((points for points in annotations.keypoints if points.label == label), None)


# ------------------------------------------------------------------------------------------------ the picture


def row(name: str, staged: Staged) -> list[images.Rgb]:
    """Small pictures of the photo, its corners, rectified quadrat, grid, what is under it, and colonies twice."""
    corners, grid = staged.answers.get(CORNERS), staged.answers.get(GRID)
    colonies = [shape for shape in staged.shapes if isinstance(shape, Instance)]
    quadrat = staged.quadrat
    if quadrat is None:
        rectified = cell(cells.blank(staged.size_wh), (), "no quadrat to rectify")
        on_grid = cell(staged.image_rgb, grid.shapes if grid else (), _words("grid", grid))
    else:
        rectified = cell(quadrat.image_rgb, (), "rectified quadrat")
        on_grid = cell(quadrat.image_rgb, quadrat.from_photo(grid.shapes) if grid else (), _words("grid", grid))
    return [
        cell(staged.image_rgb, (), name),
        cell(staged.image_rgb, corners.shapes if corners else (), _words("corners", corners)),
        rectified,
        on_grid,
        _without_grid(staged),
        cell(staged.image_rgb, colonies, f"{len(colonies)} colonies" if COLONIES in staged.answers else "colonies: -"),
        _segmented(staged),
    ]


def _segmented(staged: Staged) -> images.Rgb:
    """The colonies of the map that names every pixel, with how they were made."""
    answer = staged.segmented
    if answer is None:
        return cell(staged.image_rgb, (), "segmenter: the function does not run")
    unsure = sum(shape.attributes.get("unsure") == "true" for shape in answer.shapes)
    words = f"segmenter: {len(answer.shapes)} colonies{f', {unsure} unsure' if unsure else ''}"
    how = [f"{name} {answer.facts[name]}" for name in asking.EXPLAINED if name in answer.facts]
    return cell(staged.image_rgb, answer.shapes, ", ".join([words, *how]))


def _without_grid(staged: Staged) -> images.Rgb:
    """The quadrat without its grid, or the photo where there is no quadrat; as it was where nothing was painted."""
    clean, before = staged.clean, staged.quadrat.image_rgb if staged.quadrat else staged.image_rgb
    if clean is None:
        return cell(before, (), "clean: the function does not run")
    painted = staged.clean_quadrat.image_rgb if staged.clean_quadrat else clean.image_rgb
    return cell(before if painted is None else painted, (), clean.words)


def _words(stage: str, answer: Answer | None) -> str:
    if answer is None:
        return f"{stage}: the function does not run"
    reasons = answer.facts.get("reasons") or []
    more = f", and {len(reasons) - 1} more reasons" if len(reasons) > 1 else ""
    layout = f" ({answer.facts['layout']})" if stage == "grid" and answer.facts.get("layout") else ""
    why = f": {reasons[0]}{more}" if reasons else ""
    return f"{stage}{layout} {answer.verdict or FAILED}{why}"
