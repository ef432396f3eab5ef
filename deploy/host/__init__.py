"""All functions behind HTTP without Docker, Nuclio or FiftyOne: `python -m deploy.host`, or `with Host(...) as host`.

What is exported is imported when it is first used: worker processes import this package too, and need no web server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.host.server import Host, Limits

__all__ = ["Host", "Limits"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from deploy.host import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
