import json
from pathlib import Path

import pytest

from deploy.serving import labels
from quadrat.predictor import Card

FAKE = Path(__file__).parent / "functions" / "fake" / "nuclio"


def test_the_labels_of_a_function_are_read():
    offered = labels.read_labels(labels.find_function_yaml(FAKE, {}))
    assert list(offered) == ["red", "blue"]
    assert offered["red"].attribute("confidence").accepts("100")


def test_another_function_yaml_may_be_named(tmp_path):
    assert labels.find_function_yaml(FAKE, {"FUNCTION_YAML": str(tmp_path / "f.yaml")}) == tmp_path / "f.yaml"


def test_labels_equal_to_the_cards_pass_in_any_order():
    offered = labels.read_labels(FAKE / "function.yaml")
    labels.check_against_card(offered, Card("w", "instances", ("blue", "red")), "function.yaml")


def test_a_mismatch_names_both_differences_and_a_spec_that_would_do():
    offered = labels.read_labels(FAKE / "function.yaml")
    card = Card("w", "instances", ("red", "green"))
    with pytest.raises(labels.LabelsError, match=r"Only the weights have \['green'\].*has \['blue'\]") as error:
        labels.check_against_card(offered, card, "function.yaml")
    labels.check_against_card(labels.parse_spec(str(error.value).split("`spec` to: ")[1]), card, "the advice")


@pytest.mark.parametrize("spec", ["", "{", "{}", "[]", '[{"type": "polygon"}]', '[{"name": "a"}, {"name": "a"}]'])
def test_a_bad_spec_is_refused(spec):
    with pytest.raises(labels.LabelsError, match="here: annotation `spec`"):
        labels.parse_spec(spec, "here")


@pytest.mark.parametrize("text", [None, "metadata: 3", "a: [", "metadata: {annotations: {}}"])
def test_a_bad_file_is_refused(tmp_path, text):
    path = tmp_path / "function.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(labels.LabelsError, match=r"function\.yaml"):
        labels.read_labels(path)


@pytest.mark.parametrize(
    ("attribute", "good", "bad"),
    [
        ({"input_type": "number", "values": ["0", "100", "1"]}, ["0", "100"], ["101", "-1", "0.5", "", "٣"]),
        ({"input_type": "select", "values": ["alive", "dead"]}, ["dead"], ["green"]),
        ({"input_type": "checkbox", "values": ["false"]}, ["true", "false"], ["True", "1"]),
        ({"input_type": "text", "values": [""]}, ["", "any"], []),
    ],
)
def test_attribute_values_as_cvat_takes_them(attribute, good, bad):
    offered = labels.parse_spec(json.dumps([{"name": "a", "attributes": [{"name": "b", **attribute}]}]))
    found = offered["a"].attribute("b")
    assert all(found.accepts(value) for value in good)
    assert not any(found.accepts(value) for value in bad)
