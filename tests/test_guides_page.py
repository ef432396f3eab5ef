"""What docs/guides.md says works is there, and what it says is not in this version is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guides.md").read_text("utf-8")
PARTS = re.findall(r"^\|[^|]*\| <span class=\"(works|later)\">[^|]*\|[^|]*\| `([^`|]+)` \|$", PAGE, re.MULTILINE)


def test_the_table_has_both_kinds():
    assert {state for state, _ in PARTS} == {"works", "later"}


@pytest.mark.parametrize(("state", "path"), PARTS)
def test_a_part_is_there_or_not_as_the_page_says(state, path):
    assert (ROOT / path).exists() == (state == "works")


def test_every_module_is_in_the_table():
    modules = {path.parent.name for path in ROOT.glob("*/train.py")}
    assert modules <= {path for _, path in PARTS}
