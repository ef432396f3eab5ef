"""The command line of the host."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from deploy.host.access import AccessError
from deploy.host.functions import ROOT, FunctionError
from deploy.host.server import Host, HostError, Limits


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 0 after a stop, 1 if no function can answer, 2 if asked for nonsense."""
    asked = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with _make_host(asked) as host:
            print(describe(host), flush=True)
            if len(host.failures) == len(host.served):
                return 1
            threading.Event().wait()
    except KeyboardInterrupt:
        print("stopped", flush=True)
    except (AccessError, FunctionError, HostError) as error:
        print(f"deploy.host: {error}", file=sys.stderr)
        return 2
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _make_host(asked: argparse.Namespace) -> Host:
    return Host(
        asked.functions,
        host=asked.host,
        port=asked.port,
        token=_token(asked.token_env),
        allow=asked.allow,
        model_paths=dict(asked.model_path),
        limits=Limits(asked.workers, asked.queue, asked.timeout, asked.max_body),
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
    add("--max-body", type=int, default=limits.max_body, metavar="BYTES", help="largest body")
    return parser
