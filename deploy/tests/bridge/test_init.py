"""`init` with the real cvat-sdk against the stand-in: it makes what lacks, and nothing twice."""

import json
import os
import re
import subprocess

import pytest

pytest.importorskip("cvat_sdk")

from data_engineering import cvat_errors, cvat_push, cvat_server
from data_engineering.cvat_errors import CvatError
from data_engineering.cvat_label_check import differences
from data_engineering.cvat_server import Account
from deploy.bridge import init, plan, secret_file, stage_labels
from deploy.bridge.events import EVENTS
from deploy.bridge.init import InitError
from deploy.bridge.plan import PlanError, Stage
from deploy.bridge.secret_file import EnvFileError
from deploy.bridge.settings import PAGE_TOKEN, SECRET
from deploy.bridge.stage_labels import StageLabelsError
from quadrat import cvat_labels
from tests.cvat_stand_in import running

URL = "http://192.168.1.20:8090"
HOOK = "http://192.168.1.20:8090/webhooks/cvat"


@pytest.fixture
def server(monkeypatch):
    with running() as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        monkeypatch.setenv("CVAT_TOKEN", server.token)
        yield server
        assert server.errors == []


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    """Run init in an empty folder; returns what it said."""
    monkeypatch.delenv(SECRET, raising=False)
    monkeypatch.delenv(PAGE_TOKEN, raising=False)

    def run(url=URL, **more):
        lines = []
        more = {"guide": "c", "pipeline": tmp_path / "pipeline.yaml", "secrets": tmp_path / "bridge.env", **more}
        init.main(url, **more, say=lines.append)
        return "\n".join(lines)

    return run


def hooks(server):
    return sorted(server.state.webhooks.values(), key=lambda hook: hook.id)


def names(server):
    return [project.name for project in server.state.projects.values()]


def test_it_makes_projects_labels_webhooks_secrets_and_pipeline(server, run, tmp_path):
    said = run()
    assert names(server) == ["Quadrat corners", "Quadrat grid", "Coral segmentation"]
    made = plan.read(tmp_path / "pipeline.yaml")
    assert list(made.stages) == ["corners", "grid", "corals"]
    with cvat_server.connect(Account(server.url, server.token)) as client:
        for stage in made.stages.values():
            there = cvat_push.labels_of(client, cvat_server.find_project(client, stage.project))
            assert differences(stage_labels.labels_of(stage, tmp_path), there) == []
    assert [hook.target_url for hook in hooks(server)] == [HOOK] * 3
    held = secret_file.read(tmp_path / "bridge.env")
    assert {hook.secret for hook in hooks(server)} == {held[SECRET]}
    assert all(set(hook.events) == set(EVENTS) for hook in hooks(server))
    assert len(held[SECRET]) >= 40
    assert len(held[PAGE_TOKEN]) >= 30
    assert (tmp_path / "bridge.env").stat().st_mode & 0o777 == 0o600
    assert held[SECRET] not in said
    assert held[PAGE_TOKEN] not in said
    assert "Next:" in said


def test_twice_is_once(server, run, tmp_path):
    run()
    before = (names(server), [hook.id for hook in hooks(server)], {hook.secret for hook in hooks(server)})
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    said = run()
    assert before == (names(server), [hook.id for hook in hooks(server)], {hook.secret for hook in hooks(server)})
    assert files == {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert "is there and used as it is" in said
    assert "secrets kept" in said
    assert " made" not in said


def test_a_dry_run_makes_nothing_and_says_what_it_would(server, run, tmp_path):
    said = run(dry_run=True)
    assert names(server) == []
    assert hooks(server) == []
    assert list(tmp_path.iterdir()) == []
    assert said.count("would be made") == 6
    assert "Next:" not in said
    run()
    said = run(dry_run=True)
    assert "would be made" not in said
    assert said.count("its secret would be set again") == 3


def test_half_of_it_there_is_taken(server, run, tmp_path):
    corners = server.add_project(
        "Quadrat corners", stage_labels.labels_of(Stage(project="x", labels="corners"), tmp_path)
    )
    (tmp_path / "bridge.env").write_text(f"# ours\nCVAT_URL={server.url}\nBRIDGE_SECRET=one-that-was-there-before\n")
    said = run()
    assert names(server).count("Quadrat corners") == 1
    assert server.state.projects[corners.id].name == "Quadrat corners"
    assert {hook.secret for hook in hooks(server)} == {"one-that-was-there-before"}
    text = (tmp_path / "bridge.env").read_text()
    assert text.startswith(f"# ours\nCVAT_URL={server.url}\nBRIDGE_SECRET=one-that-was-there-before\nBRIDGE_TOKEN=")
    assert "BRIDGE_TOKEN written" in said


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("broken", range(6))
@pytest.mark.parametrize("after", [False, True])
def test_broken_off_anywhere_it_goes_on_where_it_was(server, run, tmp_path, method, broken, after):
    server.faults.drop(method=method, path="/api/(projects|webhooks)", skip=broken, after=after)
    for _ in range(2):
        try:
            run()
        except CvatError:
            continue
    server.faults.clear()
    run()
    assert names(server) == ["Quadrat corners", "Quadrat grid", "Coral segmentation"]
    assert [hook.target_url for hook in hooks(server)] == [HOOK] * 3
    assert {hook.secret for hook in hooks(server)} == {secret_file.read(tmp_path / "bridge.env")[SECRET]}


def test_labels_that_differ_are_all_named_and_nothing_is_made(server, run, tmp_path):
    server.add_project("Coral segmentation", [cvat_labels.polygon_label("Porites")])
    server.add_project("Quadrat corners", [{**cvat_labels.polygon_label("quadrat_corner")}])
    with pytest.raises(
        InitError, match="stage corners: .*quadrat_corner(.|\n)*stage corals: .*'Acropora' is not there"
    ):
        run()
    assert names(server) == ["Coral segmentation", "Quadrat corners"]
    assert hooks(server) == []
    assert list(tmp_path.iterdir()) == []


def test_two_projects_of_one_name_are_not_chosen_from(server, run):
    for _ in range(2):
        server.add_project("Coral segmentation")
    with pytest.raises(InitError, match="2 projects have the name 'Coral segmentation'"):
        run()


def test_a_project_may_be_given_by_its_number(server, run, tmp_path):
    there = server.add_project("Mine", cvat_labels.segmentation_labels(["Porites"]))
    (tmp_path / "labels.json").write_text(json.dumps(cvat_labels.segmentation_labels(["Porites"])))
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(f"functions: {{}}\nstages:\n  corals: {{project: {there.id}, labels: labels.json}}\n")
    run()
    assert names(server) == ["Mine"]
    assert [hook.project for hook in hooks(server)] == [there.id]
    pipeline.write_text("functions: {}\nstages:\n  corals: {project: 99, labels: genera}\n")
    with pytest.raises(InitError, match="stage corals: no project '99'"):
        run()
    pipeline.write_text(f"functions: {{}}\nstages:\n  corals: {{project: {there.id}, labels: genera}}\n")
    with pytest.raises(InitError, match=f"project 'Mine' .id {there.id}. has other labels: label 'Acanthastrea'"):
        run()


def test_a_token_that_may_only_read_is_refused_before_anything_is_made(server, run, tmp_path, monkeypatch):
    monkeypatch.setenv("CVAT_TOKEN", server.read_token)
    with pytest.raises(CvatError, match="may only read"):
        run()
    assert list(tmp_path.iterdir()) == []


def test_a_webhook_that_is_not_right_is_mended_not_made_again(server, run):
    run()
    first, second, third = hooks(server)
    first.events, second.is_active, third.secret = ["update:task", "create:comment"], False, "one-somebody-typed"
    run()
    assert [hook.id for hook in hooks(server)] == [first.id, second.id, third.id]
    assert set(first.events) == {*EVENTS, "create:comment"}
    assert second.is_active
    assert third.secret == first.secret


def test_webhooks_that_are_too_many_are_named(server, run):
    run()
    first = hooks(server)[0]
    copy = server.state.next("webhook")
    server.state.webhooks[copy] = type(first)(**{**vars(first), "id": copy})
    said = run("http://10.0.0.9:8090/")
    assert said.count("leads to another bridge, http://192.168.1.20:8090/webhooks/cvat") == 4
    said = run()
    assert f"webhook {copy} tells the same a second time" in said
    assert len(hooks(server)) == 7


def test_rotating_keeps_the_old_secret_beside_the_new(server, run, tmp_path):
    run()
    (old,) = {hook.secret for hook in hooks(server)}
    said = run(rotate=True)
    new, kept = secret_file.read(tmp_path / "bridge.env")[SECRET].split()
    assert (kept, {hook.secret for hook in hooks(server)}) == (old, {new})
    assert "start the bridge anew" in said
    run(rotate=True)
    newest, kept = secret_file.read(tmp_path / "bridge.env")[SECRET].split()
    assert kept == new
    assert newest != new


def test_secrets_of_the_environment_are_kept_and_not_written(server, run, tmp_path, monkeypatch):
    monkeypatch.setenv(SECRET, "one-of-the-environment")
    monkeypatch.setenv(PAGE_TOKEN, "a-token-of-the-environment")
    run()
    assert {hook.secret for hook in hooks(server)} == {"one-of-the-environment"}
    assert not (tmp_path / "bridge.env").exists()
    (tmp_path / "bridge.env").write_text("BRIDGE_SECRET=another-that-is-in-the-file\n")
    with pytest.raises(EnvFileError, match="BRIDGE_SECRET in the environment is not the one in") as refused:
        run()
    assert "another-that" not in str(refused.value)


def test_a_secret_may_lie_in_a_file_of_its_own(server, run, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("one-of-a-docker-secret\n")
    monkeypatch.setenv(f"{SECRET}_FILE", str(tmp_path / "secret"))
    run()
    assert {hook.secret for hook in hooks(server)} == {"one-of-a-docker-secret"}


def test_a_repository_never_gets_the_secrets(server, run, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(InitError, match=r"name it in \.gitignore"):
        run()
    assert not (tmp_path / "bridge.env").exists()
    (tmp_path / ".gitignore").write_text("*.env\n")
    run()
    (tmp_path / ".gitignore").unlink()
    run()  # nothing is to be written any more
    assert (tmp_path / "bridge.env").exists()


def test_the_functions_address_goes_into_a_new_pipeline_alone(server, run, tmp_path):
    run(guide="b", functions="http://functions:8070/functions/")
    made = plan.read(tmp_path / "pipeline.yaml")
    assert made.functions.base == "http://functions:8070/functions"
    assert names(server) == ["Quadrat corners", "Coral segmentation"]
    run(guide="a", functions="http://other:1/functions")
    assert plan.read(tmp_path / "pipeline.yaml") == made


def test_another_pipeline_than_the_bridge_would_read_is_said(server, run, tmp_path, monkeypatch):
    assert f"set BRIDGE_PIPELINE={tmp_path / 'pipeline.yaml'}" in run()
    monkeypatch.setenv("BRIDGE_PIPELINE", str(tmp_path / "pipeline.yaml"))
    assert "set BRIDGE_PIPELINE" not in run()


def test_what_cannot_be_used_is_refused_with_the_fix(server, run, tmp_path):
    with pytest.raises(InitError, match="--guide a, b or c"):
        run(guide=None)
    for url in (
        "bridge:8090",
        "ftp://bridge",
        "http://",
        "http://user:word@bridge",
        "http://bridge:port",
        "http://b/?x=1",
        "http://bridge:8090",
    ):
        with pytest.raises(InitError, match="such as http://192.168.1.20:8090"):
            run(url)
    with pytest.raises(InitError, match="--functions is 'host:8070'"):
        run(functions="host:8070")
    (tmp_path / "pipeline.yaml").write_text("functions: {}\nstages:\n  corals: {project: X, label: genera}\n")
    with pytest.raises(PlanError, match=r"stages\.corals\.label: no such field"):
        run()
    assert names(server) == []


@pytest.mark.parametrize("url", [URL, f"{URL}/", HOOK])
def test_the_address_of_webhooks(url):
    assert init.target_of(url) == HOOK


def test_a_server_that_is_away_ends_it(server, run, monkeypatch):
    connect = cvat_server.connect
    monkeypatch.setattr(cvat_server, "connect", lambda: connect(backoff_s=0.001))
    server.stop()
    with pytest.raises(cvat_errors.OutageError, match="cannot be reached"):
        run()
    server.start()


# ---------------------------------------------------------------------------------------------- labels of a stage


def stage(labels):
    return Stage(project="Corals", labels=labels)


def test_the_labels_that_have_names(tmp_path):
    genera = stage_labels.labels_of(stage("genera"), tmp_path)
    assert len(genera) == 16
    assert {label["type"] for label in genera} == {"polygon"}
    assert all([spec["name"] for spec in label["attributes"]] == ["confidence"] for label in genera)
    (corners,) = stage_labels.labels_of(stage("corners"), tmp_path)
    assert (corners["name"], corners["type"], len(corners["sublabels"])) == ("quadrat_corner", "skeleton", 4)
    (grid,) = stage_labels.labels_of(stage("grid11x11"), tmp_path)
    assert (grid["name"], len(grid["sublabels"])) == ("grid", 117)


def test_labels_from_files_beside_the_pipeline(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(cvat_labels.segmentation_labels(["A", "B"])))
    assert [label["name"] for label in stage_labels.labels_of(stage("mine.json"), tmp_path)] == ["A", "B"]
    (tmp_path / "small.yaml").write_text("size_cm: [50, 50]\nlattice: {columns: 3, rows: 2}\nname: small\n")
    (label,) = stage_labels.labels_of(stage("small.yaml"), tmp_path)
    assert len(label["sublabels"]) == 6


@pytest.mark.parametrize("text", ["[]", "{}", "[1]", '[{"type": "polygon"}]', "no json"])
def test_a_file_without_labels_is_refused(tmp_path, text):
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(StageLabelsError, match="expected what CVAT's label constructor shows"):
        stage_labels.labels_of(stage("mine.json"), tmp_path)


@pytest.mark.parametrize("labels", ["missing.json", "genus", "missing.yaml"])
def test_labels_that_are_nowhere_are_refused(tmp_path, labels):
    with pytest.raises(StageLabelsError, match=re.escape(labels)):
        stage_labels.labels_of(stage(labels), tmp_path)


# ---------------------------------------------------------------------------------------------- the file of secrets


def test_a_file_is_read_as_a_shell_does(tmp_path, monkeypatch):
    path = tmp_path / "x.env"
    path.write_text("# words\n\nexport A=1\nB='two words'\nC=\"x#y\" # said\nD=\n")
    assert secret_file.read(path) == {"A": "1", "B": "two words", "C": "x#y", "D": ""}
    shell = subprocess.run(
        ["sh", "-c", f'. {path}; printf "%s|" "$A" "$B" "$C" "$D"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == "1|two words|x#y||"
    monkeypatch.setenv("A", "before")
    for name in "BCD":
        monkeypatch.delenv(name, raising=False)
    secret_file.load(path)
    assert [os.environ[name] for name in "ABCD"] == ["before", "two words", "x#y", ""]
    for name in "BCD":
        monkeypatch.delenv(name)


@pytest.mark.parametrize("line", ["A hush", "hush", "=hush", "1A=hush", "A=hush 2", "A='hush"])
def test_a_line_that_is_none_is_named_without_its_value(tmp_path, line):
    (tmp_path / "x.env").write_text(f"OK=1\n{line}\n")
    with pytest.raises(EnvFileError, match=r"x\.env, line 2") as refused:
        secret_file.read(tmp_path / "x.env")
    assert "hush" not in str(refused.value)


def test_a_file_that_is_there_becomes_private(tmp_path):
    path = tmp_path / "bridge.env"
    path.write_text("OTHER='a b'\nA=old\n")
    path.chmod(0o644)
    secret_file.write(path, {"A": "new with blanks"})
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret_file.read(path) == {"OTHER": "a b", "A": "new with blanks"}
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(EnvFileError, match="there is no such file"):
        secret_file.load(tmp_path / "none.env")
