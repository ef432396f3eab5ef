"""deploy/kubernetes: held against Kubernetes' own schemas and against what the code knows."""

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from deploy.bridge import plan, settings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.33", "1.37")
KUSTOMIZATIONS = sorted(KUBERNETES.rglob("kustomization.yaml"))
PATCHES = {"bridge-redis/bridge.yaml"}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


def manifests():
    """Every whole manifest of the folder, with the file it stands in."""
    found = []
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        name = str(path.relative_to(KUBERNETES))
        kinds = [d for d in documents(path) if {"apiVersion", "kind"} <= set(d)]
        found += [(name, d) for d in kinds if d["kind"] not in ("Kustomization", "Component", "NuclioFunction")]
    return [(name, document) for name, document in found if name not in PATCHES]


MANIFESTS = manifests()


def named(kind, name):
    (found,) = [
        document for _, document in MANIFESTS if (document["kind"], document["metadata"]["name"]) == (kind, name)
    ]
    return found


def workloads(given=MANIFESTS):
    return [document for _, document in given if document["kind"] in ("Deployment", "StatefulSet")]


def of_file(pairs):
    return [
        pytest.param(document, id=f"{name}:{document['kind']}/{document['metadata']['name']}")
        for name, document in pairs
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", of_file(MANIFESTS))
def test_manifests_fit_kubernetes_schemas(document, version):
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_a_misspelt_field():
    document = yaml.safe_load(yaml.safe_dump(named("Deployment", "bridge")))
    document["spec"]["template"]["spec"]["containers"][0]["securityContex"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_what_a_kustomization_names_is_there(path):
    content = yaml.safe_load(path.read_text())
    known = "apiVersion kind namespace labels resources components patches configMapGenerator secretGenerator"
    assert set(content) <= {*known.split(), "generatorOptions", "images"}
    generated = [file for generator in content.get("configMapGenerator", []) for file in generator["files"]]
    patches = [patch["path"] for patch in content.get("patches", [])]
    for name in [*content.get("resources", []), *content.get("components", []), *patches, *generated]:
        there = path.parent / name
        assert (there / "kustomization.yaml").is_file() if there.is_dir() else there.is_file(), name


def test_no_manifest_holds_a_secret():
    assert not [name for name, document in MANIFESTS if document["kind"] == "Secret"]
    generator = yaml.safe_load((KUBERNETES / "secrets" / "kustomization.yaml").read_text())["secretGenerator"]
    assert all("literals" not in entry and "envs" not in entry for entry in generator)


@pytest.mark.parametrize("document", workloads(), ids=lambda document: document["metadata"]["name"])
def test_pods_fit_the_restricted_standard(document):
    pod = document["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all(
        {"name"} < set(volume) <= {"name", "persistentVolumeClaim", "emptyDir", "configMap", "secret"}
        for volume in pod["volumes"]
    )
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])


def test_the_namespace_asks_for_the_restricted_standard():
    assert named("Namespace", "quadratseg")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_there_is_one_bridge_at_a_time_with_a_disk_of_its_own():
    spec = named("Deployment", "bridge")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert named("PersistentVolumeClaim", "bridge")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "bridge"}} in spec["template"]["spec"]["volumes"]
    assert named("PodDisruptionBudget", "bridge")["spec"]["maxUnavailable"] == 1


def environment():
    patch = yaml.safe_load((KUBERNETES / "bridge-redis" / "bridge.yaml").read_text())
    containers = [d["spec"]["template"]["spec"]["containers"][0] for d in (named("Deployment", "bridge"), patch)]
    return {entry["name"]: entry["value"] for container in containers for entry in container["env"]}


def test_the_bridge_gets_variables_that_it_reads_and_secrets_as_files():
    read = [getattr(settings, name) for name in dir(settings) if name.isupper()]
    known = {name for name in read if isinstance(name, str)} | {plan.FUNCTIONS, "CVAT_URL", "OMP_NUM_THREADS"}
    assert set(environment()) <= known | {f"{name}_FILE" for name in settings.IN_FILES}
    assert not set(environment()) & set(settings.IN_FILES)


def test_secrets_are_mounted_where_the_bridge_reads_them_and_are_generated():
    patch = yaml.safe_load((KUBERNETES / "bridge-redis" / "bridge.yaml").read_text())
    mounted, keys = set(), set()
    for document in (named("Deployment", "bridge"), patch, named("StatefulSet", "bridge-redis")):
        pod = document["spec"]["template"]["spec"]
        places = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        for volume in pod["volumes"]:
            for item in volume.get("secret", {}).get("items", []):
                mounted.add(f"{places[volume['name']]}/{item['path']}")
                keys.add(item["key"])
    files = {value for name, value in environment().items() if name.endswith("_FILE")}
    assert files < mounted
    (generator,) = yaml.safe_load((KUBERNETES / "secrets" / "kustomization.yaml").read_text())["secretGenerator"]
    assert keys == {entry.partition("=")[0] for entry in generator["files"]}
    redis = (KUBERNETES / "bridge-redis" / "redis.conf").read_text()
    assert set(re.findall(r"^include (\S+)", redis, re.MULTILINE)) == mounted - files


def test_make_secrets_makes_all_that_is_generated(tmp_path):
    for folder in ("compose", "kubernetes/secrets"):
        shutil.copytree(ROOT / "deploy" / folder, tmp_path / folder, ignore=shutil.ignore_patterns("files", "secrets"))
    script = tmp_path / "kubernetes" / "secrets" / "make_secrets.sh"
    told = subprocess.run(["bash", script], input="token", capture_output=True, text=True, check=True).stdout
    (generator,) = yaml.safe_load((script.parent / "kustomization.yaml").read_text())["secretGenerator"]
    made = {
        entry.partition("=")[0]: (script.parent / entry.partition("=")[2]).read_text() for entry in generator["files"]
    }
    password = made["redis_auth"].removeprefix("requirepass ").strip()
    assert made["redis_url"] == f"redis://:{password}@bridge-redis:6379/0"
    assert not any(value.strip() in told for name, value in made.items() if name != "cvat_token")


def test_the_pipeline_is_guide_c_with_urls_in_the_cluster():
    ours, guide = plan.read(KUBERNETES / "bridge" / "pipeline.yaml"), plan.read(plan.GUIDES / "c.yaml")
    assert ours.stages == guide.stages
    urls = [ours.url_of(step) for _, step in ours.steps() if step.function]
    assert urls == [f"http://nuclio-{s.function}.cvat.svc.cluster.local:8080" for _, s in ours.steps() if s.function]


def test_every_policy_is_about_pods_that_are_there():
    pods = [document["spec"]["template"]["metadata"]["labels"] for document in workloads()]
    for _, document in MANIFESTS:
        if document["kind"] not in ("NetworkPolicy", "PodDisruptionBudget", "Service"):
            continue
        spec = document["spec"]
        wanted = spec.get("podSelector", spec.get("selector", {}))
        wanted = wanted.get("matchLabels", wanted if document["kind"] == "Service" else {})
        nuclios = any(name.startswith("nuclio.io/") for name in wanted)
        assert nuclios or not wanted or any(wanted.items() <= labels.items() for labels in pods), document["metadata"]


def test_nothing_is_let_through_that_is_not_named():
    policy = named("NetworkPolicy", "nothing")["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name in ("nuclio-dashboard", "functions", "bridge"):
        for rule in named("NetworkPolicy", name)["spec"]["ingress"]:
            assert rule["from"]
            assert rule["ports"]


def test_nothing_is_published():
    services = [document["spec"] for _, document in MANIFESTS if document["kind"] == "Service"]
    assert {spec["type"] for spec in services} == {"ClusterIP"}
    assert not [document for _, document in MANIFESTS if document["kind"] == "Ingress"]
    values = yaml.safe_load((KUBERNETES / "cvat-values.yaml").read_text())
    assert values["nuclio"]["dashboard"]["ingress"]["enabled"] is False
