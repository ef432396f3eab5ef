"""Peak memory and time from photos of growing size to their class maps: ours, and mmsegmentation's `slide`.

    python -m benchmarks.DINOv2_mmseg_memory                        # 2.8, 12 and 24 MP, each in a process of its own
    python -m benchmarks.DINOv2_mmseg_memory --side ours --json

A process that asks for more than `--limit-gib` dies and is said to. Photos are noise; weights as in the cases.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import grid_inpainting_memory as process

SIZES_WH = ((1920, 1440), (4000, 3000), (6000, 4000))
SIDES = ("ours", "slide")
LIMIT_GIB = 14.0


def main(*, limit_gib: float = LIMIT_GIB, sides: tuple[str, ...] = SIDES) -> list[dict[str, Any]]:
    """Measure every side at every size.

    Args:
        limit_gib: address space that a process may take.
        sides: some of `SIDES`.

    Returns:
        A row each: ``side``, ``megapixels``, and ``peak_gib``, ``before_gib`` (network and photo there), ``seconds``,
        ``weights``, or ``died``.
    """
    rows = []
    for size_wh in SIZES_WH:
        for side in sides:
            told = {"side": side, "megapixels": round(size_wh[0] * size_wh[1] / 1e6, 1)}
            rows.append(told | _in_process(side, size_wh, limit_gib))
            print(_line(rows[-1]), flush=True)
    return rows


def _in_process(side: str, size_wh: tuple[int, int], limit_gib: float) -> dict[str, Any]:
    asked = json.dumps({"side": side, "size_wh": size_wh, "limit_gib": limit_gib})
    command = [sys.executable, "-m", "benchmarks.DINOv2_mmseg_memory", "--one", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode == 0:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return {"died": f"within {limit_gib:g} GiB of address space: {reason[:160]}"}


def _one(side: str, size_wh: tuple[int, int], limit_gib: float) -> dict[str, Any]:
    """The work itself, in a process that does nothing else."""
    import numpy as np

    from benchmarks import DINOv2_mmseg_networks as networks
    from benchmarks.photos import noise_jpeg
    from quadrat import images

    resource.setrlimit(resource.RLIMIT_AS, (round(limit_gib * 2**30), resource.RLIM_INFINITY))
    photo = images.decode(noise_jpeg(*size_wh))
    net = networks.load()
    segment = networks.slide(net) if side == "slide" else net.segment
    segment(np.zeros((32, 32, 3), np.uint8))  # what is set up late
    process._reset_peak()
    before = process._peak_gib()
    start = time.perf_counter()
    segment(photo)
    seconds = time.perf_counter() - start
    return {"peak_gib": process._peak_gib(), "before_gib": before, "seconds": seconds, "weights": net.said}


def _line(row: dict[str, Any]) -> str:
    head = f"{row['megapixels']:5.1f} MP  {row['side']:<6}"
    if "died" in row:
        return f"{head} died: {row['died']}"
    return f"{head} peak {row['peak_gib']:.2f} GiB (before it {row['before_gib']:.2f}), {row['seconds']:.1f} s"


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.DINOv2_mmseg_memory", description=__doc__)
    parser.add_argument("--limit-gib", type=float, default=LIMIT_GIB, help="address space of a process (default 14)")
    parser.add_argument("--side", dest="sides", action="append", choices=SIDES, help="only these; may be repeated")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON in the last line")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.one:
        print(json.dumps(_one(**json.loads(given.one))))
        return 0
    rows = main(limit_gib=given.limit_gib, sides=tuple(given.sides or SIDES))
    if given.json:
        print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(run())
