"""Ask whether the pinned packages are known to be vulnerable: `python -m deploy.audit`.

pip-audit asks a database about every line of constraints.txt. A finding that does not concern the project is named in
audit-ignore.yaml with the reason, and with a day until which the reason holds. Where the database is out of reach, that
is said and nothing fails: a build without a network is no worse than before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS, IGNORED = ROOT / "constraints.txt", Path(__file__).parent / "audit-ignore.yaml"
SERVICES = ("pypi", "osv")

_LIMIT_S = 600


class AuditError(RuntimeError):
    """The audit could not be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A vulnerability of a package.

    Attributes:
        package: its name and version.
        names: under which the vulnerability is known, the database's own first.
        fixed: versions that do not have it.
        words: what it is, in a line.
    """

    package: str
    names: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    words: str = ""

    def __str__(self) -> str:
        cure = f"fixed in {', '.join(self.fixed)}" if self.fixed else "not fixed in any version"
        return f"{self.package}: {' = '.join(self.names)}, {cure}: {self.words}"


@dataclass(frozen=True, slots=True)
class Report:
    """What the database said.

    Attributes:
        asked: number of packages that it knows.
        unknown: names of those that it does not.
        findings: vulnerabilities.
    """

    asked: int
    unknown: tuple[str, ...]
    findings: tuple[Finding, ...] = field(default=())


def ask(constraints: Path, service: str) -> Report:
    """Ask the database.

    Args:
        constraints: pinned packages, a line each.
        service: one of `SERVICES`.

    Raises:
        AuditError: it is out of reach, or knows none of the packages.
    """
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise AuditError(f"{service} did not answer within {_LIMIT_S} s") from None
    try:
        return _report(json.loads(ended.stdout)["dependencies"])
    except (ValueError, KeyError, TypeError):
        lines = ended.stderr.strip().splitlines() or [f"pip-audit ended with status {ended.returncode}"]
        raise AuditError(lines[-1]) from None


def _report(packages: Sequence[Mapping[str, Any]]) -> Report:
    unknown = [package for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):  # what a mirror does that has packages and no database
        raise AuditError(
            f"none of {len(packages)} packages is known there ({unknown[0]['skip_reason'] if unknown else ''})"
        )
    findings = [
        Finding(
            f"{package['name']} {package['version']}",
            (flaw["id"], *flaw.get("aliases", ())),
            tuple(flaw.get("fix_versions", ())),
            " ".join(flaw.get("description", "").split())[:200],
        )
        for package in packages
        for flaw in package.get("vulns", ())
    ]
    return Report(len(packages) - len(unknown), tuple(p["name"] for p in unknown), tuple(findings))


def read_ignored(path: Path, today: date) -> dict[str, str]:
    """Names of vulnerabilities that do not concern the project, each with the reason.

    Raises:
        ValueError: an entry without a name, a reason or a day, or whose day is past.
    """
    ignored = {}
    for entry in yaml.safe_load(path.read_text("utf-8")) or []:
        name = entry.get("id") if isinstance(entry, dict) else None
        if not name or not entry.get("reason") or not isinstance(entry.get("until"), date):
            raise ValueError(f"{path}: expected `id`, `reason` and `until: YYYY-MM-DD`, got {entry!r}")
        if entry["until"] < today:
            raise ValueError(
                f"{path}: {name} was ignored until {entry['until']}: look at it again, change `until` or upgrade"
            )
        ignored[name] = entry["reason"]
    return ignored


def main(constraints: Path = CONSTRAINTS, ignored: Path = IGNORED, *, service: str = SERVICES[0]) -> int:
    """Print what is known; 1 if there is a finding that nobody gave a reason to ignore, else 0.

    Args:
        constraints: pinned packages.
        ignored: file of vulnerabilities with the reasons why they do not concern the project.
        service: database that is asked.

    Raises:
        ValueError: `ignored` cannot be used.
    """
    reasons = read_ignored(ignored, date.today())
    try:
        report = ask(constraints, service)
    except AuditError as error:
        print(f"The audit did not run: {error}")
        return 0
    open_ones = [finding for finding in report.findings if not reasons.keys() & set(finding.names)]
    seen = {name for finding in report.findings for name in finding.names}
    for finding in open_ones:
        print(finding)
    for name, reason in reasons.items():
        print(
            f"ignored: {name}: {reason}"
            if name in seen
            else f"{name} is not found any more: remove it from {ignored.name}"
        )
    if report.unknown:
        print(f"not known to {service}: {', '.join(report.unknown)}")
    print(f"{report.asked} packages asked about, {len(report.findings)} findings, {len(open_ones)} open")
    return 1 if open_ones else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deploy.audit", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--constraints", type=Path, default=CONSTRAINTS, help="pinned packages (default: the project's)"
    )
    parser.add_argument("--ignored", type=Path, default=IGNORED, help="what does not concern the project, with reasons")
    parser.add_argument("--service", choices=SERVICES, default=SERVICES[0], help="database that is asked")
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except (ValueError, OSError) as problem:
        sys.exit(f"audit: {problem}")
