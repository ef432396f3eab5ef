"""Run the benchmark cases of a module: ours and peer by turns.

    python -m benchmarks.run coral_seg_yolo
    python -m benchmarks.run coral_seg_yolo --case masks-50 --repeat 21 --json

Prints a Markdown page and keeps it, with a JSON file of all figures, under runs/benchmarks/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import cases, machine, measure, report
from quadrat import experiment, files


def main(
    module: str, *, names: Sequence[str] = (), repeat: int | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Run cases and write ``<module>.json`` and ``<module>.md`` (with the names of cases that were chosen).

    Args:
        module: whose cases.
        names: only these cases.
        repeat: rounds a case, at least 1; `None` leaves it to each case.
        out: folder; `None` takes runs/benchmarks.

    Returns:
        What the JSON file holds: `module`, `machine`, and `cases` with `measure.run`'s result of each.

    Raises:
        ValueError: an unknown module or case, or `repeat` below 1.
    """
    if repeat is not None and repeat < 1:
        raise ValueError(f"repeat is {repeat}: expected at least 1")
    chosen = cases.choose(cases.load(module), names)
    found: dict[str, Any] = {"module": module, "machine": machine.describe(), "cases": []}
    for case in chosen:
        print(f"{module}: {case.name} …", file=sys.stderr, flush=True)
        found["cases"].append(measure.run(case, repeat))
    folder = out or experiment.runs_root() / "benchmarks"
    stem = module if not names else f"{module}-{'-'.join(names)}"
    files.write_json(folder / f"{stem}.json", found)
    files.write_text(folder / f"{stem}.md", report.page(module, found["cases"], found["machine"]))
    return found


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("module", help="whose cases, such as coral_seg_yolo")
    parser.add_argument("--case", dest="names", action="append", default=[], metavar="NAME", help="may be repeated")
    parser.add_argument("--repeat", type=int, metavar="N", help="rounds a case (default: what each case says)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: runs/benchmarks)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = vars(_parse(None))
    as_json = arguments.pop("json")
    try:
        result = main(**arguments)
    except (ValueError, OSError, cases.CheckError) as error:
        sys.exit(f"benchmarks: {error}")
    print(report.page(result["module"], result["cases"], result["machine"]), end="")
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
