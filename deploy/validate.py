"""Check function.yaml files strictly: `python -m deploy.validate FILE...`.

No official schema of Nuclio's function configuration exists and nuctl drops what it does not know without a word, so
the legal fields are listed here (read from Nuclio 1.15's source).
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.serving import labels
from quadrat import cvat_labels

CVAT_KINDS = ("detector", "interactor", "tracker", "reid")
RUNTIMES = ("python:3.10", "python:3.11", "python:3.12")

Check = Callable[[Any], str | None]


def _of(kind: type, name: str) -> Check:
    def check(value: Any) -> str | None:
        right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        return None if right else f"expected {name}, got {value!r}"

    return check


TEXT, FLAG, WHOLE = _of(str, "a text"), _of(bool, "true or false"), _of(int, "a whole number without quotes")
LIST, MAP = _of(list, "a list"), _of(dict, "a map")


def _texts(value: Any) -> str | None:
    right = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if right else f"expected a list of texts, got {value!r}"


def _text_map(value: Any) -> str | None:
    right = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    return None if right else f"expected a map of texts, got {value!r}"


def _duration(value: Any) -> str | None:
    right = isinstance(value, str) and re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", value)
    return None if right else f'expected a duration such as "110s", got {value!r}'


def _fields(check: Check, names: str) -> dict[str, Check]:
    return dict.fromkeys(names.split(), check)


TOP = {**_fields(TEXT, "apiVersion kind"), **_fields(MAP, "metadata spec")}
METADATA = {**_fields(TEXT, "name namespace resourceVersion"), **_fields(_text_map, "labels annotations")}
SPEC = {
    **_fields(
        TEXT,
        "description handler runtime image imageHash alias runRegistry imagePullSecrets dealerURI serviceType"
        " imagePullPolicy serviceAccount nodeName priorityClassName preemptionPolicy preemptionMode runtimeClassName",
    ),
    **_fields(_duration, "eventTimeout streamChunkTimeout"),
    **_fields(
        FLAG,
        "disable publish disableDefaultHTTPTrigger disableSensitiveFieldsMasking hostIPC"
        " waitReadinessTimeoutBeforeFailure",
    ),
    **_fields(WHOLE, "replicas minReplicas maxReplicas targetCPU version readinessTimeoutSeconds"),
    **_fields(
        LIST,
        "env envFrom volumes loggerSinks devices tolerations customScalingMetricSpecs autoScaleMetrics sidecars"
        " initContainers",
    ),
    **_fields(
        MAP,
        "resources dataBindings triggers build runtimeAttributes platform securityContext scaleToZero affinity"
        " nodeSelector deploymentStrategy readinessProbe livenessProbe",
    ),
}
BUILD = {
    **_fields(
        TEXT,
        "path functionSourceCode functionConfigPath tempDir registry baseImageRegistry image baseImage onbuildImage"
        " codeEntryType mode builderServiceAccount",
    ),
    **_fields(FLAG, "noBaseImagesPull noCache noCleanup offline"),
    **_fields(_texts, "commands scriptPaths dependencies flags"),
    **_fields(MAP, "directives addedPaths args runtimeAttributes codeEntryAttributes"),
    **_fields(WHOLE, "timestamp buildTimeoutSeconds"),
}
TRIGGER = {
    **_fields(TEXT, "class kind name url username password secret workerAllocatorName explicitAckMode mode"),
    **_fields(_duration, "workerTerminationTimeout"),
    **_fields(WHOLE, "numWorkers maxWorkers workerAvailabilityTimeoutMilliseconds"),
    **_fields(FLAG, "disabled"),
    **_fields(LIST, "paths partitions"),
    **_fields(MAP, "annotations attributes batch async"),
}
HTTP = {
    **_fields(WHOLE, "port readBufferSize maxRequestBodySize"),
    **_fields(TEXT, "serviceType"),
    **_fields(MAP, "ingresses cors"),
    **_fields(FLAG, "reduceMemoryUsage disablePortPublishing"),
}
PLATFORM = {
    **_fields(TEXT, "network mountMode"),
    **_fields(_duration, "healthCheckInterval"),
    **_fields(MAP, "restartPolicy"),
}
ENV = {**_fields(TEXT, "name value"), **_fields(MAP, "valueFrom")}
DIRECTIVE = _fields(TEXT, "kind value")


def faults(raw: Any) -> list[str]:
    """Everything wrong with a function configuration as YAML decodes it, one sentence each, the field first."""
    found = _check(raw, TOP, "")
    if found:
        return found
    found += _required(raw, "", "apiVersion", "kind", "metadata", "spec")
    metadata, spec = raw.get("metadata", {}), raw.get("spec", {})
    found += _check(metadata, METADATA, "metadata") + _required(metadata, "metadata", "name", "annotations")
    found += _check(spec, SPEC, "spec") + _required(spec, "spec", "description", "handler", "runtime")
    if found:
        return found
    found += _value(raw, "apiVersion", ("nuclio.io/v1",)) + _value(raw, "kind", ("NuclioFunction",))
    return found + _annotations(metadata) + _inside_spec(spec)


def _check(value: Any, legal: Mapping[str, Check], place: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{place or 'file'}: expected a map, got {type(value).__name__}"]
    found = []
    for name, content in value.items():
        where = f"{place}.{name}" if place else str(name)
        if name not in legal:
            near = difflib.get_close_matches(str(name), legal, 1)
            found.append(f"{where}: Nuclio knows no such field{f', did you mean {near[0]!r}?' if near else ''}")
        elif fault := legal[name](content):
            found.append(f"{where}: {fault}")
    return found


def _required(value: Mapping[str, Any], place: str, *names: str) -> list[str]:
    return [f"{place}.{name}".lstrip(".") + ": is missing" for name in names if not value.get(name)]


def _value(value: Mapping[str, Any], name: str, allowed: tuple[str, ...], place: str = "") -> list[str]:
    if value.get(name) in allowed:
        return []
    return [f"{place}{name}: expected {' or '.join(allowed)}, got {value.get(name)!r}"]


def _annotations(metadata: Mapping[str, Any]) -> list[str]:
    annotations = metadata["annotations"]
    if (metadata.get("labels") or {}).get("nuclio.io/project-name", "cvat") != "cvat":
        return []  # not shown to CVAT, which knows four kinds only
    found = _value(annotations, "type", CVAT_KINDS, "metadata.annotations.")
    if annotations.get("type") == "detector":
        found += _labels(annotations.get("spec", ""))
    return found


def _labels(spec: str) -> list[str]:
    """CVAT takes a skeleton without points, or with a picture of other points, and can then do nothing with it."""
    try:
        offered = labels.parse_spec(spec, "metadata.annotations.spec")
        for label in offered.values():
            if label.type == "skeleton":
                cvat_labels.read_skeleton(label.model_dump(mode="json"))
    except ValueError as error:
        return [f"{'' if isinstance(error, labels.LabelsError) else 'metadata.annotations.spec: '}{error}"]
    return []


def _inside_spec(spec: Mapping[str, Any]) -> list[str]:
    found = _value(spec, "runtime", RUNTIMES, "spec.")
    if not re.fullmatch(r"[\w.-]+:\w+", spec["handler"]):
        found.append(f"spec.handler: expected module:function, got {spec['handler']!r}")
    for index, entry in enumerate(spec.get("env", [])):
        found += _check(entry, ENV, f"spec.env[{index}]")
    for name, trigger in spec.get("triggers", {}).items():
        found += _trigger(trigger, f"spec.triggers.{name}")
    found += _check((spec.get("platform") or {}).get("attributes", {}), PLATFORM, "spec.platform.attributes")
    found += [f"spec.platform.{name}: only attributes" for name in spec.get("platform", {}) if name != "attributes"]
    return found + _build(spec.get("build", {}), spec["runtime"])


def _trigger(trigger: Any, place: str) -> list[str]:
    found = _check(trigger, TRIGGER, place)
    if found:
        return found
    if "maxWorkers" in trigger:
        found.append(f"{place}.maxWorkers: deprecated, use numWorkers")
    if trigger.get("kind") == "http":
        found += _check(trigger.get("attributes", {}), HTTP, f"{place}.attributes")
    return found


def _build(build: Mapping[str, Any], runtime: str) -> list[str]:
    found = _check(build, BUILD, "spec.build")
    if found:
        return found
    if build.get("commands") and build.get("directives"):
        found.append("spec.build.commands: replaces directives, keep one of them")
    python = re.fullmatch(r"python:(\d+\.\d+).*", build.get("baseImage", ""))
    if python and f"python:{python[1]}" != runtime:
        found.append(f"spec.build.baseImage: its Python {python[1]} is not the runtime {runtime}")
    for stage, directives in build.get("directives", {}).items():
        found += _directives(stage, directives)
    return found


def _directives(stage: str, directives: Any) -> list[str]:
    place = f"spec.build.directives.{stage}"
    if stage not in ("preCopy", "postCopy"):
        return [f"{place}: expected preCopy or postCopy"]
    if fault := LIST(directives):
        return [f"{place}: {fault}"]
    return [fault for i, entry in enumerate(directives) for fault in _check(entry, DIRECTIVE, f"{place}[{i}]")]


def check_file(path: Path) -> list[str]:
    """The faults of a file, each beginning with its path."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return [f"{path}: cannot be read ({error})"]
    return [f"{path}: {fault}" for fault in faults(raw)]


def main(files: list[Path]) -> int:
    """Print the faults of all files; 0 if there is none, else 1."""
    found = [fault for path in files for fault in check_file(path)]
    print("\n".join(found) or f"{len(files)} file(s) in order")
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deploy.validate", description="Check Nuclio function.yaml files.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    sys.exit(main(parser.parse_args().files))
