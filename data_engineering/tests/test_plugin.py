"""The plugin as FiftyOne finds, resolves and executes it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from data_engineering.tests.review_sample import dataset_of, stems
from data_engineering.tests.test_predict_url import serving
from quadrat import cvat_labels

pytest.importorskip("fiftyone")

from tests.cvat_stand_in import running  # noqa: E402

PLUGIN = Path(__file__).parents[1] / "plugin"
NAME = "@quadratseg/quadratseg"


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    from data_engineering.labels import fo

    monkeypatch.setattr(fo.config, "plugins_dir", str(PLUGIN))
    for variable in ("CVAT_URL", "CVAT_TOKEN", "CVAT_USERNAME", "CVAT_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def samples(request, tmp_path):
    with dataset_of(f"test-{request.node.name}", tmp_path) as dataset:
        yield dataset


@pytest.fixture
def server(monkeypatch):
    with running() as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        monkeypatch.setenv("CVAT_TOKEN", server.token)
        yield server


def execute(operator: str, dataset, params: dict[str, object], **context: object) -> list[tuple[str, str]]:
    """Messages that the app would show, with their kind."""
    import fiftyone.operators as operators

    ctx = {"dataset": dataset, "params": params, **context}
    result = operators.execute_operator(f"{NAME}/{operator}", ctx)
    asked = result.executor.to_json()["requests"]
    dataset.reload()
    return [
        (one["params"]["variant"], one["params"]["message"]) for one in asked if one["operator_uri"].endswith("notify")
    ]


def form(operator: str, dataset, params: dict[str, object] | None = None):
    """The form as FiftyOne resolves it, and whether it could be sent off."""
    from fiftyone.operators.executor import ExecutionContext, ValidationContext
    from fiftyone.operators.registry import OperatorRegistry

    found = OperatorRegistry().get_operator(f"{NAME}/{operator}")
    ctx = ExecutionContext({"dataset_name": dataset.name, "params": params or {}}, operator_uri=found.uri)
    inputs = found.resolve_input(ctx)
    return inputs.type.properties, ValidationContext(ctx, inputs, found)


def test_fiftyone_finds_every_operator_that_the_plugin_names():
    import fiftyone.plugins as fop
    from fiftyone.operators.registry import OperatorRegistry

    told = yaml.safe_load((PLUGIN / "fiftyone.yml").read_text("utf-8"))
    assert [plugin.name for plugin in fop.list_plugins()] == [NAME]
    found = {one.uri for one in OperatorRegistry().list_operators() if one.plugin_name == NAME}
    assert found == {f"{NAME}/{name}" for name in told["operators"]}


def test_every_operator_may_run_now_or_later_and_shows_its_progress():
    from fiftyone.operators.registry import OperatorRegistry

    for one in OperatorRegistry().list_operators():
        if one.plugin_name == NAME:
            assert one.config.allow_immediate_execution
            assert one.config.allow_delegated_execution
            assert one.config.execute_as_generator
            assert one.config.description


def test_predict_fills_a_field(samples):
    with serving() as function:
        [(kind, said)] = execute("predict", samples, {"url": function.url, "field": "net"})
    assert kind == "success"
    assert said == "6 photos, 6 shapes in field 'net'"
    assert samples.exists("net").count() == 6


def test_predict_takes_the_photos_that_are_selected(samples):
    ids = samples.values("id")
    with serving() as function:
        execute("predict", samples, {"url": function.url, "field": "net"}, selected=ids[1:3])
        assert len(function.asked) == 2
    assert stems(samples.exists("net")) == "bc"


def test_predict_takes_the_view_that_is_open(samples):
    import fiftyone.operators as operators

    with serving() as function:
        ctx = {"view": samples.limit(1), "params": {"url": function.url, "field": "net"}}
        operators.execute_operator(f"{NAME}/predict", ctx)
    samples.reload()
    assert stems(samples.exists("net")) == "a"


def test_a_fault_is_a_sentence(samples):
    with serving() as function:
        function.answers = [(400, b'{"error": {"code": "bad", "message": "image: expected a photo"}}')]
        [(kind, said)] = execute("predict", samples, {"url": function.url, "field": "net"})
    assert kind == "error"
    assert said.startswith("Predict: the function answered 400")
    assert said.endswith("answered 400: image: expected a photo")
    assert "Traceback" not in said


@pytest.mark.parametrize("field", ["ground_truth", "a b"])
def test_predict_refuses_a_field_before_it_starts(samples, field):
    _, checked = form("predict", samples, {"url": "http://127.0.0.1:9", "field": field})
    assert checked.invalid
    _, checked = form("predict", samples, {"url": "http://127.0.0.1:9", "field": "net"})
    assert not checked.invalid


def test_predict_s_threshold_is_a_share(samples):
    params = {"url": "http://127.0.0.1:9", "field": "net", "threshold": 50}
    assert form("predict", samples, params)[1].invalid
    assert not form("predict", samples, {**params, "threshold": 0.5})[1].invalid


def test_what_needs_cvat_says_so_without_it(samples, monkeypatch):
    for operator, params in (("pull_from_cvat", {"project": "Corals"}), ("send_to_cvat", {"tags": "fix"})):
        fields, checked = form(operator, samples, params)
        assert checked.invalid
        assert "CVAT_URL" in fields["no_cvat"].error_message
        monkeypatch.setenv("CVAT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("CVAT_TOKEN", "secret")
        fields, checked = form(operator, samples, params)
        assert "no_cvat" not in fields
        assert "secret" not in str({name: field.to_json() for name, field in fields.items()})
        monkeypatch.delenv("CVAT_URL")


def test_send_makes_a_task(samples, server):
    server.add_project("Corals", cvat_labels.segmentation_labels(["Porites"]))
    params = {"tags": "review, fix", "project": "Corals", "task": "look", "field": "ground_truth"}
    [(kind, said)] = execute("send_to_cvat", samples, {**params, "dry_run": True})
    assert (kind, said) == ("success", "would send 2 photos with 2 shapes to project 'Corals', task 'look'")
    [(kind, said)] = execute("send_to_cvat", samples, params)
    assert (kind, said.split(" (id")[0]) == ("success", "sent 2 photos with 2 shapes to project 'Corals', task 'look'")
    assert [task.name for task in server.state.tasks.values()] == ["look"]
    assert stems(samples.match_tags("sent")) == "de"
    [(kind, said)] = execute("send_to_cvat", samples, {**params, "project": "None"})
    assert "not sent yet" in said


def test_pull_takes_over_a_project(samples, server, tmp_path, monkeypatch):
    from data_engineering.labels import fo

    monkeypatch.chdir(tmp_path)
    project = server.add_project("test-plugin-pulled", cvat_labels.segmentation_labels(["Porites"]))
    task = server.add_task(project, "one", ["a_2020_1.jpg", "a_2020_2.jpg"], completed=False)
    label = server.labels(project)["Porites"]
    server.draw(task, [{"type": "polygon", "frame": 0, "label_id": label, "points": [1, 1, 9, 1, 9, 9]}])
    server.complete(task)
    try:
        [(kind, said)] = execute("pull_from_cvat", samples, {"project": project.name})
        assert kind == "success", said
        assert "2 added" in said
        assert fo.load_dataset(project.name).count("ground_truth.polylines") == 1
        fields, _ = form("pull_from_cvat", fo.load_dataset(project.name))
        assert fields["project"].default == str(project.id)
    finally:
        if fo.dataset_exists(project.name):
            fo.delete_dataset(project.name)


def test_pull_says_which_projects_there_are(samples, server):
    server.add_project("Corals", cvat_labels.segmentation_labels(["Porites"]))
    [(kind, said)] = execute("pull_from_cvat", samples, {"project": "Coral"})
    assert kind == "error"
    assert said.startswith("Pull from CVAT: ")
    assert "Corals" in said


def test_evaluate_keeps_the_outcome_and_makes_its_views(samples):
    chosen = samples.select(samples.values("id")[:2])
    [(kind, said)] = execute("evaluate", samples, {"field": "yolo", "key": "check"}, view=chosen)
    assert (kind, said) == ("success", "yolo: 1 right, 1 false, 1 missed; see the views of check")
    assert samples.list_evaluations() == ["check"]
    assert "evaluation check: missed" in samples.list_saved_views()
    [(kind, said)] = execute("evaluate", samples, {"field": "yolo", "key": "check"}, view=chosen)
    assert kind == "error"
    assert "has an evaluation 'check'" in said
    [(kind, _)] = execute("evaluate", samples, {"field": "yolo", "key": "check", "overwrite": True}, view=chosen)
    assert kind == "success"


def test_evaluate_without_predictions_cannot_be_sent_off(samples):
    samples.delete_sample_fields(["yolo", "dino"])
    fields, checked = form("evaluate", samples)
    assert checked.invalid
    assert "needs both" in fields["nothing"].error_message


def test_the_views_are_made_from_the_app(samples):
    [(kind, said)] = execute("prepare_review", samples, {"anew": False})
    assert kind == "success"
    assert "to review (3)" in said
    assert "to review" in samples.list_saved_views()


def test_a_delegated_operator_fails_as_a_whole(samples):
    """What runs later has no app to tell: FiftyOne marks it as failed."""
    from fiftyone.operators.executor import ExecutionContext, do_execute_operator
    from fiftyone.operators.registry import OperatorRegistry

    operator = OperatorRegistry().get_operator(f"{NAME}/predict")
    request = {"dataset_name": samples.name, "params": {"url": "nowhere", "field": "net"}, "delegated": True}
    ctx = ExecutionContext(request, operator_uri=operator.uri)
    assert ctx.delegated
    with pytest.raises(ValueError, match="is no URL of a function"):
        asyncio.run(do_execute_operator(operator, ctx, exhaust=True))
