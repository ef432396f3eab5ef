"""Finding functions by their function.yaml; their code is not imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from deploy import validate

ROOT = Path(__file__).resolve().parents[2]
"""Where the modules lie, and with them their functions."""
_PROJECT = "nuclio.io/project-name"
_MODEL_VARIABLES = ("MODEL_PATH", "LAMA_MODEL")
"""Whichever of them a function reads first, see `deploy.serving.settings`."""
_PATTERNS = ("function.yaml", "nuclio/function.yaml", "*/nuclio/function.yaml", "*/deploy/*/nuclio/function.yaml")


class FunctionError(ValueError):
    """A function cannot be found or its function.yaml is wrong."""


@dataclass(frozen=True, slots=True)
class Function:
    """What a function.yaml says, as far as the host needs it.

    Attributes:
        folder: where function.yaml and the handler's module lie.
        module: file name of the handler's module without its suffix.
        entry: name of the handler in it; `init_context` lies beside it.
        metadata: name, namespace, labels and annotations, as CVAT reads them.
        spec: description, handler and runtime, as CVAT reads them.
        env: environment that the worker gets where its own does not say otherwise.
        forced_env: environment that wins over the worker's own.
        port: the HTTP port that function.yaml asks for.
    """

    name: str
    folder: Path
    module: str
    entry: str
    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    forced_env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None

    @property
    def project(self) -> str:
        """The Nuclio project; CVAT lists those of ``cvat``."""
        return str(self.metadata["labels"].get(_PROJECT, "cvat"))


def discover(sources: Sequence[Path]) -> list[Function]:
    """Find the functions in `sources`: a function's folder, a folder of functions, or the project's root.

    Raises:
        FunctionError: none is found, two have one name, or a file is wrong; the message names it.
    """
    paths = sorted({path.resolve() for source in sources for path in _files(Path(source))})
    if not paths:
        raise FunctionError(f"no function.yaml in {', '.join(str(s) for s in sources)} (looked for {_PATTERNS})")
    functions = [read(path) for path in paths]
    names = [function.name for function in functions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise FunctionError(f"two functions have the name {', '.join(twice)}: give each its own metadata.name")
    return functions


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        raise FunctionError(f"{source}: no such folder")
    return [path for pattern in _PATTERNS for path in source.glob(pattern)]


def read(path: Path) -> Function:
    """Read a function.yaml.

    Raises:
        FunctionError: with every fault that `deploy.validate` finds.
    """
    if faults := validate.check_file(path):
        raise FunctionError("\n".join(faults))
    raw = yaml.safe_load(path.read_text("utf-8"))
    metadata, spec = raw["metadata"], raw["spec"]
    module, entry = spec["handler"].split(":")
    http: dict[str, Any] = next((t for t in spec.get("triggers", {}).values() if t.get("kind") == "http"), {})
    return Function(
        name=metadata["name"],
        folder=path.parent,
        module=module,
        entry=entry,
        metadata={
            "name": metadata["name"],
            "namespace": metadata.get("namespace", "nuclio"),
            "labels": {_PROJECT: "cvat", **metadata.get("labels", {})},
            "annotations": metadata["annotations"],
        },
        spec={key: spec[key] for key in ("description", "handler", "runtime")},
        env={entry["name"]: entry["value"] for entry in spec.get("env", []) if "value" in entry},
        port=http.get("attributes", {}).get("port"),
    )


def with_model_paths(functions: Sequence[Function], model_paths: Mapping[str, str]) -> list[Function]:
    """Give functions weights of one's own, by name.

    Raises:
        FunctionError: a name that no function has.
    """
    names = [function.name for function in functions]
    if unknown := sorted(set(model_paths) - set(names)):
        raise FunctionError(f"no function is named {', '.join(unknown)}: there are {', '.join(names)}")
    given = {name: dict.fromkeys(_MODEL_VARIABLES, str(path)) for name, path in model_paths.items()}
    return [replace(f, forced_env=given[f.name]) if f.name in given else f for f in functions]
