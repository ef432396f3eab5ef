"""Photos side by side in this process: a thread each waits for the functions, which do the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from deploy.pipeline.photo import Plan
from deploy.pipeline.record import Job
from deploy.pipeline.result import Result, attempt


def each(jobs: Sequence[Job], plan: Plan, workers: int) -> Iterator[Result]:
    """Do photos, at most `workers` at a time; those in work are finished where the caller stops.

    Raises:
        FunctionError: a function cannot be used; what is in work ends first.
    """
    todo = iter(jobs)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="photo")
    try:
        running: set[Future[Result]] = {pool.submit(attempt, job, plan) for job in islice(todo, workers)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(attempt, job, plan) for job in islice(todo, len(ended))}
            for future in ended:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
