"""What the bridge takes from its environment. A secret NAME may lie in a file that NAME_FILE names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SECRET, PAGE_TOKEN, FOLDER, PIPELINE = "BRIDGE_SECRET", "BRIDGE_TOKEN", "BRIDGE_DATA", "BRIDGE_PIPELINE"
REDIS, PUBLIC, UNSIGNED, WORKERS = "BRIDGE_REDIS_URL", "BRIDGE_PUBLIC_URL", "BRIDGE_ALLOW_UNSIGNED", "BRIDGE_WORKERS"
RETRIES = "BRIDGE_RETRY_SECONDS"
PARENT = "QUADRAT_BRIDGE_PARENT"
"""Environment variable that `serve` sets for its worker: the process that the worker does not outlive."""
IN_FILES = (SECRET, PAGE_TOKEN, REDIS, "CVAT_TOKEN", "CVAT_PASSWORD", "QUADRAT_TOKEN")
"""Secrets that may lie in files."""

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("", "false", "0", "no", "off")
_SHORTEST_SECRET = 16
_MOST_WORKERS = 16


class SettingsError(ValueError):
    """The environment cannot be used; the message names the variable, what was expected and the fix."""


@dataclass(frozen=True)  # without slots, so that the class knows its defaults
class Settings:
    """How the bridge runs; secrets are in no representation of it.

    Attributes:
        secrets: of webhooks (``BRIDGE_SECRET``); several, apart by blanks, while one takes another's place.
        page_token: of the status page (``BRIDGE_TOKEN``); empty: there is no page.
        folder: of the ledger, the queue and the mappings (``BRIDGE_DATA``); it must survive.
        pipeline: file (``BRIDGE_PIPELINE``).
        redis_url: of the queue (``BRIDGE_REDIS_URL``); empty: the queue is SQLite in `folder`.
        public_url: under which people's browsers reach the bridge (``BRIDGE_PUBLIC_URL``); empty: unknown.
        unsigned: take deliveries without a signature (``BRIDGE_ALLOW_UNSIGNED``).
        workers: steps that may run at a time (``BRIDGE_WORKERS``).
        retries_s: pauses in s before a step is tried again (``BRIDGE_RETRY_SECONDS``); after the last it is failed.
    """

    secrets: tuple[str, ...] = ()
    page_token: str = ""
    folder: Path = Path("bridge-data")
    pipeline: Path = Path("pipeline.yaml")
    redis_url: str = ""
    public_url: str = ""
    unsigned: bool = False
    workers: int = 2
    retries_s: tuple[float, ...] = (10, 60, 300, 1800, 3600)

    def __repr__(self) -> str:
        return f"Settings(folder={str(self.folder)!r}, pipeline={str(self.pipeline)!r}, secrets hidden)"


def from_environment() -> Settings:
    """Read the environment; secrets from files are put into it, so that what signs in to CVAT finds them.

    Raises:
        SettingsError: a variable is missing or holds what cannot be used.
    """
    take_files()
    secrets = tuple(os.environ.get(SECRET, "").split())
    if short := [secret for secret in secrets if len(secret) < _SHORTEST_SECRET]:
        raise SettingsError(
            f"{SECRET}: {len(short)} secret(s) under {_SHORTEST_SECRET} characters: use a long random text"
        )
    unsigned = _flag(UNSIGNED)
    if not secrets and not unsigned:
        raise SettingsError(
            f"{SECRET} is not set: put the webhooks' secret there (`python -m deploy.bridge init` makes one), or take "
            f"deliveries from anybody with {UNSIGNED}=true"
        )
    return Settings(
        secrets=secrets,
        page_token=os.environ.get(PAGE_TOKEN, "").strip(),
        folder=Path(os.environ.get(FOLDER) or Settings.folder),
        pipeline=Path(os.environ.get(PIPELINE) or Settings.pipeline),
        redis_url=os.environ.get(REDIS, "").strip(),
        public_url=os.environ.get(PUBLIC, "").strip().rstrip("/"),
        unsigned=unsigned,
        workers=_workers(),
        retries_s=_retries(),
    )


def take_files() -> None:
    """Put the secrets that lie in files into the environment.

    Raises:
        SettingsError: a file cannot be read.
    """
    for name in IN_FILES:
        _take_from_file(name)


def _take_from_file(name: str) -> None:
    path = os.environ.get(f"{name}_FILE")
    if not path or os.environ.get(name):
        return
    try:
        os.environ[name] = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE is {path!r}, which cannot be read ({error})") from None


def _flag(name: str) -> bool:
    text = os.environ.get(name, "").strip().lower()
    if text not in _TRUE + _FALSE:
        raise SettingsError(f"{name} is {text!r}: expected true or false")
    return text in _TRUE


def _workers() -> int:
    text = os.environ.get(WORKERS) or str(Settings.workers)
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_WORKERS:
        raise SettingsError(f"{WORKERS} is {text!r}: expected 1 to {_MOST_WORKERS}")
    return int(text)


def _retries() -> tuple[float, ...]:
    text = os.environ.get(RETRIES)
    if text is None:
        return Settings.retries_s
    try:
        pauses = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        pauses = (-1.0,)
    if any(not 0 <= pause <= 86_400 for pause in pauses):
        raise SettingsError(f"{RETRIES} is {text!r}: expected pauses in s, such as 10,60,300")
    return pauses
