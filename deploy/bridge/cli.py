"""The command line of the bridge. Nothing of weight is loaded before the arguments are understood."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

SERVE = "serve"
SECRETS = "bridge.env"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked; 0 where it went well, 1 where something is broken, 2 where it cannot be begun."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    asked = _parser().parse_args(_with_command(given))
    try:
        if asked.env_file:
            from deploy.bridge import secret_file

            secret_file.load(asked.env_file)
        command: Callable[[argparse.Namespace], int] = asked.command
        return command(asked)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, RuntimeError) as error:  # all that the bridge raises, in words
        print(f"deploy.bridge: {error}{_hint(asked, error)}", file=sys.stderr)
        return 2


def _hint(asked: argparse.Namespace, error: Exception) -> str:
    """What is forgotten most: that init put the secrets into a file."""
    forgotten = "BRIDGE_SECRET is not set" in str(error) and not asked.env_file and Path(SECRETS).is_file()
    return f". There is a {SECRETS} here: --env-file {SECRETS}" if forgotten else ""


def _with_command(given: Sequence[str]) -> list[str]:
    """Without a command, serve: options that stand before one belong to it."""
    if any(word in COMMANDS for word in given) or {"-h", "--help"} & set(given):
        return list(given)
    return [SERVE, *given]


def _serve(asked: argparse.Namespace) -> int:
    from deploy.bridge import serve, settings

    return serve.main(settings.from_environment(), asked.host, asked.port)


def _work(_: argparse.Namespace) -> int:
    from deploy.bridge import settings, work

    return work.main(settings.from_environment())


def _init(asked: argparse.Namespace) -> int:
    from deploy.bridge import init
    from deploy.bridge.settings import PIPELINE, Settings

    init.main(
        asked.url,
        guide=asked.guide,
        functions=asked.functions,
        pipeline=asked.pipeline or Path(os.environ.get(PIPELINE) or Settings.pipeline),
        secrets=asked.secret_file,
        rotate=asked.rotate,
        dry_run=asked.dry_run,
    )
    return 0


def _doctor(asked: argparse.Namespace) -> int:
    from deploy.bridge import doctor

    findings = doctor.main(asked.url or "")
    print(doctor.as_json(findings) if asked.json else doctor.describe(findings))
    return 0 if doctor.is_well(findings) else 1


def _status(asked: argparse.Namespace) -> int:
    from deploy.bridge import settings, status

    told = status.look(settings.from_environment())
    print(status.as_json(told) if asked.json else status.describe(told))
    return 0


def _retry(asked: argparse.Namespace) -> int:
    from deploy.bridge import settings, status

    print(status.retry(settings.from_environment(), asked.step))
    return 0


def _sweep(_: argparse.Namespace) -> int:
    from deploy.bridge import settings, work

    print(f"looked at every task: {work.sweep_once(settings.from_environment())} steps are to be done")
    return 0


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    SERVE: (_serve, "take deliveries and do what follows from them (also without a command)"),
    "work": (_work, "only the worker, which serve starts and watches"),
    "init": (_init, "make projects, webhooks, secrets and pipeline.yaml; safe to run again"),
    "doctor": (_doctor, "look at every link, and say how to mend what is broken"),
    "status": (_status, "what is waiting, running, done and failed"),
    "retry": (_retry, "let a failed step be done again"),
    "sweep": (_sweep, "look at every task now, as the bridge does every ten minutes"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bridge",
        description="Between CVAT and the functions: what people do in CVAT leads to the next stage of the pipeline.",
        epilog="Without a command it serves. docs/webhooks.md tells all of it.",
    )
    _add_env_file(parser, None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    parts = {}
    for name, (command, words) in COMMANDS.items():
        parts[name] = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        parts[name].set_defaults(command=command)
        _add_env_file(parts[name], argparse.SUPPRESS)  # else it would undo what stands before the command
    _add_options(parts)
    return parser


def _add_env_file(parser: argparse.ArgumentParser, default: object) -> None:
    words = "put its variables into the environment, unless they are there"
    parser.add_argument("--env-file", type=Path, default=default, metavar="FILE", help=words)


def _add_options(parts: dict[str, argparse.ArgumentParser]) -> None:
    serve, init, doctor = parts[SERVE], parts["init"], parts["doctor"]
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    serve.add_argument("--port", type=int, default=8090, help="default 8090")
    init.add_argument("--url", required=True, help="where CVAT reaches the bridge, such as http://192.168.1.20:8090")
    init.add_argument("--guide", choices=("a", "b", "c"), help="pipeline to begin with, where there is none yet")
    init.add_argument("--functions", metavar="URL", help="where functions answer by name, for a new pipeline.yaml")
    init.add_argument("--pipeline", type=Path, metavar="FILE", help="default BRIDGE_PIPELINE, else pipeline.yaml")
    init.add_argument("--secret-file", type=Path, default=Path(SECRETS), metavar="FILE", help=f"default {SECRETS}")
    init.add_argument("--rotate", action="store_true", help="a new secret of the webhooks; the old one is taken too")
    init.add_argument("--dry-run", action="store_true", help="only say what would be done")
    doctor.add_argument("--url", help="where CVAT reaches the bridge (default: what the webhooks say)")
    doctor.add_argument("--json", action="store_true", help="one line of JSON")
    parts["status"].add_argument("--json", action="store_true", help="one line of JSON")
    which = parts["retry"].add_mutually_exclusive_group(required=True)
    which.add_argument("step", type=int, nargs="?", help="its number, as status says it")
    which.add_argument("--failed", action="store_true", help="all that failed")
