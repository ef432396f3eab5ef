"""The XML of "CVAT for images 1.1", as the server writes it."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from tests.cvat_stand_in.annotations import Body
from tests.cvat_stand_in.http import Call
from tests.cvat_stand_in.projects import labels_of, with_names
from tests.cvat_stand_in.shapes import Shape
from tests.cvat_stand_in.state import Label, Project, Task

Lines = list[str]


def written(stamp: str) -> str:
    """A time as the XML has it."""
    return stamp.replace("T", " ").replace("Z", "+00:00")


def field(depth: int, name: str, value: object = "") -> str:
    return f"{'  ' * depth}<{name}>{escape(str(value))}</{name}>"


def document(call: Call, target: Task | Project, tasks: list[tuple[Task, Body]]) -> str:
    """The whole file.

    Args:
        call: who exports.
        target: the task or the project exported.
        tasks: its tasks with what is drawn on them.
    """
    labels = labels_of(call.state, task=target.id) if isinstance(target, Task) else []
    if isinstance(target, Project):
        labels = labels_of(call.state, project=target.id)
        meta = _project(call, target, [task for task, _ in tasks], labels)
    else:
        meta = ["    <task>", *_task(call, target, 3), *_labels(labels, 3), "    </task>"]
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>", "  <meta>", *meta]
    lines += [field(2, "dumped", written(call.state.now())), "  </meta>"]
    names, number = {label.id: label for label in labels}, 0
    for task, body in tasks:
        lines += _images(task, body, names, number, in_project=isinstance(target, Project))
        number += len(task.photos)
    return "\n".join([*lines, "</annotations>\n"])


def subset_of(task: Task) -> str:
    return task.subset or "default"


def _project(call: Call, project: Project, tasks: list[Task], labels: list[Label]) -> Lines:
    lines = ["    <project>", field(3, "id", project.id), field(3, "name", project.name)]
    lines += [field(3, "bugtracker", project.bug_tracker), field(3, "created", written(project.created))]
    lines += [field(3, "updated", written(project.updated)), "      <tasks>"]
    for task in tasks:
        lines += ["        <task>", *_task(call, task, 5), "        </task>"]
    subsets = "\n".join(sorted({subset_of(task) for task in tasks}))
    lines += ["      </tasks>", field(3, "subsets", subsets), *_owner(call, project.owner, 3)]
    return [*lines, *_labels(labels, 3), "    </project>"]


def _task(call: Call, task: Task, depth: int) -> Lines:
    lines = [
        field(depth, "id", task.id),
        field(depth, "name", task.name),
        field(depth, "size", len(task.photos)),
        field(depth, "mode", "annotation"),
        field(depth, "overlap", task.overlap or 0),
        field(depth, "bugtracker", task.bug_tracker),
        field(depth, "created", written(task.created)),
        field(depth, "updated", written(task.updated)),
        field(depth, "subset", subset_of(task)),
        field(depth, "start_frame", 0),
        field(depth, "stop_frame", len(task.photos) - 1),
        field(depth, "frame_filter"),
        f"{'  ' * depth}<segments>",
    ]
    for job in call.state.jobs_of(task.id):
        lines += [
            f"{'  ' * (depth + 1)}<segment>",
            field(depth + 2, "id", job.id),
            field(depth + 2, "start", job.start),
        ]
        lines += [field(depth + 2, "stop", job.stop), field(depth + 2, "url", f"{call.base}/api/jobs/{job.id}")]
        lines += [f"{'  ' * (depth + 1)}</segment>"]
    return [*lines, f"{'  ' * depth}</segments>", *_owner(call, task.owner, depth)]


def _owner(call: Call, user: int, depth: int) -> Lines:
    record, pad = call.state.users[user], "  " * depth
    inside = [field(depth + 1, "username", record.username), field(depth + 1, "email", record.email)]
    return [f"{pad}<owner>", *inside, f"{pad}</owner>", field(depth, "assignee")]


def _labels(labels: list[Label], depth: int) -> Lines:
    pad, lines = "  " * (depth + 1), ["  " * depth + "<labels>"]
    by_id = {label.id: label for label in labels}
    for label in labels:
        lines += [f"{pad}<label>", field(depth + 2, "name", label.name), field(depth + 2, "color", label.color)]
        lines += [field(depth + 2, "type", label.type), f"{pad}  <attributes>"]
        for spec in label.attributes:
            values = "\n".join(str(value) for value in spec["values"])
            given = {name: spec[name] for name in ("name", "mutable", "input_type", "default_value")} | {
                "values": values
            }
            inside = [field(depth + 4, name, value) for name, value in given.items()]
            lines += [f"{pad}    <attribute>", *inside, f"{pad}    </attribute>"]
        lines += [f"{pad}  </attributes>"]
        if label.svg is not None:
            parts = [part for part in labels if part.parent == label.id]
            lines += [field(depth + 2, "svg", with_names(label.svg, parts))]
        if label.parent is not None:
            lines += [field(depth + 2, "parent", by_id[label.parent].name)]
        lines += [f"{pad}</label>"]
    return [*lines, "  " * depth + "</labels>"]


def _images(task: Task, body: Body, labels: dict[int, Label], first: int, *, in_project: bool) -> Lines:
    by_frame: dict[int, Lines] = {}
    for shape in sorted(body["shapes"], key=lambda shape: shape["z_order"]):
        by_frame.setdefault(shape["frame"], []).extend(_shape(shape, labels))
    for tag in body["tags"]:
        attributes = {"label": labels[tag["label_id"]].name, "source": tag["source"]}
        lines = _element("tag", attributes, _attributes(tag, labels, 3), 2)
        by_frame.setdefault(tag["frame"], []).extend(lines)
    lines = []
    for frame, photo in enumerate(task.photos):
        owner = {"subset": subset_of(task), "task_id": task.id} if in_project else {}
        given = {"id": first + frame, "name": photo.name, **owner, "width": photo.width, "height": photo.height}
        lines += _element("image", given, by_frame.get(frame, []), 1)
    return lines


def _element(name: str, attributes: dict[str, Any], inside: Lines, depth: int) -> Lines:
    given = "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items())
    return [f"{'  ' * depth}<{name}{given}>", *inside, f"{'  ' * depth}</{name}>"]


def _attributes(shape: Shape, labels: dict[int, Label], depth: int) -> Lines:
    names = {spec["id"]: spec["name"] for spec in labels[shape["label_id"]].attributes}
    return [
        f"{'  ' * depth}<attribute name={quoteattr(names[given['spec_id']])}>{escape(given['value'])}</attribute>"
        for given in shape["attributes"]
        if given["spec_id"] in names
    ]


def _shape(shape: Shape, labels: dict[int, Label]) -> Lines:
    kind, points = shape["type"], shape["points"]
    given: dict[str, Any] = {"label": labels[shape["label_id"]].name, "source": shape["source"]}
    inside = _attributes(shape, labels, 3)
    if kind == "skeleton":
        inside = [line for part in shape["elements"] for line in _point(part, labels)] + inside
    else:
        given |= {"occluded": int(shape["occluded"]), **_geometry(kind, points, shape["rotation"])}
    given["z_order"] = shape["z_order"]
    if shape["group"]:
        given["group_id"] = shape["group"]
    return _element("box" if kind == "rectangle" else kind, given, inside, 2)


def _point(part: Shape, labels: dict[int, Label]) -> Lines:
    given = {"label": labels[part["label_id"]].name, "source": part["source"], "outside": int(part["outside"])}
    given |= {"occluded": int(part["occluded"]), "points": _pairs(part["points"])}
    return _element("points", given, _attributes(part, labels, 4), 3)


def _geometry(kind: str, points: list[float], rotation: float) -> dict[str, Any]:
    turned = {"rotation": f"{rotation:.2f}"} if rotation else {}
    if kind == "rectangle":
        return dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{value:.2f}" for value in points), strict=True)) | turned
    if kind == "ellipse":
        x, y, right, top = points
        values = {"cx": x, "cy": y, "rx": right - x, "ry": y - top}
        return {name: f"{value:.2f}" for name, value in values.items()} | turned
    if kind == "mask":
        left, top, right, bottom = (int(value) for value in points[-4:])
        rle = ", ".join(str(int(value)) for value in points[:-4])
        return {"rle": rle, "left": left, "top": top, "width": right - left + 1, "height": bottom - top + 1}
    return {"points": _pairs(points)}


def _pairs(points: list[float]) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(points[::2], points[1::2], strict=True))
