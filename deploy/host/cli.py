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

_MB = 10**6


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
        limits=Limits(
            workers=asked.workers,
            queue=asked.queue,
            timeout_s=asked.timeout,
            wait_s=asked.wait,
            max_body=asked.max_body,
            memory=asked.memory * _MB,
            grace_s=asked.grace,
        ),
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
    add("--workers", type=int, default=limits.workers, help="processes a function, each with a copy of its model")
    add("--queue", type=int, default=limits.queue, metavar="N", help="requests a function that may wait")
    add("--timeout", type=float, default=limits.timeout_s, metavar="S", help="seconds a request may take in a worker")
    add("--wait", type=float, default=limits.wait_s, metavar="S", help="seconds a request may wait for a worker")
    add("--max-body", type=int, default=limits.max_body, metavar="BYTES", help="largest body")
    add(
        "--memory", type=int, default=limits.memory // _MB, metavar="MB", help="a worker above this is replaced (Linux)"
    )
    add("--grace", type=float, default=limits.grace_s, metavar="S", help="seconds to finish requests in when stopped")
    return parser
