"""`python -m deploy.pipeline`."""

import sys

from deploy.pipeline.run import run

if __name__ == "__main__":
    sys.exit(run())
