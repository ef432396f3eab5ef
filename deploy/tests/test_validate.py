from pathlib import Path

import pytest
import yaml

from deploy import validate
from deploy.serving import labels
from deploy.serving.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = sorted(p for p in ROOT.glob("*/**/nuclio/function*.yaml") if ".venv" not in p.parts)
FAKE = Path(__file__).parent / "functions" / "fake" / "nuclio" / "function.yaml"


def test_there_are_functions_to_check():
    assert len(FILES) >= 3


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parents[1].name}/{p.name}")
def test_the_files_of_the_repository_are_in_order(path):
    assert validate.check_file(path) == []


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "function-gpu.yaml"], ids=lambda p: p.parents[1].name)
def test_a_gpu_variant_differs_in_the_machine_only(path):
    cpu, gpu = (yaml.safe_load(p.read_text()) for p in (path.with_name("function.yaml"), path))
    assert gpu["metadata"] == cpu["metadata"]
    assert gpu["spec"]["triggers"] == cpu["spec"]["triggers"]
    assert gpu["spec"]["resources"]["limits"]["nvidia.com/gpu"] == 1


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
        ("spec/build", {"directives": {"before": []}}, "preCopy or postCopy"),
        ("spec/build", {"directives": {"preCopy": [{"kind": "RUN", "command": "b"}]}}, "preCopy[0].command"),
        ("spec/platform", {"attributes": {"healthCheckInterval": 10}}, "healthCheckInterval"),
        ("metadata/annotations/type", "inpainter", "detector or interactor"),
        ("metadata/annotations/min_pos_points", 1, "map of texts"),
        ("metadata/annotations/spec", "[]", "at least one label"),
        ("metadata/annotations/spec", '[{"name": "grid", "type": "skeleton"}]', "'grid' has no sublabels"),
        (
            "metadata/annotations/spec",
            '[{"name": "grid", "type": "skeleton", "sublabels": [{"name": "1"}], "svg": ""}]',
            "spec: skeleton 'grid' has 1 sublabels but 0 circles",
        ),
        ("metadata/tags", {}, "metadata.tags"),
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
    assert validate.main([FAKE]) == 0
    assert validate.main([FAKE, bad]) == 1
    assert "cannot be read" in capsys.readouterr().out
