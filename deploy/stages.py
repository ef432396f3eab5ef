"""The stages of one photograph, each a function: corners, rectified quadrat, grid, photo without it, colonies twice.

All but the clean photo are asked as CVAT asks them. Colonies are found on the photo as it was taken: one by one, and
from a map that names every pixel. The two answers are kept apart.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from deploy import cleaning
from deploy.serving import verdicts
from quadrat import geometry, images, template
from quadrat.formats import cvat_answer, overlay
from quadrat.shapes import HIDDEN, VISIBLE, Annotations, Instance, Keypoints, Shape
from quadrat.verdict import FAILED

CORNERS, GRID, COLONIES = "pth-yolo-gridcorners", "pth-yolo-gridpose", "pth-yolo-coralseg"
CLEAN, SEGMENTER = cleaning.FUNCTION, "pth-mmseg-coralscopsegformer"
FUNCTIONS = (CORNERS, GRID, CLEAN, COLONIES, SEGMENTER)
COLUMNS = 7
"""Pictures in the row of a photo."""
QUADRAT_PX = 720
"""Side of the rectified quadrat in the picture of the stages."""

_CELL_PX, _DRAWN_PX, _GAP_PX = 460, 900, 5
_GRAY, _PAPER = 225, 250
_EXPLAINED = {"refiner": "X-Quadrat-Refiner", "scale": "X-Quadrat-Scale"}
_RIGHT_WITHIN = {"quadrat_corner": 0.05, "grid": 0.5}  # of the way to the next point: 5 % of a side, half a cell


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function said of a photo.

    Attributes:
        shapes: in px of the photo.
        facts: JSON-able: model, seconds; of functions that judge, verdict, score, reasons and layout; of one that
            explains, refiner and scale.
        note: what must be known of the weights; empty if nothing.
    """

    shapes: tuple[Shape, ...]
    facts: Mapping[str, Any]
    note: str = ""

    @property
    def points(self) -> Keypoints | None:
        """The corners or the grid, if there are any."""
        return next((shape for shape in self.shapes if isinstance(shape, Keypoints)), None)

    @property
    def verdict(self) -> str:
        """``ok``, ``review``, ``failed``; empty for a function that does not judge."""
        return str(self.facts.get("verdict", ""))


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


def run(client: Any, urls: Mapping[str, str], photo: Path, threshold: float | None = None) -> Staged:
    """Send a photo through the functions.

    Args:
        client: an `httpx.Client`.
        urls: where to ask, by function name; those of `FUNCTIONS` are asked.
        photo: file.
        threshold: lowest score of a colony, 0..1.

    Raises:
        ValueError: a function refused the photo, or it cannot be read.
    """
    data = photo.read_bytes()
    encoded = base64.b64encode(data).decode("ascii")
    answers = {}
    for name in (name for name in FUNCTIONS if name in urls and name != CLEAN):
        body: dict[str, object] = {"image": encoded}
        if name in (COLONIES, SEGMENTER) and threshold is not None:
            body["threshold"] = threshold
        answers[name] = _ask(client, urls[name], body, images.read_size_wh(photo))
    grid, clean = answers.get(GRID), None
    if CLEAN in urls:
        clean = cleaning.ask(client, urls[CLEAN], encoded, grid.points if grid else None, cleaning.format_of(photo))
    image_rgb, corners = images.decode(data), answers.get(CORNERS)
    quadrat = _rectified(image_rgb, corners)
    painted = clean.image_rgb if clean else None
    return Staged(image_rgb, answers, quadrat, clean, None if painted is None else _rectified(painted, corners))


def _ask(client: Any, url: str, body: Mapping[str, object], size_wh: tuple[int, int]) -> Answer:
    start = time.perf_counter()
    response = client.post(url, json=body)
    seconds = time.perf_counter() - start
    if response.status_code != 200:
        raise ValueError(cleaning.error_message(response))
    headers = response.headers
    facts: dict[str, Any] = {"model": headers.get("X-Quadrat-Model", ""), "seconds": round(seconds, 3)}
    if verdicts.VERDICT in headers:
        reasons = headers.get(verdicts.REASONS, "")
        facts |= {"verdict": headers[verdicts.VERDICT], "score": float(headers[verdicts.SCORE])}
        facts |= {"reasons": reasons.split("; ") if reasons else [], "layout": headers.get(verdicts.LAYOUT, "")}
    facts |= {name: headers[header] for name, header in _EXPLAINED.items() if header in headers}
    shapes = tuple(_told(shape, facts) for shape in cvat_answer.read(response.json(), size_wh))
    return Answer(shapes, facts, headers.get("X-Quadrat-Note", ""))


def _told(shape: Shape, facts: Mapping[str, Any]) -> Shape:
    """Points with what only the headers say of them, as the function's predictor had them."""
    if not isinstance(shape, Keypoints) or "verdict" not in facts:
        return shape
    told = {"verdict": facts["verdict"], "reasons": "; ".join(facts["reasons"]), "layout": facts["layout"]}
    return replace(shape, attributes={**shape.attributes, **told})


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


def sheet(rows: Sequence[Sequence[images.Rgb]], note: str) -> images.Rgb:
    """One row a photo, see `row`.

    Args:
        rows: at least one.
        note: stands under the sheet.
    """
    cells = [cell for row in rows for cell in row]
    return overlay.contact_sheet(cells, columns=COLUMNS, cell_px=_CELL_PX, note=note)


def row(name: str, staged: Staged) -> list[images.Rgb]:
    """Small pictures of the photo, its corners, rectified quadrat, grid, what is under it, and colonies twice."""
    corners, grid = staged.answers.get(CORNERS), staged.answers.get(GRID)
    colonies = [shape for shape in staged.shapes if isinstance(shape, Instance)]
    quadrat = staged.quadrat
    if quadrat is None:
        blank = np.full((staged.size_wh[1], staged.size_wh[0], 3), _GRAY, np.uint8)
        rectified = _cell(blank, (), "no quadrat to rectify")
        on_grid = _cell(staged.image_rgb, grid.shapes if grid else (), _words("grid", grid))
    else:
        rectified = _cell(quadrat.image_rgb, (), "rectified quadrat")
        on_grid = _cell(quadrat.image_rgb, quadrat.from_photo(grid.shapes) if grid else (), _words("grid", grid))
    return [
        _cell(staged.image_rgb, (), name),
        _cell(staged.image_rgb, corners.shapes if corners else (), _words("corners", corners)),
        rectified,
        on_grid,
        _without_grid(staged),
        _cell(staged.image_rgb, colonies, f"{len(colonies)} colonies" if COLONIES in staged.answers else "colonies: -"),
        _segmented(staged),
    ]


def _segmented(staged: Staged) -> images.Rgb:
    """The colonies of the map that names every pixel, with how they were made."""
    answer = staged.segmented
    if answer is None:
        return _cell(staged.image_rgb, (), "segmenter: the function does not run")
    unsure = sum(shape.attributes.get("unsure") == "true" for shape in answer.shapes)
    words = f"segmenter: {len(answer.shapes)} colonies{f', {unsure} unsure' if unsure else ''}"
    how = [f"{name} {answer.facts[name]}" for name in _EXPLAINED if name in answer.facts]
    return _cell(staged.image_rgb, answer.shapes, ", ".join([words, *how]))


def _without_grid(staged: Staged) -> images.Rgb:
    """The quadrat without its grid, or the photo where there is no quadrat; as it was where nothing was painted."""
    clean, before = staged.clean, staged.quadrat.image_rgb if staged.quadrat else staged.image_rgb
    if clean is None:
        return _cell(before, (), "clean: the function does not run")
    painted = staged.clean_quadrat.image_rgb if staged.clean_quadrat else clean.image_rgb
    return _cell(before if painted is None else painted, (), clean.words)


def _words(stage: str, answer: Answer | None) -> str:
    if answer is None:
        return f"{stage}: the function does not run"
    reasons = answer.facts.get("reasons") or []
    more = f", and {len(reasons) - 1} more reasons" if len(reasons) > 1 else ""
    layout = f" ({answer.facts['layout']})" if stage == "grid" and answer.facts.get("layout") else ""
    why = f": {reasons[0]}{more}" if reasons else ""
    return f"{stage}{layout} {answer.verdict or FAILED}{why}"


def _cell(image_rgb: images.Rgb, shapes: Sequence[Shape], words: str) -> images.Rgb:
    """A picture with its shapes, without their legend, and words under it."""
    height, width = image_rgb.shape[:2]
    scale = min(1.0, _DRAWN_PX / max(height, width))
    drawn = overlay.draw(image_rgb, shapes, long_side=_DRAWN_PX)[: round(height * scale), : round(width * scale)]
    cell = overlay.contact_sheet([drawn], columns=1, cell_px=_CELL_PX - 2 * _GAP_PX, note=words)
    return np.pad(cell, ((_GAP_PX, _GAP_PX), (_GAP_PX, _GAP_PX), (0, 0)), constant_values=_PAPER)
