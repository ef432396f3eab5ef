"""Which weights a path, a run or nothing at all means, and a network that starts from some."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from quadrat import experiment

MODULE = "DINOv2_mmseg"
VARIABLE = "SEGFORMER_WEIGHTS"
FOLDER = Path(__file__).resolve().parents[1] / "weights"
"""What ships."""


def find(path: str | Path | None = None) -> Path:
    """The weights file or OpenVINO folder that `path` means.

    Args:
        path: a file, an OpenVINO folder, a run folder or a run's name; `None` takes ``SEGFORMER_WEIGHTS``, else what
            ships.

    Raises:
        FileNotFoundError: there is none.
    """
    given = path or os.environ.get(VARIABLE, "").strip() or _shipped()
    found = Path(given)
    if found.is_file() or (found.is_dir() and list(found.glob("*.xml"))):
        return found
    if found.suffix:  # a file name, not the name of a run
        raise FileNotFoundError(
            f"{found}: no such weights ({VARIABLE}); train some with `python -m DINOv2_mmseg.train`, take what ships "
            "by leaving it empty, or name a file of `DINOv2_mmseg.export`, or mmsegmentation's .pth with its config"
        )
    run = experiment.find_run(MODULE, found)
    best = run / "weights" / "best.safetensors"
    if not best.is_file():
        raise FileNotFoundError(f"{run} has no weights/best.safetensors yet: its training has not come to a validation")
    return best


def _shipped() -> Path:
    index = FOLDER / "index.yaml"
    raw = yaml.safe_load(index.read_text("utf-8")) if index.is_file() else {}
    name = (raw.get("default") or {}).get(MODULE)
    if not name or not (FOLDER / name).exists():
        raise FileNotFoundError(f"{index} names no weights of {MODULE} that are there: give a path ({VARIABLE})")
    return FOLDER / name


def start_from(model: Any, source: str, labels: Sequence[str]) -> str:
    """Load weights into a network that will be trained; a head for other classes begins anew.

    Returns:
        What was loaded, in words.

    Raises:
        ValueError: the weights are of another backbone.
        FileNotFoundError: there are none.
    """
    from DINOv2_mmseg import network

    path = find(source)
    spec, tensors, own = network.read_spec(path), network.tensors_of(path), model.state_dict()
    if spec.labels != tuple(labels):  # the last layer is of other classes
        tensors = {name: value for name, value in tensors.items() if not name.startswith("decode_head.conv_seg.")}
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    lost = sorted(name for name in tensors if name.startswith("backbone.") and name not in fitting)
    if lost:
        raise ValueError(f"init {path} is of another backbone: {len(lost)} of its weights fit nowhere, as {lost[0]}")
    model.load_state_dict({**own, **fitting})
    anew = sorted({name.split(".")[1] for name in own if name not in fitting})
    return f"starts from {path}" + (f"; begins anew: {', '.join(anew)} of the head" if anew else "")
