import json
import os
import subprocess
import sys
from datetime import date

import pytest

from deploy import audit

FLAW = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"], "description": "reads\ntoo far"}


@pytest.fixture
def database(tmp_path, monkeypatch):
    """A pip_audit that answers what a test wants, and the arguments it was called with."""
    package = tmp_path / "pip_audit"
    package.mkdir()

    def answer(packages=None, *, words="", status=0):
        said = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
        (package / "__main__.py").write_text(
            f"import sys\nopen({str(tmp_path / 'called')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
            f"print({said!r})\nprint({words!r}, file=sys.stderr)\nsys.exit({status})\n"
        )

    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return answer


@pytest.fixture
def ignored(tmp_path):
    path = tmp_path / "ignore.yaml"
    path.write_text("")
    return path


def run(ignored, capsys, **options):
    status = audit.main(audit.CONSTRAINTS, ignored, **options)
    return status, capsys.readouterr().out


def test_no_findings_pass(database, ignored, capsys):
    database([{"name": "numpy", "version": "2.0", "vulns": []}])
    assert run(ignored, capsys) == (0, "1 packages asked about, 0 findings, 0 open\n")


def test_a_finding_fails_and_says_what_and_the_cure(database, ignored, capsys):
    database([{"name": "numpy", "version": "1.0", "vulns": [FLAW]}], status=1)
    status, told = run(ignored, capsys)
    assert status == 1
    assert "numpy 1.0: PYSEC-1 = CVE-1, fixed in 2.0: reads too far" in told


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-1"])
def test_a_finding_with_a_reason_passes(database, ignored, capsys, name):
    database([{"name": "numpy", "version": "1.0", "vulns": [FLAW]}], status=1)
    ignored.write_text(f"- {{id: {name}, reason: nobody calls it, until: 2999-01-01}}\n")
    status, told = run(ignored, capsys)
    assert status == 0
    assert f"ignored: {name}: nobody calls it" in told


def test_a_reason_that_is_needed_no_more_is_said(database, ignored, capsys):
    database([{"name": "numpy", "version": "2.0", "vulns": []}])
    ignored.write_text("- {id: PYSEC-1, reason: nobody calls it, until: 2999-01-01}\n")
    assert "PYSEC-1 is not found any more" in run(ignored, capsys)[1]


@pytest.mark.parametrize(
    "entry",
    [
        "- {id: A, until: 2999-01-01}",
        "- {id: A, reason: b}",
        "- {reason: b, until: 2999-01-01}",
        "- A",
        "- {id: A, reason: b, until: soon}",
    ],
)
def test_an_entry_that_does_not_say_all_is_refused(ignored, entry):
    ignored.write_text(entry)
    with pytest.raises(ValueError, match="expected `id`, `reason` and `until"):
        audit.read_ignored(ignored, date(2026, 1, 1))


def test_a_reason_holds_until_its_day(ignored):
    ignored.write_text("- {id: A, reason: b, until: 2026-01-02}")
    assert audit.read_ignored(ignored, date(2026, 1, 2)) == {"A": "b"}
    with pytest.raises(ValueError, match="look at it again"):
        audit.read_ignored(ignored, date(2026, 1, 3))


def test_a_database_out_of_reach_is_said_and_passes(database, ignored, capsys):
    database(words="ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed", status=1)
    assert run(ignored, capsys) == (
        0,
        "The audit did not run: ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed\n",
    )


def test_a_mirror_without_a_database_is_no_clean_bill(database, ignored, capsys):
    database(
        [{"name": "numpy", "skip_reason": "Dependency not found on PyPI"}, {"name": "scipy", "skip_reason": "same"}]
    )
    status, told = run(ignored, capsys)
    assert status == 0
    assert told.startswith("The audit did not run: none of 2 packages is known there (Dependency not found")


def test_packages_that_the_database_does_not_know_are_named(database, ignored, capsys):
    database([{"name": "numpy", "version": "2.0", "vulns": []}, {"name": "own", "skip_reason": "not found"}])
    assert "not known to pypi: own\n1 packages asked about" in run(ignored, capsys)[1]


def test_it_asks_about_the_pinned_versions_and_resolves_nothing(database, ignored, capsys, tmp_path):
    database([{"name": "numpy", "version": "2.0", "vulns": []}])
    run(ignored, capsys, service="osv")
    called = (tmp_path / "called").read_text()
    assert f"--requirement {audit.CONSTRAINTS} --no-deps --disable-pip --vulnerability-service osv" in called


def test_the_real_pip_audit_takes_these_arguments(tmp_path):
    """Without its network: the addresses are ones where nobody listens."""
    (tmp_path / "few.txt").write_text("numpy==2.0.0\n")
    away = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.audit", "--constraints", tmp_path / "few.txt"],
        cwd=audit.ROOT,
        env=os.environ | away,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("The audit did not run: ")
    assert "unrecognized arguments" not in ended.stdout


def test_the_projects_own_file_can_be_read():
    audit.read_ignored(audit.IGNORED, date.today())
