"""Photos on many processes or machines with Ray Data: a worker that dies is replaced, and its photos are done again.

What a photo needs is the same `attempt` as in one process. Its record is written last, so a photo whose worker was
killed is either done, which the next worker sees, or done again from the start; its files are there once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_engineering.function_url import FunctionError
from deploy.pipeline import functions, record
from deploy.pipeline.photo import Plan, Settings
from deploy.pipeline.record import Job
from deploy.pipeline.result import Result, attempt

STORE_BYTES = 100 * 2**20
"""Of Ray's object store: only names and states go through it, photographs do not."""
_MOST_BLOCK = 4
"""Photos that a worker gets at a time, and that are done again where it dies."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a worker needs to make its own plan.

    Attributes:
        where: as `functions.serving` takes it; a host of one's own is one a worker.
        weights: likewise.
        threads: that each function of a worker's own host may use.
    """

    out: Path
    settings: Settings
    where: str
    weights: Mapping[str, str]
    threads: int


class Worker:
    """Lives in a process of Ray's: gets its functions ready once, then does photo after photo.

    What ends the run is an answer too, not an exception: Ray would replace the worker for ever.
    """

    def __init__(self, spec: Spec) -> None:
        self._open = ExitStack()
        self._plan: Plan | None = None
        self._fault = ""
        log = spec.out / "host.log"
        try:
            serving = functions.serving(spec.where, spec.settings.functions, spec.weights, log, spec.threads)
            urls = self._open.enter_context(serving)
            self._plan = Plan.make(spec.out, spec.settings, urls, functions.models(urls, spec.weights))
        except FunctionError as error:
            self._fault = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A photo's path and name in, its state out; the record itself lies in the results."""
        if self._plan is None:
            return {**row, "error": self._fault, "fatal": True}
        try:
            result = attempt(Job(Path(row["photo"]), row["name"]), self._plan)
        except FunctionError as error:
            return {**row, "error": str(error), "fatal": True}
        return {**row, "error": result.error, "fatal": False}


def each(jobs: Sequence[Job], spec: Spec, workers: int, address: str | None = None) -> Iterator[Result]:
    """Do photos on `workers` processes; the order is that in which they end.

    Args:
        jobs: photos, at least one.
        spec: what each worker needs.
        workers: processes.
        address: of a cluster of Ray's; `None` starts Ray on this machine alone.

    Raises:
        FunctionError: Ray is not installed, or a function cannot be used.
    """
    ray = _started(workers, address)
    try:
        rows = [{"photo": str(job.photo), "name": job.name} for job in jobs]
        blocks = max(1, -(-len(rows) // _MOST_BLOCK))
        done = ray.data.from_items(rows, override_num_blocks=blocks).map(
            Worker,
            fn_constructor_args=(spec,),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
        )  # workers are restarted, and their tasks tried again, without end: Ray Data's default for them
        by_name = {job.name: job for job in jobs}
        for row in done.iter_rows():
            if row["fatal"]:
                raise FunctionError(row["error"])
            found = None if row["error"] else record.read(spec.out, row["name"])
            yield Result(by_name[row["name"]], found, row["error"])
    finally:
        ray.shutdown()


def _started(workers: int, address: str | None) -> Any:
    """Ray, that tells nobody and that nobody else can reach."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when it is imported
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "WARNING")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise FunctionError(f"the engine ray needs Ray ({error}): pip install 'quadratseg[ray]'") from None
    alone = {"num_cpus": workers + 1, "object_store_memory": STORE_BYTES, "_node_ip_address": "127.0.0.1"}
    how = {"address": address} if address else {**alone, "include_dashboard": False}
    ray.init(logging_level=logging.WARNING, log_to_driver=False, **how)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
