"""Deploying all functions, against a nuctl that writes down what it is asked and a function that answers."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy import deploy_all, nuctl, pack, smoke, undeploy
from deploy.deploy_all import Plan

from .test_smoke import GOOD, answering

ROOT = Path(__file__).parents[2]
NAMES = [package.name for package in pack.find()]

FAKE_NUCTL = """#!{python}
import json, sys
from pathlib import Path
folder, asked = Path({folder!r}), sys.argv[1:]
with open(folder / "asked.jsonl", "a") as log:
    log.write(json.dumps(asked) + "\\n")
state = json.loads((folder / "state.json").read_text())
verb, kind, name = (asked + [""])[:3]
if verb == "deploy":
    name = asked[1]
    if name in state["broken"]:
        sys.exit("Failed to build: no space left on device")
    assert Path(asked[asked.index("--path") + 1]).is_file()
    state["functions"][name] = "ready"
elif (verb, kind) == ("create", "project"):
    if name in state["projects"]:
        sys.exit("Project already exists")
    state["projects"].append(name)
elif (verb, kind) == ("get", "projects"):
    sys.exit(0 if name in state["projects"] else "No projects found")
elif (verb, kind) == ("get", "functions"):
    if name not in state["functions"]:
        sys.exit("No functions found")
    status = {{"state": state["functions"][name], "httpPort": state["port"]}}
    print(json.dumps({{"metadata": {{"name": name}}, "status": status}}))
elif (verb, kind) == ("delete", "functions"):
    state["functions"].pop(name, None)
else:
    sys.exit(f"unknown: {{asked}}")
(folder / "state.json").write_text(json.dumps(state))
"""


class Nuclio:
    """What the fake nuctl was asked and knows."""

    def __init__(self, folder):
        self.folder = folder
        self.set(functions={}, projects=[], broken=[], port=0)

    def set(self, **state):
        path = self.folder / "state.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**known, **state}))

    @property
    def state(self):
        return json.loads((self.folder / "state.json").read_text())

    def asked(self, verb):
        path = self.folder / "asked.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [asked for asked in map(json.loads, lines) if asked[0] == verb]


@pytest.fixture
def nuclio(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "nuctl").write_text(FAKE_NUCTL.format(python=sys.executable, folder=str(tmp_path)))
    (programs / "docker").write_text("#!/bin/sh\necho 28.0\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(smoke, "SIZE_PX", 320)
    monkeypatch.setattr(smoke, "_BACKOFF_S", 0.0)
    monkeypatch.setattr(deploy_all, "_READY_S", 0.0)
    smoke.scene.cache_clear()
    return Nuclio(tmp_path)


@pytest.fixture
def running(nuclio):
    """Every deployed function answers a photo with no shapes."""
    with answering((200, [], GOOD)) as url:
        nuclio.set(port=int(url.rsplit(":", 1)[1]))
        yield nuclio


def test_detectors_are_packed_deployed_and_asked(running, tmp_path):
    names, said = ["pth-yolo-coralseg", "pth-yolo-gridpose"], []
    results = deploy_all.main(names, Plan(out=tmp_path / "dist"), said.append)
    assert [(each.name, each.fault, each.found) for each in results] == [(name, "", "0 shapes") for name in names]
    assert running.state["projects"] == ["cvat"]
    for name, asked in zip(names, running.asked("deploy"), strict=True):
        path = tmp_path / "dist" / f"{name}.zip"
        assert asked == ["deploy", name, "--project-name", "cvat", "--path", str(path), "--platform", "local"]
        with zipfile.ZipFile(path) as packed:
            assert "main.py" in packed.namelist()
    assert said[0] == "project cvat: made"
    assert any("building its image" in sentence for sentence in said)


def test_it_can_be_run_again(running, tmp_path):
    plan = Plan(out=tmp_path / "dist")
    for made in ("made", "is there"):
        said = []
        assert not deploy_all.main(["pth-yolo-gridpose"], plan, said.append)[0].fault
        assert said[0] == f"project cvat: {made}"
    assert len(running.asked("create")) == 1
    assert len(running.asked("deploy")) == 2


def test_one_that_fails_keeps_nobody_back(running, tmp_path):
    running.set(broken=["pth-yolo-coralseg"])
    results = deploy_all.main(["pth-yolo-coralseg", "pth-yolo-gridpose"], Plan(out=tmp_path / "dist"), lambda _: None)
    assert "no space left on device" in results[0].fault
    assert not results[1].fault
    assert "FAULT: " in smoke.table(results).splitlines()[1]


def test_a_function_that_answers_wrong_has_failed(running, tmp_path):
    (result,) = deploy_all.main(["pth-lama"], Plan(out=tmp_path / "dist"), lambda _: None)
    assert "no photo with its mask" in result.fault
    assert running.state["projects"] == ["quadratseg"], "CVAT is not shown what it cannot use"


def test_a_function_that_does_not_get_ready_has_failed(nuclio, tmp_path):
    (result,) = deploy_all.main(["pth-yolo-coralseg"], Plan(out=tmp_path / "dist"), lambda _: None)
    assert "Nuclio says ready of pth-yolo-coralseg: docker logs nuclio-nuclio-pth-yolo-coralseg" in result.fault


def test_without_network_nothing_is_pulled_and_the_base_is_ours(running, tmp_path):
    deploy_all.main(["pth-yolo-coralseg"], Plan(out=tmp_path / "dist", offline=True), lambda _: None)
    assert running.asked("deploy")[0][-2:] == ["--offline", "--no-pull"]
    with zipfile.ZipFile(tmp_path / "dist" / "pth-yolo-coralseg.zip") as packed:
        text = packed.read("function.yaml").decode()
    assert "baseImage: quadratseg/base-pth-yolo-coralseg:local" in text


def test_a_gpus_package_has_its_own_name(running, tmp_path):
    deploy_all.main(["pth-yolo-coralseg"], Plan(out=tmp_path / "dist", gpu=True, no_pull=True), lambda _: None)
    (asked,) = running.asked("deploy")
    assert asked[-1] == "--no-pull"
    assert "--offline" not in asked
    assert (tmp_path / "dist" / "pth-yolo-coralseg-gpu.zip").is_file()


def command(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, **more
    )


def test_a_dry_run_prints_what_would_be_run_and_runs_nothing(nuclio, tmp_path):
    done = command("deploy.deploy_all", "--dry-run", "--gpu", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[2] for line in lines if line.startswith("nuctl deploy")] == NAMES
    assert len([line for line in lines if "deploy_as_zip.sh --gpu --out" in line]) == len(NAMES)
    assert not (tmp_path / "asked.jsonl").exists()


def test_missing_programs_are_named(tmp_path):
    done = command("deploy.deploy_all", "--out", str(tmp_path), env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "nuctl and docker not found" in done.stderr
    assert "python -m deploy.host" in done.stderr


def test_a_docker_that_does_not_answer_is_said(nuclio, tmp_path):
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    with pytest.raises(nuctl.NuctlError, match="Docker does not answer: Cannot connect"):
        nuctl.require("docker")


def test_an_unknown_name_is_said():
    done = command("deploy.deploy_all", "--only", "pth-nobody")
    assert done.returncode == 1
    assert "no function is named pth-nobody: there are pth-mmseg" in done.stderr


def test_what_nuctl_says_may_be_a_list(nuclio, monkeypatch):
    said = subprocess.CompletedProcess([], 0, '[{"status": {"state": "ready", "httpPort": 5}}]', "")
    monkeypatch.setattr(nuctl, "_run", lambda _: said)
    assert nuctl.state("a") == nuctl.State("ready", 5)
    said.stdout = "NAMESPACE | NAME"
    with pytest.raises(nuctl.NuctlError, match="nothing that can be read: NAMESPACE"):
        nuctl.state("a")


def test_functions_are_removed_and_only_those(nuclio):
    nuclio.set(functions={"pth-lama": "ready", "somebody-elses": "ready"}, projects=["cvat"])
    found = undeploy.main()
    assert found == {name: "removed" if name == "pth-lama" else "was not there" for name in NAMES}
    assert nuclio.state["functions"] == {"somebody-elses": "ready"}
    assert nuclio.state["projects"] == ["cvat"]
    done = command("deploy.undeploy", "--only", "pth-lama")
    assert (done.returncode, done.stdout) == (0, "pth-lama: was not there\n")


def test_the_command_says_in_the_end_what_failed(nuclio, tmp_path):
    nuclio.set(broken=NAMES)
    done = command("deploy.deploy_all", "--only", *NAMES[:2], "--out", str(tmp_path / "dist"))
    assert done.returncode == 1
    assert f"2 of 2 failed: {', '.join(NAMES[:2])}" in done.stderr
    assert done.stdout.count("no space left on device") == 2
