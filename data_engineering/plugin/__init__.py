"""The project's commands in the FiftyOne app's menu: each operator asks for arguments and calls what the command calls.

`python -m data_engineering.review` lets FiftyOne find this folder. Secrets come from the environment alone.
"""

from __future__ import annotations

import os
from typing import Any

import fiftyone.operators as operators
from fiftyone.operators import types

from data_engineering.review_operator import (
    Command,
    Report,
    choices,
    fields_of_open,
    needs_cvat,
    project_of,
    refuse,
    target,
    views_anew,
)

URL_VARIABLE = "QUADRAT_FUNCTION_URL"
_USUAL_URL = "http://127.0.0.1:8070/functions/pth-yolo-coralseg"
_SHOWN = 10


# ---------------------------------------------------------------------------------------------- CVAT


class PullFromCvat(Command):
    """See `data_engineering.create_fiftyone_dataset`."""

    name, label = "pull_from_cvat", "Pull from CVAT"
    description = "Take over what is new or has changed in a CVAT project. The server is only read."
    doing = "pulling"

    def form(self, ctx: operators.ExecutionContext, inputs: types.Object) -> None:
        """Project, mode and subsets."""
        from data_engineering.create_fiftyone_dataset import MODES

        inputs.str("project", label="Project", description="name or id", required=True, default=project_of(ctx))
        inputs.enum("mode", list(MODES), label="Mode", default="task_tracking", view=choices(MODES))
        inputs.str("subsets", label="Subsets", description="only tasks of these, with spaces between; empty for all")
        inputs.bool("unfinished", label="Tasks that are not completed too", default=False)
        needs_cvat(inputs)

    def run(self, ctx: operators.ExecutionContext, report: Report) -> str:
        """Pull into the dataset that is open if it is of this project, else into one of the project's name."""
        from data_engineering import create_fiftyone_dataset as command

        report(0, 1)
        statuses = command.STATUSES if ctx.params.get("unfinished") else ("completed",)
        project = str(ctx.params["project"]).strip()
        changes = command.main(
            project,
            mode=ctx.params.get("mode", "task_tracking"),
            subsets=str(ctx.params.get("subsets") or "").split(),
            statuses=statuses,
            name=ctx.dataset.name if project and project == project_of(ctx) else None,
        )
        report(1, 1)
        return command.describe(changes)


class SendToCvat(Command):
    """See `data_engineering.review_send`."""

    name, label = "send_to_cvat", "Send to CVAT"
    description = "Make a task of what is tagged, with its shapes; a pull brings the corrected shapes back."
    doing = "sending"

    def form(self, ctx: operators.ExecutionContext, inputs: types.Object) -> None:
        """Tags, field, project and task."""
        fields = fields_of_open(ctx)
        inputs.str("tags", label="Tags", description="of photos or shapes", required=True, default="review fix")
        listed = [*fields.people, *fields.predictions] or ["ground_truth"]
        inputs.enum("field", listed, label="Shapes to send", default=listed[0], view=types.DropdownView())
        where = "name or id; empty: where the photos come from, else one named after the dataset"
        inputs.str("project", label="Project", description=where)
        inputs.str("task", label="Task", description="empty: correction of, the dataset and the time")
        inputs.bool("dry_run", label="Only say what would be sent", default=False)
        needs_cvat(inputs, ctx.params.get("dry_run", False))

    def run(self, ctx: operators.ExecutionContext, report: Report) -> str:
        """Send."""
        from data_engineering import review, review_send

        report(0, 1)
        tags = str(ctx.params["tags"]).replace(",", " ").split()
        sent = review_send.send(
            ctx.dataset.name,
            tags,
            project=ctx.params.get("project") or None,
            task=ctx.params.get("task") or None,
            field=ctx.params.get("field") or "ground_truth",
            dry_run=ctx.params.get("dry_run", False),
        )
        report(1, 1)
        return "; ".join(review.told_sent(sent, tags))


# ---------------------------------------------------------------------------------------------- networks


class Predict(Command):
    """See `data_engineering.predict_url`."""

    name, label = "predict", "Predict"
    description = "Ask a served function about photos. Photos that have something in the field are left out."
    doing = "predicting"

    def form(self, ctx: operators.ExecutionContext, inputs: types.Object) -> None:
        """Address, field, threshold and photos."""
        where = "of the function: python -m deploy.host lists its own"
        url = os.environ.get(URL_VARIABLE, _USUAL_URL)
        inputs.str("url", label="Address", description=where, required=True, default=url)
        inputs.str("field", label="Field", description="gets the shapes", required=True, default="yolo")
        least = "lowest score, 0..1; empty: the function's own"
        inputs.float("threshold", label="Threshold", description=least, min=0, max=1)
        inputs.bool("overwrite", label="Ask about photos again that have something there", default=False)
        inputs.view_target(ctx, label="Photos", action_description="Predict on")
        field = str(ctx.params.get("field") or "yolo")
        if not field.isidentifier() or field.startswith("ground_truth"):
            refuse(inputs, "field_problem", f"{field!r} is not for predictions: letters, digits and _")

    def run(self, ctx: operators.ExecutionContext, report: Report) -> str:
        """Predict."""
        from data_engineering import predict_url

        done = predict_url.main(
            str(ctx.params["url"]).strip(),
            ctx.dataset.name,
            field=ctx.params["field"],
            threshold=ctx.params.get("threshold"),
            overwrite=ctx.params.get("overwrite", False),
            samples=target(ctx),
            progress=report,
        )
        views_anew(ctx.dataset.name)
        failed = f"; {len(done.failed)} got no answer: {'; '.join(done.failed[:_SHOWN])}" if done.failed else ""
        before = f"; {done.had_some} had some before" if done.had_some else ""
        return f"{done.photos} photos, {done.shapes} shapes in field {ctx.params['field']!r}{before}{failed}"


class Evaluate(Command):
    """See `data_engineering.evaluation`."""

    name, label = "evaluate", "Evaluate"
    description = "Compare predictions with what people drew, mask with mask at IoU 0.5."
    doing = "comparing"

    def form(self, ctx: operators.ExecutionContext, inputs: types.Object) -> None:
        """Predictions, key and photos."""
        fields = fields_of_open(ctx)
        if not fields.predictions or not fields.people:
            refuse(inputs, "nothing", "the dataset needs both predictions and shapes that people drew")
            return
        listed = list(fields.segmenters) or list(fields.predictions)
        inputs.enum("field", listed, label="Predictions", default=listed[0], required=True, view=types.DropdownView())
        field = ctx.params.get("field") or listed[0]
        key = f"eval_{field}"
        inputs.str("key", label="Name of the evaluation", required=True, default=key)
        inputs.bool("overwrite", label="Replace an evaluation of this name", default=False)
        inputs.view_target(ctx, label="Photos", action_description="Evaluate")

    def run(self, ctx: operators.ExecutionContext, report: Report) -> str:
        """Evaluate, and make the views of its outcome."""
        from data_engineering import evaluation

        name, field, key = ctx.dataset.name, ctx.params["field"], ctx.params["key"]
        evaluation.check_key(name, key, ctx.params.get("overwrite", False))
        report(0, 1)
        found = evaluation.evaluate(name, field, key, target(ctx).values("id"))
        views_anew(name)
        report(1, 1)
        return f"{field}: {found['tp']} right, {found['fp']} false, {found['fn']} missed; see the views of {key}"


class PrepareReview(Command):
    """See `data_engineering.review.prepare`."""

    name, label = "prepare_review", "Make review views"
    description = "Compute what changed since the last time, and make the saved views of a review anew."
    doing = "looking"

    def form(self, ctx: operators.ExecutionContext, inputs: types.Object) -> None:
        """Whether to compute all."""
        inputs.bool("anew", label="Compute also what seems unchanged", default=False)

    def run(self, ctx: operators.ExecutionContext, report: Report) -> str:
        """Prepare."""
        from data_engineering import review

        report(0, 1)
        prepared = review.prepare(ctx.dataset.name, anew=ctx.params.get("anew", False))
        report(1, 1)
        return "views: " + ", ".join(f"{view} ({count})" for view, count in prepared.views.items())


def register(plugin: Any) -> None:
    """What FiftyOne calls when it loads the plugin."""
    for operator in (PullFromCvat, Predict, SendToCvat, Evaluate, PrepareReview):
        plugin.register(operator)
