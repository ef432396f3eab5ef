from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest

from grid_pose_detection import metrics, report, truth
from quadrat import template
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Keypoints
from quadrat.verdict import FAILED, OK, REVIEW, Verdict

SURE = Verdict(OK, 0.9)
CORNERS, GRID = template.load("corners"), template.load("grid9x13")
SIDE = 1000.0


def quadrat(layout: template.Template, hidden=(), covered=(), at: float = 0.0) -> truth.Quadrat:
    """Straight from above, its sides 1000 px, its top left corner at `at`."""
    seen = np.full(len(layout.names), VISIBLE)
    seen[list(covered)], seen[list(hidden)] = OCCLUDED, HIDDEN
    points = Keypoints(layout.label, layout.names, layout.uv * SIDE + at, seen)
    return truth.Quadrat(points, layout, truth.cells_px(points, layout))


def result(known: truth.Quadrat, moved=(0.0, 0.0), score: float = 0.9, **changes) -> Keypoints:
    xy = known.points.xy_px + moved
    whole = np.full(len(xy), VISIBLE)
    return replace(known.points, xy_px=xy, visibility=whole, score=score, **changes)


def measured(quadrats, results, verdict=SURE) -> metrics.Photo:
    return metrics.measure("a.jpg", "pvc", quadrats, results, verdict, 0.1)


def test_a_cell_is_the_shorter_step_of_a_lattice_and_the_mean_side_of_a_frame() -> None:
    assert quadrat(GRID).cell_px == pytest.approx(SIDE / 14)
    assert quadrat(template.load("grid11x11")).cell_px == pytest.approx(SIDE / 10)
    assert quadrat(CORNERS, hidden=[0]).cell_px == pytest.approx(SIDE)
    half_as_near = replace(quadrat(GRID).points, xy_px=quadrat(GRID).points.xy_px * [1, 0.5 + GRID.uv[:, 1:].min()])
    assert truth.cells_px(half_as_near, GRID)[0] < SIDE / 14
    with pytest.raises(ValueError, match="no scale"):
        quadrat(CORNERS, hidden=[0, 2])


def test_perspective_makes_cells_smaller_where_they_are_farther_away() -> None:
    known = quadrat(GRID).points
    x, y = known.xy_px.T
    far = np.column_stack([500 + (x - 500) * (0.5 + y / 2000), y * (0.5 + y / 2000)])
    cells = truth.cells_px(replace(known, xy_px=far), GRID).reshape(13, 9)
    assert (np.diff(cells[1:-1].mean(axis=1)) > 0).all()


def test_errors_are_of_visible_points_in_px_and_in_cells() -> None:
    known = quadrat(GRID, covered=range(10), hidden=range(10, 20))
    photo = measured([known], [result(known, (3.0, 4.0))])
    one = metrics.figures([photo])
    assert one["points"] == 97
    assert one["error_px"] == {"mean": 5.0, "median": 5.0, "p95": 5.0}
    assert one["error_percent"]["mean"] == pytest.approx(100 * 5 / (SIDE / 14), rel=1e-4)
    assert one["pck"] == {"5": 0.0, "10": 1.0, "50": 1.0}
    assert one["reached"] == 1


def test_hidden_points_are_not_demanded_and_covered_ones_only_for_found() -> None:
    known = quadrat(CORNERS, hidden=[0], covered=[1])
    off = result(known)
    wrong = np.array(off.xy_px)
    wrong[0] += 400
    photo = measured([known], [replace(off, xy_px=wrong)])
    assert photo.found
    assert photo.right
    wrong[1] += 400
    photo = measured([known], [replace(off, xy_px=wrong)])
    assert not photo.found
    assert photo.ordered
    assert photo.falsely_accepted
    assert metrics.figures([photo])["error_px"]["mean"] == 0
    seen = np.array([VISIBLE, VISIBLE, HIDDEN, VISIBLE])
    assert not measured([known], [replace(off, visibility=seen)]).found


@pytest.mark.parametrize(("move", "found"), [(0.049, True), (0.051, False)])
def test_a_corner_is_found_within_five_percent_of_the_side(move: float, found: bool) -> None:
    known = quadrat(CORNERS)
    xy = np.array(known.points.xy_px)
    xy[2] += [0, move * SIDE]
    photo = measured([known], [replace(known.points, xy_px=xy)])
    assert photo.found == found
    assert photo.falsely_accepted != found


def test_a_lattice_shifted_by_one_row_is_out_of_order_and_one_a_little_off_is_not() -> None:
    known = quadrat(GRID)
    near, shifted = (measured([known], [result(known, (0, step * SIDE / 14))]) for step in (0.45, 1.0))
    assert near.ordered
    assert not near.falsely_accepted
    assert not shifted.ordered
    assert shifted.falsely_accepted
    doubtful = measured([known], shifted.results, Verdict(REVIEW, 0.4, ("a doubt",)))
    assert not doubtful.falsely_accepted
    one = metrics.figures([near, shifted, doubtful])
    assert one["ordered"] == pytest.approx(1 / 3, abs=1e-6)
    assert one["false_acceptance"] == pytest.approx(1 / 3, abs=1e-6)
    assert one["wrong"] == {OK: 1, REVIEW: 1, FAILED: 0}
    assert one["verdicts"] == {OK: 2, REVIEW: 1, FAILED: 0}


def test_a_miss_counts_for_order_and_pck_and_a_quadrat_where_none_is_is_accepted_falsely() -> None:
    known = quadrat(GRID)
    missed = measured([known], [], Verdict(FAILED, 0.0, ("no grid found",)))
    empty = measured([], [], Verdict(FAILED, 0.0, ("no grid found",)))
    invented = measured([], [result(known)])
    one = metrics.figures([measured([known], [result(known)]), missed, empty, invented])
    assert one["ordered"] == one["found"] == one["pck"]["50"] == one["reached"] == 0.5
    assert one["refused"] == 0.5
    assert one["false_acceptance"] == 0.25
    assert one["error_px"]["mean"] == 0
    assert metrics.figures([empty])["ordered"] is None
    assert metrics.figures([empty])["error_px"]["mean"] is None


def test_two_quadrats_go_to_the_results_nearest_to_them() -> None:
    left, right = quadrat(CORNERS), quadrat(CORNERS, at=1500.0)
    photo = measured([left, right], [result(right, (2, 0), 0.9), result(left, (1, 0), 0.8)])
    assert [pair.errors_px[0] for pair in photo.pairs] == [1, 2]
    assert photo.found
    assert not measured([left, right], [result(left)]).found
    assert not measured([left], [result(left), result(right)]).found


def test_oks_forgives_as_much_as_its_sigma_says() -> None:
    for layout, share in ((GRID, 0.118), (CORNERS, 0.0236)):
        known = quadrat(layout)
        unit = float(known.cell_px[0])
        assert metrics.oks(known, result(known, (share * unit, 0))) == pytest.approx(0.5, abs=0.01)
    known = quadrat(GRID, hidden=range(117 - 9))
    gone = np.full(117, VISIBLE)
    gone[-3:] = HIDDEN
    assert metrics.oks(known, replace(known.points, visibility=gone)) == pytest.approx(6 / 9)


def test_average_precision_is_that_of_pycocotools() -> None:
    pytest.importorskip("pycocotools")
    rng = np.random.default_rng(5)
    layout = template.even_lattice("small", 4, 3)
    photos, truths, guesses = [], [], []
    for number in range(60):
        hidden = rng.choice(12, rng.integers(0, 4), replace=False)
        known = [quadrat(layout, hidden, at=1200.0 * k) for k in range(rng.integers(0, 3))]
        found = [
            replace(
                result(one, score=round(float(rng.random()), 3)),
                xy_px=one.points.xy_px + rng.normal(0, rng.choice([3, 12, 40]), (12, 2)),
            )
            for one in known
            if rng.random() < 0.8
        ]
        if rng.random() < 0.3:
            found.append(result(quadrat(layout, at=5000.0), score=round(float(rng.random()), 3)))
        photos.append(measured(known, found))
        truths += [(number, one) for one in known]
        guesses += [(number, one) for one in found]
    theirs = coco_precision(layout, len(photos), truths, guesses)
    one = metrics.figures(photos)
    assert [one["oks_ap"], one["oks_ap50"], one["oks_ap75"]] == pytest.approx(theirs, abs=1e-6)
    assert 0.1 < one["oks_ap"] < 0.9


def coco_precision(layout: template.Template, photos: int, truths, guesses) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def entry(number: int, points: Keypoints) -> dict:
        seen = np.asarray(points.visibility).tolist()
        flat = [v for (x, y), flag in zip(points.xy_px.tolist(), seen, strict=True) for v in (x, y, flag)]
        low, high = points.xy_px.min(0), points.xy_px.max(0)
        return {"image_id": number, "category_id": 1, "keypoints": flat, "bbox": [*low, *(high - low)]}

    annotations = []
    for key, (number, known) in enumerate(truths, 1):
        facts = {"id": key, "iscrowd": 0, "area": float(np.median(known.cell_px)) ** 2}
        seen = int((np.asarray(known.points.visibility) > 0).sum())
        annotations.append({**entry(number, known.points), **facts, "num_keypoints": seen})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        category = {"id": 1, "name": "grid", "keypoints": list(layout.names)}
        images = [{"id": number} for number in range(photos)]
        coco.dataset = {"images": images, "annotations": annotations, "categories": [category], "info": {}}
        coco.createIndex()
        found = coco.loadRes([{**entry(number, one), "score": one.score} for number, one in guesses])
        run = COCOeval(coco, found, "keypoints")
        run.params.kpt_oks_sigmas = np.full(len(layout.names), metrics.SIGMA_CELL)
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, 0, 0, 0]
    return [precision.mean(), precision[0].mean(), precision[5].mean()]


def test_accepting_the_best_first_lets_the_worst_in_last() -> None:
    known = quadrat(GRID)
    right = [measured([known], [result(known)], Verdict(OK, score)) for score in (0.9, 0.7)]
    wrong = measured([known], [result(known, (300, 0))], Verdict(REVIEW, 0.3, ("a doubt",)))
    scores, shares, errors = metrics.acceptance([right[1], wrong, right[0]])
    assert scores.tolist() == [0.9, 0.7, 0.3]
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])
    assert errors == pytest.approx([0, 0, 1 / 3])
    false = measured([known], wrong.results)
    assert report.worst_first([right[0], wrong, false]) == [false, wrong, right[0]]


def test_errors_by_point_leave_out_what_is_not_seen() -> None:
    known, half = quadrat(GRID), quadrat(GRID, covered=[3], hidden=[4])
    photos = [measured([one], [result(one, (step, 0))]) for one, step in ((known, 10), (half, 20))]
    medians, counts = metrics.by_point(photos, GRID.name)
    assert counts[[0, 3, 4]].tolist() == [2, 1, 1]
    assert medians[[0, 3]] * SIDE / 14 == pytest.approx([15, 10])
    assert np.isnan(metrics.by_point([measured([known], [])], GRID.name)[0]).all()
    with pytest.raises(ValueError, match="no photo shows"):
        metrics.by_point(photos, "corners")


def test_reasons_are_counted_without_their_numbers() -> None:
    assert metrics.plain("31 of 117 points are missing, 2 of them outside the photo") == (
        "N of N points are missing, N of them outside the photo"
    )
    assert metrics.plain("corners 1, 2, 3 not seen") == "corners N not seen"
    assert metrics.plain("layout grid9x13 fits as well: 0.41") == "layout grid9x13 fits as well: N"


def test_quadrats_of_another_label_are_no_matter_and_of_another_layout_are_refused() -> None:
    grid = quadrat(GRID).points
    corners = quadrat(CORNERS).points
    known = Annotations("a.jpg", (1200, 1200), (corners, grid), {"frame": "chain"})
    (found,) = truth.quadrats(known, [template.load("grid11x11"), GRID])
    assert found.layout.name == "grid9x13"
    assert truth.frame_of(known) == "chain"
    said = replace(known, shapes=(replace(grid, attributes={"layout": "grid9x13"}),))
    with pytest.raises(ValueError, match="expected one of"):
        truth.quadrats(said, [template.load("grid11x11")])


def test_a_frame_with_two_corners_in_the_photo_is_to_be_refused() -> None:
    cut, whole = (quadrat(CORNERS, hidden=hidden).points for hidden in ([2, 3], [3]))
    assert truth.quadrats(Annotations("a.jpg", (1200, 1200), (cut,)), [CORNERS]) == []
    assert len(truth.quadrats(Annotations("a.jpg", (1200, 1200), (whole,)), [CORNERS])) == 1
