"""`python -m deploy.bridge`."""

import sys

from deploy.bridge.cli import main

if __name__ == "__main__":
    sys.exit(main())
