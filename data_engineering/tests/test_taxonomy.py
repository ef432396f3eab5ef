"""The taxonomy: counts of the workflow, nesting, errors."""

from __future__ import annotations

import pytest

from data_engineering import taxonomy
from data_engineering.render.genera import GENERA


def test_levels_have_the_counts_of_the_workflow():
    assert {level: len(taxonomy.labels(level)) for level in taxonomy.load().levels} == {
        "genus": 16,
        "extended": 10,
        "family": 7,
        "coral": 1,
    }


def test_the_renderer_draws_exactly_the_genera_of_the_taxonomy():
    assert tuple(sorted(GENERA)) == taxonomy.labels("genus")


def test_names_rise_through_the_levels():
    assert taxonomy.to_level("Goniastrea", "genus") == "Goniastrea"
    assert taxonomy.to_level("Goniastrea", "extended") == "Merulinidae"
    assert taxonomy.to_level("Astreopora", "family") == "Acroporidae"
    assert {taxonomy.to_level(genus, "coral") for genus in taxonomy.labels("genus")} == {"coral"}


def test_unknown_names_are_named():
    with pytest.raises(ValueError, match=r"genus 'Pavona'.*Pavona/Leptoseris"):
        taxonomy.to_level("Pavona", "family")
    with pytest.raises(ValueError, match=r"level 'species'.*genus, extended, family, coral"):
        taxonomy.labels("species")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("levels: [a]", "expected the keys"),
        ("levels: [a, b]\ngenera: {X: {c: y}}", "expected a name at each of b"),
        ("levels: [a, b, c]\ngenera: {X: {b: p, c: q}, Y: {b: p, c: r}}", "expected each level to nest"),
    ],
)
def test_files_of_another_shape_are_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        taxonomy.load(path)
