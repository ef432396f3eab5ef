"""Open the FiftyOne app on a dataset, to look at photos and their shapes in a browser.

python -m data_engineering.app                    # the dataset of the last demo
python -m data_engineering.app reef_2024 --port 5152
"""

from __future__ import annotations

import argparse
import sys

DEMO = "quadratseg-demo"


def main(name: str = DEMO, *, address: str = "127.0.0.1", port: int = 5151, browser: bool = True) -> None:
    """Serve the app until Ctrl-C.

    Args:
        name: of the dataset.
        address: to listen on; anything but loopback lets the whole network see and change the dataset.
        port: to listen on.
        browser: open a browser window.

    Raises:
        DatasetError: no such dataset.
    """
    from data_engineering import dataset

    samples = dataset.load(name)
    session = dataset.fo.launch_app(samples, address=address, port=port, remote=not browser)
    print(f"FiftyOne app: http://{address}:{port}/datasets/{name}   (Ctrl-C ends it)", flush=True)
    try:
        session.wait(-1)
    except KeyboardInterrupt:
        session.close()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.app", description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default=DEMO, help=f"FiftyOne dataset (default {DEMO})")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5151)
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="only serve")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main(**vars(_parse(None)))
    except ValueError as error:
        sys.exit(f"app: {error}")
