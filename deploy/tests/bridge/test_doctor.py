"""`doctor` with the real cvat-sdk against the stand-in: each link broken in turn, and the finding that names it."""

import fcntl
import json
import shutil
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

pytest.importorskip("cvat_sdk")

from data_engineering import cvat_about, cvat_server
from data_engineering.cvat_about import About
from deploy.bridge import doctor, doctor_functions, init
from deploy.bridge.doctor import Check
from deploy.bridge.finding import BROKEN, OK, SKIPPED, WARNING, Finding
from deploy.bridge.ledger import FILE, HEARTBEAT, OWN_USER, Ledger
from deploy.tests.bridge.neighbours import SECRET, neighbours
from quadrat import cvat_labels, template
from tests.cvat_stand_in import running
from tests.cvat_stand_in.server import PASSWORD

CORNERS, GRID, PAINTER, CORALS = "pth-yolo-gridcorners", "pth-yolo-gridpose", "pth-lama", "pth-yolo-coralseg"
GENERA = cvat_labels.segmentation_labels(["Acropora", "Porites"])


def skeleton(layout):
    return [template.load(layout).cvat_label()]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """CVAT, the functions, and a bridge of guide C that works: all is well."""
    labels = {CORNERS: skeleton("corners"), GRID: skeleton("grid11x11"), PAINTER: None, CORALS: GENERA}
    monkeypatch.chdir(tmp_path)
    connect = cvat_server.connect
    monkeypatch.setattr(cvat_server, "connect", lambda **_: connect(backoff_s=0.001))
    monkeypatch.setattr(doctor_functions, "_BACKOFF_S", 0.001)
    with running(delivery_timeout_s=0.5) as server, neighbours(labels) as beside:
        for name, value in {
            "CVAT_URL": server.url,
            "CVAT_TOKEN": server.token,
            "BRIDGE_SECRET": SECRET,
            "BRIDGE_TOKEN": "a-token-of-the-page",
            "BRIDGE_PUBLIC_URL": beside.url,
        }.items():
            monkeypatch.setenv(name, value)
        init.main(beside.url, guide="c", functions=beside.functions, say=lambda _: None)
        ledger = Ledger(tmp_path / "bridge-data" / FILE)
        ledger.remember(HEARTBEAT, str(time.time()))
        ledger.remember(OWN_USER, "bridge")
        with open(tmp_path / "bridge-data" / "worker.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield SimpleNamespace(server=server, beside=beside, ledger=ledger, folder=tmp_path, env=monkeypatch)
        assert server.errors == []


def found(check, url=""):
    """What `doctor` says of a link; all others are looked at too."""
    return [finding for finding in doctor.main(url) if finding.check == check]


def one(check, state, url=""):
    """The one finding of a state."""
    (finding,) = [finding for finding in found(check, url) if finding.state == state]
    return finding


def test_where_all_is_well_it_says_so(world):
    findings = doctor.main()
    assert [finding for finding in findings if finding.state != OK] == []
    assert [check.name for check in doctor.CHECKS] == list(dict.fromkeys(finding.check for finding in findings))
    assert doctor.is_well(findings)
    assert doctor.describe(findings).endswith("all is well")
    told = json.loads(doctor.as_json(findings))
    assert told["ok"]
    assert len(told["findings"]) == len(findings)


def test_looking_changes_nothing(world):
    shutil.rmtree(world.folder / "bridge-data")
    state = world.server.state
    before = (list(state.projects), list(state.webhooks), [hook.events for hook in state.webhooks.values()])
    world.server.requests.clear()
    doctor.main()
    assert before == (list(state.projects), list(state.webhooks), [hook.events for hook in state.webhooks.values()])
    assert not (world.folder / "bridge-data").exists()
    written = [
        asked.target for method in ("POST", "PATCH", "DELETE") for asked in world.server.requests.found("", method)
    ]
    assert all(target.endswith("/ping") for target in written)


# ---------------------------------------------------------------------------------------------- on this machine


def test_no_secret(world):
    world.env.delenv("BRIDGE_SECRET")
    assert "BRIDGE_SECRET is not set" in one("environment", BROKEN).words
    assert found("pipeline")[0].state == OK  # the rest is looked at all the same


def test_unsigned_deliveries_and_no_page(world):
    world.env.setenv("BRIDGE_ALLOW_UNSIGNED", "true")
    world.env.delenv("BRIDGE_TOKEN")
    said = [finding.words for finding in found("environment") if finding.state == WARNING]
    assert "whoever reaches the bridge" in said[0]
    assert "no status page" in said[1]


def test_a_pipeline_with_a_misspelt_field(world):
    path = world.folder / "pipeline.yaml"
    path.write_text(path.read_text().replace("labels: genera", "lables: genera"))
    assert "stages.corals.lables: no such field" in one("pipeline", BROKEN).words
    assert one("projects", SKIPPED).words == "needs a pipeline"
    assert one("labels", SKIPPED).words == "needs a pipeline and the projects"


def test_no_pipeline(world):
    (world.folder / "pipeline.yaml").unlink()
    assert "`python -m deploy.bridge init` makes one" in one("pipeline", BROKEN).words


def test_a_package_that_is_not_there(world, monkeypatch):
    from deploy.bridge import doctor_machine

    real = doctor_machine.version

    def version(name):
        if name == "quadratseg":
            raise doctor_machine.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor_machine, "version", version)
    assert "no version of quadratseg" in one("versions", WARNING).words


@pytest.mark.parametrize(("free", "state"), [(2**29, BROKEN), (2 * 2**30, WARNING), (9 * 2**30, OK)])
def test_a_disk_that_fills(world, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert "GiB free" in one("disk", state).words


def test_a_folder_that_cannot_be_written_to(world, monkeypatch):
    world.env.setenv("BRIDGE_DATA", "/proc/bridge")  # nobody can write there, root included
    finding = one("disk", BROKEN)
    assert "/proc cannot be written to" in finding.words
    assert "BRIDGE_DATA" in finding.fix


def test_a_damaged_ledger(world):
    path = world.folder / "bridge-data" / FILE
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray(path.read_bytes())
    raw[4096:8192] = b"\xff" * 4096
    path.write_bytes(raw)
    finding = one("ledger", BROKEN)
    assert "put the last backup" in finding.fix
    assert one("worker", SKIPPED).words == one("work", SKIPPED).words == "needs a whole ledger"
    path.write_bytes(b"no database at all" * 1000)
    assert "not a database" in one("ledger", BROKEN).words


def test_a_queue_that_is_none(world):
    (world.folder / "bridge-data" / "queue.db").write_bytes(b"no database at all" * 1000)
    assert "remove the file" in one("queue", BROKEN).fix


def test_redis_that_is_away(world):
    world.env.setenv("BRIDGE_REDIS_URL", "redis://:hush-hush@127.0.0.1:9/0")
    finding = one("queue", BROKEN)
    assert finding.words.startswith("redis://127.0.0.1:9/0: ")
    assert "start Redis" in finding.fix
    assert "hush" not in json.dumps([found.words + found.fix for found in doctor.main()])


def test_a_worker_that_hangs_is_gone_or_is_elsewhere(world):
    world.ledger.remember(HEARTBEAT, str(time.time() - 7300))
    assert "runs, but has said nothing for 2 hours" in one("worker", BROKEN).words
    (world.folder / "bridge-data" / "worker.lock").unlink()
    assert one("worker", BROKEN).words == "does not run, last heard of 2 hours ago"
    world.ledger.remember(HEARTBEAT, str(time.time()))
    assert "one elsewhere uses" in one("worker", WARNING).fix


def test_steps_that_failed_and_deliveries_that_wait(world):
    row, _ = world.ledger.order("corners", 7, "rectify", "abc", job=None, task_name="S01", request_id="r")
    world.ledger.start(row.id)
    world.ledger.fail(row.id, "no corners anywhere")
    world.ledger.take("d", "update:job", 1, 7, 8, "", "r")
    (first,) = found("work")[:-1]
    assert first.words == f"step {row.id}: rectify of task 7 (S01) failed: no corners anywhere"
    assert first.fix.endswith(f"retry {row.id}")
    with sqlite3.connect(world.ledger.path) as connection:
        connection.execute("UPDATE deliveries SET received = received - 7300")
    assert "1 deliveries wait, the oldest for 2 hours" in [finding.words for finding in found("work")]


# ---------------------------------------------------------------------------------------------- in CVAT


def test_cvat_is_away(world):
    world.server.stop()
    finding = one("CVAT", BROKEN)
    assert "cannot be reached" in finding.words
    assert "CVAT_URL" in finding.words
    for check in ("clock", "token", "account", "projects", "labels", "their labels", "webhooks", "deliveries"):
        assert {finding.state for finding in found(check)} == {SKIPPED}
    assert {finding.state for finding in found("functions")} == {OK}
    world.server.start()


def test_nobody_signs_in_or_with_a_token_that_is_none(world):
    world.env.setenv("CVAT_TOKEN", "pat_none")
    assert "CVAT_TOKEN" in one("CVAT", BROKEN).words
    world.env.delenv("CVAT_TOKEN")
    world.env.delenv("CVAT_USERNAME", raising=False)
    assert "no one to sign in" in one("CVAT", BROKEN).words


def test_an_old_server(world, monkeypatch):
    monkeypatch.setattr(cvat_about, "server", lambda _: About("2.9.0", None))
    assert "tried with CVAT 2.73" in one("CVAT", WARNING).fix
    assert "does not say" in one("clock", OK).words


@pytest.mark.parametrize(("minutes", "words"), [(5, "300 s behind"), (-5, "300 s ahead of")])
def test_clocks_that_differ(world, monkeypatch, minutes, words):
    there = lambda _: About("2.73.0", datetime.now(UTC) + timedelta(minutes=minutes))  # noqa: E731
    monkeypatch.setattr(cvat_about, "server", there)
    finding = one("clock", WARNING)
    assert finding.words == f"{words} the server's"
    assert "NTP" in finding.fix


def test_a_token_that_may_only_read(world):
    world.env.setenv("CVAT_TOKEN", world.server.read_token)
    finding = one("token", BROKEN)
    assert "may only read" in finding.words
    assert "CVAT_TOKEN" in finding.fix
    assert "a token that may write" in one("deliveries", SKIPPED).words
    assert not world.server.requests.count(method="POST", path="/ping", status=200)


def test_a_token_that_ends_soon_and_a_password(world):
    token = next(token for token in world.server.state.tokens.values() if token.value == world.server.token)
    token.expiry = (datetime.now(UTC) + timedelta(days=3)).isoformat().replace("+00:00", "Z")
    assert "ends on" in one("token", WARNING).words
    world.env.delenv("CVAT_TOKEN")
    world.env.setenv("CVAT_USERNAME", "bridge")
    world.env.setenv("CVAT_PASSWORD", PASSWORD)
    assert one("token", WARNING).words == "signed in with a password"


def project(world, name):
    return next(one for one in world.server.state.projects.values() if one.name == name)


def test_a_project_that_is_not_there_or_there_twice(world):
    grid = project(world, "Quadrat grid")
    grid.name = "Something else"
    finding = one("projects", BROKEN)
    assert "stage grid: " in finding.words
    assert "init makes it" in finding.fix
    assert "grid" not in [name for name in one("projects", OK).words.split(", ")]
    grid.name = "Coral segmentation"
    assert [f.fix for f in found("projects") if "2 projects have the name" in f.words] == [
        "put its number into pipeline.yaml"
    ]


def test_no_project_at_all(world):
    for one_of_them in world.server.state.projects.values():
        one_of_them.name += " (old)"
    assert [finding.state for finding in found("projects")] == [BROKEN] * 3


def test_the_bridges_account_is_a_persons_too(world):
    task = world.server.add_task(project(world, "Quadrat corners"), "S01", ["a.jpg"])
    (job,) = world.server.jobs(task)
    job.assignee = world.server.users["bridge"].id
    finding = one("account", BROKEN)
    assert f"1 jobs are assigned to bridge ({job.id} of task {task.id})" in finding.words
    assert "own_account: false" in finding.fix
    path = world.folder / "pipeline.yaml"
    path.write_text(path.read_text() + "own_account: false\n")
    assert "shared with people" in one("account", OK).words


def test_the_bridge_runs_under_another_account(world):
    world.ledger.remember(OWN_USER, "somebody")
    assert "takes somebody for itself" in one("account", BROKEN).words


def test_labels_that_a_project_lacks(world):
    labels = world.server.state.labels
    gone = next(number for number, label in labels.items() if label.name == "Porites")
    del labels[gone]
    finding = one("labels", BROKEN)
    assert finding.words == "project Coral segmentation: label 'Porites' is not there"
    assert "label constructor" in finding.fix
    assert "Porites" in one("their labels", WARNING).words  # the function finds Acropora too, which has its place


def test_labels_of_the_pipeline_that_are_nowhere(world):
    path = world.folder / "pipeline.yaml"
    path.write_text(path.read_text().replace("labels: genera", "labels: mine.json"))
    assert "mine.json: cannot be read" in one("labels", BROKEN).words


# ---------------------------------------------------------------------------------------------- functions


def test_a_function_that_is_away_or_has_a_fault(world):
    del world.beside.labels[GRID]
    world.beside.answers[CORALS] = 500
    away, faulty = [finding for finding in found("functions") if finding.state == BROKEN]
    assert away.words.startswith(f"{GRID}: ")
    assert "no function" in away.words
    assert "BRIDGE_FUNCTIONS" in away.fix
    assert faulty.words == f"{CORALS}: the function answered 500: it has a fault"
    assert [f.words for f in found("their labels") if f.state == SKIPPED] == [
        f"needs an answer of {n}" for n in (GRID, CORALS)
    ]


def test_a_function_that_wants_a_token(world):
    world.beside.answers[CORNERS] = 401
    assert "set QUADRAT_TOKEN" in one("functions", BROKEN).words


def test_the_painter_is_shown_a_grid(world):
    doctor.main()
    assert [sorted(asked) for asked in world.beside.asked].count(["image", "mask"]) == 1
    world.beside.labels[PAINTER] = []  # now it answers as one that finds things
    assert "does it paint grids out?" in one("functions", BROKEN).words


def test_what_a_function_finds_has_no_label_at_all(world):
    world.beside.labels[CORNERS] = skeleton("grid9x13")
    assert "project Quadrat corners label 'grid' is not there" in one("their labels", BROKEN).words
    world.beside.labels[CORNERS] = [{**skeleton("grid9x13")[0], "name": "quadrat_corner"}]
    assert "lacks the points" in one("their labels", BROKEN).words


def test_a_function_with_a_port_of_its_own_does_not_say_its_labels(world):
    with neighbours({"": GENERA}) as own:
        path = world.folder / "pipeline.yaml"
        text = path.read_text().replace("functions:\n", f"functions:\n  urls: {{{CORALS}: '{own.url}/functions'}}\n")
        path.write_text(text.replace(f"{own.url}/functions", own.url))
        own.post = lambda *_: (200, [])
        assert "does not say its labels" in [f.words for f in found("their labels")][-1]


# ---------------------------------------------------------------------------------------------- webhooks


def hook(world, name="Quadrat grid"):
    number = project(world, name).id
    return next(hook for hook in world.server.state.webhooks.values() if hook.project == number)


def test_no_webhook(world):
    del world.server.state.webhooks[hook(world).id]
    finding = one("webhooks", BROKEN)
    assert finding.words == f"project Quadrat grid has no webhook to {world.beside.url}/webhooks/cvat"
    assert "init" in finding.fix
    world.server.state.webhooks.clear()
    assert [f.state for f in found("webhooks")] == [BROKEN] * 3
    assert one("address", OK).words.startswith(world.beside.url)  # the one of BRIDGE_PUBLIC_URL
    world.env.delenv("BRIDGE_PUBLIC_URL")
    assert "needs a webhook" in one("address", SKIPPED).words


def test_a_webhook_that_is_off_or_lacks_events(world):
    hook(world).is_active = False
    assert "is switched off" in one("webhooks", BROKEN).words
    hook(world).is_active = True
    hook(world).events = ["update:task", "update:job"]
    assert "does not tell completed:request[create:task], update:issue" in one("webhooks", BROKEN).words


def test_webhooks_that_are_too_many(world):
    first = hook(world)
    for number, url in ((97, first.target_url), (98, "http://10.0.0.8:8090/webhooks/cvat"), (99, "http://other/thing")):
        world.server.state.webhooks[number] = type(first)(**{**vars(first), "id": number, "target_url": url})
    twice, elsewhere = [finding for finding in found("webhooks") if finding.state == WARNING]
    assert "remove webhook 97" in twice.fix
    assert "leads elsewhere, to http://10.0.0.8:8090/webhooks/cvat" in elsewhere.words


def test_webhooks_to_an_old_address(world):
    findings = found("webhooks", "http://10.0.0.7:8090")
    assert [finding.words for finding in findings if finding.state == BROKEN] == [
        f"project {name} has no webhook to http://10.0.0.7:8090/webhooks/cvat"
        for name in ("Quadrat corners", "Quadrat grid", "Coral segmentation")
    ]
    assert [finding.state for finding in findings].count(WARNING) == 3


def test_a_certificate_that_nobody_looks_at(world):
    for each in world.server.state.webhooks.values():
        each.target_url, each.enable_ssl = "https://127.0.0.1:9/webhooks/cvat", False
    assert "SSL verification" in found("webhooks")[0].fix


def test_a_ping_with_another_secret(world):
    hook(world).secret = "another-than-the-bridge-has"
    finding = one("deliveries", BROKEN)
    assert finding.words.startswith("project Quadrat grid: a ping was answered 403")
    assert "knows another secret" in finding.fix
    assert one("deliveries", OK).words == "projects Quadrat corners, Coral segmentation: a ping came through"
    hook(world).secret = ""
    assert "has no secret" in one("deliveries", BROKEN).fix


def test_pings_that_reach_nobody_or_somebody_else(world):
    for each in world.server.state.webhooks.values():
        each.target_url = "http://127.0.0.1:9/webhooks/cvat"
    finding = one("deliveries", BROKEN)
    assert "Quadrat corners, Quadrat grid, Coral segmentation: a ping was answered 502" in finding.words
    assert "SMOKESCREEN_OPTS" in finding.fix
    assert "is not to be reached from here" in one("address", WARNING).words
    for each in world.server.state.webhooks.values():
        each.target_url = f"{world.beside.url}/elsewhere/webhooks/cvat"
    assert "something else answers there" in one("deliveries", BROKEN).fix
    assert "is answered 404, and not by a bridge" in one("address", BROKEN).words


def test_a_ping_that_cvat_cannot_send(world, monkeypatch):
    world.server.faults.fail(500, method="POST", path="/ping", times=None)
    finding = one("deliveries", BROKEN)
    assert "the server failed (500" in finding.words
    assert found("address")[0].state == OK  # what comes after is looked at


def test_a_bridge_whose_worker_is_silent(world):
    world.beside.health = "the worker is silent"
    assert [f.words.endswith("says: the worker is silent") for f in found("address") if f.state == BROKEN] == [True]
    world.env.setenv("BRIDGE_PUBLIC_URL", "http://127.0.0.1:9")
    assert "browsers (BRIDGE_PUBLIC_URL)" in one("address", WARNING).words


# ---------------------------------------------------------------------------------------------- doctor itself


def test_a_check_that_fails_is_a_finding_and_the_rest_goes_on():
    def broken(_):
        yield Finding(OK, "so far")
        raise RuntimeError("nobody thought of this")

    findings = doctor.main(checks=[Check("one", broken), Check("two", lambda _: iter([Finding(OK, "well")]))])
    assert [(f.check, f.state) for f in findings] == [("one", OK), ("one", BROKEN), ("two", OK)]
    assert "RuntimeError: nobody thought of this" in findings[1].words
    assert not doctor.is_well(findings)


def test_the_table_holds_words_and_fixes_within_its_width():
    long = Finding(BROKEN, "words " * 60, "fix " * 60, "check")
    text = doctor.describe([long, Finding(SKIPPED, "needs it", "", "other"), Finding(WARNING, "x", "", "third")])
    assert max(map(len, text.splitlines())) <= 118
    assert text.endswith("1 broken, 1 warning, 1 not seen")
    assert text.split().count("words") == 60
    assert text.split().count("fix") == 60


def test_no_finding_holds_a_secret(world):
    said = doctor.as_json(doctor.main())
    assert SECRET not in said
    assert "a-token-of-the-page" not in said
    assert world.server.token not in said
