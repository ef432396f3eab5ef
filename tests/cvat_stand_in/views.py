"""The records as CVAT writes them in JSON. `call` says how the client calls the server and who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cvat_stand_in.access import sees_project, sees_task
from tests.cvat_stand_in.http import Call
from tests.cvat_stand_in.state import (
    Comment,
    Issue,
    Job,
    Label,
    Project,
    Request,
    State,
    Task,
    User,
    Webhook,
    moment,
    stamp,
)


def _knows(call: Call, sees: Callable[[State, User, Any], bool], record: Any) -> bool:
    """Whether names of a record above are told: to those who may see it, and never by a worker."""
    return bool(call.base) and sees(call.state, call.user, record)


def brief(call: Call, user: int | None) -> dict[str, Any] | None:
    """A user as an owner or assignee."""
    if user is None:
        return None
    record = call.state.users[user]
    names = {"username": record.username, "first_name": record.first_name, "last_name": record.last_name}
    return {"url": f"{call.base}/api/users/{user}", "id": user, **names}


def full_user(call: Call, user: User) -> dict[str, Any]:
    return {
        **(brief(call, user.id) or {}),
        "email": user.email,
        "groups": ["admin"] if user.superuser else ["user"],
        "is_staff": user.superuser,
        "is_superuser": user.superuser,
        "is_active": True,
        "last_login": user.last_login,
        "date_joined": user.joined,
        "has_analytics_access": user.superuser,
    }


def project(call: Call, record: Project) -> dict[str, Any]:
    tasks = [task for task in call.state.tasks.values() if task.project == record.id]
    return {
        "url": f"{call.base}/api/projects/{record.id}",
        "id": record.id,
        "name": record.name,
        "owner": brief(call, record.owner),
        "assignee": brief(call, record.assignee),
        "guide_id": None,
        "bug_tracker": record.bug_tracker,
        "created_date": record.created,
        "updated_date": record.updated,
        "status": "annotation",
        "dimension": "2d" if any(task.photos for task in tasks) else None,
        "organization": None,
        "organization_id": None,
        "target_storage": None,
        "source_storage": None,
        "tasks": {"count": len(tasks), "url": f"{call.base}/api/tasks?project_id={record.id}"},
        "labels": {"url": f"{call.base}/api/labels?project_id={record.id}"},
        "assignee_updated_date": record.assignee_updated,
        "task_subsets": sorted({task.subset for task in tasks if task.subset}),
    }


def label(call: Call, record: Label) -> dict[str, Any]:
    short: dict[str, Any] = {"id": record.id, "name": record.name, "color": record.color}
    short |= {"attributes": record.attributes, "type": record.type}
    if record.parent is not None:
        return {**short, "has_parent": True}
    parts = [label(call, part) for part in call.state.labels.values() if part.parent == record.id]
    owner = {"project_id": record.project} if record.project is not None else {"task_id": record.task}
    svg = {} if record.svg is None else {"svg": record.svg}
    return {**short, "sublabels": parts, **owner, "parent_id": None, "has_parent": False, **svg}


def task(call: Call, record: Task) -> dict[str, Any]:
    jobs = call.state.jobs_of(record.id)
    done = sum(job.stage == "acceptance" and job.state == "completed" for job in jobs)
    checked = sum(job.stage == "validation" for job in jobs)
    parent = call.state.projects.get(record.project or 0)
    return {
        "url": f"{call.base}/api/tasks/{record.id}",
        "id": record.id,
        "name": record.name,
        "project_id": record.project,
        "project_name": parent.name if parent and _knows(call, sees_project, parent) else None,
        "owner": brief(call, record.owner),
        "assignee": brief(call, record.assignee),
        "bug_tracker": record.bug_tracker,
        "created_date": record.created,
        "updated_date": record.updated,
        "overlap": record.overlap,
        "segment_size": record.segment_size,
        "status": record.status,
        "guide_id": None,
        **_task_data(record),
        "subset": record.subset,
        "organization_id": None,
        "organization": None,
        "target_storage": None,
        "source_storage": None,
        "jobs": {
            "count": len(jobs),
            "completed": done,
            "validation": checked,
            "url": f"{call.base}/api/jobs?task_id={record.id}",
        },
        "labels": {"url": f"{call.base}/api/labels?task_id={record.id}"},
        "assignee_updated_date": record.assignee_updated,
        "validation_mode": None,
        "consensus_enabled": False,
    }


def _task_data(record: Task) -> dict[str, Any]:
    """What a task says of its data: nothing before an upload, a size of 0 during one, everything after it."""
    if record.data is None:
        return {"data": None, "dimension": "", "mode": "", "media_type": ""}
    begun = {"data": record.data, "size": len(record.photos), "data_cloud_storage_id": None}
    if not record.photos:
        return {**begun, "dimension": "", "mode": "", "media_type": ""}
    chunks = {"data_original_chunk_type": "imageset", "data_compressed_chunk_type": "imageset", "data_chunk_size": 72}
    kind = {"dimension": "2d", "mode": "annotation", "media_type": "image"}
    return {**begun, **chunks, **kind, "image_quality": record.image_quality}


def job(call: Call, record: Job) -> dict[str, Any]:
    parent = call.state.tasks[record.task]
    owner = call.state.projects.get(parent.project or 0)
    seen = _knows(call, sees_task, parent)
    issues = sum(issue.job == record.id for issue in call.state.issues.values())
    ready = bool(parent.photos)
    return {
        "url": f"{call.base}/api/jobs/{record.id}",
        "id": record.id,
        "task_id": record.task,
        "task_name": parent.name if seen else None,
        "project_id": parent.project,
        "project_name": owner.name if owner and seen else None,
        "assignee": brief(call, record.assignee),
        "guide_id": None,
        "dimension": "2d" if ready else "",
        "mode": "annotation" if ready else "",
        "media_type": "image" if ready else "",
        "bug_tracker": owner.bug_tracker if owner else None,
        "status": record.status,
        "stage": record.stage,
        "state": record.state,
        "frame_count": record.stop - record.start + 1 if ready else int(record.start == 0),
        "start_frame": record.start,
        "stop_frame": record.stop,
        "data_chunk_size": 72 if ready else None,
        "data_compressed_chunk_type": "imageset" if ready else "",
        "data_original_chunk_type": "imageset" if ready else "",
        "created_date": record.created,
        "updated_date": record.updated,
        "issues": {"url": f"{call.base}/api/issues?job_id={record.id}", "count": issues} if call.base else None,
        "labels": {"url": f"{call.base}/api/labels?job_id={record.id}"},
        "type": "annotation",
        "organization": None,
        "target_storage": None,
        "source_storage": None,
        "assignee_updated_date": record.assignee_updated,
        "parent_job_id": None,
        "replicas_count": 0,
        "consensus_replicas": 0,
    }


def issue(call: Call, record: Issue) -> dict[str, Any]:
    count = sum(comment.issue == record.id for comment in call.state.comments.values())
    return {
        "id": record.id,
        "frame": record.frame,
        "position": record.position,
        "job": record.job,
        "owner": brief(call, record.owner),
        "assignee": brief(call, record.assignee),
        "created_date": record.created,
        "updated_date": record.updated,
        "resolved": record.resolved,
        "comments": {"count": count, "url": f"{call.base}/api/comments?issue_id={record.id}"},
    }


def comment(call: Call, record: Comment) -> dict[str, Any]:
    return {
        "id": record.id,
        "issue": record.issue,
        "owner": brief(call, record.owner),
        "message": record.message,
        "created_date": record.created,
        "updated_date": record.updated,
    }


def webhook(call: Call, record: Webhook) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": record.id,
        "url": f"{call.base}/api/webhooks/{record.id}",
        "target_url": record.target_url,
        "description": record.description,
        "type": "project",
        "content_type": "application/json",
        "is_active": record.is_active,
        "enable_ssl": record.enable_ssl,
        "created_date": record.created,
        "updated_date": record.updated,
        "owner": brief(call, record.owner),
        "project_id": record.project,
        "organization": None,
        "events": sorted(record.events),
    }
    if record.last_status is not None:
        view |= {"last_status": record.last_status, "last_delivery_date": record.last_delivery}
    return view


def request(call: Call, record: Request, *, running: bool = False) -> dict[str, Any]:
    """A background request; `running`: as it looked before it ended."""
    ended = None if running else record.finished
    return {
        "status": "started" if running else record.status,
        "message": record.started_message if running else record.message,
        "id": record.id,
        "operation": {
            "type": record.type,
            "target": record.target,
            "project_id": record.project,
            "task_id": record.task,
            "job_id": None,
            "org_id": None,
            "format": record.format,
            "lightweight": None,
        },
        "progress": 0.0,
        "created_date": record.created,
        "started_date": record.created,
        "finished_date": ended,
        "expiry_date": stamp(moment(ended) + record.keeps) if ended else None,
        "owner": {"id": record.owner, "username": call.state.users[record.owner].username},
        "result_url": None if running else record.result_url,
        "result_id": None if running else record.result_id,
    }
