"""`python -m deploy.pipeline`."""

import signal
import sys

from deploy.pipeline.run import run

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell that put us into the background ignores Ctrl-C
        signal.signal(number, signal.default_int_handler)
    sys.exit(run())
