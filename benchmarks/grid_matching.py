"""Matching alone: random lattices, 40 % of their points missing and 20 % of the candidates false, laid by the matching.

    python -m benchmarks.grid_matching --count 10000 --json
    python -m benchmarks.grid_matching --kinds --best --processes 4

The lattices are those of `grid_pose_detection.lattices` (its defaults: tilt to 40 degrees, noise of 5 % of a cell,
lens, sag). Half are 9 x 13, half 11 x 11. Right is a lattice of which every point, found or filled in, lies within half
a cell of its own truth and which is not said to be ambiguous. Milliseconds are those of the processor, so that what
else runs on the machine counts less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks import machine
from grid_pose_detection import matching
from grid_pose_detection.lattices import Settings, random_lattice
from quadrat import template

LAYOUTS = ("grid9x13", "grid11x11")
OUTCOMES = ("right", "ambiguous", "wrong", "refused")
RIGHT_CELLS = 0.5


def main(
    count: int = 10_000, seed: int = 0, kinds: bool = False, best: bool = False, processes: int = 1
) -> dict[str, Any]:
    """Draw lattices and match them.

    Args:
        count: of lattices.
        seed: of the first; each has its own.
        kinds: candidates say whether they are crossings or ends; else all are of any kind.
        best: let the matching choose between both layouts; else it is told.
        processes: at once.

    Returns:
        `machine`, `count`, `seed`, `kinds`, `best`, `layouts`: for each, and for ``all``, the share of each of
        `OUTCOMES` (``ambiguous``: said so, right or not; ``wrong``: not said so; ``refused``: no match), the median and
        95th percentile of milliseconds, and mean errors in cells of found and filled points of what is right.
    """
    tell = partial(_one, kinds=kinds, best=best)
    seeds = range(seed, seed + count)
    if processes > 1:
        with get_context("spawn").Pool(processes) as pool:
            told = pool.map(tell, seeds, chunksize=50)
    else:
        told = [tell(one) for one in seeds]
    groups = {name: [one for one in told if one["layout"] == name] for name in LAYOUTS} | {"all": told}
    return {
        "machine": machine.describe(),
        "count": count,
        "seed": seed,
        "kinds": kinds,
        "best": best,
        "layouts": {name: _summary(group) for name, group in groups.items() if group},
    }


def _one(seed: int, kinds: bool, best: bool) -> dict[str, Any]:
    layouts = [_layout(name) for name in LAYOUTS]
    drawn = random_lattice(np.random.default_rng(seed), layouts[seed % 2], Settings(kinds=kinds))
    started = time.process_time()
    found = matching.best_match(drawn.candidates, layouts if best else [drawn.template])
    told: dict[str, Any] = {"layout": drawn.template.name, "seed": seed, "ms": 1e3 * (time.process_time() - started)}
    if found is None:
        return told | {"outcome": "refused"}
    if found.template is not drawn.template:
        return told | {"outcome": "ambiguous" if found.ambiguous else "wrong"}
    errors = drawn.errors(found.xy_px)
    right = bool((errors < RIGHT_CELLS).all())
    outcome = "ambiguous" if found.ambiguous else "right" if right else "wrong"
    if outcome != "right":
        return told | {"outcome": outcome}
    told |= {"outcome": outcome, "found_error": float(errors[found.found].mean())}
    return told | ({} if found.found.all() else {"filled_error": float(errors[~found.found].mean())})


@cache
def _layout(name: str) -> template.Template:
    return template.load(name)


def _summary(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    outcomes = Counter(one["outcome"] for one in told)
    ms = [one["ms"] for one in told]
    summary: dict[str, Any] = {"lattices": len(told)} | {name: outcomes[name] / len(told) for name in OUTCOMES}
    summary |= {"ms": float(np.median(ms)), "ms_p95": float(np.percentile(ms, 95))}
    for name in ("found_error", "filled_error"):
        values = [one[name] for one in told if name in one]
        summary[name] = float(np.mean(values)) if values else None
    return summary | {"wrong_seeds": [one["seed"] for one in told if one["outcome"] == "wrong"][:20]}


def _table(measured: dict[str, Any]) -> str:
    rows = [
        "| layout | lattices | right | ambiguous | wrong | refused | ms | ms, 95 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in measured["layouts"].items():
        shares = " | ".join(f"{100 * one[outcome]:.2f} %" for outcome in OUTCOMES)
        rows.append(f"| {name} | {one['lattices']} | {shares} | {one['ms']:.1f} | {one['ms_p95']:.1f} |")
    return "\n".join(rows)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid_matching", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="lattices; default: 10000")
    parser.add_argument("--seed", type=int, default=0, help="of the first; default: 0")
    parser.add_argument("--kinds", action="store_true", help="candidates say whether they are crossings or ends")
    parser.add_argument("--best", action="store_true", help="choose between both layouts; else the layout is told")
    parser.add_argument("--processes", type=int, default=1, help="at once; default: 1")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    given = parser.parse_args(argv)
    if given.count < 1 or given.processes < 1:
        parser.error(f"--count is {given.count}, --processes {given.processes}: expected at least 1")
    return given


if __name__ == "__main__":
    arguments = vars(_arguments(None))
    as_json = arguments.pop("json")
    result = main(**arguments)
    print(json.dumps(result) if as_json else _table(result))
