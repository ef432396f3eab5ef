"""`python -m deploy.host`."""

import sys

from deploy.host.cli import main

if __name__ == "__main__":
    sys.exit(main())
