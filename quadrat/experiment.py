"""One way to run an experiment: configuration, run folder, seeds, provenance, and a clean stop.

A run lives in ``runs/<module>/<name>/`` (``QUADRATSEG_RUNS`` moves the root): ``config.yaml`` as resolved,
``provenance.json``, and whatever the module's training writes.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from quadrat.files import write_json, write_text

Schema = TypeVar("Schema")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
"""What a person (Ctrl-C) and schedulers send to end a run."""


class ConfigError(ValueError):
    """A configuration names an unknown key, a wrong type, or a file that is not there."""


# ---------------------------------------------------------------------------------------------- configuration


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every ``train`` understands; ``key=value`` overrides come as positional `overrides`."""
    parser.add_argument("--config", type=Path, help="YAML file of settings")
    parser.add_argument("--name", help="name of the run (default: date and time)")
    parser.add_argument("--resume", action="store_true", help="go on with the run of this name (default: the latest)")
    parser.add_argument("--overfit", type=int, default=0, metavar="N", help="train and validate on the same N samples")
    parser.add_argument("--device", default=None, help="cpu, cuda, mps, or GPUs as 0,1 (default: the best there is)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--deterministic", action="store_true", help="same numbers each time, where the device can")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that overrule the file's")


def resolve_config(schema: type[Schema], path: str | Path | None, overrides: Sequence[str] = ()) -> Schema:
    """Merge a schema's defaults, a YAML file and ``key=value`` overrides, later ones winning.

    A file may begin with ``base: other.yaml`` (relative to itself), which is read before it.

    Args:
        schema: a dataclass; its field types are enforced.
        path: the YAML file, or ``None``.
        overrides: such as ``["epochs=3", "augment.mosaic=0"]``.

    Returns:
        An instance of `schema`.

    Raises:
        ConfigError: a missing file, an unknown key (with near matches), a value of a wrong type.
    """
    merged = OmegaConf.structured(schema)
    layers = [(str(file), config) for file, config in _with_bases(Path(path))] if path is not None else []
    for override in overrides:
        if "=" not in override:
            raise ConfigError(f"{override!r}: expected key=value, for example epochs=3")
        layers.append((override, _parsed(override)))
    for source, layer in layers:
        try:
            merged = OmegaConf.merge(merged, layer)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{source}: {_explained(error, merged)}") from error
    value: Schema = OmegaConf.to_object(merged)  # type: ignore[assignment]
    return value


def config_to_yaml(config: object) -> str:
    """A resolved configuration (dataclass instance) as YAML."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _parsed(override: str) -> DictConfig:
    key, _, value = override.partition("=")
    try:
        return OmegaConf.from_dotlist([override if value else f"{key}=''"])  # `key=` is empty text, not null
    except Exception as error:  # a YAML error in the value
        raise ConfigError(f"{override!r}: cannot be read ({error})") from error


def _with_bases(path: Path, above: tuple[Path, ...] = ()) -> list[tuple[Path, DictConfig]]:
    if path.resolve() in above:
        raise ConfigError(f"{path}: its chain of `base` comes back to itself")
    try:
        config = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such configuration file") from error
    except Exception as error:
        raise ConfigError(f"{path}: not readable as YAML ({error})") from error
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{path}: expected `key: value` lines")
    base = config.pop("base", None)
    below = _with_bases(path.parent / str(base), (*above, path.resolve())) if base else []
    return [*below, (path, config)]


def _explained(error: OmegaConfBaseException, config: Any) -> str:
    key = str(getattr(error, "full_key", "") or getattr(error, "key", "") or "")
    known = _all_keys(OmegaConf.to_container(config))
    if key and key not in known:
        near = difflib.get_close_matches(key, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key {key!r}; {hint}"
    return f"{key}: {str(error).splitlines()[0]}"


def _all_keys(value: Any, prefix: str = "") -> list[str]:
    if not isinstance(value, dict):
        return []
    return [name for k, v in value.items() for name in (f"{prefix}{k}", *_all_keys(v, f"{prefix}{k}."))]


# ---------------------------------------------------------------------------------------------- run folder


def runs_root() -> Path:
    """Where all runs lie: ``QUADRATSEG_RUNS``, else ``runs`` in the current folder."""
    return Path(os.environ.get("QUADRATSEG_RUNS", "runs"))


def open_run(module: str, name: str | None, *, resume: bool = False) -> Path:
    """Make the folder of a new run, or find the one to go on with.

    Args:
        module: such as ``coral_seg_yolo``.
        name: of the run; ``None`` means date and time for a new one, the latest for `resume`.
        resume: go on with a run that exists.

    Returns:
        The folder, which exists.

    Raises:
        FileExistsError: a new run has the name of an old one.
        FileNotFoundError: there is no run to go on with.
    """
    parent = runs_root() / module
    if resume:
        return find_run(module, name) if name else latest_run(module)
    run = parent / (name or datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
    if run.exists() and any(run.iterdir()):
        raise FileExistsError(f"{run} holds a run already: go on with --resume, or choose another --name")
    run.mkdir(parents=True, exist_ok=True)
    return run


def find_run(module: str, name: str | Path) -> Path:
    """The folder of a run, given by its path or by its name.

    Raises:
        FileNotFoundError: neither is there; the message lists the runs that are.
    """
    for candidate in (Path(name), runs_root() / module / name):
        if candidate.is_dir():
            return candidate
    there = ", ".join(sorted(p.name for p in (runs_root() / module).glob("*") if p.is_dir())) or "none"
    raise FileNotFoundError(f"{name}: no such run of {module} (there are: {there})")


def latest_run(module: str) -> Path:
    """The run that was started last.

    Raises:
        FileNotFoundError: there is none.
    """
    runs = [p.parent for p in (runs_root() / module).glob("*/provenance.json")]
    if not runs:
        raise FileNotFoundError(f"no run of {module} in {runs_root()}: start one without --resume")
    return max(runs, key=lambda p: (p / "provenance.json").stat().st_mtime)


def check_resume(
    run: Path,
    before: Mapping[str, object],
    wanted: Mapping[str, object],
    may_change: Sequence[str],
    data: Path,
    result: Path,
    instead: str,
) -> None:
    """Refuse to go on with a run that is finished, or with other settings or data than it began with.

    Args:
        run: its folder, in which ``provenance.json`` knows the data's fingerprint.
        before: the run's settings.
        wanted: those it is to go on with.
        may_change: names of settings that may differ.
        data: the training data.
        result: a file that lies there once the run is finished.
        instead: how a new run starts from this one's weights, for the message.

    Raises:
        ValueError: what differs, and what to do.
    """
    if result.is_file():
        raise ValueError(f"{run} is finished: start a new run, for example with {instead}")
    changed = [key for key, value in before.items() if wanted[key] != value and key not in may_change]
    if changed:
        raise ValueError(
            f"{run} cannot go on with another {', '.join(changed)}: only {', '.join(may_change)} may change"
        )
    known = json.loads((run / "provenance.json").read_text("utf-8"))["data"]["fingerprint"]
    if fingerprint(data) != known:
        raise ValueError(f"{data} is not what {run} was trained on (fingerprint {known}): start a new run")


def write_provenance(run: Path, config: object, *, data: str | Path | None = None, seed: int | None = None) -> None:
    """Write ``config.yaml`` and ``provenance.json``: what made this run, so that it can be made again.

    Args:
        run: the run's folder.
        config: the resolved configuration, a dataclass instance; `None` where it is written by who made it.
        data: folder of the training data, of which the fingerprint is noted.
        seed: the seed used.
    """
    if config is not None:
        write_text(run / "config.yaml", config_to_yaml(config))
    write_json(
        run / "provenance.json",
        {
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": seed,
            "data": None if data is None else {"folder": str(data), "fingerprint": fingerprint(data)},
            "git": _git_state(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": dict(sorted((d.name, d.version) for d in metadata.distributions() if d.name)),
        },
    )


def _git_state() -> dict[str, object] | None:
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout

    try:
        changed = bool(git("status", "--porcelain", "-uno").strip())
        return {"commit": git("rev-parse", "HEAD").strip(), "changed": changed}
    except (OSError, subprocess.SubprocessError):
        return None  # installed without its repository


def fingerprint(folder: str | Path, *, whole_below: int = 256 * 1024, part: int = 64 * 1024) -> str:
    """A digest of a folder that changes when its files do.

    Names, sizes and contents count; of files larger than `whole_below` bytes the first and last `part` bytes do, so
    that a folder of large photos is read in seconds. Links are followed.

    Returns:
        32 hexadecimal digits.

    Raises:
        FileNotFoundError: no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    digest = hashlib.blake2b(digest_size=16)
    for path in _files(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= whole_below:
                digest.update(file.read())
            else:
                digest.update(file.read(part))
                file.seek(-part, os.SEEK_END)
                digest.update(file.read(part))
    return digest.hexdigest()


def _files(folder: Path) -> Iterable[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".cache")


# ---------------------------------------------------------------------------------------------- seeds and signals


def seed_everything(seed: int, *, deterministic: bool = False) -> None:
    """Seed Python, NumPy and, if it is imported, torch.

    Args:
        seed: 0 .. 2**32 - 1.
        deterministic: also choose torch's repeatable kernels, which can be slower.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (libraries draw from NumPy's global generator)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)


class StopFlag:
    """Whether a stop was asked for; true in a condition once it was."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Within the block the first stop signal only raises a flag; a second one stops at once.

    Training loops look at the flag between two steps, save what resuming needs, and return. Outside the main thread
    signals cannot be caught: the flag then stays down.

    Yields:
        The flag.
    """
    flag = StopFlag()

    def raise_flag(number: int, _frame: FrameType | None) -> None:
        if flag:
            raise KeyboardInterrupt
        flag.signal = signal.Signals(number)
        print(f"\n{flag.signal.name}: stopping after this step (again: at once)", file=sys.stderr, flush=True)

    try:
        before = {number: signal.signal(number, raise_flag) for number in STOP_SIGNALS}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
