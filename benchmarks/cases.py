"""What a benchmark case is, and the register of all cases.

A case is a function that makes its input and returns `Sides`: what to time. `case` puts it on the register with what
any reader of its figures must know. ``benchmarks/<module>*.py`` hold the cases of a module; `load` imports them.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import benchmarks


@dataclass(frozen=True, slots=True)
class Sides:
    """Two ways to do the same thing.

    Attributes:
        ours: this project's way.
        peer: the way it is measured against; `None` times ours alone.
        check: compares what both give and returns the figures (an IoU, say); called once, before anything is timed.
            It raises `CheckError` where the two do not agree.
        facts: called once after the timing: further figures to print, such as the share of each stage.
        close: called at the end, whatever happened.
    """

    ours: Callable[[], object]
    peer: Callable[[], object] | None = None
    check: Callable[[], Mapping[str, object]] = dict
    facts: Callable[[], Mapping[str, object]] = dict
    close: Callable[[], object] = lambda: None


class CheckError(AssertionError):
    """The two sides do not give the same: their times cannot be compared."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured, on what.

    Attributes:
        module: whose case it is.
        name: unique within the module.
        measures: ours in words.
        peer: the other side in words; empty for a case without one.
        photo: size and kind of the photo.
        objects: how many there are in it.
        encoding: how photo or result are encoded.
        precision: numbers that both sides compute in.
        target: the ratio (peer's time over ours) that is promised; `None` where nothing is.
        repeat: rounds, unless the command line says otherwise.
        needs: packages of the peer: name to import -> name to install.
        prepare: makes the input and returns both sides.
    """

    module: str
    name: str
    measures: str
    peer: str
    photo: str
    objects: str
    encoding: str
    precision: str
    target: float | None
    repeat: int
    needs: Mapping[str, str]
    prepare: Callable[[], Sides] = field(repr=False)

    def missing(self) -> list[str]:
        """What must be installed before the case can run."""
        return [package for name, package in self.needs.items() if importlib.util.find_spec(name) is None]


CASES: dict[tuple[str, str], Case] = {}


def case(
    module: str,
    name: str,
    *,
    measures: str,
    peer: str = "",
    photo: str,
    objects: str | int,
    encoding: str,
    precision: str,
    target: float | None = None,
    repeat: int = 9,
    needs: Mapping[str, str] | None = None,
) -> Callable[[Callable[[], Sides]], Callable[[], Sides]]:
    """Put the decorated function on the register, see `Case`.

    Raises:
        ValueError: the module has a case of that name already.
    """

    def register(prepare: Callable[[], Sides]) -> Callable[[], Sides]:
        if (module, name) in CASES:
            raise ValueError(f"module {module!r} has two cases named {name!r}: give one another name")
        CASES[module, name] = Case(
            module, name, measures, peer, photo, str(objects), encoding, precision, target, repeat, needs or {}, prepare
        )
        return prepare

    return register


def load(module: str) -> list[Case]:
    """Import ``benchmarks/<module>*.py`` and return the module's cases in the order of their definition.

    Raises:
        ValueError: there is no such file, or it defines no case for `module`.
    """
    for name in _files():
        if name == module or name.startswith(f"{module}_"):
            importlib.import_module(f"benchmarks.{name}")
    found = [case for case in CASES.values() if case.module == module]
    if not found:
        raise ValueError(f"module {module!r} has no cases: expected benchmarks/{module}*.py with some")
    return found


def choose(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """Those of `cases` that `names` lists; all for none.

    Raises:
        ValueError: a name is not known.
    """
    known = [case.name for case in cases]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"case {unknown[0]!r} is not known: expected some of {', '.join(known)}")
    return [case for case in cases if not names or case.name in names]


def _files() -> list[str]:
    return [found.name for found in pkgutil.iter_modules(benchmarks.__path__) if not found.ispkg]
