import copy
import json
import shutil
from pathlib import Path

import pytest
import yaml

from deploy import pack, pins, validate
from deploy.serving import labels
from deploy.serving.settings import Settings
from deploy.validate import __main__ as command
from deploy.validate import platforms, project

ROOT = Path(__file__).parents[2]
FILES = sorted(p for p in ROOT.glob("*/**/nuclio/function*.yaml") if ".venv" not in p.parts)
FAKE = Path(__file__).parent / "functions" / "fake" / "nuclio" / "function.yaml"


def test_there_are_functions_to_check():
    assert len(FILES) >= 3


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parents[1].name}/{p.name}")
def test_the_files_of_the_repository_are_in_order(path):
    assert validate.check_file(path) == []


def test_the_project_is_in_order():
    assert project.check() == []


COLONIES = ("coral_seg_yolo/deploy/pth-yolo-coralseg", "DINOv2_mmseg/deploy/pth-mmseg-coralscopsegformer")


@pytest.mark.parametrize("folder", COLONIES)
def test_a_segmentation_function_offers_the_16_genera(folder):
    offered = labels.read_labels(ROOT / folder / "nuclio" / "function.yaml")
    assert len(offered) == 16
    assert {"Pavona/Leptoseris", "Atrea", "Other"} <= set(offered)
    assert {label.type for label in offered.values()} == {"polygon"}
    assert all(label.attribute("confidence").values == ("0", "100", "1") for label in offered.values())


def test_only_colonies_from_a_semantic_map_can_be_unsure():
    one_by_one, from_map = (labels.read_labels(ROOT / folder / "nuclio" / "function.yaml") for folder in COLONIES)
    assert {label.attribute("unsure") for label in one_by_one.values()} == {None}
    assert all(label.attribute("unsure").accepts("true") for label in from_map.values())
    assert not from_map["Porites"].attribute("unsure").accepts("yes")


def test_the_variables_of_the_semantic_function_are_read_as_meant():
    for path in (ROOT / COLONIES[1] / "nuclio" / name for name in ("function.yaml", "function-gpu.yaml")):
        env = {entry["name"]: entry["value"] for entry in yaml.safe_load(path.read_text())["spec"]["env"]}
        settings = Settings.from_env(env)
        assert (settings.min_threshold, settings.unsure_threshold, settings.work_px) == (0.05, 0.2, 0)
        assert (settings.segformer_weights, settings.segformer_config, settings.sam_weights) == (None, None, None)
        assert settings.device == ("cuda" if "gpu" in path.name else "cpu")


def change(raw, path, value):
    *parents, last = path.split("/")
    for name in parents:
        raw = raw[name]
    if value is None:
        del raw[last]
    else:
        raw[last] = value


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("spec/handlr", "main:handler", "did you mean 'handler'"),
        ("spec/description", None, "spec.description: is missing"),
        ("spec/runtime", "python:3.9", "spec.runtime"),
        ("spec/handler", "main.handler", "spec.handler"),
        ("spec/eventTimeout", 60, "spec.eventTimeout"),
        ("spec/replicas", "1", "without quotes"),
        ("spec/disable", 1, "true or false"),
        ("spec/env", [{"name": "A", "value": 1}], "spec.env[0].value"),
        ("spec/env", [{"nam": "A"}], "spec.env[0].nam"),
        ("spec/triggers/http/maxWorkers", 2, "use numWorkers"),
        ("spec/triggers/http/numWorkers", "2", "numWorkers"),
        ("spec/triggers/http/attributes/maxRequestBodySize", "67108864", "maxRequestBodySize"),
        ("spec/triggers/http/attributes/maxBody", 1, "maxBody"),
        ("spec/build", {"baseImage": "python:3.12-slim"}, "is not the runtime"),
        ("spec/build", {"commands": ["a"], "directives": {"preCopy": [{"kind": "RUN", "value": "b"}]}}, "replaces"),
        ("spec/build", {"directives": {"before": []}}, "directives.before"),
        ("spec/build", {"directives": {"preCopy": [{"kind": "RUNN", "value": "b"}]}}, "expected RUN"),
        ("spec/build", {"directives": {"preCopy": [{"kind": "CMD", "value": "b"}]}}, "preCopy[0].kind"),
        ("spec/build", {"directives": {"preCopy": [{"kind": "RUN", "command": "b"}]}}, "preCopy[0].command"),
        ("spec/platform", {"attributes": {"healthCheckInterval": 10}}, "healthCheckInterval"),
        ("metadata/annotations/type", "inpainter", "metadata.annotations.type"),
        ("metadata/annotations/min_pos_points", 1, "min_pos_points: expected a text"),
        ("metadata/annotations/spec", "[]", "at least one label"),
        ("metadata/annotations/spec", '[{"name": "grid", "type": "skeleton"}]', "'grid' has no sublabels"),
        (
            "metadata/annotations/spec",
            '[{"name": "grid", "type": "skeleton", "sublabels": [{"name": "1"}], "svg": ""}]',
            "spec: skeleton 'grid' has 1 sublabels but 0 circles",
        ),
        ("metadata/annotations/help_mesage", "x", "CVAT knows no such field, did you mean 'help_message'"),
        ("metadata/annotations/spec", '[{"name": "a", "attribtes": []}]', "CVAT knows no such field"),
        ("metadata/annotations/spec", '[{"name": "a", "type": "blob"}]', "annotation `spec`"),
        (
            "metadata/annotations/spec",
            '[{"name": "a", "attributes": [{"name": "b", "input_type": "number", "value": ["0"]}]}]',
            "attributes[0].value",
        ),
        ("metadata/labels", {"nuclio.io/projectname": "cvat"}, "nuclio.io/projectname"),
        ("metadata/name", "Fake_Red", "metadata.name"),
        ("metadata/tags", {}, "metadata.tags"),
        ("spec/resources", {"limits": {"memry": "4Gi"}}, "spec.resources.limits.memry"),
        ("spec/resources", {"limits": {"memory": "4 GB"}}, "a quantity such as 4Gi"),
        ("spec/resources", {"limit": {}}, "did you mean 'limits'"),
        ("spec/securityContext", {"runAsUser": "1000"}, "without quotes"),
        ("spec/securityContext", {"runAsUsr": 1000}, "did you mean 'runAsUser'"),
        ("spec/volumes", [{"volume": {"name": "a", "hostPath": {"pth": "/a"}}}], "hostPath.pth"),
        ("spec/volumes", [{"volume": {"name": "a"}}], "spec.volumes[0].volumeMount: is missing"),
        ("spec/scaleToZero", {"scaleResources": [{"metricName": "a", "windowSize": 5}]}, "windowSize"),
        ("spec/readinessProbe", {"periodSecond": 3}, "did you mean 'periodSeconds'"),
        ("spec/tolerations", [{"keys": "a"}], "spec.tolerations[0].keys"),
        ("spec/platform", {"attributes": {"restartPolicy": {"name": "allways"}}}, "expected always"),
        ("spec/platform", {"atributes": {}}, "spec.platform.atributes"),
        ("spec/triggers/http/kind", None, "spec.triggers.http.kind: is missing"),
        ("spec/triggers/http/batch", {"size": 3}, "spec.triggers.http.batch.size"),
        ("spec/env", [{"name": "A B", "value": "1"}], "the name of a variable"),
        ("apiVersion", "v1", "nuclio.io/v1"),
        ("kind", None, "kind: is missing"),
    ],
)
def test_what_nuclio_would_drop_or_refuse_is_found(path, value, word):
    raw = yaml.safe_load(FAKE.read_text())
    change(raw, path, value)
    assert any(word in fault for fault in validate.faults(raw)), validate.faults(raw)


@pytest.mark.parametrize("raw", [None, [], "text", {"spec": 3}])
def test_what_is_no_function_is_refused(raw):
    assert validate.faults(raw)


def test_a_function_that_is_not_for_cvat_may_be_of_any_kind():
    raw = yaml.safe_load(FAKE.read_text())
    raw["metadata"]["labels"]["nuclio.io/project-name"] = "quadrat"
    raw["metadata"]["annotations"] = {"type": "inpainter"}
    assert validate.faults(raw) == []


def test_the_command_tells_files_in_order_from_others(tmp_path, capsys):
    bad = tmp_path / "function.yaml"
    bad.write_text("a: [")
    assert command.main([FAKE]) == 0
    assert command.main([FAKE, bad]) == 1
    assert "cannot be read" in capsys.readouterr().out
    assert command.main() == 0
    assert "10 file(s) in order" in capsys.readouterr().out


def places(value, path=()):
    """Where a name stands in nested maps: all of them."""
    if isinstance(value, dict):
        for name, content in value.items():
            yield (*path, name)
            yield from places(content, (*path, name))
    for index, entry in enumerate(value if isinstance(value, list) else ()):
        yield from places(entry, (*path, index))


def misspelt(raw, path, name):
    changed = copy.deepcopy(raw)
    parent = changed
    for step in path[:-1]:
        parent = parent[step]
    parent[name] = parent.pop(path[-1])
    return changed


FREE = {("spec", "triggers", "http"), ("metadata", "labels", "nuclio.io/project-name")}
"""Names that a file may choose: of a trigger; a label without `nuclio.io/` is anybody's."""


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parents[1].name}/{p.name}")
def test_every_misspelt_field_is_found(path):
    raw = yaml.safe_load(path.read_text("utf-8"))
    found = [place for place in places(raw) if place not in FREE]
    assert len(found) >= 13
    for place in found:
        name = place[-1]
        for wrong in (f"{name}s", name[:-1], name[0].swapcase() + name[1:], f" {name}"):
            assert validate.faults(misspelt(raw, place, wrong)), f"{'.'.join(map(str, place))} as {wrong!r}"


def test_every_misspelt_field_of_the_labels_is_found():
    raw = yaml.safe_load((ROOT / COLONIES[1] / "nuclio" / "function.yaml").read_text("utf-8"))
    spec = json.loads(raw["metadata"]["annotations"]["spec"])[:1]
    for place in places(spec):
        raw["metadata"]["annotations"]["spec"] = json.dumps(misspelt(spec, place, f"{place[-1]}s"))
        assert validate.faults(raw), place


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parents[1].name}/{p.name}")
def test_every_value_of_another_kind_is_found(path):
    raw = yaml.safe_load(path.read_text("utf-8"))
    for place in places(raw):
        changed = copy.deepcopy(raw)
        parent = changed
        for step in place[:-1]:
            parent = parent[step]
        value = parent[place[-1]]
        parent[place[-1]] = {"a": 1} if not isinstance(value, dict) else "text"
        assert validate.faults(changed), place


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("spec/replicas", 2, "spec.replicas"),
        ("spec/minReplicas", 0, "spec.minReplicas"),
        ("spec/resources", {"requests": {"cpu": 1}}, "spec.resources.requests"),
        ("spec/platform", {"attributes": {"mountMode": "volume"}}, "mountMode"),
        (
            "spec/platform",
            {"attributes": {"restartPolicy": {"name": "always", "maximumRetryCount": 3}}},
            "maximumRetryCount",
        ),
        ("spec/triggers/http/attributes/serviceType", "NodePort", "triggers.http.attributes.serviceType"),
        ("spec/nodeSelector", {"gpu": "yes"}, "spec.nodeSelector"),
        ("spec/readinessProbe", {"periodSeconds": 3}, "spec.readinessProbe"),
        ("spec/securityContext", {"runAsUser": 1000, "runAsNonRoot": True}, "securityContext.runAsNonRoot"),
        (
            "spec/volumes",
            [{"volume": {"name": "a", "emptyDir": {}}, "volumeMount": {"name": "a", "mountPath": "/a"}}],
            "spec.volumes[0]",
        ),
        ("spec/env", [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}], "env[0].valueFrom"),
    ],
)
def test_what_does_nothing_on_docker_is_said_unless_the_file_is_for_kubernetes(path, value, place, tmp_path, capsys):
    raw = yaml.safe_load(FAKE.read_text())
    change(raw, path, value)
    assert validate.faults(raw) == []
    (said,) = platforms.without_effect(raw)
    assert place in said
    assert "no effect on the local platform" in said
    file = tmp_path / "function.yaml"
    file.write_text(yaml.safe_dump(raw))
    assert command.main([file]) == 1
    assert place in capsys.readouterr().out
    assert command.main([file], platform="kube") == 0


def test_what_works_on_docker_is_not_complained_of():
    raw = yaml.safe_load(FAKE.read_text())
    change(raw, "spec/resources", {"limits": {"memory": "4Gi", "cpu": 2, "nvidia.com/gpu": 1}})
    change(raw, "spec/securityContext", {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000})
    change(raw, "spec/readinessTimeoutSeconds", 60)
    change(raw, "spec/platform", {"attributes": {"restartPolicy": {"name": "on-failure", "maximumRetryCount": 3}}})
    assert validate.faults(raw) == platforms.without_effect(raw) == []


@pytest.fixture
def changed_project(tmp_path, monkeypatch):
    """A copy of what `project.check` reads; a function that changes a file of it and gives the faults."""
    for package in pack.find():
        shutil.copytree(
            package.folder,
            tmp_path / package.folder.relative_to(ROOT),
            ignore=shutil.ignore_patterns("*.zip", "__pycache__"),
        )
    shutil.copytree(ROOT / "weights", tmp_path / "weights", ignore=shutil.ignore_patterns("*.pt", "*.bin", "*.xml"))
    for name in yaml.safe_load((ROOT / "weights" / "index.yaml").read_text())["default"].values():
        (tmp_path / "weights" / name).touch()
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    monkeypatch.setattr(pack, "ROOT", tmp_path)

    def faults(file, old, new, count=1):
        path = tmp_path / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, count), "utf-8")
        return project.check(tmp_path)

    return faults


CORAL = "coral_seg_yolo/deploy/pth-yolo-coralseg"
CORNERS = "grid_pose_detection/deploy/pth-yolo-gridcorners"


@pytest.mark.parametrize(
    ("file", "old", "new", "word"),
    [
        (
            f"{CORAL}/nuclio/function.yaml",
            "name: CONF_THRESHOLD",
            "name: CONF_TRESHOLD",
            "CONF_TRESHOLD is read by nobody",
        ),
        (f"{CORAL}/nuclio/function.yaml", 'value: "0.25"', 'value: "25"', "CONF_THRESHOLD is '25'"),
        (f"{CORAL}/nuclio/function.yaml", "name: IOU_THRESHOLD", "name: CONF_THRESHOLD", "stands there twice"),
        (f"{CORAL}/nuclio/function.yaml", '"Acropora"', '"Acropra"', "the weights coral-yolo11n have"),
        (f"{CORNERS}/nuclio/function.yaml", '"quadrat_corner"', '"corner"', "have ['quadrat_corner']"),
        (f"{CORAL}/nuclio/function.yaml", " openvino==", " openvino>=", "is not pinned"),
        (f"{CORAL}/nuclio/function.yaml", " numpy==", " numpy==0.", "but constraints.txt has"),
        (f"{CORAL}/nuclio/function.yaml", " numpy==", " nmpy==", "nmpy is not in constraints.txt"),
        (f"{CORAL}/nuclio/function.yaml", " simplejpeg==", " scipy==", "but constraints.txt has"),
        (f"{CORAL}/requirements.in", "openvino\n", "openvino\nscipy\n", "scipy is asked for and not installed"),
        (f"{CORAL}/nuclio/function.yaml", "python:3.11-slim-bookworm", "python", "expected a tag"),
        (f"{CORAL}/nuclio/function.yaml", "python:3.11-slim-bookworm", "python:latest", "a tag other than latest"),
        (f"{CORAL}/nuclio/function.yaml", "python:3.11-slim-bookworm", "python:3.12-slim", "is not the runtime"),
        (f"{CORAL}/nuclio/function.yaml", "eventTimeout: 110s", "eventTimeout: 60s", "eventTimeout: differs"),
        (f"{CORAL}/nuclio/function.yaml", "numWorkers: 1", "numWorkers: 2", "triggers: differs"),
        (f"{CORAL}/nuclio/function-gpu.yaml", 'value: "0.25"', 'value: "0.3"', "in more than DEVICE"),
        (
            f"{CORAL}/nuclio/function-gpu.yaml",
            "name: Coral colonies (YOLO)",
            "name: Corals",
            "more than the annotation",
        ),
        (f"{CORAL}/nuclio/function-gpu.yaml", "nvidia.com/gpu: 1", "cpu: 1", "the container sees no GPU"),
        (f"{CORAL}/nuclio/function.yaml", "quadratseg/pth-yolo-coralseg", "mine/coral", "spec.build.image: expected"),
        (f"{CORAL}/nuclio/function.yaml", "name: pth-yolo-coralseg", "name: coralseg", "as its folder is called"),
        (f"{CORAL}/nuclio/function.yaml", "name: Coral colonies (YOLO)", "name: Quadrat grid (YOLO)", "is that of"),
        (
            f"{CORAL}/nuclio/function.yaml",
            "        # A photo of 48 MiB",
            "        prt: 1\n        # A",
            "attributes.prt",
        ),
        (f"{CORAL}/nuclio/function.yaml", "handler: main:handler", "handler: main:handler\n  replicas: 2", "no effect"),
        (
            "weights/index.yaml",
            "packaged:\n  coral_seg_yolo:",
            "packaged:\n  coral_seg:",
            "names nothing under `packaged`",
        ),
    ],
)
def test_what_does_not_go_together_is_found(file, old, new, word, changed_project):
    found = changed_project(file, old, new)
    assert any(word in fault for fault in found), found


def test_missing_requirements_are_said(changed_project, tmp_path):
    (tmp_path / CORAL / "requirements.in").unlink()
    found = changed_project("constraints.txt", "numpy==", "numpy==")
    assert [fault for fault in found if "requirements.in: is missing" in fault] == found
    assert len(found) == 1


def test_the_copy_itself_is_in_order(changed_project):
    assert changed_project("constraints.txt", "numpy==", "numpy==") == []


def test_two_functions_cannot_have_one_port(changed_project):
    attributes = "      attributes:\n"
    for folder in (CORAL, CORNERS):
        for variant in pins.VARIANTS:
            found = changed_project(f"{folder}/nuclio/{variant}", attributes, f"{attributes}        port: 31000\n")
    assert [fault for fault in found if "port: 31000 is that of" in fault] == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pip install --no-cache-dir a==1 'b>=2'", ["a==1", "b>=2"]),
        ("python -m pip install -r names.txt", ["names.txt"]),
        ("uv pip install --torch-backend cpu --override /o.txt torch", ["torch"]),
        ("apt-get install -y --no-install-recommends libgomp1", ["libgomp1"]),
        ("echo install a", []),
    ],
)
def test_what_a_step_installs_is_read(text, words):
    assert project.installs(text) == words


def test_a_step_that_installs_what_is_not_pinned_is_found(changed_project):
    step = "- kind: RUN\n          value: apt-get update && apt-get install -y libgomp1\n        - kind: RUN"
    found = changed_project(f"{CORAL}/nuclio/function.yaml", "- kind: RUN", step)
    assert any("libgomp1 is not pinned" in fault for fault in found)
