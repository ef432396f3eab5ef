"""The kinds of problem that `data_engineering.problems` finds, the gravest first, with what to do about each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of problem: its heading, and why it matters and what to do."""

    title: str
    advice: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "unreadable": Kind(
            "Photos that cannot be opened", "Nothing can be trained on them. Put the file in its place and pull again."
        ),
        "other_size": Kind(
            "Photos of another size than their shapes were drawn on",
            "The shapes lie in the wrong place. Find out which copy of the photo people saw.",
        ),
        "same_photo": Kind(
            "Photos that are there twice",
            "Their colonies count double, and may fall into training and test at once. Delete one.",
        ),
        "not_kept": Kind(
            "Shapes that could not be kept as they were", "The pull says what it met. Mend it in CVAT and pull again."
        ),
        "unknown_label": Kind(
            "Labels that the taxonomy does not know",
            "They stand beside the genera. Correct the label, or add it to the taxonomy file as a name or an alias.",
        ),
        "self_crossing": Kind(
            "Outlines that cross themselves",
            "Inside the loop it is open what is colony and what is not. Move or delete the points at the ring.",
        ),
        "duplicate": Kind("Shapes drawn twice", "Both count. Delete one; if the labels differ, decide which is right."),
        "overlap": Kind(
            "Colonies of different genera on the same ground",
            "The ground counts for both. Draw the border, or let the upper colony hide the lower one.",
        ),
        "outside_quadrat": Kind(
            "Colonies outside the quadrat",
            "More than half of each is beyond the frame, where nothing is measured. Delete it, or mend the corners.",
        ),
        "outside_photo": Kind("Shapes that leave the photo", "They were drawn on another copy, or moved by accident."),
        "tiny": Kind("Tiny shapes", "Often the trace of a double click. Delete them, unless they are recruits."),
        "attribute": Kind(
            "Attributes that are missing or hold what they may not", "Open the shape in CVAT and choose a value."
        ),
        "skeleton": Kind(
            "Skeletons with missing points",
            "Without all points the grid cannot be matched. Points out of sight stay in CVAT, marked outside.",
        ),
    }
)
"""The kinds of problem, the gravest first."""
