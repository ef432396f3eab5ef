"""What `doctor` looks at in CVAT: who signs in and what that user may do, the projects and their labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from data_engineering import cvat_about, cvat_push, cvat_server
from data_engineering.cvat_errors import TOKEN, CvatError, MissingError, OutageError
from data_engineering.cvat_label_check import differences
from deploy.bridge import stage_labels
from deploy.bridge.finding import BROKEN, OK, WARNING, Case, Finding, Findings
from deploy.bridge.ledger import OWN_USER
from deploy.bridge.stage_labels import StageLabelsError

TRIED = "2.73"
"""The server that everything was tried with."""

_SKEW_S = 60
_SOON = timedelta(days=14)
_INIT = "python -m deploy.bridge init"


def sign_in(case: Case) -> Findings:
    """Whether the server is there, lets us in, and is one that we know."""
    case.client = cvat_server.connect(backoff_s=0.2)
    told, user = cvat_about.server(case.client), cvat_about.user(case.client)
    words = f"{case.client.api_map.host}: CVAT {told.version or '?'}, signed in as {user['username']}"
    if _numbers(told.version)[:1] != _numbers(TRIED)[:1] or _numbers(told.version) < _numbers(TRIED):
        fix = f"everything was tried with CVAT {TRIED}, cvat-sdk {version('cvat-sdk')}: bring the server up to date"
        yield Finding(WARNING, words, fix)
    else:
        yield Finding(OK, words)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".") if part.isdecimal()][:2]


def clock(case: Case) -> Findings:
    """Whether both clocks agree."""
    there = cvat_about.server(case.client).time
    if there is None:
        yield Finding(OK, "the server does not say its time")
        return
    ahead_s = (datetime.now(UTC) - there).total_seconds()
    if abs(ahead_s) <= _SKEW_S:
        yield Finding(OK, f"within {_SKEW_S} s of the server's")
        return
    words = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the server's"
    yield Finding(WARNING, words, "set both by a time server (NTP): tokens expire, and logs compare, by clocks")


def token(case: Case) -> Findings:
    """Whether who signs in may write, and for how long."""
    known = cvat_about.token(case.client)
    if known is None:
        fix = f"an access token of the bridge's own account, in {TOKEN}, can be taken back without changing a password"
        yield Finding(WARNING, "signed in with a password", fix)
        return
    if known.read_only:
        case.may_write = False
        fix = f"make one in the bridge's CVAT profile with read-only unticked, and set {TOKEN}"
        yield Finding(BROKEN, "the access token may only read, as CVAT makes them by default", fix)
        return
    left = known.expires and known.expires - datetime.now(UTC)
    if left and left < _SOON:
        yield Finding(WARNING, f"may write; ends on {known.expires:%Y-%m-%d}", f"make a new one, and set {TOKEN}")
    else:
        yield Finding(OK, f"may write; {f'ends on {known.expires:%Y-%m-%d}' if known.expires else 'never ends'}")


def projects(case: Case) -> Findings:
    """Whether each stage has its project, and but one."""
    case.projects = {}
    for key, stage in case.plan.stages.items():
        try:
            case.projects[key] = cvat_server.find_project(case.client, stage.project)
        except OutageError:
            raise
        except MissingError as error:
            fix = f"{_INIT} makes it; or give this account access, or name another project in pipeline.yaml"
            yield Finding(BROKEN, f"stage {key}: {error}", fix)
        except CvatError as error:
            yield Finding(BROKEN, f"stage {key}: {error}", "put its number into pipeline.yaml")
    if case.projects:
        found = ", ".join(f"{key}: {one.name} (id {one.id})" for key, one in case.projects.items())
        yield Finding(OK, found)


def account(case: Case) -> Findings:
    """Whether the bridge has an account of its own: what its user does is no news to it."""
    name = str(cvat_about.user(case.client)["username"])
    if not case.plan.own_account:
        yield Finding(OK, f"{name} is shared with people (own_account: false)")
        return
    known = case.ledger.fact(OWN_USER) if case.ledger else ""
    if known and known != name:
        fix = "start the bridge anew with the account that it has to keep"
        yield Finding(BROKEN, f"signed in as {name}, and the bridge that runs takes {known} for itself", fix)
    taken = [job for project in case.projects.values() for job in _jobs_of(case, project.id, name)]
    if taken:
        jobs = ", ".join(f"{job['id']} of task {job['task_id']}" for job in taken[:3])
        fix = "assign them to a person, and let people work under their own names; else set own_account: false"
        yield Finding(
            BROKEN, f"{len(taken)} jobs are assigned to {name} ({jobs}): what is done there goes unheard", fix
        )
    else:
        yield Finding(OK, f"{name} is the bridge's alone: no job is assigned to it")


def _jobs_of(case: Case, project: int, name: str) -> list[dict[str, object]]:
    doing = f"list the jobs of {name} in project {project}"
    return cvat_server.get_all(case.client, "/api/jobs", doing, project_id=project, assignee=name)


def labels(case: Case) -> Findings:
    """Whether the projects have the labels that the pipeline says."""
    for key, project in case.projects.items():
        stage = case.plan.stages[key]
        try:
            wanted = stage_labels.labels_of(stage, case.settings.pipeline.parent)
        except StageLabelsError as error:
            yield Finding(BROKEN, f"stage {key}: {error}", "mend `labels` in pipeline.yaml")
            continue
        there = cvat_push.labels_of(case.client, project)
        if wrong := differences(wanted, there):
            fix = "change them in the project's label constructor, or `labels` in pipeline.yaml"
            yield Finding(BROKEN, f"project {project.name}: {'; '.join(wrong)}", fix)
        else:
            yield Finding(OK, f"project {project.name} has those of `{stage.labels}`")
