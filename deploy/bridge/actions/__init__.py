"""What a step does. Each action is a module with `due` (what of a task is to be done) and `run` (does it)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.bridge.actions import detect, inpaint, rectify
from deploy.bridge.actions.orders import Due, Order, Seen, Tools
from deploy.bridge.plan import DETECT, INPAINT, RECTIFY, Step

__all__ = ["ACTIONS", "Action"]


@dataclass(frozen=True, slots=True)
class Action:
    """A way to do a step.

    Attributes:
        due: what of a task is to be done.
        run: does it, once or again from the start; returns what came of it, in words.
    """

    due: Callable[[Tools, Step, Seen], list[Due]]
    run: Callable[[Tools, Order], str]


ACTIONS: Mapping[str, Action] = {
    DETECT: Action(detect.due, detect.run),
    RECTIFY: Action(rectify.due, rectify.run),
    INPAINT: Action(inpaint.due, inpaint.run),
}
