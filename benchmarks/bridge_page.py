"""The bridge's status page: how long a page takes with a full ledger, and what it looks like.

    python -m benchmarks.bridge_page                                 # 5,000 tasks in guide C's three stages
    python -m benchmarks.bridge_page --tasks 400 --repeat 3 --json
    python -m benchmarks.bridge_page --tasks 400 --pictures docs/figures   # wide and phone, by headless Chromium

The ledger is made up (`benchmarks.bridge_example`). Times are those of the answers of the real application, in this
process: what a browser does with a page comes on top.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TASKS, REPEAT = 5000, 15
TOKEN = "for the benchmark alone"
_PATHS = {
    "overview": "/",
    "failed": "/?show=failed",
    "search": "/?search=temae",
    "last page": "/?page=40",
    "task": "/tasks/{task}",
    "deliveries": "/deliveries",
    "status": "/api/status",
    "metrics": "/metrics",
}
_PICTURES = {"wide": (1360, 1150), "phone": (390, 844)}


def main(*, tasks: int = TASKS, repeat: int = REPEAT) -> dict[str, Any]:
    """Measure.

    Args:
        tasks: in the ledger, all stages together.
        repeat: of each page; once more goes unmeasured.

    Returns:
        ``tasks``, ``photos``, ``steps``; ``ms``: median by page; ``worst_ms``: longest by page; ``kb``: size by page.
    """
    from fastapi.testclient import TestClient

    with tempfile.TemporaryDirectory(prefix="quadratseg-page-") as folder:
        app, ledger = _app(Path(folder), tasks)
        client = TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"})
        task = ledger.rows("SELECT task FROM photos GROUP BY task ORDER BY count(*) DESC LIMIT 1")[0][0]
        times: dict[str, list[float]] = {name: [] for name in _PATHS}
        sizes = {}
        for _ in range(repeat + 1):
            for name, path in _PATHS.items():
                start = time.perf_counter()
                answer = client.get(path.format(task=task))
                times[name].append(1000 * (time.perf_counter() - start))
                answer.raise_for_status()
                sizes[name] = len(answer.content) / 1000
        rows = {name: ledger.rows(f"SELECT count(*) FROM {name}")[0][0] for name in ("photos", "steps")}
        found = ledger.rows("SELECT count(DISTINCT task) FROM steps")[0][0]
    return {
        "tasks": found,
        **rows,
        "ms": {name: statistics.median(each[1:]) for name, each in times.items()},
        "worst_ms": {name: max(each[1:]) for name, each in times.items()},
        "kb": sizes,
    }


def _app(folder: Path, tasks: int) -> tuple[Any, Any]:
    from fastapi import FastAPI

    from benchmarks import bridge_example
    from deploy.bridge import metrics, page, plan
    from deploy.bridge.ledger import Ledger
    from deploy.bridge.settings import Settings

    ledger, guide = Ledger(folder / "ledger.db"), plan.read(plan.GUIDES / "c.yaml")
    bridge_example.fill(ledger, tasks, time.time())
    app = FastAPI(openapi_url=None)
    settings = Settings(page_token=TOKEN, folder=folder)
    app.include_router(page.routes(ledger, guide, settings, lambda step: None, "https://cvat.example.org"))
    app.include_router(metrics.routes(ledger, guide, metrics.Deliveries(), lambda: 0))
    return app, ledger


def pictures(out: Path, tasks: int) -> list[Path]:
    """Take pictures of the first page into a folder.

    Args:
        out: gets ``bridge-status-<name>.jpg``.
        tasks: in the ledger.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="quadratseg-page-") as folder:
        app, _ = _app(Path(folder), tasks)
        with _served(app) as url:
            return [_picture(out / f"bridge-status-{name}.jpg", url, *how) for name, how in _PICTURES.items()]


@contextmanager
def _served(app: Any) -> Iterator[str]:
    """Serve on a free port, to somebody who is logged in already."""
    import httpx
    import uvicorn

    login: dict[str, bytes] = {}

    async def logged_in(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"] = [*scope["headers"], *login.items()]
        await app(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(logged_in, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    answer = httpx.post(f"{url}/login", data={"token": TOKEN}, headers={"Origin": url})
    login[b"cookie"] = answer.headers["set-cookie"].partition(";")[0].encode()  # type: ignore[index]  # ASGI has bytes
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()


def _picture(path: Path, url: str, width: int, height: int) -> Path:
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="quadratseg-chrome-") as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}"]
        size = f"--window-size={width},{height}"
        command = ["chromium", *options, size, f"--screenshot={shot}", "--virtual-time-budget=2000", url]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        Image.open(shot).convert("RGB").save(path, quality=85, optimize=True)
    return path


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bridge_page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=TASKS, help=f"in the ledger (default {TASKS})")
    parser.add_argument("--repeat", type=int, default=REPEAT, help=f"of each page (default {REPEAT})")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="take pictures instead; needs Debian's chromium"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON in the last line")
    given = parser.parse_args(argv)
    if given.pictures:
        print(*pictures(given.pictures, given.tasks), sep="\n")
        return 0
    result = main(tasks=given.tasks, repeat=given.repeat)
    print(f"{result['tasks']} tasks, {result['steps']} steps, {result['photos']} rows of photos; median, worst, size")
    for name, median in result["ms"].items():
        print(f"{name:12} {median:7.1f} ms {result['worst_ms'][name]:7.1f} ms {result['kb'][name]:7.1f} kB")
    if given.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(run())
