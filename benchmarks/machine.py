"""The machine that figures were measured on, in words that say nothing about whose it is."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
    "pydantic",
    "torch",
    "ultralytics",
    "openvino",
    "pycocotools",
    "sahi",
    "supervision",
)
VECTORS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe() -> dict[str, object]:
    """Processor, memory, load, operating system, Python, and versions of the packages that matter; no host name."""
    return {
        "processor": _processor(),
        "vector_instructions": [name for name in VECTORS if name in _field("flags").split()],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _processor() -> str:
    return _field("model name") or platform.processor() or platform.machine()


def _field(name: str) -> str:
    """A field of the first processor in /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
