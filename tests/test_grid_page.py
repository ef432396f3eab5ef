"""What docs/grid-detection.md says of the verdict's limits and of the evaluation is so."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from pathlib import Path

from quadrat.verdict import Limits

PAGE = (Path(__file__).parents[1] / "docs" / "grid-detection.md").read_text("utf-8")


def number(text: str) -> float:
    return math.inf if text == "never" else float(text)


def test_the_table_has_every_limit_of_the_verdict_as_it_is():
    rows = re.findall(r"^\|[^|]+\| `(\w+)` \| ([\d.]+|never) \| ([\d.]+|never) \|", PAGE, re.MULTILINE)
    assert {field: (number(review), number(failed)) for field, review, failed in rows} == asdict(Limits())
