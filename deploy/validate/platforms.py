"""Fields that Nuclio's local platform (Docker) reads and then does nothing with; read from its source.

`nuctl deploy --platform local` hands the container: name, image, environment, labels, host volumes, network, restart
policy, devices, port, user and group, limits of processor and memory, GPUs. Whatever else a file asks for is not done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PLATFORMS = ("local", "kube")

_NOTHING = """
    spec.replicas spec.minReplicas spec.maxReplicas spec.targetCPU spec.resources.requests spec.resources.claims
    spec.scaleToZero spec.autoScaleMetrics spec.customScalingMetricSpecs spec.deploymentStrategy spec.serviceType
    spec.serviceAccount spec.nodeName spec.nodeSelector spec.affinity spec.tolerations spec.priorityClassName
    spec.preemptionPolicy spec.preemptionMode spec.runtimeClassName spec.hostIPC spec.sidecars spec.initContainers
    spec.imagePullPolicy spec.imagePullSecrets spec.envFrom spec.readinessProbe spec.livenessProbe spec.runRegistry
    spec.waitReadinessTimeoutBeforeFailure spec.build.registry spec.build.builderServiceAccount
    spec.platform.attributes.mountMode spec.triggers.*.attributes.serviceType spec.triggers.*.attributes.ingresses
"""
_USER = ("runAsUser", "runAsGroup", "fsGroup")


def without_effect(raw: Mapping[str, Any], platform: str = "local") -> list[str]:
    """The fields of a configuration without effect, one sentence each."""
    if platform != "local":
        return []
    places = [place for path in _NOTHING.split() for place in _places(raw, path.split("."))]
    return [f"{place}: has no effect on the local platform" for place in [*places, *_parts(raw.get("spec") or {})]]


def _places(value: Any, path: list[str], place: str = "") -> Iterator[str]:
    """Where a path with `*` for any name leads in nested maps."""
    if not path:
        yield place
        return
    names = (list(value) if path[0] == "*" else [path[0]]) if isinstance(value, dict) else []
    for name in names:
        if name in value:
            yield from _places(value[name], path[1:], f"{place}.{name}".lstrip("."))


def _parts(spec: Mapping[str, Any]) -> Iterator[str]:
    """Fields that have an effect in part."""
    for name in set(_map(spec, "securityContext")) - set(_USER):
        yield f"spec.securityContext.{name}"
    restart = _map(_map(_map(spec, "platform"), "attributes"), "restartPolicy")
    if "maximumRetryCount" in restart and restart.get("name") != "on-failure":
        yield "spec.platform.attributes.restartPolicy.maximumRetryCount (unless name is on-failure)"
    for index, volume in enumerate(_list(spec, "volumes")):
        if "hostPath" not in _map(volume, "volume"):
            yield f"spec.volumes[{index}].volume (unless it is a hostPath)"
    for index, entry in enumerate(_list(spec, "env")):
        if isinstance(entry, dict) and "valueFrom" in entry:
            yield f"spec.env[{index}].valueFrom"


def _map(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []
