"""Pack the functions, deploy them to Nuclio on this machine and ask each: `python -m deploy.deploy_all`.

    python -m deploy.deploy_all [--gpu] [--only NAME ...] [--dry-run]
    python -m deploy.deploy_all --offline      # no network: base images from `python -m deploy.pins --dockerfile`

Safe to run again: a function that is there is replaced and keeps its port. One that fails keeps nobody else back.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import nuctl, pack, smoke
from deploy.host import functions
from deploy.pack import Package, PackError
from deploy.smoke import Smoked

PROGRAMS = ("nuctl", "docker")
DIST = functions.ROOT / "dist"
_READY_S, _PAUSE_S = 60.0, 1.0
"""nuctl waits for the function itself; this is for what it says afterwards."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to deploy.

    Attributes:
        gpu: on an NVIDIA GPU.
        offline: without network: nothing is pulled, and base images are those of `base_image`.
        no_pull: base images are not pulled.
        dry_run: pack nothing and print the commands.
        out: where packages are put.
    """

    gpu: bool = False
    offline: bool = False
    no_pull: bool = False
    dry_run: bool = False
    out: Path = DIST

    def base_image(self, package: Package) -> str:
        """The image that a function's is built on; empty leaves that of function.yaml."""
        return f"quadratseg/base-{package.name}{'-gpu' if self.gpu else ''}:local" if self.offline else ""

    def package_path(self, package: Package) -> Path:
        """The zip."""
        return self.out / f"{package.name}{'-gpu' if self.gpu else ''}.zip"

    def command(self, package: Package) -> list[str]:
        """Of nuctl, for one function."""
        command = ["nuctl", "deploy", package.name, "--project-name", package.project()]
        command += ["--path", str(self.package_path(package)), "--platform", "local"]
        return [
            *command,
            *(["--offline"] if self.offline else []),
            *(["--no-pull"] if self.offline or self.no_pull else []),
        ]


def main(only: Sequence[str] = (), plan: Plan | None = None, say: Callable[[str], object] = print) -> list[Smoked]:
    """Deploy functions, all or those of these names.

    Args:
        only: names.
        plan: how.
        say: takes a sentence about what happens.

    Returns:
        What came of each; nothing of a dry run.

    Raises:
        NuctlError: nuctl or Docker is missing.
        ValueError: an unknown name.
    """
    plan, packages = plan or Plan(), chosen(only)
    if plan.dry_run:
        for line in commands(packages, plan):
            say(line)
        return []
    nuctl.require(*PROGRAMS)
    for project in sorted({package.project() for package in packages}):
        made = nuctl.create_project(project)
        say(f"project {project}: {'made' if made else 'is there'}")
    return [_deploy(package, plan, say) for package in packages]


def chosen(only: Sequence[str]) -> list[Package]:
    """The functions of these names, or all.

    Raises:
        ValueError: no function has such a name.
    """
    known = {package.name: package for package in pack.find()}
    if unknown := sorted(set(only) - set(known)):
        raise ValueError(f"no function is named {', '.join(unknown)}: there are {', '.join(known)}")
    return [package for name, package in known.items() if not only or name in only]


def commands(packages: Sequence[Package], plan: Plan) -> list[str]:
    """What would be run, as shell commands."""
    lines = [
        f"nuctl get projects {project} --platform local || nuctl create project {project} --platform local"
        for project in sorted({package.project() for package in packages})
    ]
    for package in packages:
        options = [*(["--gpu"] if plan.gpu else []), "--out", str(plan.package_path(package))]
        options += ["--base-image", plan.base_image(package)] if plan.offline else []
        lines.append(shlex.join([str(package.folder / "deploy_as_zip.sh"), *options]))
        lines.append(shlex.join(plan.command(package)))
        lines.append(f"python -m deploy.smoke {package.name}")
    return lines


def _deploy(package: Package, plan: Plan, say: Callable[[str], object]) -> Smoked:
    """One function from its sources to its first answer; what goes wrong is kept for the table."""
    try:
        out = pack.main(package, gpu=plan.gpu, out=plan.package_path(package), base_image=plan.base_image(package))
        say(f"{package.name}: packed, {out.stat().st_size / 1e6:.1f} MB; building its image")
        nuctl.deploy(plan.command(package))
        state = _ready(package.name)
        say(f"{package.name}: runs on {state.url}")
        return smoke.ask(functions.read(package.function_yaml(plan.gpu)), state.url)
    except (PackError, nuctl.NuctlError, OSError) as error:
        say(f"{package.name}: failed")
        return Smoked(package.name, str(error))


def _ready(name: str) -> nuctl.State:
    end = time.monotonic() + _READY_S
    while True:
        found = nuctl.state(name)
        if found.state == "ready" and found.url:
            return found
        if found.state in ("error", "unhealthy") or time.monotonic() > end:
            raise nuctl.NuctlError(
                f"Nuclio says {found.state or 'nothing'} of {name}: docker logs nuclio-nuclio-{name}"
            )
        time.sleep(_PAUSE_S)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.deploy_all", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these functions (default: all)")
    parser.add_argument("--gpu", action="store_true", help="on an NVIDIA GPU")
    parser.add_argument("--offline", action="store_true", help="without network; nothing is pulled")
    parser.add_argument("--no-pull", action="store_true", help="take base images that are there, do not pull")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    parser.add_argument("--out", type=Path, default=DIST, metavar="DIR", help="for packages (default: dist)")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = vars(_parse())
    names = arguments.pop("only")
    try:
        results = main(names, Plan(**arguments))
    except (ValueError, nuctl.NuctlError) as problem:
        sys.exit(f"deploy_all: {problem}")
    if results:
        print(smoke.table(results))
    if failed := [each.name for each in results if each.fault]:
        sys.exit(f"deploy_all: {len(failed)} of {len(results)} failed: {', '.join(failed)}")
