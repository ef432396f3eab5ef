"""pipeline.yaml: which projects there are, and what happens in them when."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FUNCTIONS = "BRIDGE_FUNCTIONS"
"""Environment variable that goes before the file's `functions.base`."""
GUIDES = Path(__file__).parent / "guides"
"""The pipelines that ship: a.yaml, b.yaml, c.yaml."""

JOB_STARTED, TASK_COMPLETED, TASK_CREATED = "job in progress", "task completed", "task created"
DETECT, RECTIFY, INPAINT = "detect", "rectify", "inpaint"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class PlanError(ValueError):
    """pipeline.yaml cannot be used; the message names each field that is wrong, and what was expected."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(_Strict):
    """What happens to a task of a project.

    Attributes:
        name: of the step, its own within the project; part of the key that keeps it from happening twice.
        when: ``job in progress``, ``task completed``, or ``task created`` (its photos are there).
        do: ``detect`` (a function draws on the photos), ``rectify`` (the quadrats go into a new task of `into`),
            ``inpaint`` (the photos without their grid go into a new task of `into`).
        function: name of the function that is asked; none to rectify.
        into: key of the project that gets the new task.
        threshold: lowest score, 0..1, of what is drawn; the function's own without it.
        size_cm: width and height of the frame's inside.
        px_per_cm: scale of rectified quadrats; without it that of the photo.
        margin: round the frame, as a share of its side, that a rectified quadrat keeps.
    """

    name: Name
    when: Literal["job in progress", "task completed", "task created"]
    do: Literal["detect", "rectify", "inpaint"]
    function: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] | None = None
    into: Name | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    size_cm: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (100.0, 100.0)
    px_per_cm: Annotated[float, Field(gt=0, le=200)] | None = None
    margin: Annotated[float, Field(ge=0, le=0.5)] = 0.05

    @model_validator(mode="after")
    def _fits_together(self) -> Step:
        if (self.do == RECTIFY) != (self.function is None):
            raise ValueError(f"to {self.do} takes {'no' if self.do == RECTIFY else 'a'} `function`")
        if (self.do == DETECT) != (self.into is None):
            raise ValueError(f"to {self.do} takes {'no' if self.do == DETECT else 'a project'} `into`")
        if self.do != DETECT and self.when != TASK_COMPLETED:
            raise ValueError(f"to {self.do} needs a task that people have finished: `when: {TASK_COMPLETED}`")
        if self.do == DETECT and self.when == TASK_COMPLETED:
            raise ValueError(f"to detect in a finished task comes too late: `when: {JOB_STARTED}` or `{TASK_CREATED}`")
        return self


class Stage(_Strict):
    """A project of CVAT and its steps.

    Attributes:
        project: its name in CVAT, or its number.
        labels: what `init` gives a project that it makes: ``corners``, ``genera``, a layout of `quadrat.template`, or a
            JSON file of CVAT's label constructor beside pipeline.yaml.
        steps: may be empty: the end of the line.
    """

    project: Annotated[str, Field(min_length=1)] | int
    labels: Annotated[str, Field(min_length=1)]
    steps: tuple[Step, ...] = ()


class Functions(_Strict):
    """Where functions answer.

    Attributes:
        base: URL under which each is found by its name, as ``deploy.host`` serves them.
        urls: of functions that have one of their own, by name (under Nuclio: ``http://HOST:PORT``).
    """

    base: str | None = None
    urls: Mapping[str, str] = {}


class Plan(_Strict):
    """A whole pipeline.

    Attributes:
        functions: where they answer.
        stages: by key, in the order of the file.
        own_account: whether the bridge signs in as a user of its own, so that all that this user does is an echo.
    """

    functions: Functions
    stages: Mapping[Name, Stage]
    own_account: bool = True

    @model_validator(mode="after")
    def _hangs_together(self) -> Plan:
        names = [stage.project for stage in self.stages.values()]
        if twice := sorted({str(name) for name in names if names.count(name) > 1}):
            raise ValueError(f"two stages have the project {', '.join(twice)}")
        for key, step in self.steps():
            _check_into(self, key, step)
            self.url_of(step)
        for key, stage in self.stages.items():
            own = [step.name for step in stage.steps]
            if len(set(own)) < len(own):
                raise ValueError(f"stages.{key}.steps: two steps have one name ({', '.join(own)})")
        return self

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Every step with the key of its stage."""
        return ((key, step) for key, stage in self.stages.items() for step in stage.steps)

    def url_of(self, step: Step) -> str | None:
        """Where the function of a step answers; `None` where it has none.

        Raises:
            ValueError: neither its own URL nor a base is given, or it is none.
        """
        if step.function is None:
            return None
        base = os.environ.get(FUNCTIONS) or self.functions.base
        url = self.functions.urls.get(step.function) or (f"{base.rstrip('/')}/{step.function}" if base else "")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError(
                f"no URL of {step.function} ({url!r}): set `functions.base`, `functions.urls` or {FUNCTIONS}, such as "
                "http://127.0.0.1:8070/functions"
            )
        return url


def _check_into(plan: Plan, key: str, step: Step) -> None:
    keys = list(plan.stages)
    if step.into is None:
        return
    if step.into not in keys:
        raise ValueError(f"stages.{key}: step {step.name} goes into {step.into!r}: there are {', '.join(keys)}")
    if keys.index(step.into) <= keys.index(key):
        raise ValueError(f"stages.{key}: step {step.name} goes into {step.into!r}, which does not come after it")


def read(path: Path) -> Plan:
    """Read a pipeline, strictly.

    Raises:
        PlanError: the file is not there, or something in it is wrong or unknown.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise PlanError(
            f"{path}: cannot be read ({error.strerror}): `python -m deploy.bridge init` makes one"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PlanError(f"{path}: no YAML ({' '.join(str(error).split())})") from None
    try:
        return Plan.model_validate(raw)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {_said(fault)}" for fault in error.errors()
        ]
        raise PlanError("\n".join(f"{path}: {fault}" for fault in faults)) from None


def _said(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "no such field; is it misspelt?"
    given = "" if fault["type"] in ("value_error", "missing") else f", got {fault['input']!r}"
    return re.sub(r"^Value error, ", "", fault["msg"]) + given
