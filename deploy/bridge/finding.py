"""What `doctor` knows, and what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from data_engineering.cvat_server import Project
from data_engineering.cvat_webhooks import Webhook
from deploy.bridge.ledger import Ledger
from deploy.bridge.plan import Plan
from deploy.bridge.settings import Settings

OK, WARNING, BROKEN, SKIPPED = "ok", "warning", "broken", "not seen"
"""States of a finding; `SKIPPED`: something that it needs is broken."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found out.

    Attributes:
        state: `OK`, `WARNING`, `BROKEN` or `SKIPPED`.
        words: what there is.
        fix: what to do about it; empty where nothing needs be done.
        check: name of the check, which `doctor` puts in.
    """

    state: str
    words: str
    fix: str = ""
    check: str = ""


Findings = Iterator[Finding]


@dataclass
class Case:
    """What is known so far: each check may add to it for those after it.

    Attributes:
        url: under which CVAT reaches the bridge, if it was said.
        settings: of the bridge, as far as they can be used.
        ledger: of the bridge; `None` where there is none yet, or a damaged one.
        plan: the pipeline; `None` where it cannot be used.
        client: of CVAT; `None` where nobody can sign in.
        projects: of the stages, by their keys, that are in CVAT; `None` where nobody could look.
        answering: URLs of functions that answer.
        may_write: whether the token may.
        hook_url: that the webhooks lead to; empty where there is none.
        hooks: to that address, by the stages' keys.
    """

    url: str = ""
    settings: Settings = field(default_factory=Settings)
    ledger: Ledger | None = None
    plan: Plan | None = None
    client: Any = None
    projects: dict[str, Project] | None = None
    answering: set[str] = field(default_factory=set)
    may_write: bool = True
    hook_url: str = ""
    hooks: dict[str, Webhook] = field(default_factory=dict)
