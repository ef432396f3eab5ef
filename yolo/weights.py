"""Which weights a path, a run or nothing at all means."""

from __future__ import annotations

from pathlib import Path

import yaml

from quadrat import experiment

FOLDER = Path(__file__).resolve().parents[1] / "weights"
"""What ships."""


def find(module: str, path: str | Path | None, default: str | None = None) -> Path:
    """The weights file or OpenVINO folder that `path` means.

    Args:
        module: whose weights.
        path: a file, an OpenVINO folder, a run folder or a run's name; `None` takes what ships.
        default: key in ``weights/index.yaml`` of what ships; `None`: that of the module.

    Raises:
        FileNotFoundError: there is none.
    """
    if path is None:
        return _shipped(default or module)
    found = Path(path)
    if found.is_file() or (found.is_dir() and list(found.glob("*.xml"))):
        return found
    if found.suffix:  # a file name, not the name of a run
        raise FileNotFoundError(f"{found}: no such weights file; expected a .pt file, an OpenVINO folder or a run")
    run = experiment.find_run(module, path)
    for name in ("best.pt", "last.pt"):
        if (run / "weights" / name).is_file():
            return run / "weights" / name
    raise FileNotFoundError(f"{run} has no weights/best.pt yet: its training has not finished an epoch")


def _shipped(key: str) -> Path:
    index = FOLDER / "index.yaml"
    raw = yaml.safe_load(index.read_text("utf-8")) if index.is_file() else {}
    name = (raw.get("default") or {}).get(key)
    if not name or not (FOLDER / name).exists():
        raise FileNotFoundError(f"{index} names no weights of {key} that are there: give a path (MODEL_PATH)")
    return FOLDER / name
