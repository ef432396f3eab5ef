"""What the operators of the plugin have in common: progress, messages, and parts of their forms."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Any

from data_engineering.labels import fo
from data_engineering.review_fields import Fields, fields_of

operators, types = fo.operators, fo.operators.types

Report = Callable[[int, int], None]
"""Told how many of how many are done."""


class Command(operators.Operator):
    """An operator that does what a command does, shows how far it is, and says what came of it.

    Attributes:
        name: of the operator.
        label: in the menu.
        description: under it.
        doing: what it does, beside the progress.
    """

    name = label = description = doing = ""

    @property
    def config(self) -> operators.OperatorConfig:
        """What FiftyOne wants to know of an operator."""
        return operators.OperatorConfig(
            name=self.name,
            label=self.label,
            description=self.description,
            dynamic=True,
            execute_as_generator=True,
            allow_immediate_execution=True,
            allow_delegated_execution=True,
        )

    def form(self, ctx: operators.ExecutionContext, inputs: types.Object) -> None:
        """Put the fields of the form into `inputs`."""
        raise NotImplementedError

    def run(self, ctx: operators.ExecutionContext, report: Report) -> str:
        """Do it, and say in words what came of it."""
        raise NotImplementedError

    def resolve_input(self, ctx: operators.ExecutionContext) -> types.Property:
        """The form."""
        inputs = types.Object()
        self.form(ctx, inputs)
        return types.Property(inputs, view=types.View(label=self.label, description=self.description))

    def execute(self, ctx: operators.ExecutionContext) -> Iterator[Any]:
        """Run, and tell the app; a fault that a person can mend is a sentence, not a traceback."""
        try:
            for told in _in_thread(lambda report: self.run(ctx, report)):
                if isinstance(told, str):
                    yield ctx.ops.reload_dataset()
                    yield ctx.ops.notify(told, variant="success")
                else:
                    yield _progress(ctx, self.doing, *told)
        except (ValueError, OSError) as error:
            if ctx.delegated:
                raise
            yield ctx.ops.notify(f"{self.label}: {error}", variant="error")


def _progress(ctx: operators.ExecutionContext, doing: str, count: int, total: int) -> Any:
    share, label = count / max(total, 1), f"{doing}: {count} of {total}"
    if ctx.delegated:
        ctx.set_progress(share, label)
    return ctx.ops.set_progress(label=label, progress=share)


def _in_thread(run: Callable[[Report], str]) -> Iterator[tuple[int, int] | str]:
    """What `run` reports while it works, and at the end its answer.

    Raises:
        Exception: what `run` raises.
    """
    told: SimpleQueue[tuple[int, int] | str | BaseException] = SimpleQueue()

    def work() -> None:
        try:
            told.put(run(lambda count, total: told.put((count, total))))
        except BaseException as error:
            told.put(error)

    Thread(target=work, daemon=True).start()
    while True:
        one = told.get()
        if isinstance(one, BaseException):
            raise one
        yield one
        if isinstance(one, str):
            return


# ---------------------------------------------------------------------------------------------- parts of forms


def choices(described: Mapping[str, str]) -> types.RadioGroup:
    """Values to choose from, each with what it means."""
    group = types.RadioGroup()
    for value, told in described.items():
        group.add_choice(value, label=value.replace("_", " "), description=told)
    return group


def refuse(inputs: types.Object, name: str, why: str) -> None:
    """A part of a form that says why it cannot be sent off."""
    warning = inputs.view(name, types.Warning(label=why))
    warning.invalid, warning.error_message = True, why


def needs_cvat(inputs: types.Object, dry: bool = False) -> None:
    """Refuse where the environment does not say who signs in to which CVAT server, unless nothing will be written."""
    known = os.environ.get("CVAT_TOKEN") or (os.environ.get("CVAT_USERNAME") and os.environ.get("CVAT_PASSWORD"))
    if not dry and not (os.environ.get("CVAT_URL") and known):
        why = "Set CVAT_URL and CVAT_TOKEN (or CVAT_USERNAME and CVAT_PASSWORD) where the app was started"
        refuse(inputs, "no_cvat", why)


def project_of(ctx: operators.ExecutionContext) -> str:
    """The CVAT project that the open dataset comes from; empty if it comes from none or several."""
    for field in ("cvat_project_id", "cvat_project_name"):
        found = ctx.dataset.distinct(field) if ctx.dataset is not None and ctx.dataset.has_field(field) else []
        if len(found) == 1:
            return str(found[0])
    return ""


def fields_of_open(ctx: operators.ExecutionContext) -> Fields:
    """Label fields of the dataset that is open."""
    return fields_of(ctx.dataset)


def target(ctx: operators.ExecutionContext) -> fo.SampleCollection:
    """The photos that were chosen in the form; where nothing was, those selected, else the view."""
    view = ctx.target_view()
    chosen = "view_target" in ctx.params or "view_target" in ctx.request_params
    return view if chosen or not ctx.selected else view.select(ctx.selected)


def views_anew(name: str) -> None:
    """Make the saved views of what is known now, and set up the app; nothing is computed."""
    from data_engineering import dataset, review_app, review_views

    samples = dataset.load(name)
    review_views.save_views(samples, fields_of(samples))
    review_app.set_up_app(samples, fields_of(samples))
