"""The file with the bridge's secrets: lines NAME=value, as shells, Docker Compose and systemd read them."""

from __future__ import annotations

import os
import secrets
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.bridge.settings import PAGE_TOKEN, SECRET, take_files


class EnvFileError(ValueError):
    """The file cannot be used; the message names the line and what was expected."""


def read(path: Path) -> dict[str, str]:
    """The variables in a file; none where it is not there.

    Raises:
        EnvFileError: it cannot be read, or a line is no NAME=value. No value is in the message.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"{path}: cannot be read ({type(error).__name__})") from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, value = _split(line, f"{path}, line {number}")
        if name:
            found[name] = value
    return found


def _split(line: str, where: str) -> tuple[str, str]:
    try:
        words = [word for word in shlex.split(line, comments=True) if word != "export"]
    except ValueError:
        raise EnvFileError(f"{where}: a quotation mark is never closed") from None
    if not words:
        return "", ""
    name, sign, value = words[0].partition("=")
    if len(words) > 1 or not sign or not name.isidentifier():
        raise EnvFileError(f"{where}: expected NAME=value, a value with blanks in quotation marks")
    return name, value


def load(path: Path) -> None:
    """Put the variables of a file into the environment; what is set there already stays.

    Raises:
        EnvFileError: there is no such file, or it cannot be used.
    """
    if not path.is_file():
        raise EnvFileError(f"{path}: there is no such file: `python -m deploy.bridge init` makes one")
    os.environ.update({name: value for name, value in read(path).items() if name not in os.environ})


def write(path: Path, values: Mapping[str, str]) -> None:
    """Set variables in a file that its owner alone may read; other lines of it stay.

    Raises:
        EnvFileError: what is there cannot be used.
        OSError: it cannot be written.
    """
    read(path)  # refuses what would be half understood
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if _split(line, str(path))[0] not in values]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # made with mode 600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join([*kept, *(f"{key}={shlex.quote(value)}" for key, value in values.items())]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------- which secrets


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets as they are to be: those that are there, else fresh ones.

    Attributes:
        webhooks: what webhooks are given.
        lacking: variables that the file is to hold and does not.
        rotated: whether the secret of the webhooks takes another's place.
    """

    webhooks: str
    lacking: Mapping[str, str]
    rotated: bool

    def __repr__(self) -> str:
        return f"Secrets(lacking={sorted(self.lacking)}, rotated={self.rotated}, hidden)"


def look(path: Path, *, rotate: bool = False) -> Secrets:
    """See which secrets there are, in the environment or else in a file; nothing is written.

    Args:
        path: of the file.
        rotate: a fresh secret is to take the place of the webhooks' newest, which stays beside it.

    Raises:
        EnvFileError: the file cannot be used, or the environment has another secret.
        SettingsError: a secret that lies in a file of its own cannot be read.
    """
    take_files()
    there, known = read(path), {}
    for name in (SECRET, PAGE_TOKEN):
        known[name] = os.environ.get(name, "").strip() or there.get(name, "")
        if known[name] != there.get(name, known[name]):
            raise EnvFileError(f"{name} in the environment is not the one in {path}: unset it, or name another file")
    old = known[SECRET].split()
    new = [secrets.token_urlsafe(32), *old[:1]] if rotate or not old else old
    wanted = {SECRET: " ".join(new), PAGE_TOKEN: known[PAGE_TOKEN] or secrets.token_urlsafe(24)}
    lacking = {name: value for name, value in wanted.items() if value != known[name]}
    return Secrets(new[0], lacking, bool(rotate and old))
