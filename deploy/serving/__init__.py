"""One function's life: setup, decode, predict, encode. Needs `quadrat`, pydantic and prometheus-client only."""

from __future__ import annotations

import os

# A function calls nobody: said before any framework is imported, since they read it then.
for _name, _value in {
    "FIFTYONE_DO_NOT_TRACK": "true",
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "HF_HUB_OFFLINE": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}.items():
    os.environ.setdefault(_name, _value)

from deploy.serving.detection import setup  # noqa: E402
from deploy.serving.life import handle  # noqa: E402
from deploy.serving.painting import setup_remover  # noqa: E402
from deploy.serving.settings import Settings  # noqa: E402

__all__ = ["Settings", "handle", "setup", "setup_remover"]
