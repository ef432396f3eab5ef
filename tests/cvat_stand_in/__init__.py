"""A stand-in for a CVAT 2.73 server on loopback, against which the real cvat-sdk works.

`with running() as server:` starts one in a thread; `python -m tests.cvat_stand_in --port 8085 --state DIR` starts
one in a process of its own. It behaves as ../shared/cvat/recordings/guide_c shows, to which tests/test_cvat_stand_in.py
holds it.
"""

from tests.cvat_stand_in.server import Server, running

__all__ = ["Server", "running"]
