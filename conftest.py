"""What holds for every test: no network, no telemetry, a database of their own, no deadlines on noisy machines."""

import atexit
import os
import shutil
import socket
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from hypothesis import settings

for name, value in {
    "FIFTYONE_DO_NOT_TRACK": "true",
    "HF_HUB_OFFLINE": "1",
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
}.items():
    os.environ.setdefault(name, value)


def _start_database() -> None:
    """Give FiftyOne a MongoDB of these tests alone.

    Its embedded one is joined to whatever FiftyOne this user runs at the time, wherever that keeps its data.
    """
    mongod = Path(sysconfig.get_path("purelib"), "fiftyone", "db", "bin", "mongod")
    if "FIFTYONE_DATABASE_URI" in os.environ or not mongod.is_file():
        return
    folder = tempfile.mkdtemp(prefix="quadratseg-tests-db-")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [mongod, "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ["FIFTYONE_DATABASE_URI"] = f"mongodb://127.0.0.1:{port}"

    def stop() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)


_start_database()
os.environ["FIFTYONE_DATABASE_DIR"] = str(Path(__file__).parent / ".cache" / "fiftyone-test-db")

settings.register_profile("quadratseg", deadline=None, max_examples=60, derandomize=bool(os.environ.get("CI")))
settings.load_profile("quadratseg")
