"""`python -m tests.cvat_stand_in`: the stand-in in a process of its own."""

import argparse
import signal
import threading
from pathlib import Path

from tests.cvat_stand_in.server import PASSWORD, running


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cvat_stand_in", description=__doc__)
    parser.add_argument("--port", type=int, default=8085, help="0 takes a free one")
    parser.add_argument("--state", type=Path, help="keep everything in this folder, to survive a restart or a kill")
    parser.add_argument("--polls", type=int, default=0, help='how often a request says "started" before it has ended')
    given = parser.parse_args()
    end = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: end.set())
    with running(given.state, port=given.port, keep=given.state is not None, polls=given.polls) as server:
        print(f"{server.url} user bridge password {PASSWORD} token {server.token}", flush=True)
        end.wait()


if __name__ == "__main__":
    main()
