"""Setting the bridge up: pipeline.yaml, the projects with their labels, secrets in a file, and the webhooks.

It looks before it makes anything, and takes what is there and fits: it may be broken off and run again.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from data_engineering import cvat_about, cvat_push, cvat_server, cvat_webhooks
from data_engineering.cvat_errors import CvatError, OutageError
from data_engineering.cvat_label_check import differences
from data_engineering.cvat_server import Project
from deploy.bridge import plan as plans
from deploy.bridge import secret_file, stage_labels
from deploy.bridge.events import EVENTS, WEBHOOK
from deploy.bridge.plan import FUNCTIONS, GUIDES, Plan, Stage
from deploy.bridge.secret_file import Secrets
from deploy.bridge.settings import PIPELINE, Settings
from quadrat import files

DESCRIPTION = "QUADRATSEG bridge"

Say = Callable[[str], None]
Labels = list[dict[str, Any]]


class InitError(ValueError):
    """The bridge cannot be set up; the message says what was expected and the fix."""


def main(
    url: str,
    *,
    guide: str | None = None,
    functions: str | None = None,
    pipeline: Path = Path("pipeline.yaml"),
    secrets: Path = Path("bridge.env"),
    rotate: bool = False,
    dry_run: bool = False,
    say: Say = print,
) -> None:
    """Set the bridge up, or see that it is.

    Args:
        url: under which CVAT reaches the bridge.
        guide: ``a``, ``b`` or ``c``: which pipeline, where there is no file yet.
        functions: URL under which functions are found by name; that of the guide without it.
        pipeline: the file; one that is there is used as it is.
        secrets: file that gets what must be kept secret; what is in it, or in the environment, is kept.
        rotate: make a new secret of the webhooks; the bridge takes the old one too.
        dry_run: only say what would be done.
        say: gets a line for each thing.

    Raises:
        InitError: something asked for cannot be used, or does not fit what is there. Then nothing was made.
        PlanError: the pipeline cannot be used. Likewise.
        EnvFileError: the file of secrets cannot be used. Likewise.
        StageLabelsError: the labels of a stage cannot be had. Likewise.
        CvatError: the server refused or failed: what was said is done, and running it again does the rest.
    """
    target = target_of(url)
    text = _pipeline_text(pipeline, guide, functions)
    plan = plans.read(pipeline) if text is None else Plan.model_validate(yaml.safe_load(text))
    labels = {key: stage_labels.labels_of(stage, pipeline.parent) for key, stage in plan.stages.items()}
    held = secret_file.look(secrets, rotate=rotate)
    if held.lacking:
        _check_unversioned(secrets)
    with cvat_server.connect() as client:
        cvat_about.check_may_write(client)
        there = _look_at_projects(client, plan, labels)
        _write_files(pipeline, text, secrets, held, dry_run, say)
        for key, stage in plan.stages.items():
            project = there[key] or _make_project(client, stage, labels[key], dry_run, say)
            if project is not None:
                _hook(client, project, target, held.webhooks, dry_run, say)
    if not dry_run:
        say(_next(pipeline, secrets, held))


_EXAMPLE = "http://192.168.1.20:8090"


def target_of(url: str) -> str:
    """The address that webhooks get.

    Raises:
        InitError: `url` is no address that CVAT could ask.
    """
    if not _is_address(url):
        raise InitError(f"--url is {url!r}: expected where CVAT reaches the bridge, such as {_EXAMPLE}")
    name = str(urlsplit(url).hostname)
    if not ({".", ":"} & set(name) or name == "localhost"):
        raise InitError(f"--url is {url!r}: CVAT takes no name without a dot: give an IP address, such as {_EXAMPLE}")
    return url.rstrip("/").removesuffix(WEBHOOK) + WEBHOOK


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    extra = parts.username or parts.query or parts.fragment
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not extra


# ---------------------------------------------------------------------------------------------- files


def _pipeline_text(pipeline: Path, guide: str | None, functions: str | None) -> str | None:
    """What pipeline.yaml is to hold; `None` where it is there."""
    if functions is not None and not _is_address(functions):
        raise InitError(f"--functions is {functions!r}: expected a URL such as http://127.0.0.1:8070/functions")
    if pipeline.exists():
        return None
    if guide is None:
        raise InitError(f"{pipeline} is not there: say which guide it is to follow, --guide a, b or c")
    text = (GUIDES / f"{guide}.yaml").read_text("utf-8")
    return re.sub(r"(?m)^(\s+base:).*$", rf"\1 {functions.rstrip('/')}", text) if functions else text


def _check_unversioned(secrets: Path) -> None:
    """Refuse a file that git would put into a commit."""
    command = ["git", "-C", str(secrets.absolute().parent), "check-ignore", "--quiet", secrets.name]
    try:
        ignored = subprocess.run(command, capture_output=True, check=False, timeout=30).returncode
    except OSError:  # no git here
        return
    if ignored == 1:  # 0: ignored; 128: no repository
        raise InitError(
            f"{secrets} lies in a git repository, which would take the secrets into a commit: name it in .gitignore, "
            "or choose another place (--secret-file)"
        )


def _write_files(pipeline: Path, text: str | None, secrets: Path, held: Secrets, dry_run: bool, say: Say) -> None:
    would = "would be " if dry_run else ""
    if text is not None and not dry_run:
        files.write_text(pipeline, text)
    say(f"{pipeline}: " + ("is there and used as it is" if text is None else f"{would}written"))
    if held.lacking and not dry_run:
        secret_file.write(secrets, held.lacking)
    made = " and ".join(held.lacking)
    say(f"{secrets}: " + (f"{made} {would}written, for its owner alone to read" if made else "secrets kept"))


# ---------------------------------------------------------------------------------------------- CVAT


def _look_at_projects(client: Any, plan: Plan, labels: Mapping[str, Labels]) -> dict[str, Project | None]:
    """The projects that are there, by the stages' keys; `None`: to be made.

    Raises:
        InitError: projects do not fit; all are named.
    """
    found: dict[str, Project | None] = {}
    wrong = []
    for key, stage in plan.stages.items():
        try:
            found[key] = _look_at_project(client, stage, labels[key])
        except OutageError:
            raise
        except CvatError as error:
            wrong.append(f"stage {key}: {error}")
    if wrong:
        raise InitError("\n".join(wrong))
    return found


def _look_at_project(client: Any, stage: Stage, labels: Labels) -> Project | None:
    if isinstance(stage.project, str):
        return cvat_push.create_project(client, stage.project, labels, dry_run=True)
    project = cvat_server.find_project(client, stage.project)
    if wrong := differences(labels, cvat_push.labels_of(client, project)):
        raise CvatError(
            f"project {project.name!r} (id {project.id}) has other labels: {'; '.join(wrong)}. Change them in its "
            "label constructor, or name another project in pipeline.yaml"
        )
    return project


def _make_project(client: Any, stage: Stage, labels: Labels, dry_run: bool, say: Say) -> Project | None:
    name = str(stage.project)
    project = cvat_push.create_project(client, name, labels, dry_run=dry_run)
    which = f"project {name!r}" + (f" (id {project.id})" if project else "")
    how_many = "1 label" if len(labels) == 1 else f"{len(labels)} labels"
    say(f"{which}: {'would be ' if dry_run else ''}made, with {how_many}")
    if project is None:
        say(f"project {name!r}: a webhook would be made")
    return project


def _hook(client: Any, project: Project, target: str, secret: str, dry_run: bool, say: Say) -> None:
    """Have the project's events told to the bridge, once."""
    who, would = f"project {project.name!r} (id {project.id})", "would be " if dry_run else ""
    known = [hook for hook in cvat_webhooks.of_project(client, project) if hook.url.endswith(WEBHOOK)]
    ours = [hook for hook in known if hook.url == target]
    if not ours:
        if not dry_run:
            cvat_webhooks.create(client, project, target, EVENTS, secret, DESCRIPTION)
        say(f"{who}: webhook to {target} {would}made")
    for hook in ours:
        if not dry_run:  # CVAT does not tell whether the secret is the same, so it is set each time
            cvat_webhooks.update(client, hook, events=hook.events.union(EVENTS), secret=secret)
        say(f"{who}: webhook {hook.id} is there; its secret {would}set again")
    for hook in ours[1:]:
        say(f"  webhook {hook.id} tells the same a second time: remove it in CVAT")
    for hook in known:
        if hook.url != target:
            say(f"  webhook {hook.id} leads to another bridge, {hook.url}: remove it in CVAT if there is none any more")


def _next(pipeline: Path, secrets: Path, held: Secrets) -> str:
    bridge = f"python -m deploy.bridge --env-file {secrets}"
    lines = [f"  start the functions, such as python -m deploy.host, where pipeline.yaml or {FUNCTIONS} says"]
    if held.rotated:
        lines = ["  start the bridge anew at once: the one that runs does not know the new secret yet"]
    if pipeline != Path(os.environ.get(PIPELINE) or Settings.pipeline):
        lines.append(f"  set {PIPELINE}={pipeline}")
    lines += [
        f"  {bridge} --host 0.0.0.0   # without --host it listens to this machine alone",
        f"  {bridge} doctor",
    ]
    return "\n".join(["Next:", *lines])
