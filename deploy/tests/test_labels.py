import json
from pathlib import Path

import pytest

from deploy.serving import labels
from quadrat import cvat_labels, template
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


def test_the_spec_that_would_do_keeps_the_attributes_that_all_labels_share():
    unsure = labels.Attribute(name="unsure", input_type="checkbox", values=("false",))
    offered = labels.parse_spec(labels.spec_for(Card("w", "instances", ("red", "blue")), more=[unsure]))
    with pytest.raises(labels.LabelsError) as error:
        labels.check_against_card(offered, Card("w", "instances", ("green",)), "function.yaml")
    (advised,) = labels.parse_spec(str(error.value).split("`spec` to: ")[1]).values()
    assert [attribute.name for attribute in advised.attributes] == ["confidence", "unsure"]


def offered_for(layout):
    return labels.parse_spec(json.dumps([labels.skeleton_for(layout)]))


def grid_card(**more):
    return Card("w", "keypoints", ("grid",), **more)


@pytest.mark.parametrize("name", template.BUILTIN)
def test_a_skeleton_with_the_points_of_the_layout_passes(name):
    layout = template.load(name)
    card = Card("w", "keypoints", (layout.label,))
    offered = labels.parse_spec(labels.spec_for(card, [layout]))
    labels.check_against_card(offered, card, "function.yaml", [layout])
    (label,) = offered.values()
    assert label.attribute("confidence").values == ("0", "100", "1")
    assert cvat_labels.read_skeleton(label.model_dump(mode="json")).names == layout.names


def test_layouts_of_one_label_and_the_same_points_share_it():
    layouts = [template.load("grid11x11"), template.load("grid9x13")]
    labels.check_against_card(offered_for(layouts[1]), grid_card(), "function.yaml", layouts)


def test_another_number_of_points_is_refused_with_both_numbers():
    layouts = [template.even_lattice("small", 3, 4), template.load("grid11x11")]
    message = r"f\.yaml: label 'grid' is a skeleton of 117 points, layout 'small' has 12\. .*deploy\.spec"
    with pytest.raises(labels.LabelsError, match=message):
        labels.check_against_card(offered_for(layouts[1]), grid_card(), "f.yaml", layouts)


def test_points_in_another_order_are_refused_by_name():
    layout = template.even_lattice("small", 2, 2)
    offered = offered_for(layout)
    turned = offered["grid"].model_copy(update={"sublabels": offered["grid"].sublabels[::-1]})
    with pytest.raises(labels.LabelsError, match="4 points, layout 'small' has 4: point '4' stands where '1' belongs"):
        labels.check_against_card({"grid": turned}, grid_card(), "f.yaml", [layout])


def test_a_label_that_is_no_skeleton_cannot_hold_points():
    offered = labels.parse_spec('[{"name": "grid", "type": "polygon"}]')
    with pytest.raises(labels.LabelsError, match="is a polygon of 0 points, layout 'grid9x13' has 117"):
        labels.check_against_card(offered, grid_card(), "f.yaml", [template.load("grid9x13")])


def test_a_missing_skeleton_is_named_without_its_whole_picture():
    offered = labels.read_labels(FAKE / "function.yaml")
    with pytest.raises(labels.LabelsError, match=r"have \['grid'\].*has \['blue', 'red'\].*deploy\.spec") as error:
        labels.check_against_card(offered, grid_card(), "f.yaml", [template.load("grid9x13")])
    assert len(str(error.value)) < 400


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
