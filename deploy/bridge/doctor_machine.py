"""What `doctor` looks at on this machine: environment, pipeline, versions, disk, ledger, queue, worker, work."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from deploy.bridge import ledger as states
from deploy.bridge import plan as plans
from deploy.bridge import settings as environ
from deploy.bridge.finding import BROKEN, OK, SKIPPED, WARNING, Case, Finding, Findings
from deploy.bridge.ledger import FILE, HEARTBEAT, Ledger
from deploy.bridge.plan import PlanError
from deploy.bridge.settings import FOLDER, PAGE_TOKEN, PIPELINE, UNSIGNED, Settings, SettingsError
from deploy.bridge.work_queue import WorkQueue

_GIB = 2**30
_LEAST_FREE, _GOOD_FREE = 1 * _GIB, 5 * _GIB
_FRESH_S = 60.0
_LATE_S = 600.0
_SHOWN = 3
_START = "start the bridge: python -m deploy.bridge"


def environment(case: Case) -> Findings:
    """The variables, and whether deliveries and the status page are guarded."""
    try:
        case.settings = environ.from_environment()
    except SettingsError as error:
        case.settings = _as_far_as_known()
        yield Finding(BROKEN, str(error))
        return
    settings = case.settings
    if settings.unsigned:
        fix = f"set the webhooks' secret, and take {UNSIGNED} away"
        yield Finding(WARNING, f"{UNSIGNED} is set: whoever reaches the bridge can send deliveries", fix)
    if not settings.page_token:
        yield Finding(WARNING, f"{PAGE_TOKEN} is not set: there is no status page", "set it to a long random text")
    secrets = {0: "no secret", 1: "a secret"}.get(len(settings.secrets), f"{len(settings.secrets)} secrets")
    page = ", the status page has a token" if settings.page_token else ""
    yield Finding(OK, f"{secrets} of webhooks{page}; {FOLDER} is {settings.folder}")


def _as_far_as_known() -> Settings:
    return Settings(
        folder=Path(os.environ.get(FOLDER) or Settings.folder),
        pipeline=Path(os.environ.get(PIPELINE) or Settings.pipeline),
    )


def pipeline(case: Case) -> Findings:
    """pipeline.yaml, strictly."""
    try:
        case.plan = plans.read(case.settings.pipeline)
    except PlanError as error:
        fix = "mend the file; docs/webhooks.md says what each field means"
        yield Finding(BROKEN, str(error), fix if case.settings.pipeline.exists() else "")
        return
    steps = " -> ".join(f"{key} ({', '.join(s.name for s in stage.steps)})" for key, stage in case.plan.stages.items())
    yield Finding(OK, f"{case.settings.pipeline}: {steps}".replace(" ()", ""))


def versions(case: Case) -> Findings:
    """Python and the packages."""
    found = {name: _version(name) for name in ("quadratseg", "cvat-sdk", "huey", "fastapi")}
    words = f"Python {platform.python_version()}, " + ", ".join(f"{name} {of or '?'}" for name, of in found.items())
    if missing := [name for name, of in found.items() if not of]:
        yield Finding(WARNING, f"{words}: no version of {', '.join(missing)}", "install the project: make setup")
    else:
        yield Finding(OK, words)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def disk(case: Case) -> Findings:
    """Whether the folder can be written to, and has room: photos pass through it."""
    folder = case.settings.folder.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        fix = f"give it to the user that runs the bridge (id {os.getuid()}), or set {FOLDER}"
        yield Finding(BROKEN, f"{there} cannot be written to ({error.strerror})", fix)
        return
    free = shutil.disk_usage(there).free
    words = f"{folder}: {free / _GIB:.1f} GiB free"
    if free < _LEAST_FREE:
        yield Finding(BROKEN, words, f"free some space: at least {_LEAST_FREE // _GIB} GiB for photos on their way")
    elif free < _GOOD_FREE:
        yield Finding(WARNING, words, "free some space before it is full")
    else:
        yield Finding(OK, words)


def ledger(case: Case) -> Findings:
    """Whether the memory of the bridge is whole."""
    path = case.settings.folder / FILE
    if not path.exists():
        yield Finding(OK, f"{path}: not there yet, the first start makes it")
        return
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            said = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        said = [str(error)]
    if said == ["ok"]:
        case.ledger = Ledger(path)
        yield Finding(OK, f"{path}: whole, {path.stat().st_size / 2**20:.1f} MiB")
    else:
        fix = "stop the bridge and put the last backup in its place; see docs/operations.md"
        yield Finding(BROKEN, f"{path}: {said[0]}", fix)


def queue(case: Case) -> Findings:
    """Whether the queue takes and gives."""
    url = case.settings.redis_url
    path = case.settings.folder / "queue.db"
    if not url and not path.exists():
        yield Finding(OK, f"{path}: not there yet, the first start makes it")
        return
    where = _without_secrets(url) if url else str(path)
    try:
        waiting = len(WorkQueue(case.settings.folder, url))
    except Exception as error:  # of SQLite, of Redis, of a URL that is none
        what = (
            f"start Redis, or check {environ.REDIS}" if url else "stop the bridge and remove the file: it is refilled"
        )
        yield Finding(BROKEN, f"{where}: {type(error).__name__}", what)
        return
    yield Finding(OK, f"{where}: {waiting} waiting")


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def worker(case: Case) -> Findings:
    """Whether one bridge works on the folder, and lives."""
    folder = case.settings.folder
    if case.ledger is None and (folder / FILE).exists():
        yield Finding(SKIPPED, "needs a whole ledger")
        return
    held = _is_held(folder / "worker.lock")
    last = float(case.ledger.fact(HEARTBEAT) or 0) if case.ledger else 0.0
    silent_s = time.time() - last
    if held and silent_s < _FRESH_S:
        yield Finding(OK, f"works, last heard of {max(silent_s, 0):.0f} s ago")
    elif held:
        fix = "stop the bridge and start it again: what it was at is taken up"
        yield Finding(BROKEN, f"runs, but has said nothing for {_span(silent_s) if last else 'as long as known'}", fix)
    elif silent_s < _FRESH_S:
        fix = f"if it was not just stopped: one elsewhere uses {folder}; run one only, where the folder is"
        yield Finding(WARNING, "does not run here, but was heard of within the last minute", fix)
    else:
        yield Finding(BROKEN, f"does not run{f', last heard of {_span(silent_s)} ago' if last else ''}", _START)


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    with open(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def work(case: Case) -> Findings:
    """What is open, and what failed."""
    known = case.ledger
    if known is None:
        there = (case.settings.folder / FILE).exists()
        yield Finding(SKIPPED, "needs a whole ledger") if there else Finding(OK, "nothing yet")
        return
    rows = known.rows("SELECT state, COUNT(*) AS number FROM steps GROUP BY state")
    count = {state: 0 for state in states.STEP_STATES} | {row["state"]: row["number"] for row in rows}
    failed = known.rows("SELECT * FROM steps WHERE state = ? ORDER BY ended DESC LIMIT ?", (states.FAILED, _SHOWN))
    for row in failed:
        words = f"step {row['id']}: {row['step']} of task {row['task']} ({row['task_name']}) failed: {row['reason']}"
        yield Finding(WARNING, words, f"mend it, then python -m deploy.bridge retry {row['id']}")
    late = known.rows(
        "SELECT COUNT(*) AS number, MIN(received) AS first FROM deliveries WHERE settled IS NULL AND received < ?",
        (time.time() - _LATE_S,),
    )[0]
    if late["number"]:
        words = f"{late['number']} deliveries wait, the oldest for {_span(time.time() - late['first'])}"
        yield Finding(WARNING, words, f"the reason is in the log, and here where something is broken; else {_START}")
    yield Finding(
        OK, "steps: " + (", ".join(f"{number} {state}" for state, number in count.items() if number) or "none")
    )


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
