"""docs/prepare-data.md from end to end: three CVAT projects become the training folders of all four modules.

The real FiftyOne and the real cvat-sdk, a stand-in for the server, and rendered quadrats, of which all is known.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fiftyone")
pytest.importorskip("cvat_sdk")

from coral_seg_yolo import prepare as prepare_colonies
from data_engineering import create_fiftyone_dataset, dataset, leakage, push, splits, taxonomy
from data_engineering.formats import cvat_images
from data_engineering.formats.collection import Collection
from data_engineering.labels import fo
from data_engineering.mirror import Changes
from data_engineering.render.folder import render_folder
from data_engineering.render.settings import Settings
from DINOv2_mmseg import prepare as prepare_maps
from grid_inpainting import prepare as prepare_bare
from grid_pose_detection import prepare as prepare_points
from quadrat import cvat_labels, images, masks, template
from quadrat.drawn import DrawnPhoto, from_annotations
from quadrat.formats import shapes_json
from quadrat.shapes import HIDDEN, Annotations, Instance, Keypoints
from tests.cvat_stand_in import running
from tests.test_readme import check, commands

PAGE = Path(__file__).parents[1] / "docs" / "prepare-data.md"
TEXT = PAGE.read_text("utf-8")
SMALL = Settings(size_px=224, rectified_px=96, colonies=(3, 6), frames={"pvc": 1.0}, layouts={"grid11x11": 1.0})
NAMES = [f"{site}_{year}_q{number}" for site in ("tiahura", "haapiti") for year in (2023, 2024) for number in (1, 2)]
PROJECTS = {"corners": "quadrat_corner", "grid": "grid", "colonies": None}
"""Project -> label of the skeletons that are drawn there; in `colonies` outlines are."""
SPLITS = ("train", "val", "test")
PREFIX = "test-prepare-data"


# ---------------------------------------------------------------------------------------------- from CVAT to FiftyOne


@dataclass(frozen=True)
class Reef:
    """Rendered photos under names of places, and what came of them.

    Attributes:
        truths: all that the renderer knows, by the photo's stem.
        photos: folder of the photos with strings; `clean` of those without.
        split: where each photo went in each dataset, by project and stem.
        asked: methods of the requests that the pulls made.
    """

    truths: dict[str, Annotations]
    photos: Path
    clean: Path
    split: dict[str, dict[str, str]]
    asked: set[str]


def known_as(folder: Path, out: Path) -> dict[str, Annotations]:
    """The photos of a rendered folder under `NAMES`, and their truth."""
    truths = {}
    for name, truth in zip(NAMES, sorted((folder / "truth").glob("*.json")), strict=True):
        for kind in ("photos", "clean"):
            (out / kind).mkdir(parents=True, exist_ok=True)
            (out / kind / f"{name}.jpg").write_bytes((folder / kind / f"{truth.stem}.jpg").read_bytes())
        known = shapes_json.read(truth)
        truths[name] = Annotations(f"{name}.jpg", known.size_wh, known.shapes)
    return truths


def labels_of(project: str) -> list[dict]:
    """The labels of a project as docs/prepare-data.md makes them."""
    if project == "colonies":
        return [{**one, "type": "any"} for one in cvat_labels.segmentation_labels(taxonomy.labels("genus"))]
    layout = template.load("corners" if project == "corners" else "grid11x11")
    return [cvat_labels.skeleton_label(layout.label, layout.names, 5 + 90 * layout.uv)]


def drawn(known: Annotations, project: str, number: int) -> DrawnPhoto:
    """What people draw in a project: skeletons, or colonies, on every second photo as polygons."""
    wanted = PROJECTS[project]
    shapes = tuple(one for one in known.shapes if (one.label if isinstance(one, Keypoints) else None) == wanted)
    bare = Annotations(known.image, known.size_wh, shapes)
    return from_annotations(bare, as_masks=number % 2 == 0, source="manual")


def in_cvat(project: str, truths: dict[str, Annotations], folder: Path, out: Path) -> None:
    """Put a project with a task of all photos into CVAT: an export, read as a dataset, pushed."""
    photos = []
    for number, known in enumerate(truths.values()):
        one = drawn(known, project, number)
        photos.append(DrawnPhoto(one.name, one.size_wh, one.drawn, folder / one.name))
    export = out / f"{project}.zip"
    cvat_images.write(Collection(photos, labels_of(project), project), export)
    changes = create_fiftyone_dataset.main(f"{PREFIX}-{project}-given", source=export, media=out / project)
    assert (changes.added, changes.problems) == (len(NAMES), [])
    push.main(f"{PREFIX}-{project}-given", project=project, task="Moorea")


@pytest.fixture(scope="module")
def reef(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reef]:
    tmp = tmp_path_factory.mktemp("reef")
    truths = known_as(render_folder(tmp / "rendered", len(NAMES), 11, SMALL, workers=1), tmp)
    split = {}
    with running() as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp)
        patch.setenv("CVAT_URL", server.url)
        patch.setenv("CVAT_TOKEN", server.token)
        for project in PROJECTS:
            in_cvat(project, truths, tmp / ("clean" if project == "colonies" else "photos"), tmp)
        for task in server.state.tasks.values():
            server.complete(task)
        patch.setenv("CVAT_TOKEN", server.read_token)
        server.requests.clear()
        for project in PROJECTS:
            changes = create_fiftyone_dataset.main(project, name=f"{PREFIX}-{project}")
            assert (changes.added, changes.problems) == (len(NAMES), [])
            splits.main(f"{PREFIX}-{project}", val=0.25, test=0.25)
            split[project] = tagged(f"{PREFIX}-{project}")
        asked = {one.method for one in server.requests.found()}
        assert server.errors == []
    yield Reef(truths, tmp / "photos", tmp / "clean", split, asked)
    for name in fo.list_datasets():
        if name.startswith(PREFIX):
            fo.delete_dataset(name)


def tagged(name: str) -> dict[str, str]:
    samples = dataset.load(name)
    pairs = zip(samples.values("filepath"), samples.values("tags"), strict=True)
    return {Path(path).stem: tag for path, (tag,) in pairs}


def placed(folder: Path, where: str, suffix: str) -> dict[str, Path]:
    """Stem -> file of a prepared folder, of all its splits; `where` has the place of the split."""
    found = [path for each in SPLITS for path in (folder / where.format(each)).glob(f"*{suffix}")]
    assert found
    return {path.stem: path for path in found}


def check_split(reef: Reef, project: str, folder: Path, where: str, suffix: str) -> None:
    for each in SPLITS:
        there = {path.stem for path in (folder / where.format(each)).glob(f"*{suffix}")}
        assert there == {stem for stem, split in reef.split[project].items() if split == each}


def test_pulls_only_read(reef):
    assert reef.asked == {"GET"}


def test_quadrats_stay_together_over_the_years(reef):
    for split in reef.split.values():
        assert {*split.values()} == {*SPLITS}
        for name, where in split.items():
            assert split[name.replace("2023", "2024")] == where
    assert leakage.main(f"{PREFIX}-colonies").leaks == []


# ---------------------------------------------------------------------------------------------- into the modules


def union(instances: list[Instance], size_wh: tuple[int, int]) -> np.ndarray:
    full = np.zeros(size_wh[::-1], bool)
    for one in instances:
        masks.paste(one, full)
    return full


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def test_yolo_gets_every_colony_with_its_outline(reef, tmp_path):
    manifest = prepare_colonies.main(tmp_path / "d", fiftyone=f"{PREFIX}-colonies", level="genus")
    assert manifest.skipped == {}
    check_split(reef, "colonies", tmp_path / "d", "labels/{}", ".txt")
    classes = taxonomy.labels("genus")
    for stem, path in placed(tmp_path / "d", "labels/{}", ".txt").items():
        known = reef.truths[stem]
        width, height = known.size_wh
        rows = [line.split() for line in path.read_text().splitlines()]
        outlined = np.zeros((height, width), bool)
        for row in rows:
            ring = np.array(row[1:], float).reshape(-1, 2) * (width, height)
            outlined |= masks.rings_to_mask([ring], (0, 0, width, height))
        # Parts of a colony that were drawn as polygons of one group are one colony.
        assert Counter(classes[int(row[0])] for row in rows) == Counter(one.label for one in known.instances)
        assert iou(outlined, union(list(known.instances), known.size_wh)) > 0.98


def test_maps_hold_the_pixels_of_every_family(reef, tmp_path):
    prepare_maps.main(tmp_path / "d", fiftyone=f"{PREFIX}-colonies", level="family")
    check_split(reef, "colonies", tmp_path / "d", "{}/labels", ".png")
    classes = (tmp_path / "d" / "classes.txt").read_text().splitlines()
    for stem, path in placed(tmp_path / "d", "{}/labels", ".png").items():
        known = reef.truths[stem]
        index = read_palette(path)
        for family in {taxonomy.to_level(one.label, "family") for one in known.instances}:
            of_it = [one for one in known.instances if taxonomy.to_level(one.label, "family") == family]
            assert iou(index == classes.index(family), union(of_it, known.size_wh)) > 0.95, (stem, family)


def read_palette(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(("project", "layout", "points"), [("corners", "corners", 4), ("grid", "grid11x11", 117)])
def test_points_lie_where_they_were_rendered(reef, tmp_path, project, layout, points):
    manifest = prepare_points.main(tmp_path / "d", layouts=[layout], fiftyone=f"{PREFIX}-{project}")
    assert manifest.skipped == {}
    check_split(reef, project, tmp_path / "d", "images/{}", ".jpg")
    total = 0
    for stem, path in placed(tmp_path / "d", "truth/{}", ".json").items():
        (found,) = shapes_json.read(path).keypoints
        (known,) = (one for one in reef.truths[stem].keypoints if one.label == PROJECTS[project])
        assert (len(found.names), found.names) == (points, known.names)
        np.testing.assert_array_equal(found.visibility, known.visibility)
        seen = known.visibility != HIDDEN
        total += int(seen.sum())
        assert np.abs(found.xy_px - known.xy_px)[seen].max(initial=0) < 0.01
    assert total > len(NAMES) * points / 2


def test_the_network_that_paints_gets_the_photos_without_strings(reef, tmp_path):
    manifest = prepare_bare.main(tmp_path / "d", fiftyone=f"{PREFIX}-colonies")
    assert sum(manifest.photos.values()) == len(NAMES)
    check_split(reef, "colonies", tmp_path / "d", "clean/{}", ".jpg")
    for stem, path in placed(tmp_path / "d", "clean/{}", ".jpg").items():
        assert path.read_bytes() == (reef.clean / f"{stem}.jpg").read_bytes()
        assert images.read_size_wh(path) == reef.truths[stem].size_wh
    with pytest.raises(ValueError, match="117 points of 'grid'"):
        prepare_bare.main(tmp_path / "strings", fiftyone=f"{PREFIX}-grid")


# ---------------------------------------------------------------------------------------------- the page


COMMANDS = [words for words in commands(PAGE) if words and "-m" in words[1:2]]


def parser_of(module: str) -> Callable[[list[str]], object]:
    """What takes the arguments of a command: `_parse`, or the parser that `_parser` makes."""
    found = importlib.import_module({"data_engineering.render": "data_engineering.render.__main__"}.get(module, module))
    return found._parse if hasattr(found, "_parse") else found._parser().parse_args


def test_the_page_names_every_module_of_the_way():
    named = {words[2] for words in COMMANDS}
    verbs = (
        "create_fiftyone_dataset taxonomy splits leakage report review export_annotations push annotate restore attach"
    )
    assert named >= {f"data_engineering.{verb}" for verb in verbs.split()}
    modules = ("coral_seg_yolo", "DINOv2_mmseg", "grid_pose_detection", "grid_inpainting")
    assert named >= {f"{module}.{verb}" for module in modules for verb in ("prepare", "train")}


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[2:4]))
def test_commands_of_the_page_are_understood(words):
    check(words)
    if words[2] != "deploy.spec":  # its parser is made where it is run
        parser_of(words[2])(words[3:])


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "N", text)


def assert_on_the_page(message: str, url: str = "http://nowhere") -> None:
    """The page has the message; numbers, dates and the server's address may differ."""
    assert without_numbers(message.replace(url, "https://cvat.example.org")) in without_numbers(TEXT)


def refusal(project: str, **more: Any) -> str:
    with pytest.raises(ValueError, match=r"\w") as refused:
        create_fiftyone_dataset.main(project, name=f"{PREFIX}-refused", **more)
    assert not fo.dataset_exists(f"{PREFIX}-refused")
    return str(refused.value)


def test_the_page_has_what_a_pull_prints():
    assert_on_the_page(create_fiftyone_dataset.describe(Changes("colonies", sources=["task 3"], added=16)))
    assert_on_the_page(create_fiftyone_dataset.describe(Changes("colonies", left_out=1)))


def test_the_page_has_the_refusals_of_a_server(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with running() as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        for variable in ("CVAT_TOKEN", "CVAT_USERNAME", "CVAT_PASSWORD"):
            monkeypatch.delenv(variable, raising=False)
        assert_on_the_page(refusal("Reef"))
        monkeypatch.setenv("CVAT_USERNAME", "bridge")
        monkeypatch.setenv("CVAT_PASSWORD", "wrong")
        assert_on_the_page(refusal("Reef"), server.url)
        monkeypatch.setenv("CVAT_TOKEN", server.read_token)
        server.add_project("Fine-grained segmentation")
        for _ in range(2):
            server.add_project("Reef")
        assert_on_the_page(refusal("Fine grained segmentation"), server.url)
        assert_on_the_page(refusal("Reef"), server.url)


def test_the_page_has_what_is_said_of_files(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    layout = template.load("grid11x11")
    grid = Keypoints(layout.label, layout.names, 5 + 40 * layout.uv)
    photo = from_annotations(Annotations("haapiti_2023_q01.jpg", (64, 48), (grid,)), source="manual")
    (skeleton,) = photo.drawn
    lacking = replace(skeleton, elements=tuple(one for one in skeleton.elements if one.label != "57"))
    images.write(tmp_path / "photos" / photo.name, np.zeros((48, 64, 3), np.uint8))
    known = Collection([replace(photo, drawn=(lacking,))], labels_of("grid"), "grid")
    cvat_images.write(known, tmp_path / "grid.xml", with_images=False)
    changes = create_fiftyone_dataset.main(
        f"{PREFIX}-lacking", source=tmp_path / "grid.xml", photos=[tmp_path / "photos"]
    )
    try:
        assert_on_the_page("\n".join(create_fiftyone_dataset.describe(changes).splitlines()[1:]))
        assert dataset.load(f"{PREFIX}-lacking").first().problems == changes.problems
    finally:
        fo.delete_dataset(f"{PREFIX}-lacking")
    (tmp_path / "colonies.zip").write_bytes(b"PK")
    assert_on_the_page(refusal("old_reef", source=Path("colonies.zip"), format="cvat"))
