"""A queue that can be asked whether all it held was dealt with."""

from __future__ import annotations

import queue
from typing import Any


class Outbox(queue.Queue[Any]):
    """Parcels for the delivery worker."""

    def take(self, wait_s: float | None) -> Any:
        """The next parcel; ``None`` after `wait_s`, or when the worker shall look up."""
        try:
            parcel = self.get(timeout=None if wait_s is None else max(wait_s, 0.0))
        except queue.Empty:
            return None
        if parcel is None:
            self.task_done()
        return parcel
