"""Remove the functions from Nuclio on this machine: `python -m deploy.undeploy [--only NAME ...]`.

Images and projects stay; CVAT's project is not ours to remove.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deploy import deploy_all, nuctl


def main(only: Sequence[str] = ()) -> dict[str, str]:
    """Remove functions, all or those of these names.

    Returns:
        What came of each, in words; what went wrong begins with ``failed``.

    Raises:
        NuctlError: nuctl is missing.
        ValueError: an unknown name.
    """
    packages = deploy_all.chosen(only)
    nuctl.require("nuctl")
    return {package.name: _remove(package.name) for package in packages}


def _remove(name: str) -> str:
    try:
        if not nuctl.state(name).state:
            return "was not there"
        nuctl.delete(name)
    except nuctl.NuctlError as error:
        return f"failed: {error}"
    return "removed"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deploy.undeploy", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these functions (default: all)")
    try:
        results = main(parser.parse_args().only)
    except (ValueError, nuctl.NuctlError) as problem:
        sys.exit(f"undeploy: {problem}")
    print("\n".join(f"{name}: {what}" for name, what in results.items()))
    sys.exit(1 if any(what.startswith("failed") for what in results.values()) else 0)
