"""What `doctor` looks at of the functions: whether each answers, and whether the projects have its labels."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np

from data_engineering import cvat_function, cvat_push, function_url
from data_engineering.cvat_label_check import differences
from data_engineering.function_url import AnswerError, FunctionError, Reply
from deploy.bridge.finding import BROKEN, OK, SKIPPED, WARNING, Case, Finding, Findings
from deploy.bridge.plan import DETECT, FUNCTIONS, Step
from quadrat import images

_SIZE_HW = (96, 128)
_BACKOFF_S = 0.1


def answers(case: Case) -> Findings:
    """Whether each function answers for a small grey photo."""
    steps = {url: step for _, step in case.plan.steps() if (url := case.plan.url_of(step))}
    for url, step in steps.items():
        try:
            reply = _try(step, url)
        except (FunctionError, AnswerError) as error:
            fix = (
                f"start the functions (python -m deploy.host), or say in pipeline.yaml or {FUNCTIONS} where they answer"
            )
            yield Finding(BROKEN, f"{step.function}: {error}", fix)
            continue
        case.answering.add(url)
        model = reply.headers.get("X-Quadrat-Model", "")
        yield Finding(OK, f"{step.function} at {url} answers{f', model {model}' if model else ''}")


def _try(step: Step, url: str) -> Reply:
    photo = images.encode_png(np.full((*_SIZE_HW, 3), 128, np.uint8))
    if step.do == DETECT:
        return function_url.ask_whole(url, photo, backoff_s=_BACKOFF_S)
    string = np.zeros(_SIZE_HW, np.uint8)
    string[_SIZE_HW[0] // 2] = 255
    grid = base64.b64encode(images.encode_png(string)).decode()
    reply = function_url.post(url, {"image": base64.b64encode(photo).decode(), "mask": grid}, backoff_s=_BACKOFF_S)
    if not isinstance(reply.body, dict) or "image" not in reply.body:
        raise AnswerError("it answered without a photo: does it paint grids out?")
    return reply


def labels(case: Case) -> Findings:
    """Whether what functions find has a label in the project: CVAT has no place for the rest."""
    for key, step in _detecting(case):
        url, project = str(case.plan.url_of(step)), case.projects[key]
        if url not in case.answering:
            yield Finding(SKIPPED, f"needs an answer of {step.function}")
            continue
        there = cvat_push.labels_of(case.client, project)
        try:
            function = cvat_function.at(url, there, backoff_s=_BACKOFF_S)
        except FunctionError as error:
            yield Finding(BROKEN, f"{step.function}: {error}", "let its address be that of a detector")
            continue
        if not function.says_labels:
            yield Finding(OK, f"{step.function} does not say its labels: those of {project.name} are taken")
            continue
        wrong = differences(function.labels, there)
        fits = [label for label in function.labels if not differences([label], there)]
        fix = "add what lacks in the project's label constructor, or name another function in pipeline.yaml"
        if not wrong:
            yield Finding(OK, f"{step.function}: project {project.name} has all that it finds")
        else:
            state = WARNING if fits else BROKEN
            yield Finding(state, f"{step.function}: in project {project.name} {'; '.join(wrong)}", fix)


def _detecting(case: Case) -> Iterator[tuple[str, Step]]:
    return ((key, step) for key, step in case.plan.steps() if step.do == DETECT and key in case.projects)
