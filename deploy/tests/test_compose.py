"""deploy/compose: held against its schema, against what the code knows, and against Docker Compose where that is."""

import ipaddress
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from deploy.bridge import plan, settings
from deploy.host import cli
from deploy.host.access import Access

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"
FILES = ("quadratseg.yml", "host.yml", "host-gpu.yml", "nuclio.yml")
CVATS = {"cvat_server", "cvat_worker_webhooks", "cvat_worker_annotation", "nuclio"}
SECRETS = ("cvat_token", "bridge_secret", "bridge_token", "grafana_password", "mongo_password")


class Loader(yaml.SafeLoader):
    """Also takes Compose's own tags, which say how a later file goes over an earlier one."""


for tag in ("!reset", "!override"):
    Loader.add_constructor(tag, lambda loader, node: loader.construct_sequence(node, deep=True))


def read(name):
    return yaml.load((COMPOSE / name).read_text("utf-8"), Loader)  # noqa: S506  (a SafeLoader)


def filled(text, values):
    """`text` with its variables, as Compose fills them in: ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is $."""
    inner = re.compile(r"\$\{(\w+)(?::([-?])([^${}]*))?\}")

    def value(found):
        name, kind, rest = found.groups()
        if values.get(name):
            return values[name]
        assert kind != "?", f"{name}: {rest}"
        return rest or ""

    while inner.search(text):
        text = inner.sub(value, text)
    return text.replace("$$", "$")


def complete(name, **values):
    """A file with its variables filled in."""
    text = (COMPOSE / name).read_text("utf-8")
    return yaml.load(filled(text, {"QUADRATSEG": str(ROOT), "COMPOSE_PROJECT_NAME": "cvat", **values}), Loader)  # noqa: S506


def joined(under, over):
    """A map over another, as Compose puts a later file over an earlier one (of what these files have in both)."""
    both = {name: joined(under[name], value) for name, value in over.items() if isinstance(under.get(name), dict)}
    return under | over | both


def own_services():
    found = {}
    for name in FILES:
        for service, content in complete(name)["services"].items():
            if service not in CVATS:
                found[service] = joined(found.get(service, {}), content)
    return found


OWN = own_services()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("load", [read, complete])
def test_files_fit_the_schema(name, load):
    schema = json.loads((COMPOSE / "schema" / "compose-spec.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(load(name))


def test_the_schema_refuses_a_misspelt_field():
    schema = json.loads((COMPOSE / "schema" / "compose-spec.json").read_text("utf-8"))
    content = read("quadratseg.yml")
    content["services"]["bridge"]["cap_dropp"] = ["ALL"]
    with pytest.raises(jsonschema.ValidationError, match="cap_dropp"):
        jsonschema.Draft202012Validator(schema).validate(content)


@pytest.mark.parametrize("name", sorted(OWN))
def test_containers_drop_privileges_and_are_bounded(name):
    service = OWN[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) > 0
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "userns_mode", "devices"} & set(service)
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert "docker.sock" not in json.dumps(service)


@pytest.mark.parametrize("name", sorted(OWN))
def test_ports_are_published_on_this_machine_alone(name):
    ports = OWN[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_ports_of_the_host_are_not_those_of_cvat():
    ours = {port.split(":")[1] for service in OWN.values() for port in service.get("ports", [])}
    assert not ours & {"8080", "8090", "8070"}


@pytest.mark.parametrize("name", sorted(OWN))
def test_images_are_pinned(name):
    image, _, version = OWN[name]["image"].rpartition(":")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", version), OWN[name]["image"]
    if image.startswith("quadratseg/"):
        assert version == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert f" AS {OWN[name]['build']['target']}\n" in (ROOT / OWN[name]["build"]["dockerfile"]).read_text()


def test_nuclios_dashboard_is_taken_off_the_machines_ports():
    assert "ports: !reset []" in (COMPOSE / "nuclio.yml").read_text()


def test_the_bridge_has_a_fixed_address_that_nobody_else_gets_and_cvat_lets_pass():
    content = complete("quadratseg.yml")
    address = ipaddress.ip_address(content["services"]["bridge"]["networks"]["quadratseg"]["ipv4_address"])
    (config,) = content["networks"]["quadratseg"]["ipam"]["config"]
    subnet, given_out = ipaddress.ip_network(config["subnet"]), ipaddress.ip_network(config["ip_range"])
    assert address in subnet
    assert given_out.subnet_of(subnet)
    assert address not in given_out
    for name in ("cvat_server", "cvat_worker_webhooks"):
        service = content["services"][name]
        assert f"--allow-address={address}" in service["environment"]["SMOKESCREEN_OPTS"].split()
        assert "quadratseg" in service["networks"]


def test_what_cvat_lets_pass_already_stays():
    content = complete("quadratseg.yml", SMOKESCREEN_OPTS="--allow-address=10.0.0.1")
    options = content["services"]["cvat_server"]["environment"]["SMOKESCREEN_OPTS"]
    assert options.split() == ["--allow-address=172.30.77.10", "--allow-address=10.0.0.1"]


def test_the_bridge_gets_variables_that_it_reads_and_secrets_as_files():
    environment = OWN["bridge"]["environment"]
    known = {
        getattr(settings, name) for name in dir(settings) if name.isupper() and isinstance(getattr(settings, name), str)
    }
    known |= {plan.FUNCTIONS, "CVAT_URL", "OMP_NUM_THREADS"} | {f"{name}_FILE" for name in settings.IN_FILES}
    assert set(environment) <= known
    assert not set(environment) & set(settings.IN_FILES)  # no secret as a value
    files = [value for name, value in environment.items() if name.endswith("_FILE")]
    assert sorted(files) == sorted(f"/run/secrets/{name}" for name in OWN["bridge"]["secrets"])


def test_secrets_are_files_and_each_is_used():
    content = complete("quadratseg.yml")
    used = {secret for service in content["services"].values() for secret in service.get("secrets", [])}
    assert used == set(content["secrets"]) == set(SECRETS)
    assert all(set(secret) == {"file"} for secret in content["secrets"].values())


def test_the_page_has_every_variable_with_its_default():
    text = "".join((COMPOSE / name).read_text() for name in FILES)
    given = dict(re.findall(r"\$\{(\w+):?-?([^${}?]*)", text))
    page = (ROOT / "docs" / "deploy-docker.md").read_text()
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^|`]*?)`? \|", page, re.MULTILINE))
    own = {"QUADRATSEG", "COMPOSE_PROJECT_NAME"}
    assert set(told) == set(given) - own
    assert [name for name in told if not told[name].startswith(given[name])] == []


def test_git_knows_no_secret():
    for path in (
        "deploy/compose/secrets/cvat_token",
        "deploy/compose/.env",
        "deploy/kubernetes/secrets/files/cvat_token",
    ):
        ignored = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False)
        assert ignored.returncode == 0, path
    example = (COMPOSE / ".env.example").read_text()
    assert not re.search(r"^\s*#?\s*\w*(TOKEN|SECRET|PASSWORD)=", example, re.MULTILINE)


def test_make_secrets_makes_each_once_and_shows_none(tmp_path):
    def make(token):
        command = ["bash", COMPOSE / "make_secrets.sh", tmp_path / "secrets"]
        return subprocess.run(command, input=token, capture_output=True, text=True, check=True).stdout

    told = make("token-of-cvat")
    made = {name: (tmp_path / "secrets" / name).read_text() for name in SECRETS}
    assert made["cvat_token"] == "token-of-cvat"
    assert len(set(made.values())) == len(SECRETS)
    assert all(16 <= len(made[name]) <= 64 for name in SECRETS if name != "cvat_token")  # CVAT takes 64 at most
    assert not any(value in told for value in made.values())
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    make("another")
    assert {name: (tmp_path / "secrets" / name).read_text() for name in SECRETS} == made


def test_without_a_token_it_says_so_and_asks_again(tmp_path):
    command = ["bash", COMPOSE / "make_secrets.sh", tmp_path]
    told = subprocess.run(command, input="", capture_output=True, text=True, check=True).stdout
    assert "cvat_token: left out" in told
    assert not (tmp_path / "cvat_token").exists()


def test_the_host_takes_its_command_and_lets_only_the_network_in():
    asked = cli._parser().parse_args(OWN["functions"]["command"])
    access = Access.make(asked.host, None, asked.allow)
    assert access.permits("172.30.77.200", "")
    assert not access.permits("172.18.0.5", "")
    assert "ports" not in OWN["functions"]
    grace = int(OWN["functions"]["stop_grace_period"].removesuffix("s"))
    assert grace > asked.grace_s


def test_cvat_and_the_bridge_ask_the_host_where_it_is():
    services = complete("host.yml")["services"]
    for name in ("cvat_server", "cvat_worker_annotation"):
        environment = services[name]["environment"]
        assert (environment["CVAT_NUCLIO_HOST"], environment["CVAT_NUCLIO_PORT"]) == ("functions", 8070)
    assert services["bridge"]["environment"][plan.FUNCTIONS] == "http://functions:8070/functions"


def test_prometheus_asks_services_that_are_there():
    config = yaml.safe_load((COMPOSE / "prometheus" / "prometheus.yml").read_text())
    targets = [
        target for job in config["scrape_configs"] for entry in job["static_configs"] for target in entry["targets"]
    ]
    assert targets == ["bridge:8090", "functions:8070"]
    assert {target.partition(":")[0] for target in targets} <= set(OWN)


def test_what_is_mounted_is_there():
    for name, service in OWN.items():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.partition(":")[0]
            if source.startswith(str(ROOT)):
                assert Path(source).exists(), f"{name}: {source}"


def docker_compose():
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            asked = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and tuple(map(int, asked.stdout.strip().lstrip("v").split(".")[:2])) >= (2, 24):
                return command
    return None


@pytest.mark.skipif(docker_compose() is None, reason="no Docker Compose here (2.24 or newer)")
@pytest.mark.parametrize("functions", ["host", "nuclio"])
def test_docker_compose_joins_the_files_with_cvats(tmp_path, functions):
    shutil.copytree(Path(__file__).parent / "cvat_compose", tmp_path, dirs_exist_ok=True)
    example = (COMPOSE / ".env.example").read_text().replace("QUADRATSEG=/opt/quadratseg", f"QUADRATSEG={ROOT}")
    if functions == "nuclio":
        example = re.sub(r"^COMPOSE_FILE=.*$", "", example, flags=re.MULTILINE).replace(
            "# COMPOSE_FILE=", "COMPOSE_FILE="
        )
    (tmp_path / ".env").write_text(example)
    command = [*docker_compose(), "--profile", "*", "config", "--format", "json"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "QUADRATSEG"))}
    joined = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert joined.returncode == 0, joined.stderr
    services = json.loads(joined.stdout)["services"]
    published = {
        (name, port.get("host_ip", "")) for name, service in services.items() for port in service.get("ports") or []
    }
    assert {name for name, address in published if address != "127.0.0.1"} == {"traefik"}  # CVAT's own door
    assert set(services["cvat_server"]["networks"]) == {"cvat", "quadratseg"}
    assert set(services["bridge"]["networks"]) == {"quadratseg"}
    assert services["cvat_server"]["labels"]["traefik.docker.network"] == "cvat_cvat"
    assert ("functions" in services, "nuclio" in services) == (functions == "host", functions == "nuclio")
