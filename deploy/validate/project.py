"""What must hold between the project's functions and their weights, pins, settings and each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy import pack, pins
from deploy.pack import Package
from deploy.serving import labels
from deploy.serving.settings import Settings, SettingsError
from deploy.validate import platforms, structure
from quadrat import predictor, template

ELSEWHERE = {"FUNCTION_YAML", "OMP_NUM_THREADS", "OV_CACHE_DIR", "QUADRAT_LOG_FILE"}
"""Variables of a function that `deploy.serving.settings` does not read."""
_MAY_DIFFER = ("build", "env", "readinessTimeoutSeconds", "resources")
"""Fields of `spec` in which the variants of a function differ."""


def check(root: Path = pack.ROOT) -> list[str]:
    """The faults of all functions of a project, each beginning with the file's path."""
    found: list[str] = []
    read: dict[Path, dict[str, Any]] = {}
    for package in pack.find(root):
        for gpu in (False, True):
            path = package.function_yaml(gpu)
            raw = structure.load(path)
            if isinstance(raw, str) or structure.faults(raw):
                found += structure.check_file(path)
                continue
            read[path] = raw
            found += [f"{path}: {fault}" for fault in _one(package, raw, gpu, root)]
        found += _pair(package, read)
    return found + list(_unique(read))


def _one(package: Package, raw: Mapping[str, Any], gpu: bool, root: Path) -> Iterator[str]:
    yield from platforms.without_effect(raw)
    yield from _names(package, raw, gpu)
    yield from _environment(raw["spec"].get("env", []))
    yield from _installed(package, raw["spec"].get("build", {}), gpu, root)
    if structure.is_for_cvat(raw["metadata"]):
        yield from _labels(package, raw["metadata"]["annotations"]["spec"], gpu)


def _names(package: Package, raw: Mapping[str, Any], gpu: bool) -> Iterator[str]:
    if raw["metadata"]["name"] != package.name:
        yield f"metadata.name: expected {package.name}, as its folder is called, got {raw['metadata']['name']}"
    image = f"quadratseg/{package.name}{'-gpu' if gpu else ''}"
    if (given := raw["spec"].get("build", {}).get("image")) != image:
        yield f"spec.build.image: expected {image}, got {given}"


class _Recorder(dict[str, str]):
    """An environment that remembers what was asked of it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.asked = set(ELSEWHERE)

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


def _environment(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A misspelt variable leaves the default in force without a word."""
    env = _Recorder({entry["name"]: entry.get("value", "") for entry in entries})
    try:
        Settings.from_env(env)
    except SettingsError as error:
        yield f"spec.env: {error}"
    for name in sorted(set(env) - env.asked):
        yield f"spec.env: {name} is read by nobody; the variables are {', '.join(sorted(env.asked))}"
    names = [entry["name"] for entry in entries]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"spec.env: {name} stands there twice"


def _installed(package: Package, build: Mapping[str, Any], gpu: bool, root: Path) -> Iterator[str]:
    """Every package with the version that the project is tested with; and OpenVINO or PyTorch, not both."""
    yield from _base_image(str(build.get("baseImage", "")))
    place, wanted = "spec.build.directives", _constraints(root)
    words = [word for command in _commands(build) for word in installs(command)]
    for word in words:
        name, _, version = word.partition("==")
        if not version:
            yield f"{place}: {word} is not pinned: expected name==version; `python -m deploy.pins` writes it"
        elif name not in wanted:
            yield f"{place}: {name} is not in constraints.txt"
        elif wanted[name] != version:
            yield f"{place}: {word}, but constraints.txt has {wanted[name]}: run `python -m deploy.pins`"
    found = {word.partition("==")[0] for word in words}
    if unwanted := found & {"openvino" if gpu else "torch"}:
        yield f"{place}: {unwanted.pop()} does not belong into the {'GPU' if gpu else 'processor'}'s image"
    requirements = package.folder / pins.VARIANTS[package.function_yaml(gpu).name]
    if not requirements.is_file():
        yield f"{requirements.name}: is missing: name there what the function imports, then run `python -m deploy.pins`"
        return
    for name in sorted(_named(requirements) - found):
        yield f"{place}: {name} is asked for and not installed: run `python -m deploy.pins`"


def _base_image(image: str) -> Iterator[str]:
    name, _, digest = image.partition("@")
    tag = name.rsplit("/", 1)[-1].partition(":")[2]
    if tag in ("", "latest") and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        yield f"spec.build.baseImage: expected a tag other than latest, or a digest, since what {image!r} means changes"


def _commands(build: Mapping[str, Any]) -> Iterator[str]:
    for stage in (build.get("directives") or {}).values():
        for step in stage:
            if step["kind"] == "RUN":
                yield from re.split(r"&&|\|\||;|\n", step["value"])


def installs(command: str) -> list[str]:
    """What a shell command installs with pip, uv or apt-get, as it names it; a file of names as it is."""
    words = command.replace('"', " ").replace("'", " ").split()
    if "install" not in words or not {"pip", "pip3", "uv", "apt-get", "apt"} & set(words):
        return []
    words = words[words.index("install") + 1 :]
    valued = {"--only-binary", "--no-binary", "--find-links", "--index-url", "--extra-index-url", "--torch-backend"}
    valued |= {"-f", "-i", "--override", "--constraint", "-c", "--python"}
    return [w for w, before in zip(words, ["", *words], strict=False) if not w.startswith("-") and before not in valued]


def _constraints(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split(";")[0].strip().split("==", 1) for line in lines if "==" in line)


def _named(path: Path) -> set[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return {line for line in lines if line}


def _labels(package: Package, spec: str, gpu: bool) -> Iterator[str]:
    """A function whose labels are not those of its weights does not start."""
    try:
        weights = pack.shipped(package, gpu)
        card = predictor.read_card(weights)
    except ValueError as error:
        yield f"weights: {error}"
        return
    if card is None:
        yield f"weights: {weights} has no card beside it"
        return
    offered = labels.parse_spec(spec)
    wanted = [name for name in card.labels if name not in card.background]
    if sorted(offered) != sorted(wanted):
        yield f"metadata.annotations.spec: offers {sorted(offered)}, the weights {card.name} have {sorted(wanted)}"
        return
    layouts = [template.load(name if name in template.BUILTIN else weights.with_name(name)) for name in card.layouts]
    for label in offered.values() if layouts else ():
        names = tuple(point.name for point in label.sublabels)
        if names not in {layout.names for layout in layouts}:
            known = ", ".join(card.layouts)
            yield f"metadata.annotations.spec: the points of {label.name} are of no layout of {card.name} ({known})"


def _pair(package: Package, read: Mapping[Path, dict[str, Any]]) -> Iterator[str]:
    """The variants of a function answer the same."""
    cpu, gpu = (read.get(package.function_yaml(variant)) for variant in (False, True))
    if cpu is None or gpu is None:
        return
    path = package.function_yaml(True)
    for name in sorted(set(cpu["spec"]) | set(gpu["spec"])):
        if name not in _MAY_DIFFER and cpu["spec"].get(name) != gpu["spec"].get(name):
            yield f"{path}: spec.{name}: differs from function.yaml"
    if _without_framework(cpu["metadata"]) != _without_framework(gpu["metadata"]):
        yield f"{path}: metadata: differs from function.yaml in more than the annotation `framework`"
    env = [
        {e["name"]: e.get("value") for e in raw["spec"].get("env", []) if e["name"] != "DEVICE"} for raw in (cpu, gpu)
    ]
    if env[0] != env[1]:
        yield f"{path}: spec.env: differs from function.yaml in more than DEVICE"
    if "nvidia.com/gpu" not in (gpu["spec"].get("resources") or {}).get("limits", {}):
        yield f"{path}: spec.resources.limits: expected nvidia.com/gpu, else the container sees no GPU"


def _without_framework(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in metadata["annotations"].items() if name != "framework"}
    return {**metadata, "annotations": kept}


def _unique(read: Mapping[Path, dict[str, Any]]) -> Iterator[str]:
    """Two functions of one name, title, image or port: one takes the other's place."""
    first: dict[tuple[str, Any], Path] = {}
    for path, raw in read.items():
        for what, value in _identity(raw, path.name):
            if (other := first.setdefault((what, value), path)) != path:
                yield f"{path}: {what}: {value} is that of {other} too"


def _identity(raw: Mapping[str, Any], variant: str) -> Iterator[tuple[str, Any]]:
    yield "spec.build.image", raw["spec"].get("build", {}).get("image")
    if variant != "function.yaml":
        return  # stands in for its function, and has the same name and port
    yield "metadata.name", raw["metadata"]["name"]
    yield "metadata.annotations.name", raw["metadata"]["annotations"].get("name")
    for trigger in raw["spec"].get("triggers", {}).values():
        if port := (trigger.get("attributes") or {}).get("port"):
            yield "port", port
