"""Run one stage of one module: ``python -m quadrat train coral_seg_yolo --config FILE`` is `coral_seg_yolo.train`."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

VERBS = ("prepare", "train", "evaluate", "predict", "export")
ROOT = Path(__file__).resolve().parents[1]


def modules(root: Path = ROOT) -> tuple[str, ...]:
    """Names of the packages in `root` that can be trained, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in root.glob("*/train.py")))


def target(arguments: Sequence[str], known: Sequence[str]) -> str:
    """The dotted name of the stage that `arguments` ask for.

    Args:
        arguments: a verb, a module (``coral-seg-yolo`` is taken as ``coral_seg_yolo``), then the stage's own arguments.
        known: the modules there are.

    Raises:
        SystemExit: a verb or a module is missing or not known; the message lists them.
    """
    stages, names = ", ".join(VERBS), ", ".join(known)
    if len(arguments) < 2:
        raise SystemExit(f"usage: python -m quadrat STAGE MODULE [arguments]\nstages: {stages}\nmodules: {names}")
    verb, module = arguments[0], arguments[1].replace("-", "_")
    if verb not in VERBS:
        raise SystemExit(f"stage {verb!r} is not known: expected one of {stages}")
    if module not in known:
        raise SystemExit(f"module {arguments[1]!r} is not known: expected one of {names}")
    return f"{module}.{verb}"


def main(arguments: Sequence[str]) -> None:
    """Run the stage as if it had been called itself."""
    name = target(arguments, modules())
    sys.argv[1:] = arguments[2:]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
