"""Command line of the renderer: ``python -m data_engineering.render --help``."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import yaml

from data_engineering.render.layouts import LAYOUTS
from data_engineering.render.settings import Settings, from_dict


def main(argv: list[str] | None = None) -> int:
    """Render photographs with truth, or a contact sheet."""
    parser = _parser()
    args = parser.parse_args(argv)
    if (args.out is None) == (args.contact_sheet is None):
        parser.error("give either --out DIR or --contact-sheet FILE")
    try:
        _run(args)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.render", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for photos and truth; one that is there is filled up")
    parser.add_argument("--count", type=int, default=12, help="samples (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--size", type=int, metavar="PX", help="long side of a photo (default: 1280)")
    parser.add_argument("--layout", metavar="LAYOUT", help=f"one for all: {', '.join(LAYOUTS)}, or a layout file")
    parser.add_argument("--settings", type=Path, metavar="YAML", help="see settings.py; --size and --layout go before")
    parser.add_argument(
        "--frozen", metavar="SET/TASK", help="a frozen set such as validation-v1/colonies: its count, seed, settings"
    )
    parser.add_argument("--backgrounds", type=Path, metavar="DIR", help="photographs to draw over")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--fiftyone", metavar="NAME", help="make a FiftyOne dataset of the folder too")
    parser.add_argument("--contact-sheet", type=Path, metavar="FILE", help="a PNG or JPEG of samples instead")
    parser.add_argument("--among", type=Path, metavar="DIR", help="real photographs to shuffle in; last line: which")
    parser.add_argument("--overlay", action="store_true", help="draw the truth on the sheet")
    return parser


def _run(args: argparse.Namespace) -> None:
    from data_engineering.render import contact_sheet, folder, frozen

    settings = _settings(args)
    if args.frozen:
        args.count, args.seed, settings = frozen.load(args.frozen)
    if args.contact_sheet is not None:
        sheet = (args.contact_sheet, args.count, args.seed, settings, args.among)
        real = contact_sheet.write(*sheet, overlay=args.overlay)
        print(args.contact_sheet)
        if real:
            print("real are the cells", *real)
        return
    start = time.perf_counter()
    folder.render_folder(args.out, args.count, args.seed, settings, args.backgrounds, args.workers)
    seconds = time.perf_counter() - start
    print(f"{args.out}: {args.count} photos, {seconds:.1f} s, {args.count / seconds:.2f} photos/s")
    if args.fiftyone:
        from data_engineering import dataset

        dataset.from_rendered(args.out, args.fiftyone)


def _settings(args: argparse.Namespace) -> Settings:
    settings = from_dict(yaml.safe_load(args.settings.read_text("utf-8"))) if args.settings else Settings()
    if args.size:
        settings = replace(settings, size_px=args.size)
    if args.layout:
        settings = replace(settings, layouts={args.layout: 1.0})
    return settings


if __name__ == "__main__":
    sys.exit(main())
