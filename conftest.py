"""What holds for every test: no network, no telemetry, and no deadlines on shared, noisy machines."""

import os
from pathlib import Path

from hypothesis import settings

for name, value in {
    "FIFTYONE_DO_NOT_TRACK": "true",
    "HF_HUB_OFFLINE": "1",
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
}.items():
    os.environ.setdefault(name, value)

os.environ["FIFTYONE_DATABASE_DIR"] = str(Path(__file__).parent / ".cache" / "fiftyone-test-db")

settings.register_profile("quadratseg", deadline=None, max_examples=60, derandomize=bool(os.environ.get("CI")))
settings.load_profile("quadratseg")
