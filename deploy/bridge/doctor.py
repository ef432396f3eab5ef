"""Is every link of the bridge in order? A look at each, and for what is broken the fix.

Nothing is changed by looking: CVAT is asked to send each webhook a ping, and functions are shown a small grey photo.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from data_engineering.cvat_errors import CvatError
from data_engineering.function_url import AnswerError, FunctionError
from deploy.bridge import doctor_cvat, doctor_functions, doctor_machine, doctor_webhooks
from deploy.bridge.finding import BROKEN, OK, SKIPPED, WARNING, Case, Finding, Findings

_WIDTH = 118
_STATE, _CHECK = 9, 15


@dataclass(frozen=True, slots=True)
class Check:
    """A link to look at.

    Attributes:
        name: of it.
        look: yields what it finds.
        needs: attributes of the case, without which there is nothing to look at.
    """

    name: str
    look: Callable[[Case], Findings]
    needs: tuple[str, ...] = ()


CHECKS = (
    Check("environment", doctor_machine.environment),
    Check("pipeline", doctor_machine.pipeline),
    Check("versions", doctor_machine.versions),
    Check("disk", doctor_machine.disk),
    Check("ledger", doctor_machine.ledger),
    Check("queue", doctor_machine.queue),
    Check("worker", doctor_machine.worker),
    Check("work", doctor_machine.work),
    Check("CVAT", doctor_cvat.sign_in),
    Check("clock", doctor_cvat.clock, ("client",)),
    Check("token", doctor_cvat.token, ("client",)),
    Check("projects", doctor_cvat.projects, ("client", "plan")),
    Check("account", doctor_cvat.account, ("client", "plan", "projects")),
    Check("labels", doctor_cvat.labels, ("plan", "projects")),
    Check("functions", doctor_functions.answers, ("plan",)),
    Check("their labels", doctor_functions.labels, ("plan", "projects")),
    Check("webhooks", doctor_webhooks.webhooks, ("projects",)),
    Check("deliveries", doctor_webhooks.pings, ("projects",)),
    Check("address", doctor_webhooks.address),
)
_NEEDED = {"client": "a server that lets us in", "plan": "a pipeline", "projects": "the projects"}


def main(url: str = "", checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Look at every link.

    Args:
        url: under which CVAT reaches the bridge; without it whatever the webhooks say is taken for right.
        checks: in their order.
    """
    case = Case(url)
    try:
        return [replace(finding, check=check.name) for check in checks for finding in _look(check, case)]
    finally:
        if case.client is not None:
            case.client.close()


def _look(check: Check, case: Case) -> list[Finding]:
    """What a check finds; one that fails is a finding, and the rest goes on."""
    lacking = [_NEEDED[name] for name in check.needs if getattr(case, name) is None]
    if lacking:
        return [Finding(SKIPPED, f"needs {' and '.join(lacking)}")]
    found: list[Finding] = []
    try:
        found.extend(check.look(case))
    except (CvatError, FunctionError, AnswerError) as error:  # these say the fix
        found.append(Finding(BROKEN, str(error)))
    except Exception as error:  # a fault of the check itself, or of what nobody thought of
        fix = "read the message; if it says nothing to you, report it with this line"
        found.append(Finding(BROKEN, f"the check itself failed ({type(error).__name__}: {error})", fix))
    return found


def describe(findings: Sequence[Finding]) -> str:
    """A table, and what it comes to."""
    lines = [line for finding in findings for line in _lines(finding)]
    return "\n".join([*lines, "", _sum(findings)])


def _lines(finding: Finding) -> list[str]:
    indent = " " * (_STATE + _CHECK)
    head = f"{finding.state:<{_STATE}}{finding.check:<{_CHECK}}"
    words = textwrap.wrap(finding.words, _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False) or [""]
    fix = textwrap.wrap(
        f"-> {finding.fix}",
        _WIDTH - len(indent),
        subsequent_indent="   ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [head + words[0], *(indent + line for line in [*words[1:], *(fix if finding.fix else ())])]


def _sum(findings: Sequence[Finding]) -> str:
    count = {state: sum(finding.state == state for finding in findings) for state in (BROKEN, WARNING, SKIPPED)}
    said = ", ".join(f"{number} {state}" for state, number in count.items() if number)
    return said or "all is well"


def as_json(findings: Sequence[Finding]) -> str:
    """One line of JSON."""
    found = [{name: value for name, value in sorted(asdict(finding).items())} for finding in findings]
    return json.dumps({"ok": is_well(findings), "findings": found})


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing is broken, and everything was seen."""
    return all(finding.state in (OK, WARNING) for finding in findings)
