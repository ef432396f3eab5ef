"""Pin what the images of the functions install: `python -m deploy.pins [NAME ...]`.

Beside each function lie ``requirements.in`` and ``requirements-gpu.in``: what it imports, by name. This resolves them
as constraints.txt says and writes every package, those that others need included, with its version into the
``pip install`` of function.yaml and function-gpu.yaml. Needs uv and a package index.

    python -m deploy.pins                                   # all functions
    python -m deploy.pins pth-lama --dockerfile [--gpu]     # print the base image of one, for machines without network
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = {"function.yaml": "requirements.in", "function-gpu.yaml": "requirements-gpu.in"}
COMMAND = "pip install --no-cache-dir --no-deps --only-binary :all:"
"""Nothing is resolved in the image: what is not named with its version does not get in. Options may follow."""
NOT_INSTALLED = """
openvino-telemetry ; sys_platform == 'never'  # the converter reports home through it; a function converts nothing
fire ; sys_platform == 'never'                # of simple-lama-inpainting's command line
"""
"""What packages ask for and a function does not import."""

_BLOCK = re.compile(rf"^( +)({re.escape(COMMAND)}.*)\n((?:\1\S*==.*\n)*)", re.MULTILINE)
_WIDTH = 119


class PinsError(ValueError):
    """Packages cannot be pinned; the message says what is missing."""


def find(names: Sequence[str] = ()) -> list[Path]:
    """The folders of the functions, all or those of these names.

    Raises:
        PinsError: no function has such a name.
    """
    folders = {path.parent.name: path.parent for path in sorted(ROOT.glob("*/deploy/*/requirements.in"))}
    if unknown := sorted(set(names) - set(folders)):
        raise PinsError(f"no function is named {', '.join(unknown)}: there are {', '.join(folders)}")
    return [folder for name, folder in folders.items() if not names or name in names]


def read(text: str) -> list[str]:
    """The pins, ``name==version``, in the text of a function.yaml."""
    found = _BLOCK.search(text)
    return found[3].split() if found else []


def write(path: Path, pins: Sequence[str]) -> bool:
    """Put pins into a function.yaml; whether that changed it.

    Raises:
        PinsError: it has no such ``pip install``.
    """
    text = path.read_text("utf-8")
    found = _BLOCK.search(text)
    if not found:
        raise PinsError(f"{path}: expected a line `{COMMAND}` to write the packages after")
    lines = textwrap.wrap(" ".join(pins), _WIDTH - len(found[1]), break_long_words=False, break_on_hyphens=False)
    block = "".join(f"{found[1]}{line}\n" for line in [found[2], *lines])
    changed = text[: found.start()] + block + text[found.end() :]
    path.write_text(changed, "utf-8")
    return changed != text


def compile_pins(names: Path, python: str) -> list[str]:
    """Every package that those named in a file need, themselves included, as constraints.txt pins them.

    Raises:
        PinsError: uv is not here, or finds no solution.
    """
    command = [uv(), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", python]
    command += ["--python-platform", "x86_64-unknown-linux-gnu", "--constraint", "constraints.txt"]
    command += ["--override", "overrides.txt", "--override", "-", str(names)]
    done = subprocess.run(command, input=NOT_INSTALLED, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise PinsError(f"{names}: uv found no solution: {done.stderr.strip()[-2000:]}")
    return done.stdout.split()


def uv() -> str:
    """Where uv is: on the PATH, or where `make setup` put it.

    Raises:
        PinsError: it is not here.
    """
    own = ROOT / ".cache" / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.is_file() else None)
    if not found:
        raise PinsError("uv is not here: `make setup` brings it, or see its own page")
    return found


def dockerfile(folder: Path, gpu: bool = False) -> str:
    """The Dockerfile of an image that has all that a function's image installs, for machines without network."""
    import yaml

    path = folder / "nuclio" / ("function-gpu.yaml" if gpu else "function.yaml")
    build = yaml.safe_load(path.read_text("utf-8"))["spec"]["build"]
    steps = [f"{step['kind']} {step['value']}" for step in build["directives"]["preCopy"]]
    return "\n".join([f"FROM {build['baseImage']}", *steps])


def main(names: Sequence[str] = ()) -> Iterator[str]:
    """Pin functions, all or those of these names; a sentence about each file.

    Raises:
        PinsError: packages cannot be pinned.
    """
    for folder in find(names):
        for variant, requirements in VARIANTS.items():
            path = folder / "nuclio" / variant
            python = re.search(r"^  runtime: python:(\S+)$", path.read_text("utf-8"), re.MULTILINE)
            if not python:
                raise PinsError(f"{path}: expected `runtime: python:3.11` or another")
            pins = compile_pins(folder / requirements, python[1])
            yield f"{folder.name}/{variant}: {len(pins)} packages, {'changed' if write(path, pins) else 'as before'}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.pins", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions (default: all)")
    parser.add_argument("--dockerfile", action="store_true", help="print the Dockerfile of a function's base image")
    parser.add_argument("--gpu", action="store_true", help="of the GPU variant")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _parse()
    try:
        if arguments.dockerfile:
            print("\n\n".join(dockerfile(folder, arguments.gpu) for folder in find(arguments.names)))
        else:
            for sentence in main(arguments.names):
                print(sentence)
    except PinsError as problem:
        sys.exit(f"pins: {problem}")
