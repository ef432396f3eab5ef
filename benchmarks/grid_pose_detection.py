"""Cases of `grid_pose_detection`: the whole functions against their limit and against plain ultralytics; matching.

``CORNERS_WEIGHTS`` and ``GRID_WEIGHTS`` name other weights than those that ship.
"""

from __future__ import annotations

import binascii
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure, photos, served
from benchmarks.cases import CheckError, Sides, case
from benchmarks.plain_pose import Plain

SIZE_WH = (4000, 3000)
PHOTO = "4000 x 3000 px (12 MP), rendered quadrat: a PVC frame with the strings of grid11x11"
JPEG = "JPEG 4:2:0, quality 92, in base64 in JSON; answer JSON with a skeleton"
TASKS = {"corners": "pth-yolo-gridcorners", "grid": "pth-yolo-gridpose"}
LAYOUTS = {"corners": "corners", "grid": "grid11x11"}
TOLERANCE = {"corners": 0.02, "grid": 0.25}
"""Of the way to the next point: theirs are not refined."""
FORWARD_PX = 640
LATTICES = 40


def _weights(task: str) -> str:
    """As `model.load` takes them; empty for what ships."""
    return (os.environ.get("CORNERS_WEIGHTS") if task == "corners" else os.environ.get("GRID_WEIGHTS")) or ""


@functools.cache
def _function(task: str) -> served.Function:
    import grid_pose_detection

    folder = Path(grid_pose_detection.__file__).parent / "deploy" / TASKS[task]
    return served.Function(folder / "nuclio" / "main.py", {"MODEL_PATH": _weights(task)})


def _predictor(task: str) -> Any:
    return _function(task).context.user_data.function.predictor


# ------------------------------------------------------------------------------------------------ the limit


def _limit(task: str) -> Sides:
    import simplejpeg

    from grid_pose_detection import network

    function, predictor = _function(task), _predictor(task)
    jpeg = photos.quadrat_jpeg(*SIZE_WH)
    body = served.body_of(jpeg)
    pixels = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    batch = network.to_batch(network.fit(pixels, predictor.finder.network.facts))

    def limit() -> None:
        simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
        predictor.finder.network(batch)

    def check() -> dict[str, object]:
        judged = predictor.predict_judged(pixels)
        points = _points(function.answer(body))
        if len(points) != len(predictor.layouts[0].names):
            raise CheckError(f"{len(points)} points are answered ({'; '.join(judged.verdict.reasons)})")
        return {"verdict": judged.verdict.status, "points": len(points), "input px": list(batch.shape[2:])}

    def facts() -> dict[str, object]:
        return {"share of each stage": measure.stages(_stages(task, body, jpeg))}

    return Sides(lambda: function.call(body), limit, check, facts)


def _stages(task: str, body: bytes, jpeg: bytes) -> dict[str, Callable[[], object]]:
    """Each stage on what the stage before gave."""
    from deploy.serving import encode, request
    from grid_pose_detection import network
    from quadrat import images, sharpness, verdict

    predictor, offered = _predictor(task), _function(task).context.user_data.function.offered
    finder, image = predictor.finder, images.decode(jpeg)
    size_wh = image.shape[1], image.shape[0]
    view, predictions = finder.run(image)
    candidates, _ = finder.find(image, predictor.confidence)
    points, layout, told = predictor._place(candidates, image, predictor.layouts)
    judged = predictor.predict_judged(image)
    batch, text = network.to_batch(view), request.parse(body).image
    return {
        "JSON": lambda: request.parse(body),
        "base64": lambda: binascii.a2b_base64(text, strict_mode=True),
        "JPEG decoding": lambda: images.decode(jpeg),
        "resizing": lambda: network.fit(image, finder.network.facts),
        "batch": lambda: network.to_batch(view),
        "forward pass": lambda: finder.network(batch),
        "suppression of doubles": lambda: finder.rows(predictions, finder.kept(predictions, predictor.confidence)),
        "matching and refining": lambda: predictor._place(candidates, image, predictor.layouts),
        "blur": lambda: sharpness.blur_px(view.photo_rgb),
        "verdict": lambda: verdict.judge(points, layout, size_wh, **told),
        "encoding": lambda: encode.encode(judged.shapes, size_wh, offered).to_json(),
    }


def _points(shapes: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """The points of an answer that are not `outside`."""
    elements = [element for shape in shapes for element in shape["elements"] if not element["outside"]]
    return {element["label"]: (element["points"][0], element["points"][1]) for element in elements}


def _limit_case(task: str, objects: str) -> None:
    @case(
        "grid_pose_detection",
        f"{task}-limit",
        measures="the whole handler: request body in, answer body out; ratio = time(limit) / time(handler)",
        peer="the limit: JPEG decoding and the bare forward pass of the same network",
        photo=PHOTO,
        objects=objects,
        encoding=JPEG,
        precision="torch float32 on both sides, as the function runs by default",
        target=0.9,
        repeat=15,
    )
    def prepare() -> Sides:
        return _limit(task)


_limit_case("corners", "4 corners")
_limit_case("grid", "117 points")


# ------------------------------------------------------------------------------------------------ plain ultralytics


def _against_plain(task: str) -> Sides:
    from grid_pose_detection import model
    from quadrat import template

    function, predictor = _function(task), _predictor(task)
    body = served.body_of(photos.quadrat_jpeg(*SIZE_WH))
    facts = predictor.finder.network.facts
    weights = str(model.find_weights(_weights(task) or None, task))
    theirs = Plain(weights, template.load(LAYOUTS[task]), predictor.confidence, facts.size_px)

    def check() -> dict[str, object]:
        ours, others = _points(function.answer(body)), _points(theirs.answer(body))
        both = sorted(set(ours) & set(others))
        if not both:
            raise CheckError(f"ours answers {len(ours)} points, theirs {len(others)}: none of the same name")
        away = np.linalg.norm([np.subtract(ours[name], others[name]) for name in both], axis=1)
        most, allowed = float(np.quantile(away, 0.95)), TOLERANCE[task] * _cell_px(ours)
        if len(both) < 0.9 * len(ours) or most > allowed:
            found = f"{len(both)} of {len(ours)} points are in both, 95 % of them within {most:.1f} px"
            raise CheckError(f"{found}: expected 90 % and {allowed:.1f} px")
        return {
            "points of theirs": len(others),
            "of them with ours": len(both),
            "median distance px": float(np.median(away)),
            "95 % within px": most,
        }

    return Sides(lambda: function.call(body), lambda: theirs.call(body), check)


def _cell_px(points: dict[str, tuple[float, float]]) -> float:
    """Median way from a point to its nearest neighbour."""
    xy = np.array(list(points.values()))
    ways = np.linalg.norm(xy[:, None] - xy, axis=2) + np.diag(np.full(len(xy), np.inf))
    return float(np.median(ways.min(axis=1)))


def _plain_case(task: str, objects: str) -> None:
    @case(
        "grid_pose_detection",
        f"{task}-ultralytics",
        measures="the whole handler; it also refines the points on the full photo, and judges them",
        peer="a handler as CVAT's samples are: Pillow, ultralytics' `predict` with the same weights, OpenCV's "
        "homography, scipy's linear_sum_assignment",
        photo=PHOTO,
        objects=objects,
        encoding=JPEG,
        precision="torch float32 on both sides",
        target=1,
    )
    def prepare() -> Sides:
        return _against_plain(task)


_plain_case("corners", "4 corners")
_plain_case("grid", "117 points")


# ------------------------------------------------------------------------------------------------ matching


@case(
    "grid_pose_detection",
    "matching-forward",
    measures=f"matching of {LATTICES} lattices to two layouts; ratio = time({LATTICES} forward passes) / that time",
    peer=f"the forward pass of the network that ships at {FORWARD_PX} px, as often",
    photo="none: random lattices, tilted and in perspective",
    objects="117 points: 40 % missing, 20 % false, noise 5 % of a cell",
    encoding="none",
    precision="float64; the network in torch float32",
    target=20,
    repeat=5,
)
def matching_forward() -> Sides:
    """At most 5 % of the forward pass."""
    from grid_pose_detection import matching
    from quadrat import template

    network = _predictor("grid").finder.network
    layouts = [template.load(name) for name in ("grid11x11", "grid9x13")]
    lattices = [photos.lattice(layouts[seed % 2], seed) for seed in range(LATTICES)]
    given = [matching.Candidates(xy_px, scores) for xy_px, scores, _ in lattices]
    batch = np.random.default_rng(0).random((1, 3, FORWARD_PX, FORWARD_PX), np.float32)

    def ours() -> None:
        for candidates in given:
            matching.best_match(candidates, layouts)

    def peer() -> None:
        for _ in given:
            network(batch)

    def check() -> dict[str, object]:
        right = 0
        for number, (candidates, (_, _, truth)) in enumerate(zip(given, lattices, strict=True)):
            match = matching.best_match(candidates, layouts)
            same = match is not None and match.template.name == layouts[number % 2].name
            right += bool(same and match and np.quantile(np.linalg.norm(match.xy_px - truth, axis=1), 0.9) < 20)
        if right < 0.9 * LATTICES:
            raise CheckError(f"{right} of {LATTICES} lattices are matched rightly")
        return {"lattices matched rightly": f"{right} of {LATTICES}"}

    return Sides(ours, peer, check)
