"""Nuclio's command line as we need it: where it is, what it says of functions, and projects."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LAST = 2000


class NuctlError(RuntimeError):
    """nuctl or Docker is missing, or refused; the message has what it said."""


@dataclass(frozen=True, slots=True)
class State:
    """What Nuclio says of a function.

    Attributes:
        state: ``ready``, ``building``, ``error``, ``unhealthy`` and so on; empty if there is no such function.
        port: on which it listens on this machine; 0 if it does not.
    """

    state: str = ""
    port: int = 0

    @property
    def url(self) -> str:
        """Where it is asked from this machine; empty if it does not listen."""
        return f"http://127.0.0.1:{self.port}" if self.port else ""


def require(*programs: str) -> None:
    """Refuse to go on without these programs.

    Raises:
        NuctlError: naming those that are missing, and where to get them.
    """
    missing = [name for name in programs if not shutil.which(name)]
    hints = {
        "nuctl": "the release of https://github.com/nuclio/nuclio that CVAT's compose file names, on the PATH",
        "docker": "https://docs.docker.com/engine/install/",
    }
    if missing:
        wanted = "; ".join(f"{name}: {hints.get(name, 'install it')}" for name in missing)
        raise NuctlError(f"{' and '.join(missing)} not found ({wanted}). Without Docker: `python -m deploy.host`")
    if "docker" in programs and (said := _run(["docker", "info", "--format", "{{.ServerVersion}}"])).returncode:
        raise NuctlError(f"Docker does not answer: {_tail(said)}")


def deploy(command: Sequence[str]) -> None:
    """Build and start a function; comes back when Nuclio says that it is ready.

    Raises:
        NuctlError: it is not.
    """
    said = _run(command)
    if said.returncode:
        raise NuctlError(_tail(said))


def state(name: str, platform: str = "local") -> State:
    """What Nuclio says of a function.

    Raises:
        NuctlError: it says nothing that can be read.
    """
    said = _run(["nuctl", "get", "functions", name, "--output", "json", "--platform", platform])
    if said.returncode:
        return State()
    try:
        found: Any = json.loads(said.stdout)
        status = (found[0] if isinstance(found, list) else found)["status"]
        return State(str(status["state"]), int(status.get("httpPort") or 0))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise NuctlError(f"`nuctl get functions {name}` said nothing that can be read: {_tail(said)}") from error


def create_project(name: str, platform: str = "local") -> bool:
    """Make a project unless it is there; whether it was made.

    Raises:
        NuctlError: it cannot be made.
    """
    if _run(["nuctl", "get", "projects", name, "--platform", platform]).returncode == 0:
        return False
    said = _run(["nuctl", "create", "project", name, "--platform", platform])
    if said.returncode:
        raise NuctlError(f"project {name} cannot be made: {_tail(said)}")
    return True


def delete(name: str, platform: str = "local") -> None:
    """Remove a function.

    Raises:
        NuctlError: it cannot be removed.
    """
    said = _run(["nuctl", "delete", "functions", name, "--platform", platform])
    if said.returncode:
        raise NuctlError(_tail(said))


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")


def _tail(said: subprocess.CompletedProcess[str]) -> str:
    """The end of what a program said: its reason stands there."""
    text = "\n".join(part.strip() for part in (said.stdout, said.stderr) if part.strip())
    return text[-_LAST:] or f"it ended with status {said.returncode} and said nothing"
