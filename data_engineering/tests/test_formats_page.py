"""docs/formats.md says what each format can hold: all that it says "yes" to is written and read here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_engineering.formats import known
from data_engineering.formats.collection import Collection
from data_engineering.tests.format_examples import SIZE, box, mask, photo_file, polygon, same, skeleton
from quadrat.drawn import Drawn, DrawnPhoto, from_annotations, sublabels_of, to_annotations
from quadrat.drawn_labels import Seen
from quadrat.formats import shapes_json

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
SHAPES = "Shapes JSON"
COLUMNS = {
    "CVAT for images 1.1": ("cvat", "out.zip"),
    "CVAT backup": ("backup", "out.zip"),
    "COCO": ("coco", "out"),
    "YOLO": ("yolo", "out"),
    "CoralNet CSV": ("coralnet", "out.csv"),
    "TagLab": ("taglab", "out.json"),
}
FACTS = {
    "cvat_task_id": 7,
    "cvat_task_name": "moorea",
    "cvat_job_id": 9,
    "cvat_subset": "train",
    "cvat_project_name": "reef",
    "cvat_project_id": 3,
    "cvat_frame": 0,
}


@dataclass(frozen=True)
class Row:
    """What is drawn for a row, and whether it is there in what came back."""

    drawn: Sequence[Drawn]
    there: Callable[[DrawnPhoto, Sequence[Any]], bool] = lambda photo, labels: False
    labels: Sequence[dict[str, Any]] = field(default=())


def shapes(*drawn: Drawn) -> Row:
    return Row(drawn, lambda photo, _: len(photo.drawn) == len(drawn) and all(map(same, drawn, photo.drawn)))


def says(one: Drawn, name: str) -> Row:
    wanted = getattr(one, name)
    return Row([one], lambda photo, _: any(wanted == getattr(back, name) for back in photo.drawn))


def told(fact: str) -> Row:
    return Row([polygon()], lambda photo, _: photo.facts.get(fact) == FACTS[fact])


def grouped(*drawn: Drawn) -> Row:
    def there(photo: DrawnPhoto, _: Any) -> bool:
        groups = {one.group for one in photo.drawn}
        return len(photo.drawn) == len(drawn) and len(groups) == 1 and groups != {0}

    return Row(drawn, there)


def health(photo: DrawnPhoto, labels: Sequence[Any]) -> bool:
    specs = [spec for label in labels for spec in label["attributes"]]
    return any(spec["name"] == "health" and list(spec["values"]) == ["alive", "dead"] for spec in specs)


HEALTH = {
    "name": "health",
    "input_type": "select",
    "mutable": False,
    "values": ["alive", "dead"],
    "default_value": "alive",
}
LABEL = {"name": "Porites", "color": "#0a0b0c", "type": "polygon", "attributes": [HEALTH]}
ROWS = {
    "polygon": shapes(polygon()),
    "hole": shapes(mask(hole=True)),
    "parts of one colony": grouped(polygon(group=1), polygon(shift=50, group=1)),
    "mask": shapes(mask()),
    "box": shapes(box()),
    "rotated box": Row(
        [box(rotation=30)], lambda photo, _: any(same(one, box()) and one.rotation == 30 for one in photo.drawn)
    ),
    "ellipse": shapes(Drawn("ellipse", "Porites", np.array([[60.5, 50], [80, 40.25]]))),
    "polyline": shapes(Drawn("polyline", "tape", np.array([[0.5, 1], [9, 9.25], [20, 5]]))),
    "single point": shapes(Drawn("points", "Sand", np.array([[4.25, 4.5]]))),
    "points that belong together": shapes(Drawn("points", "Sand", np.array([[4.5, 4.5], [9.5, 7.5]]))),
    "skeleton": shapes(skeleton(("seen",) * 4)),
    "hidden and covered points of a skeleton": shapes(skeleton()),
    "tag": shapes(Drawn("tag", "good")),
    "attributes": Row(
        [polygon(attributes={"health": "dead"})],
        lambda photo, _: any(one.attributes.get("health") == "dead" for one in photo.drawn),
    ),
    "group": grouped(polygon(group=5), box(group=5)),
    "occluded": says(polygon(occluded=True), "occluded"),
    "source": says(polygon(source="semi-auto"), "source"),
    "score": says(polygon(score=0.625), "score"),
    "z-order": says(polygon(z_order=3), "z_order"),
    "subset": told("cvat_subset"),
    "task": told("cvat_task_name"),
    "job": told("cvat_job_id"),
    "label colours": Row(
        [polygon()], lambda _, labels: any(label.get("color") == "#0a0b0c" for label in labels), [LABEL]
    ),
    "definitions of attributes": Row([polygon(attributes={"health": "dead"})], health, [LABEL]),
    "photo files": Row([polygon()], lambda photo, _: photo.path is not None),
}


def table() -> dict[str, dict[str, str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    start = next(at for at, line in enumerate(lines) if line.startswith("| What |"))
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[start:]]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def cells(word: str) -> Iterator[tuple[str, str]]:
    for row, line in table().items():
        yield from ((row, column) for column, cell in line.items() if re.sub(r" \[\d+\]", "", cell) == word)


def round_trip(row: Row, column: str, folder: Path) -> tuple[DrawnPhoto, Sequence[Any], Any]:
    """The photo and labels that come back, and what the format said it lost."""
    photo = DrawnPhoto("a.png", SIZE, row.drawn, photo_file(folder, "photos/a.png"), FACTS)
    labels = row.labels or Seen().of([photo])
    if column == SHAPES:
        shapes_json.write(folder / "a.json", to_annotations(photo, sublabels_of(labels)))
        return from_annotations(shapes_json.read(folder / "a.json"), as_masks=True), (), None
    name, out = COLUMNS[column]
    module = known.module_of(name)
    losses = module.write(Collection([photo], labels, "reef"), folder / out)
    needed = [folder / "photos"] if name == "coralnet" else []
    read = module.read(folder / out, photos=needed, extract_to=folder / "extracted")
    photos = list(read.photos)
    return (photos[0] if photos else DrawnPhoto("a.png", SIZE)), read.labels, losses


def test_the_table_has_a_row_for_each_thing_and_a_note_for_each_number():
    assert set(table()) == set(ROWS)
    assert all(set(line) == {*COLUMNS, SHAPES} for line in table().values())
    words = {re.sub(r" \[\d+\]", "", cell) for line in table().values() for cell in line.values()}
    assert words == {"yes", "approximately", "no"}
    used = {int(number) for number in re.findall(r"\[(\d+)\]", PAGE)}
    assert used == {int(number) for number in re.findall(r"^(\d+)\. ", PAGE, re.MULTILINE)}


@pytest.mark.parametrize(("row", "column"), [*cells("yes")])
def test_what_is_said_to_be_held_comes_back(row, column, tmp_path):
    photo, labels, losses = round_trip(ROWS[row], column, tmp_path)
    assert ROWS[row].there(photo, labels)
    assert not photo.problems


@pytest.mark.parametrize(("row", "column"), [*cells("no"), *cells("approximately")])
def test_what_is_said_not_to_be_held_does_not_come_back_and_is_counted(row, column, tmp_path):
    if row == "photo files" and column in ("CoralNet CSV", "TagLab"):
        pytest.skip("the photo is found where it always lay")
    photo, labels, losses = round_trip(ROWS[row], column, tmp_path)
    assert not ROWS[row].there(photo, labels)
    assert losses is None or losses.counts
