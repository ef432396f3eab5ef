"""deploy/systemd: the units give their services what these read, and no secret."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.bridge import settings
from deploy.bridge.cli import _parser as bridge_parser
from deploy.host import cli

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = ("quadratseg-host.service", "quadratseg-bridge.service")


class Many(dict):
    """Keeps all values of a key that stands there several times, a line each."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and isinstance(self.get(key), list):
            value = self[key] + value
        super().__setitem__(key, value)


def service(name):
    unit = configparser.RawConfigParser(dict_type=Many, strict=False, comment_prefixes=("#",), delimiters=("=",))
    unit.optionxform = str
    unit.read_string((SYSTEMD / name).read_text().replace("\\\n", " "))
    return {key: [line for line in value.splitlines() if line] for key, value in unit["Service"].items()}


def environment(name):
    words = [word for line in service(name)["Environment"] for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


@pytest.mark.parametrize("name", UNITS)
def test_services_run_confined_and_bounded(name):
    unit = service(name)
    assert unit["User"] != ["root"]
    assert unit["NoNewPrivileges"] == unit["PrivateTmp"] == unit["ProtectHome"] == ["true"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["CapabilityBoundingSet"] == []
    assert {"MemoryMax", "TasksMax", "TimeoutStopSec"} <= set(unit)


def test_the_host_understands_its_command_and_has_time_to_stop():
    (command,) = service("quadratseg-host.service")["ExecStart"]
    asked = cli._parser().parse_args(shlex.split(command)[3:])
    assert asked.token_env == "QUADRAT_TOKEN"
    assert int(service("quadratseg-host.service")["TimeoutStopSec"][0]) > asked.grace_s


def test_the_drop_in_serves_the_networks_that_openvino_runs():
    command = service("host-openvino.conf")["ExecStart"][-1]
    asked = cli._parser().parse_args(shlex.split(command)[3:])
    packaged = yaml.safe_load((ROOT / "weights" / "index.yaml").read_text())["packaged"]
    assert sorted(path for _, path in asked.model_path) == sorted(f"weights/{folder}" for folder in packaged.values())


def test_the_bridge_understands_its_command_and_gets_secrets_as_credentials():
    unit = service("quadratseg-bridge.service")
    (command,) = unit["ExecStart"]
    assert bridge_parser().parse_args(shlex.split(command)[3:]).port == 8095  # CVAT has 8090 of a machine that it is on
    given = environment("quadratseg-bridge.service")
    files = {name: value for name, value in given.items() if name.endswith("_FILE")}
    assert {name.removesuffix("_FILE") for name in files} <= set(settings.IN_FILES)
    assert not set(given) & set(settings.IN_FILES)
    assert {value.removeprefix("%d/") for value in files.values()} == {
        line.partition(":")[0] for line in unit["LoadCredential"]
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_no_fault(tmp_path):
    for name in UNITS:
        text = (SYSTEMD / name).read_text().replace("/opt/quadratseg/.venv/bin/python", "/bin/true")
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in UNITS]
    ended = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
