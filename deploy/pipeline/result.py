"""What an engine gives back for each photo, whatever happened to it."""

from __future__ import annotations

from dataclasses import dataclass

from data_engineering.function_url import AnswerError, FunctionError
from deploy.pipeline.photo import Plan, process
from deploy.pipeline.record import Job, Record

FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """A photo that was tried.

    Attributes:
        record: `None` where it failed.
        error: why it failed; empty where it did not.
    """

    job: Job
    record: Record | None = None
    error: str = ""

    @property
    def state(self) -> str:
        """Of the record; `FAILED` without one."""
        return self.record.state if self.record else FAILED

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it failed, or why a person must look."""
        return self.record.reasons if self.record else (self.error,)


def attempt(job: Job, plan: Plan) -> Result:
    """Try a photo; what is wrong with it alone ends up in the result.

    Raises:
        FunctionError: a function cannot be used, for no photo.
    """
    try:
        return Result(job, process(job, plan))
    except AnswerError as error:
        return Result(job, error=str(error))
    except FunctionError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        return Result(job, error=f"{type(error).__name__}: {error}")
