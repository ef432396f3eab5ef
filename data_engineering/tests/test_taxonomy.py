"""The taxonomy: counts of the workflow, nesting, errors."""

from __future__ import annotations

import pytest

from data_engineering import taxonomy
from data_engineering.render.genera import GENERA
from data_engineering.taxonomy import TaxonomyError


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
    with pytest.raises(TaxonomyError, match=r"genus 'Pavonna' \(near: Pavona\).*Pavona/Leptoseris"):
        taxonomy.to_level("Pavonna", "family")
    with pytest.raises(TaxonomyError, match=r"level 'species'.*genus, extended, family, coral"):
        taxonomy.labels("species")


@pytest.mark.parametrize(
    ("label", "level", "name"),
    [
        ("porites", "genus", "Porites"),
        (" Pavona / leptoseris ", "genus", "Pavona/Leptoseris"),
        ("Astrea", "genus", "Atrea"),
        ("leptoseris", "family", "Agariciidae"),
        ("Hard_Coral", "coral", "coral"),
        ("Acroporidae", "family", "Acroporidae"),
        ("acroporidae", "coral", "coral"),
        ("Merulinidae", "genus", "Merulinidae"),
        ("FAVITES", "extended", "Merulinidae"),
    ],
)
def test_spellings_aliases_and_coarse_names_are_understood(label, level, name):
    assert taxonomy.to_level(label, level) == name


@pytest.mark.parametrize(("label", "level", "own"), [("Acroporidae", "genus", "family"), ("corals", "family", "coral")])
def test_a_coarse_name_does_not_say_a_finer_one(label, level, own):
    for unknown in taxonomy.UNKNOWN:
        with pytest.raises(TaxonomyError, match=f"'{label}' is a name of level {own}, which does not say its {level}"):
            taxonomy.load().to_level(label, level, unknown)


def test_labels_that_do_not_fit_are_listed_or_called_other():
    known = taxonomy.load()
    with pytest.raises(TaxonomyError, match=r"2 of 3 labels have no name at level family(.|\n)*'Sand'(.|\n)*'Turf'"):
        known.mapping(["Turf", "Porites", "Sand"], "family")
    assert known.mapping(["Turf", "Porites"], "family", "other") == {"Turf": "Other", "Porites": "Poritidae"}
    with pytest.raises(TaxonomyError, match="'drop': expected one of refuse, other"):
        known.mapping([], "family", "drop")
    with pytest.raises(TaxonomyError, match="unknown taxonomy level"):
        known.mapping(["Porites"], "species", "other")


def test_every_alias_stands_for_one_name_and_every_name_for_itself():
    known = taxonomy.load()
    for row in known.table.values():
        for level, name in row.items():
            assert known.to_level(name, level) == name
    assert {known.level_of(alias) for alias in known.aliases} == {"genus", "coral"}
    assert known.level_of("sand") is None


def test_without_a_class_other_nothing_can_be_called_so(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("levels: [a, b]\ngenera: {X: {b: p}}\n")
    with pytest.raises(TaxonomyError, match="unknown a 'Y'"):
        taxonomy.load(path).to_level("Y", "b", "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("levels: [a]", "expected the keys"),
        ("levels: [a, b]\ngenera: {X: {c: y}}", "expected a name at each of b"),
        ("levels: [a]\ngenera: {X: {}}\nmore: 1", "expected the keys"),
        ("levels: [a]\ngenera: {X: {}}\naliases: [Y]", "expected the keys"),
        ("levels: [a]\ngenera: {X: {}}\naliases: {Y: Z}", "alias 'Y' of 'Z'"),
        ("levels: [a]\ngenera: {X: {}, Y: {}}\naliases: {y: X}", "alias 'y' of 'X'"),
        ("levels: [", "no readable YAML"),
        ("levels: [a, b, c]\ngenera: {X: {b: p, c: q}, Y: {b: p, c: r}}", "expected each level to nest"),
    ],
)
def test_files_of_another_shape_are_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        taxonomy.load(path)


def test_show_prints_every_name(capsys):
    assert taxonomy.run(["--show"]) == 0
    said = capsys.readouterr().out
    assert "genus (16)" in said
    assert "family (7)" in said
    assert all(name in said for name in (*taxonomy.labels("genus"), *taxonomy.load().aliases))


def test_the_command_wants_a_dataset_and_a_level(capsys):
    with pytest.raises(SystemExit):
        taxonomy.run(["reef"])
    assert "expected a dataset and --level, or --show" in capsys.readouterr().err
    assert taxonomy.run(["reef", "--level", "species"]) == 1
    assert "taxonomy: unknown taxonomy level 'species'" in capsys.readouterr().err
