"""Whether two exports or backups hold the same."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from typing import Any

from tests.cvat_stand_in.sameness import Sameness

# Texts of the XML that belong to a run.
RUN = {"id", "created", "updated", "dumped", "url"}


def same_zip(recorded: bytes, actual: bytes, same: Sameness) -> list[str]:
    """Where two archives differ, the order of their files apart."""
    with zipfile.ZipFile(io.BytesIO(recorded)) as there, zipfile.ZipFile(io.BytesIO(actual)) as here:
        theirs, ours = sorted(there.namelist()), sorted(here.namelist())
        if theirs != ours:
            return [f"files recorded {theirs}, here {ours}"]
        found = []
        for name in ours:
            one, other = there.read(name), here.read(name)
            if name.endswith(".xml"):
                found += _same_xml(ElementTree.fromstring(one), ElementTree.fromstring(other), name)
            elif name.endswith(".json"):
                found += same.differences(_in_order(json.loads(one)), _in_order(json.loads(other)), at=name)
            elif name.endswith(".jsonl"):
                lines = [[json.loads(line) for line in raw.splitlines()] for raw in (one, other)]
                found += same.differences(*lines, at=name)
            elif one != other:
                found.append(f"{name}: other bytes")
    return found


def _in_order(value: Any) -> Any:
    """A backup with shapes, elements and labels in an order of their own: CVAT's means nothing."""
    if isinstance(value, dict):
        return {
            name: sorted(map(_in_order, inner), key=lambda item: json.dumps(item, sort_keys=True))
            if name in ("shapes", "elements", "labels")
            else _in_order(inner)
            for name, inner in value.items()
        }
    return [_in_order(inner) for inner in value] if isinstance(value, list) else value


def _key(element: ElementTree.Element) -> str:
    return element.get("label", "") + element.get("points", "")


def _same_xml(there: ElementTree.Element, here: ElementTree.Element, at: str) -> list[str]:
    if there.tag != here.tag:
        return [f"{at}: recorded <{there.tag}>, here <{here.tag}>"]
    at = f"{at}/{there.tag}"
    run = {"task_id"}
    given = [{name: value for name, value in one.attrib.items() if name not in run} for one in (there, here)]
    found = [] if given[0] == given[1] else [f"{at}: recorded {given[0]}, here {given[1]}"]
    texts = [re.sub(r"\s+", " ", one.text or "").strip() for one in (there, here)]
    if there.tag not in RUN and texts[0] != texts[1]:
        found.append(f"{at}: recorded {texts[0]!r}, here {texts[1]!r}")
    loose = there.tag in ("image", "skeleton")
    theirs, ours = (sorted(one, key=_key) if loose else list(one) for one in (there, here))
    if len(theirs) != len(ours):
        return [*found, f"{at}: recorded {len(theirs)} elements, here {len(ours)}"]
    for one, other in zip(theirs, ours, strict=True):
        found += _same_xml(one, other, at)
    return found
