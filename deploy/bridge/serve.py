"""The bridge as one command: the web side in this process, the worker in one beside it, which is kept running."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

import uvicorn

from data_engineering import cvat_server
from deploy.bridge import app, log, plan
from deploy.bridge.events import WEBHOOK
from deploy.bridge.ledger import FILE, Ledger
from deploy.bridge.settings import PARENT, Settings
from deploy.bridge.work_queue import WorkQueue

_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_GRACE_S = 30.0
_NICE = ["nice", "-n", "5"] if shutil.which("nice") else []  # answers to CVAT go before work


class Keeper:
    """Keeps a worker running."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = log.make_logger("keeper")
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        pause = _PAUSE_S
        while not self._stop.is_set():
            environment = {**os.environ, PARENT: str(os.getpid()), "TQDM_DISABLE": "1"}  # a log has no use for bars
            command = [sys.executable, "-m", "deploy.bridge", "work"]
            self._process = subprocess.Popen([*_NICE, *command], env=environment)
            status = self._process.wait()
            if self._stop.is_set():
                return
            self._log.error_with("the worker ended, it is started anew", status=status, pause_s=pause)
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def stop(self) -> None:
        """Let the worker finish what it does, for a while: what is left is taken up by the next."""
        self._stop.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()


def main(settings: Settings, host: str = "127.0.0.1", port: int = 8090) -> int:
    """Serve until told to stop.

    Args:
        settings: of the bridge.
        host: address to listen on.
        port: likewise.

    Raises:
        PlanError: pipeline.yaml cannot be used.
        CvatError: the environment does not say who signs in where.
    """
    the_plan = plan.read(settings.pipeline)
    account = cvat_server.account_from_environment()
    ledger, queue = Ledger(settings.folder / FILE), WorkQueue(settings.folder, settings.redis_url)
    keeper = Keeper()
    print(f"bridge: CVAT {account.url} delivers to http://{host}:{port}{WEBHOOK} (Ctrl-C stops)", flush=True)
    try:
        uvicorn.run(
            app.make_app(settings, the_plan, ledger, queue, account.url),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=256,
            timeout_keep_alive=15,
        )
    finally:
        keeper.stop()
    return 0
