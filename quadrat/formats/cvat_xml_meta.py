"""What CVAT's XML says before its images: project, tasks and label definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from quadrat.drawn import Labels
from quadrat.formats.cvat_xml_shapes import text


@dataclass(frozen=True)
class Head:
    """What is known before the first photo.

    Attributes:
        labels: definitions as CVAT's label constructor has them.
        name: of the project or task; empty where there is none.
        facts: of all photos, see `quadrat.drawn.DrawnPhoto.facts`.
        tasks: of a project: its tasks' facts by their number.
        segments: of a task: number of each job, its first and its last frame.
        start: of a task: frame of the data that is its first one.
        step: of a task: frames of the data from one of its own to the next.
    """

    labels: Labels = ()
    name: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    segments: Sequence[tuple[int, int, int]] = ()
    start: int = 0
    step: int = 1

    def facts_of(self, image: Element) -> dict[str, Any]:
        """What is known of a photo."""
        facts = dict(self.facts)
        task = image.get("task_id")
        if task is not None and task.isdigit():
            facts |= {"cvat_task_id": int(task), **self.tasks.get(int(task), {})}
        if image.get("subset"):
            facts["cvat_subset"] = image.get("subset")
        number = image.get("id", "")
        if self.segments and number.isdigit():
            facts["cvat_frame"] = frame = (int(number) - self.start) // self.step
            facts |= next(({"cvat_job_id": job} for job, first, last in self.segments if first <= frame <= last), {})
        return facts


def read(meta: Element) -> Head:
    """Read the element ``meta`` of a project, a task or a job."""
    labels = _read_labels(meta)
    project = meta.find("project")
    if project is not None:
        facts = _facts(project, "project")
        tasks = {int(task.findtext("id", "0")): _facts(task, "task") for task in project.iterfind("tasks/task")}
        return Head(labels, project.findtext("name") or "", facts, tasks)
    task = meta.find("task")
    if task is None:
        job = meta.find("job")
        found = "" if job is None else job.findtext("id") or ""
        return Head(labels, "", {"cvat_job_id": int(found)} if found.isdigit() else {})
    segments = [
        tuple(int(one.findtext(key, "0")) for key in ("id", "start", "stop"))
        for one in task.iterfind("segments/segment")
    ]
    step = re.search(r"step\s*=\s*(\d+)", task.findtext("frame_filter") or "")
    start = task.findtext("start_frame") or "0"
    return Head(
        labels,
        task.findtext("name") or "",
        _facts(task, "task"),
        segments=[(job, first, last) for job, first, last in segments],
        start=int(start),
        step=max(int(step[1]), 1) if step else 1,
    )


def _facts(element: Element, what: str) -> dict[str, Any]:
    number, worker = element.findtext("id") or "", element.findtext("assignee/username")
    facts: dict[str, Any] = {
        f"cvat_{what}_id": int(number) if number.isdigit() else None,
        f"cvat_{what}_name": element.findtext("name"),
        "cvat_subset": element.findtext("subset") if what == "task" else None,
        "annotators": [worker] if worker and what == "task" else None,
    }
    return {key: value for key, value in facts.items() if value}


def _read_labels(meta: Element) -> list[dict[str, Any]]:
    labels: list[dict[str, Any]] = []
    points: list[tuple[str, dict[str, Any]]] = []
    for element in meta.iter("label"):
        label = _read_label(element)
        parent = element.findtext("parent")
        if parent:
            points.append((parent, label))
        else:
            labels.append(label)
    skeletons = {label["name"]: label for label in labels}
    for parent, label in points:
        if parent in skeletons:
            skeletons[parent].setdefault("sublabels", []).append(label)
    for label in labels:
        if "svg" in label:
            label["svg"] = label.pop("svg")  # after the points, as the constructor has it
    return labels


def _read_label(element: Element) -> dict[str, Any]:
    label = {
        "name": element.findtext("name") or "",
        "color": element.findtext("color") or "",
        "type": element.findtext("type") or "any",
        "attributes": [_read_spec(spec) for spec in element.iterfind("attributes/attribute")],
    }
    svg = element.findtext("svg")
    return label | ({"svg": svg} if svg else {})


def _read_spec(spec: Element) -> dict[str, Any]:
    return {
        "name": spec.findtext("name") or "",
        "input_type": spec.findtext("input_type") or "text",
        "mutable": (spec.findtext("mutable") or "").lower() == "true",
        "values": (spec.findtext("values") or "").split("\n"),
        "default_value": spec.findtext("default_value") or "",
    }


# ---------------------------------------------------------------------------------------------- writing


def write(name: str, labels: Labels, tasks: Mapping[int, Mapping[str, Any]], *, project: bool) -> Iterator[str]:
    """The lines of the element ``meta``.

    Args:
        name: of the project or task.
        labels: definitions.
        tasks: of a project: facts of its tasks by their number; of a task: none or one.
        project: whether it is one.
    """
    outer = "project" if project else "task"
    number, task = next(iter(tasks.items()), (0, {}))
    yield f"  <meta>\n    <{outer}>\n"
    if not project and number:
        yield f"      <id>{number}</id>\n"
    yield f"      <name>{text(name)}</name>\n"
    if project:
        yield from _write_tasks(tasks)
    elif task.get("cvat_subset"):
        yield f"      <subset>{text(str(task['cvat_subset']))}</subset>\n"
    yield "      <labels>\n"
    for label in labels:
        yield from _write_label(label, "")
        for sub in label.get("sublabels") or ():
            yield from _write_label(sub, str(label["name"]))
    yield f"      </labels>\n    </{outer}>\n  </meta>\n"


def _write_tasks(tasks: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    yield "      <tasks>\n"
    for number, facts in tasks.items():
        inner = {"id": number, "name": facts.get("cvat_task_name", ""), "subset": facts.get("cvat_subset", "")}
        yield "        <task>" + "".join(f"<{k}>{text(str(v))}</{k}>" for k, v in inner.items()) + "</task>\n"
    yield "      </tasks>\n"


def _write_label(label: Mapping[str, Any], parent: str) -> Iterator[str]:
    yield "        <label>\n"
    for key in ("name", "color", "type"):
        yield f"          <{key}>{text(str(label.get(key) or ''))}</{key}>\n"
    yield "          <attributes>\n"
    for spec in label.get("attributes") or ():
        yield "            <attribute>\n"
        for key in ("name", "mutable", "input_type", "default_value"):
            yield f"              <{key}>{text(str(spec.get(key, '')))}</{key}>\n"
        yield f"              <values>{text(chr(10).join(map(str, spec.get('values') or ())))}</values>\n"
        yield "            </attribute>\n"
    yield "          </attributes>\n"
    if label.get("svg"):
        yield f"          <svg>{text(str(label['svg']))}</svg>\n"
    if parent:
        yield f"          <parent>{text(parent)}</parent>\n"
    yield "        </label>\n"
