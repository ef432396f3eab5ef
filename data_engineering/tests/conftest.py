"""A CVAT server to speak to, and the real cvat-sdk signed in to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.cvat_stand_in import Server, running

if TYPE_CHECKING:
    from cvat_sdk import Client


@pytest.fixture
def server() -> Iterator[Server]:
    """A stand-in for this test alone."""
    with running() as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Signed in with a token that may write; nothing waits long."""
    from data_engineering import cvat_server
    from data_engineering.cvat_server import Account

    with cvat_server.connect(Account(server.url, server.token), poll_s=0.01, backoff_s=0.001) as client:
        yield client
