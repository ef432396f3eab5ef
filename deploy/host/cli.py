"""The command line of the host."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from deploy.host.access import AccessError
from deploy.host.functions import ROOT, FunctionError
from deploy.host.server import Host, HostError, Limits

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def _size(text: str) -> int:
    """Bytes from ``64M``, ``1.5G`` or a plain number."""
    unit = _UNITS.get(text[-1:].upper())
    try:
        return int(float(text[:-1]) * unit) if unit else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected bytes, such as 64M or 2G") from error


_LIMITS: dict[str, tuple[Callable[[str], float], str]] = {
    "workers": (int, "processes a function, each with a copy of its model"),
    "queue": (int, "requests a function that may wait"),
    "timeout_s": (float, "seconds a request may take in a worker"),
    "wait_s": (float, "seconds a request may wait for a worker"),
    "max_body": (_size, "bytes of the largest body"),
    "body_s": (float, "seconds in which a request must have come"),
    "idle_s": (float, "seconds a client may say nothing amid its request"),
    "memory": (_size, "bytes (or 4G) above which a worker is replaced; Linux"),
    "start_s": (float, "seconds a function may take to load its model"),
    "connections": (int, "open connections, over all ports"),
    "grace_s": (float, "seconds to finish requests in when stopped"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 0 after a stop, 1 if no function can answer, 2 if asked for nonsense.

    A stop finishes what runs and waits, for `Limits.grace_s` at most; a second signal ends that at once.
    """
    asked = _parser().parse_args(arguments)
    try:
        host = _make_host(asked)
        _stop_on_signals(host)
        with host:
            print(describe(host), flush=True)
            if len(host.failures) == len(host.served):
                return 1
            host.wait()
    except KeyboardInterrupt:
        print("stopped", flush=True)
    except (AccessError, FunctionError, HostError) as error:
        print(f"deploy.host: {error}", file=sys.stderr)
        return 2
    return 0


def _stop_on_signals(host: Host) -> None:
    def first(*_: object) -> None:
        _on_signals(lambda *_: host.hurry())
        raise KeyboardInterrupt

    _on_signals(first)


def _on_signals(action: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, action)


def _make_host(asked: argparse.Namespace) -> Host:
    return Host(
        asked.functions,
        host=asked.host,
        port=asked.port,
        token=_token(asked.token_env),
        allow=asked.allow,
        model_paths=dict(asked.model_path),
        limits=Limits(**{name: getattr(asked, name) for name in _LIMITS}),
    )


def _token(name: str | None) -> str | None:
    """From the environment, never from the command line, which every user of the machine can read."""
    if name and not os.environ.get(name):
        raise AccessError(f"--token-env {name}: that variable is not set; put a long random text into it")
    return os.environ[name] if name else None


def describe(host: Host) -> str:
    """What is served where, what is not and why, and how to point a CVAT server here."""
    lines = [f"Serving on {host.url} (Ctrl-C stops)"]
    for name, served in host.served.items():
        reason = f"  ERROR {served.pool.failure}" if served.pool.failure else f"  POST {host.urls[name]}"
        lines.append(f"  {name}:{reason}  (port {served.port})")
    port = host.url.rsplit(":", 1)[1]
    lines.append(
        f"For CVAT (cvat_server and cvat_worker_annotation): CVAT_SERVERLESS=1 CVAT_NUCLIO_HOST=host.docker.internal"
        f" CVAT_NUCLIO_PORT={port} CVAT_NUCLIO_INVOKE_METHOD=dashboard; see deploy/README.md"
    )
    return "\n".join(lines)


def _model_path(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=PATH, as in pth-yolo-coralseg=runs/coral_seg_yolo/a")
    return name, path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.host", description="Serve the project's functions over HTTP, without Docker or Nuclio."
    )
    add, limits = parser.add_argument, Limits()
    add("--host", default="127.0.0.1", help="address to listen on; others than loopback need --allow or --token-env")
    add("--port", type=int, default=8070, help="main port; functions get those after it (0: any that are free)")
    add("--functions", type=Path, nargs="+", default=[ROOT], metavar="DIR", help="where to look for function.yaml")
    add(
        "--model-path",
        type=_model_path,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="weights, run or export",
    )
    add("--allow", action="append", default=[], metavar="CIDR", help="source range that needs no token (repeatable)")
    add("--token-env", metavar="NAME", help="environment variable that holds the token")
    for name, (kind, meaning) in _LIMITS.items():
        flag = f"--{name.removesuffix('_s').replace('_', '-')}"
        add(
            flag,
            dest=name,
            type=kind,
            default=getattr(limits, name),
            metavar="S" if name.endswith("_s") else "N",
            help=meaning,
        )
    return parser
