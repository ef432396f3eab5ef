"""HTTP that waits a bounded time, and asks again with growing pauses where asking twice does no harm."""

from __future__ import annotations

from collections.abc import Collection

import urllib3

TRIES = 4
LONGEST_WAIT_S = 60
CONNECT_S, READ_S = 10, 120

_BUSY = (429, 503)
_SAFE = ("GET", "HEAD", "OPTIONS")


class Retry(urllib3.Retry):
    """Asks again what was surely not taken: refused connections, 429, 503; the rest only by methods that may repeat."""

    @classmethod
    def gentle(cls, backoff_s: float, methods: Collection[str] = _SAFE) -> Retry:
        """Four more tries.

        Args:
            backoff_s: first pause in s; each further one is twice as long, or what the server asks for, up to a minute.
            methods: of HTTP, that do no harm when the request had arrived: repeated after broken connections and 5xx.
        """
        return cls(
            total=TRIES,
            other=0,
            redirect=3,
            backoff_factor=backoff_s,
            backoff_max=LONGEST_WAIT_S,
            backoff_jitter=backoff_s / 2,
            allowed_methods=frozenset(methods),
            raise_on_status=False,
        )

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether an answer is worth another try."""
        return status_code in _BUSY or (status_code >= 500 and self._is_method_retryable(method))

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Seconds that the server asks us to wait."""
        seconds = super().get_retry_after(response)
        return None if seconds is None else min(seconds, LONGEST_WAIT_S)
