"""Say what is in a dataset and what is wrong with it: a page with pictures, and the same figures as JSON.

    python -m data_engineering.report reef_2024 --quadrat-cm 100
    python -m data_engineering.report reef_2024 --level family --out runs/report/families --open
    python -m data_engineering.report reef_2024 --tag          # the app then finds the photos by the tag "problem"

Writes ``report.html`` (one file, nothing else is needed to read it), ``report.json`` and ``problems.csv``, which lists
every problem. What the figures are, and what each key of the JSON holds, is said in ``docs/dataset-report.md``.
Links lead to the jobs in CVAT if ``CVAT_URL`` says where that is.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Callable, Mapping, Set
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from data_engineering import problems
from data_engineering.problems import Rules
from data_engineering.report_figures import Figures
from data_engineering.report_scale import Scale
from data_engineering.report_writing import LISTED, Settings, write

if TYPE_CHECKING:
    import fiftyone as fo

OUT = Path("runs/report")
GROUND_TRUTH = "ground_truth"


def main(
    name: str,
    out: Path = OUT,
    *,
    field: str = GROUND_TRUTH,
    level: str = "genus",
    taxonomy_file: Path | None = None,
    scale: Scale | None = None,
    listed: int = LISTED,
    tag: bool = False,
    open_page: bool = False,
) -> Figures:
    """Report on a FiftyOne dataset.

    Args:
        name: of the dataset.
        out: folder that gets the files; files of an older report there are replaced.
        field: of the shapes.
        level: of the taxonomy that colonies are counted at.
        taxonomy_file: a taxonomy other than the one that ships.
        scale: how px become cm, where the photos do not say so themselves.
        listed: problems of each kind that are shown with a picture.
        tag: tag samples that have a problem ``problem`` and ``problem:<kind>``, and take these tags from all others.
        open_page: show the page in a browser.

    Returns:
        The figures, as in ``report.json``.

    Raises:
        ValueError: no such dataset, field or level; a wrong `CVAT_URL`.
    """
    from data_engineering import dataset as datasets
    from data_engineering import drawn_fields

    to_name, knows = naming(level, taxonomy_file)
    samples = datasets.load(name)
    labels = samples.info.get("cvat_labels") or ()
    rules = Rules(labels, knows)
    facts = {"dataset": name, "field": field, "level": level}
    settings = Settings(name, rules, scale or Scale(), to_name, listed, _cvat_url(), facts)
    photos = drawn_fields.iter_drawn(samples, field)
    faulty: dict[str, set[str]] = {}
    figures = write(photos, out, settings, total=len(samples), faulty=faulty if tag else None)
    if tag:
        _tag(samples, faulty)
    if open_page:
        webbrowser.open((out / "report.html").resolve().as_uri())
    return figures


# ---------------------------------------------------------------------------------------------- the dataset


def naming(level: str, taxonomy_file: Path | None = None) -> tuple[Callable[[str], str], Callable[[str], bool]]:
    """What a label is called at a level, and whether the taxonomy knows it.

    A label that is unknown, or says less than the level asks for, keeps its own name.

    Raises:
        TaxonomyError: no such level; a file that is none.
    """
    from data_engineering import taxonomy

    known = taxonomy.load(taxonomy_file) if taxonomy_file else taxonomy.load()
    known.labels(level)  # refuses a level that is none

    @cache
    def to_name(label: str) -> str:
        try:
            return known.to_level(label, level)
        except taxonomy.TaxonomyError:
            return label

    return to_name, lambda label: known.level_of(label) is not None


def _cvat_url() -> str:
    url = os.environ.get("CVAT_URL", "").rstrip("/")
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise ValueError(f"CVAT_URL is {url!r}: expected an address such as https://cvat.example.org, or none")
    return url


def _tag(samples: fo.Dataset, faulty: Mapping[str, Set[str]]) -> None:
    """Tag the samples with problems, and only them."""
    ours = [tag for tag in samples.distinct("tags") if tag == problems.TAG or tag.startswith(f"{problems.TAG}:")]
    if ours:
        samples.untag_samples(ours)
    by_tag: dict[str, list[str]] = {problems.TAG: list(faulty)}
    for sample_id, kinds in faulty.items():
        for kind in kinds:
            by_tag.setdefault(f"{problems.TAG}:{kind}", []).append(sample_id)
    for tag, ids in by_tag.items():
        if ids:
            samples.select(ids).tag_samples(tag)


def _lengths(text: str) -> tuple[float, float]:
    """``100`` or ``100x50``."""
    sides = [float(side) for side in text.lower().split("x")]
    if len(sides) not in (1, 2):
        raise ValueError(text)
    return sides[0], sides[-1]


def _parse(argv: list[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.report", description=__doc__.splitlines()[0])
    parser.add_argument("name", metavar="dataset", help="FiftyOne dataset")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for the report (default {OUT})")
    parser.add_argument("--field", default=GROUND_TRUTH, help=f"of the shapes (default {GROUND_TRUTH})")
    parser.add_argument("--level", default="genus", help="of the taxonomy: genus, extended, family, coral")
    parser.add_argument("--taxonomy", type=Path, dest="taxonomy_file", help="YAML file other than the one that ships")
    known = parser.add_argument_group("scale", "how px become cm, where the photos do not say so themselves")
    known.add_argument("--quadrat-cm", type=_lengths, metavar="CM", help="side of the quadrat, or WIDTHxHEIGHT")
    known.add_argument("--rectified", action="store_true", help="photos show just the quadrat, from edge to edge")
    known.add_argument("--px-per-cm", type=float, metavar="PX", help="of all photos")
    parser.add_argument("--listed", type=int, default=LISTED, help=f"problems of a kind to show (default {LISTED})")
    parser.add_argument("--tag", action="store_true", help="tag samples that have problems: problem, problem:<kind>")
    parser.add_argument("--open", dest="open_page", action="store_true", help="show the page in a browser")
    given = vars(parser.parse_args(argv))
    lengths = {key: given.pop(key) for key in ("quadrat_cm", "px_per_cm", "rectified")}
    try:
        return {**given, "scale": Scale(**lengths)}
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    arguments = _parse(None)
    try:
        made = main(**arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"report: {error}")
    print(
        f"{arguments['out'] / 'report.html'}: {made['photos']['count']} photos, {made['colonies']['count']} colonies, "
        f"{made['problems']['count']} problems on {made['problems']['photos']} photos"
    )
