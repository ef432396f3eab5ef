"""deploy/kubernetes as kubectl renders it, and deploy.sh with a nuctl that writes down what it is told."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from deploy import validate
from deploy.serving import labels

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu", "gpu-scale-to-zero")

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")


def rendered(*arguments):
    command = ["kubectl", "kustomize", *arguments]
    text = subprocess.run(command, cwd=KUBERNETES, capture_output=True, text=True, check=True).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def functions(overlay):
    return {
        d["metadata"]["name"]: d for d in rendered("--load-restrictor=LoadRestrictionsNone", f"functions/{overlay}")
    }


@pytest.mark.parametrize("folder", ["bridge", "bridge-redis", "guard"])
def test_rendered_manifests_fit_kubernetes_schemas(folder):
    for document in rendered(folder):
        kubernetes_validate.validate(document, "1.37", strict=True)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] in ("quadratseg", "cvat")


def test_the_bridge_with_redis_keeps_its_other_variables():
    (bridge,) = [d for d in rendered("bridge-redis") if d["kind"] == "Deployment"]
    (container,) = bridge["spec"]["template"]["spec"]["containers"]
    plain = [d for d in rendered("bridge") if d["kind"] == "Deployment"][0]["spec"]["template"]["spec"]["containers"][0]
    added = [entry for entry in container["env"] if entry not in plain["env"]]
    assert [entry["name"] for entry in added] == ["BRIDGE_REDIS_URL_FILE"]
    assert len(container["env"]) == len(plain["env"]) + 1
    assert container["image"] == "quadratseg/bridge:0.1.0"
    assert [volume["name"] for volume in bridge["spec"]["template"]["spec"]["volumes"]].count("data") == 1


def test_an_overlay_as_the_page_has_it_names_image_and_pipeline(tmp_path):
    page = (ROOT / "docs" / "deploy-kubernetes.md").read_text()
    shown = re.search(r"```yaml\n# reef/kustomization.yaml\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "reef").mkdir()
    (tmp_path / "quadratseg").symlink_to(ROOT)
    (tmp_path / "reef" / "kustomization.yaml").write_text(shown)
    (tmp_path / "reef" / "pipeline.yaml").write_text("mine: true\n")
    found = rendered(str(tmp_path / "reef"))
    (bridge,) = [document for document in found if document["kind"] == "Deployment"]
    pod = bridge["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example.org/reef/bridge:0.1.0"
    (config,) = [d for d in found if d["kind"] == "ConfigMap" and "pipeline.yaml" in d["data"]]
    assert config["data"] == {"pipeline.yaml": "mine: true\n"}
    assert config["metadata"]["name"] in [volume.get("configMap", {}).get("name") for volume in pod["volumes"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_functions_of_an_overlay_are_what_nuclio_takes(overlay):
    found = functions(overlay)
    assert len(found) == 5
    for name, function in found.items():
        assert validate.faults(function) == []
        spec = function["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert {"cpu", "memory"} <= set(spec["resources"]["requests"])
        assert spec["minReplicas"] == (0 if overlay.endswith("zero") else 1)
        assert ("nvidia.com/gpu" in spec["resources"]["limits"]) == (overlay != "cpu"), name
        assert ("scaleToZero" in spec) == overlay.endswith("zero")
    if overlay == "cpu":
        assert all(function["spec"]["maxReplicas"] > 1 and function["spec"]["targetCPU"] for function in found.values())
    else:
        assert all(function["spec"]["nodeSelector"] and function["spec"]["tolerations"] for function in found.values())


def test_labels_come_through_rendering_unchanged():
    for name, function in functions("cpu").items():
        (source,) = ROOT.glob(f"*/deploy/{name}/nuclio/function.yaml")
        before = yaml.safe_load(source.read_text())
        assert function["metadata"]["annotations"] == before["metadata"]["annotations"]
        if spec := before["metadata"]["annotations"].get("spec"):
            assert labels.parse_spec(function["metadata"]["annotations"]["spec"], name) == labels.parse_spec(spec, name)


@pytest.fixture
def tools(tmp_path):
    """The functions' folders with a packer and a nuctl that write down what they are told."""
    for folder in ROOT.glob("*/deploy/pth-*"):
        if folder.parts[-3] in ("deploy", "benchmarks"):
            continue
        copy = tmp_path / folder.relative_to(ROOT)
        shutil.copytree(folder / "nuclio", copy / "nuclio", ignore=shutil.ignore_patterns("*.zip"))
        (copy / "deploy_as_zip.sh").write_text(f'echo "pack {folder.name} $*" >> "{tmp_path}/told"\n')
    shutil.copytree(KUBERNETES / "functions", tmp_path / "deploy" / "kubernetes" / "functions")
    (tmp_path / "bin").mkdir()
    nuctl = tmp_path / "bin" / "nuctl"
    nuctl.write_text(f'#!/bin/bash\necho "nuctl $*" >> "{tmp_path}/told"\n[[ "$*" != *"deploy $FAILS "* ]]\n')
    nuctl.chmod(0o755)

    def deploy(*arguments, fails="none"):
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", tmp_path / "deploy/kubernetes/functions/deploy.sh", *arguments],
            env=os.environ | {"PATH": path, "FAILS": fails},
            capture_output=True,
            text=True,
            check=False,
        )
        told = (tmp_path / "told").read_text() if (tmp_path / "told").exists() else ""
        return ended.returncode, ended.stderr, re.sub(r"/\S*/(\S+\.yaml|nuclio)\b", r"…/\1", told)

    return deploy


def test_deploy_packs_and_deploys_each_function_as_rendered(tools):
    status, error, told = tools("cpu", "registry.example.org/reef")
    assert status == 0, error
    assert told.count("\npack ") + told.startswith("pack ") == 5
    assert (
        "nuctl deploy pth-lama --platform kube --namespace cvat --project-name quadratseg --path …/nuclio"
        " --file …/nuclio.io_v1_nucliofunction_pth-lama.yaml --registry registry.example.org/reef\n"
    ) in told
    assert "--gpu" not in told


def test_deploy_takes_names_and_the_gpus_package(tools):
    status, _, told = tools("gpu-scale-to-zero", "registry.example.org/reef", "pth-yolo-coralseg")
    assert status == 0
    assert told.startswith("nuctl create project cvat --platform kube --namespace cvat\npack pth-yolo-coralseg --gpu\n")
    assert told.count("nuctl deploy") == 1


def test_a_function_that_fails_keeps_no_other_back(tools):
    status, error, told = tools("cpu", "registry.example.org/reef", fails="pth-lama")
    assert status == 1
    assert "not deployed: pth-lama" in error
    assert told.count("nuctl deploy") == 5


def test_an_overlay_that_is_not_there_is_named(tools):
    status, error, _ = tools("gpus", "registry.example.org/reef")
    assert status == 1
    assert "expected cpu, gpu, gpu-scale-to-zero or a folder" in error
