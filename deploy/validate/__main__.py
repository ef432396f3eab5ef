"""Check function.yaml files: `python -m deploy.validate [FILE ...] [--platform local|kube]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy import pack
from deploy.validate import platforms, project, structure


def main(files: Sequence[Path] = (), platform: str = "local") -> int:
    """Print the faults of files, or of all functions of the project; 0 if there is none, else 1."""
    count = len(files) or 2 * len(pack.find())
    found = [fault for path in files for fault in check_file(path, platform)] if files else project.check()
    print("\n".join(found) or f"{count} file(s) in order")
    return 1 if found else 0


def check_file(path: Path, platform: str) -> list[str]:
    """What is wrong in a file, and what in it has no effect."""
    raw = structure.load(path)
    if isinstance(raw, str):
        return structure.check_file(path)
    idle = platforms.without_effect(raw, platform)
    return [*structure.check_file(path), *(f"{path}: {fault}; for Kubernetes say --platform kube" for fault in idle)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deploy.validate", description="Check Nuclio function.yaml files.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="(default: all functions of the project)")
    parser.add_argument("--platform", choices=platforms.PLATFORMS, default="local", help="what they are for")
    sys.exit(main(**vars(parser.parse_args())))
