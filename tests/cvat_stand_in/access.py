"""Who may see and do what, for users outside an organization."""

from __future__ import annotations

from tests.cvat_stand_in.http import Call, forbidden, missing
from tests.cvat_stand_in.state import Issue, Job, Project, State, Task, User, Webhook


def sees_project(state: State, user: User, project: Project) -> bool:
    return user.superuser or user.id in (project.owner, project.assignee)


def sees_task(state: State, user: User, task: Task) -> bool:
    if user.superuser or user.id in (task.owner, task.assignee):
        return True
    parent = state.projects.get(task.project or 0)
    return parent is not None and sees_project(state, user, parent)


def sees_job(state: State, user: User, job: Job) -> bool:
    return user.id == job.assignee or sees_task(state, user, state.tasks[job.task])


def project_of(call: Call, number: int) -> Project:
    """The project of this id; 404 without one, 403 for a user who may not see it."""
    record = call.state.projects.get(number)
    if record is None:
        raise missing("Project")
    if not sees_project(call.state, call.user, record):
        raise forbidden()
    return record


def task_of(call: Call, number: int) -> Task:
    record = call.state.tasks.get(number)
    if record is None:
        raise missing("Task")
    if not sees_task(call.state, call.user, record):
        raise forbidden()
    return record


def job_of(call: Call, number: int) -> Job:
    record = call.state.jobs.get(number)
    if record is None:
        raise missing("Job")
    if not sees_job(call.state, call.user, record):
        raise forbidden()
    return record


def issue_of(call: Call, number: int) -> Issue:
    record = call.state.issues.get(number)
    if record is None:
        raise missing("Issue")
    job_of(call, record.job)
    return record


def webhook_of(call: Call, number: int) -> Webhook:
    record = call.state.webhooks.get(number)
    if record is None:
        raise missing("Webhook")
    project_of(call, record.project)
    return record
