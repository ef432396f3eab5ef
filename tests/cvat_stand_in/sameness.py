"""Whether two answers say the same, though ids, dates, tokens and addresses are of another run.

Every id and every date of the recording must stand for one id or date of this run, and for no other: so it is seen
when a date moves that did not move in the recording, or when an id is used twice.
"""

from __future__ import annotations

import re
from typing import Any

SINGULAR = {
    "users": "user",
    "projects": "project",
    "tasks": "task",
    "jobs": "job",
    "labels": "label",
    "issues": "issue",
    "comments": "comment",
    "webhooks": "webhook",
    "deliveries": "delivery",
    "access_tokens": "token",
}
# Families of ids by the name of the field.
FIELDS = {
    "label_id": "label",
    "parent_id": "label",
    "spec_id": "spec",
    "project_id": "project",
    "task_id": "task",
    "task": "task",
    "job_id": "job",
    "job": "job",
    "issue": "issue",
    "issue_id": "issue",
    "webhook_id": "webhook",
    "data": "data",
    "data_id": "data",
    "assignee_id": "user",
}
# What `id` means, by the field that the object lies in.
PARENTS = {
    "owner": "user",
    "assignee": "user",
    "sender": "user",
    "attributes": "spec",
    "shapes": "shape",
    "elements": "shape",
    "sublabels": "label",
    "task": "task",
    "project": "project",
    "job": "job",
    "issue": "issue",
    "comment": "comment",
    "webhook": "webhook",
}
SECRET = {"key", "value", "description", "request_duration"}
FREE_DATES = {"started_date", "finished_date", "expiry_date", "last_used_date", "last_login", "date_joined"}
FREE_DATES |= {"enqueued", "started", "ended", "last_delivery_date", "chunks_updated_date"}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ADDRESS = re.compile(r"127\.0\.0\.1:\d+|port=\d+|read timeout=[\d.]+")
IDS = re.compile(
    r"/api/(?P<part>users|projects|tasks|jobs|webhooks|issues|comments)/(?P<a>\d+)"
    r"|/deliveries/(?P<delivery>\d+)|access_tokens/(?P<token>\d+)"
    r"|target(?:=|%3D)(?P<target>task|project)(?:&|%26)target_id(?:=|%3D)(?P<b>\d+)"
    r"|(?P<field>project|task|job|issue|user)_id(?:=|%3D|%22%7D%2C\+)(?P<c>\d+)"
    r'|data-label-id="(?P<label>\d+)"|KeyError: (?P<shape>\d+)|task #(?P<task>\d+)|/data/(?P<data>\d+)/raw'
    r"|spec_id `(?P<spec>\d+)"
    r"|(?P<user>\d+)_(?=UUID)"
)


def _found(match: re.Match[str]) -> tuple[str, str]:
    """The family of an id in a text, and the group that its number stands in."""
    groups = match.groupdict()
    for family, number in (("part", "a"), ("target", "b"), ("field", "c")):
        if groups[family]:
            return SINGULAR.get(groups[family], groups[family]), number
    name = next(name for name, value in groups.items() if value)
    return name, name


def _with(match: re.Match[str], number: str) -> str:
    """The text of a match with another number in it."""
    _, group = _found(match)
    start, end = (place - match.start() for place in match.span(group))
    return match[0][:start] + number + match[0][end:]


class Sameness:
    """Which id and date of the recording stands for which of this run."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, Any], Any] = {}
        self.back: dict[tuple[str, Any], Any] = {}

    def pair(self, family: str, recorded: Any, actual: Any) -> bool:
        """Learn that two stand for each other; false where one of them stands for another already."""
        known = self.there.setdefault((family, recorded), actual)
        return known == actual and self.back.setdefault((family, actual), recorded) == recorded

    def here(self, family: str, recorded: Any) -> Any:
        """The id of this run; the same number where nothing stands for it (as in a request for a task 999999)."""
        return self.there.get((family, recorded), recorded)

    def translate_text(self, text: str) -> str:
        """A text of the recording with the ids and dates of this run."""

        def put(match: re.Match[str]) -> str:
            family, group = _found(match)
            return _with(match, str(self.here(family, int(match[group]))))

        dates = re.sub(DATE.pattern.replace(":", "(?::|%3A)"), self._date, text)
        return IDS.sub(put, dates)

    def _date(self, match: re.Match[str]) -> str:
        plain = match[0].replace("%3A", ":")
        return str(self.here("date", plain)).replace(":", "%3A" if "%3A" in match[0] else ":")

    def translate(self, value: Any, key: str = "", parent: str = "") -> Any:
        """A request body of the recording with the ids of this run."""
        if isinstance(value, dict):
            return {name: self.translate(inner, name, key) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.translate(inner, key, parent) for inner in value]
        if isinstance(value, str):
            return self.translate_text(value) if key != "name" else value
        family = self._family(key, parent, "") or ("user" if key == "assignee" else None)
        return self.here(family, value) if family and isinstance(value, int) else value

    @staticmethod
    def _family(key: str, parent: str, collection: str) -> str | None:
        if key == "id":
            return PARENTS.get(parent) or (collection if parent in ("", "results") else None)
        return FIELDS.get(key)

    def differences(
        self, recorded: Any, actual: Any, collection: str = "", *, at: str = "", key: str = "", parent: str = ""
    ) -> list[str]:
        """Where two answers differ; empty for the same."""
        if isinstance(recorded, dict) and isinstance(actual, dict):
            return self._of_objects(recorded, actual, collection, at, key)
        if isinstance(recorded, list) and isinstance(actual, list):
            return self._of_lists(recorded, actual, collection, at, key, parent)
        if key in SECRET or (isinstance(recorded, str) and recorded == "***"):
            return []
        if isinstance(recorded, str) and isinstance(actual, str):
            same = self._same_text(recorded, actual, key)
        elif (family := self._family(key, parent, collection)) and _is_id(recorded) and _is_id(actual):
            same = self.pair(family, recorded, actual)
        elif key in ("from", "to", "before_update") and _is_id(recorded) and _is_id(actual):
            same = self.pair(FIELDS.get(parent, parent), recorded, actual) if parent in FIELDS else recorded == actual
        else:
            same = type(recorded) is type(actual) or {type(recorded), type(actual)} == {int, float}
            same = same and recorded == actual
        return [] if same else [f"{at or 'answer'}: recorded {recorded!r}, here {actual!r}"]

    def _of_objects(self, recorded: Any, actual: Any, collection: str, at: str, key: str) -> list[str]:
        found = [f"{at}/{name}: only recorded" for name in recorded if name not in actual]
        found += [f"{at}/{name}: only here" for name in actual if name not in recorded]
        if "operation" in recorded and recorded.get("result_id") and actual.get("result_id"):
            self.pair(recorded["operation"]["target"], recorded["result_id"], actual["result_id"])
            recorded, actual = {**recorded, "result_id": 0}, {**actual, "result_id": 0}
        if recorded.get("status") == "started" and "message" in recorded:
            recorded = {**recorded, "message": actual.get("message")}  # how far a worker was when it was asked
        for name in recorded:
            if name in actual:
                more = {"at": f"{at}/{name}", "key": name, "parent": key}
                found += self.differences(recorded[name], actual[name], collection, **more)
        return found

    def _of_lists(self, recorded: Any, actual: Any, collection: str, at: str, key: str, parent: str) -> list[str]:
        if len(recorded) != len(actual):
            return [f"{at}: recorded {len(recorded)}, here {len(actual)}"]
        recorded, actual = in_order(recorded, key), in_order(actual, key)
        found = []
        for place, (one, other) in enumerate(zip(recorded, actual, strict=True)):
            inner = {"at": f"{at}/{place}", "key": key, "parent": parent}
            found += self.differences(one, other, collection, **inner)
        return found

    def _same_text(self, recorded: str, actual: str, key: str) -> bool:
        if DATE.fullmatch(recorded):
            if key in FREE_DATES:
                return DATE.fullmatch(actual) is not None
            return DATE.fullmatch(actual) is not None and self.pair("date", recorded, actual)
        (there, theirs), (here, ours) = _template(recorded), _template(actual)
        return there == here and all(
            one[0] == other[0] and self.pair(one[0], int(one[1]), int(other[1]))
            for one, other in zip(theirs, ours, strict=True)
        )


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _template(text: str) -> tuple[str, list[tuple[str, str]]]:
    """A text without what belongs to a run, and the ids taken out of it."""
    text = ADDRESS.sub("HOST", UUID.sub("UUID", text))
    ids = [(family, match[group]) for match in IDS.finditer(text) for family, group in [_found(match)]]
    return IDS.sub(lambda match: _with(match, "N"), text), ids


def _element_key(item: dict[str, Any]) -> tuple[Any, ...]:
    return item.get("label_id", 0), str(item.get("label", "")), str(item.get("points")), item.get("id") or 0


def in_order(items: list[Any], key: str) -> list[Any]:
    """Shapes by frame and id, elements by label: their order means nothing."""
    if key == "shapes" and all(isinstance(item, dict) and isinstance(item.get("id"), int) for item in items):
        return sorted(items, key=lambda item: (item["frame"], item["id"]))
    if key == "elements" and all(isinstance(item, dict) and ("label_id" in item or "label" in item) for item in items):
        return sorted(items, key=_element_key)
    return items
