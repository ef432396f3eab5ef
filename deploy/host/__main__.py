"""`python -m deploy.host`. Worker processes import this file again, so nothing happens here but the call."""

if __name__ == "__main__":
    import sys

    from deploy.host.cli import main

    sys.exit(main())
