"""Peak memory and time of painting strings out of photos of growing size: in windows, and by SimpleLama as a whole.

    python -m benchmarks.grid_inpainting_memory                       # 2.8, 12 and 45 MP, each in a process of its own
    python -m benchmarks.grid_inpainting_memory --limit-gib 12 --json

A process that asks for more than `--limit-gib` dies and is said to. Photos are noise with a grid of 9 and 9 strings.
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

SIZES_WH = ((1920, 1440), (4000, 3000), (8192, 5464))
SIDES = ("windows", "windows-openvino", "simple-lama")
LIMIT_GIB = 14.0
_GIB = 2**30


def main(*, limit_gib: float = LIMIT_GIB, sides: tuple[str, ...] = SIDES) -> list[dict[str, Any]]:
    """Measure every side at every size.

    Args:
        limit_gib: address space that a process may take.
        sides: some of `SIDES`.

    Returns:
        A row each: ``side``, ``megapixels``, and ``peak_gib``, ``before_gib`` (model loaded), ``seconds``, or ``died``.
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
    command = [sys.executable, "-m", "benchmarks.grid_inpainting_memory", "--one", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode == 0:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return {"died": f"above {limit_gib:g} GiB of address space: {reason[:160]}"}


def _one(side: str, size_wh: tuple[int, int], limit_gib: float) -> dict[str, Any]:
    """The work itself, in a process that does nothing else."""
    import numpy as np

    from benchmarks import grid_inpainting as cases
    from benchmarks.photos import noise_jpeg
    from quadrat import images

    resource.setrlimit(resource.RLIMIT_AS, (round(limit_gib * _GIB), resource.RLIM_INFINITY))
    jpeg = noise_jpeg(*size_wh)
    width_px = max(round(cases.STRING_PX * size_wh[0] / 1920), 1)
    if side == "simple-lama":
        lama = cases._simple_lama()
    else:
        from grid_inpainting import model

        remover = model.load(backend="openvino" if side.endswith("openvino") else "lama")
    _reset_peak()
    before = _peak_gib()
    start = time.perf_counter()
    photo = images.decode(jpeg)
    mask = cases.mask_of("grid", size_wh, width_px)
    if side == "simple-lama":
        np.asarray(lama(photo, mask.astype(np.uint8) * 255))
    else:
        remover.remove(photo, mask=mask)
    return {"peak_gib": _peak_gib(), "before_gib": before, "seconds": time.perf_counter() - start}


def _reset_peak() -> None:
    """Forget what making the photo took (Linux)."""
    with Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")


def _peak_gib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / _GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB


def _line(row: dict[str, Any]) -> str:
    head = f"{row['megapixels']:5.1f} MP  {row['side']:<17}"
    if "died" in row:
        return f"{head} died: {row['died']}"
    return f"{head} peak {row['peak_gib']:.2f} GiB (before it {row['before_gib']:.2f}), {row['seconds']:.1f} s"


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid_inpainting_memory", description=__doc__)
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
