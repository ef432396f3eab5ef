from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_engineering import coralnet, training_folder
from data_engineering.coralnet import Point
from DINOv2_mmseg import folder as prepared
from DINOv2_mmseg import prepare
from DINOv2_mmseg.class_maps import UnknownLabels
from quadrat import images, masks
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations, Keypoints

SIDE = 64
REAL = Path(__file__).parents[3] / "shared" / "photos" / "mcr_lter_moorea"
real = pytest.mark.skipif(not (REAL / "annotations.csv").is_file(), reason="the real photographs are not here")


def disc(centre: tuple[int, int], radius: int) -> np.ndarray:
    return cv2.circle(np.zeros((SIDE, SIDE), np.uint8), centre, radius, 1, -1).astype(bool)


def colonies(**labels: np.ndarray) -> tuple:
    return tuple(masks.instance_from_mask(label, mask) for label, mask in labels.items())


def write_photo(path: Path) -> Path:
    """A gray photo; each name has its own, as no two photographs are the same file."""
    picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
    picture[:8, :8] = zlib.crc32(path.stem.encode()) % 251
    images.write(path, picture)
    return path


def write_sample(folder: Path, name: str, *shapes) -> Path:
    photo = write_photo(folder / "photos" / f"{name}.jpg")
    shapes_json.write(folder / "truth" / f"{name}.json", Annotations(photo.name, (SIDE, SIDE), shapes))
    return photo


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    for number in range(10):
        write_sample(
            folder, f"reef_2024_q{number}", *colonies(Porites=disc((30, 30), 20), Acropora=disc((30 + number, 30), 5))
        )
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """A CoralNet table of 6 photos of 8 points, its photos in ``photos`` beside it."""
    folder = tmp_path_factory.mktemp("coralnet")
    points = {}
    for number in range(6):
        name = write_photo(folder / "photos" / f"site_q{number}.jpg").name
        sand = [Point(x + 0.5, 10.5, "Sand") for x in range(5)]
        points[name] = (
            *sand,
            Point(40.5, 40.5, "Porit"),
            Point(50.5, 40.5, "Porit"),
            Point(9.5, 60.5 - number, "Turf"),
        )
    points["site_q0.jpg"] += (Point(63.5, 63.5, "Off"),)
    coralnet.write(folder / "annotations.csv", points)
    (folder / "labelset.csv").write_text(
        "Name,Short Code,Functional Group\nPorites,Porit,Hard coral\nSand,Sand,Soft Substrate\n"
        "Turf algae,Turf,Algae\nOff,Off,Other\n"
    )
    return folder / "annotations.csv"


def from_points(table: Path, out: Path, **options) -> prepared.Manifest:
    return prepare.main(out, coralnet=table, photos=table.parent / "photos", **options)


def label_of(folder: Path, name: str) -> np.ndarray:
    return prepared.read_label(next(folder.glob(f"*/labels/{name}.png")))


# ---------------------------------------------------------------------------------------------- colonies


def test_a_folder_of_class_maps(tmp_path, rendered):
    manifest = prepare.main(tmp_path / "data", rendered=rendered, val=0.3, test=0.2, seed=1)
    assert prepared.read(tmp_path / "data") == manifest
    assert manifest.labels[0] == "background"
    assert len(manifest.labels) == 17
    assert (manifest.kind, manifest.level, manifest.background) == ("dense", "genus", ("background",))
    assert manifest.trained_on == "rendered quadrats"
    assert "rendered quadrats only" in manifest.note
    assert sum(manifest.photos.values()) == 10
    assert min(manifest.photos.values()) >= 1
    acropora, porites = (manifest.labels.index(name) for name in ("Acropora", "Porites"))
    pixels = np.zeros(256, np.int64)
    for split in prepared.SPLITS:
        found = prepared.pairs(tmp_path / "data", split)
        assert len(found) == manifest.photos[split]
        for photo, label in found:
            assert photo.is_symlink()
            assert photo.resolve() == (rendered / "photos" / photo.name).resolve()
            shift = int(photo.stem[-1])
            expected = np.where(disc((30, 30), 20), porites, 0).astype(np.uint8)
            expected[disc((30 + shift, 30), 5)] = acropora
            np.testing.assert_array_equal(prepared.read_label(label), expected)
            if split == "train":
                pixels += np.bincount(expected.ravel(), minlength=256)
    assert manifest.pixels == {label: pixels[number] for number, label in enumerate(manifest.labels)}


def test_the_split_is_that_of_the_other_modules(tmp_path, rendered):
    prepare.main(tmp_path / "data", rendered=rendered, val=0.3, test=0.2, seed=1)
    for split in prepared.SPLITS:
        for photo, _ in prepared.pairs(tmp_path / "data", split):
            assert training_folder.split_of(photo.name, 1, 0.3, 0.2) == split


def test_levels_join_classes(tmp_path, rendered):
    manifest = prepare.main(tmp_path / "data", rendered=rendered, level="coral", only="val")
    assert manifest.labels == ("background", "coral")
    assert set(np.unique(label_of(tmp_path / "data", "reef_2024_q9"))) == {0, 1}
    assert manifest.photos == {"train": 0, "val": 10, "test": 0}
    assert manifest.pixels["coral"] > 1000, "of a folder for evaluation the pixels of its one split are counted"


@pytest.fixture
def strange(tmp_path) -> Path:
    for number, label in enumerate(("Porites", "Unicorn", "Poritidae", "Dragon")):
        write_sample(tmp_path / "strange", f"q{number}", *colonies(**{label: disc((20, 20), 9)}))
    return tmp_path / "strange"


def test_unknown_labels_are_refused_all_at_once(tmp_path, strange):
    with pytest.raises(UnknownLabels, match="'Dragon', 'Unicorn' are none of the classes background, Acroporidae"):
        prepare.main(tmp_path / "data", rendered=strange, level="family", only="train")
    with pytest.raises(UnknownLabels, match="'Dragon', 'Poritidae', 'Unicorn'"):
        prepare.main(tmp_path / "data", rendered=strange, only="train")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"unknown": "ignore"}, 255), ({"unknown": "other"}, 5), ({"ignore": ["Unicorn", "Dragon"]}, 255)],
)
def test_unknown_labels_are_ignored_or_other(tmp_path, strange, options, expected):
    manifest = prepare.main(tmp_path / "data", rendered=strange, level="family", only="train", **options)
    assert manifest.labels[5] == "Other"
    index = label_of(tmp_path / "data", "q1")
    assert (index[disc((20, 20), 9)] == expected).all()
    assert (index[~disc((20, 20), 9)] == 0).all()
    poritidae = manifest.labels.index("Poritidae")
    assert label_of(tmp_path / "data", "q0")[20, 20] == label_of(tmp_path / "data", "q2")[20, 20] == poritidae
    assert manifest.ignored == ({"Dragon": 1, "Unicorn": 1} if expected == 255 else {})


def test_a_file_chooses_classes(tmp_path, rendered):
    (tmp_path / "c.txt").write_text("Porites\nFungia\n")
    manifest = prepare.main(
        tmp_path / "data", rendered=rendered, classes=tmp_path / "c.txt", only="train", ignore=["Acropora"]
    )
    assert manifest.labels == ("background", "Porites", "Fungia")
    assert label_of(tmp_path / "data", "reef_2024_q0")[30, 30] == 255
    assert manifest.ignored == {"Acropora": 10}
    (tmp_path / "c.txt").write_text("background\nPorites\nUnicorn\n")
    with pytest.raises(ValueError, match="Unicorn: expected names of the level"):
        prepare.main(tmp_path / "other", rendered=rendered, classes=tmp_path / "c.txt", only="train")


def test_borders_are_not_known(tmp_path, rendered):
    prepare.main(tmp_path / "data", rendered=rendered, only="train", ignore_border=2)
    index = label_of(tmp_path / "data", "reef_2024_q0")
    porites = prepared.read(tmp_path / "data").labels.index("Porites")
    assert index[30, 5:16].tolist() == [0] * 3 + [255] * 4 + [porites] * 4


def test_bad_photos_are_skipped_and_listed(tmp_path):
    source = tmp_path / "rendered"
    for number in range(6):
        write_sample(source, f"q{number}", *colonies(Porites=disc((30, 30), 20)))
    (source / "photos" / "q1.jpg").write_bytes(b"no photo")
    images.write(source / "photos" / "q2.jpg", np.zeros((20, 30, 3), np.uint8))
    (source / "truth" / "q3.json").write_text("{")
    (source / "photos" / "q4.jpg").unlink()
    manifest = prepare.main(tmp_path / "data", rendered=source, only="test")
    assert {Path(path).stem for path in manifest.skipped} == {"q1", "q2", "q3", "q4"}
    assert "30 x 20" in manifest.skipped[str(source / "photos" / "q2.jpg")]
    assert manifest.photos == {"train": 0, "val": 0, "test": 2}


def test_nothing_is_left_behind_when_there_is_nothing_to_train_on(tmp_path):
    write_sample(tmp_path / "rendered", "q0", *colonies(Porites=disc((30, 30), 20)))
    with pytest.raises(ValueError, match="at least one in train and one in val"):
        prepare.main(tmp_path / "data", rendered=tmp_path / "rendered")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rendered"]


def test_an_existing_folder_is_replaced_only_when_asked(tmp_path, rendered):
    (tmp_path / "data").mkdir()
    with pytest.raises(FileExistsError, match="--overwrite"):
        prepare.main(tmp_path / "data", rendered=rendered, only="test")
    prepare.main(tmp_path / "data", rendered=rendered, only="test", overwrite=True)
    assert prepared.read(tmp_path / "data").photos["test"] == 10


def test_folds_hold_every_photo_out_once(tmp_path, rendered):
    held_out = []
    for k in (1, 2, 3):
        manifest = prepare.main(tmp_path / f"{k}", rendered=rendered, fold=f"{k}/3")
        assert manifest.photos["test"] == 0
        assert manifest.photos["val"] in (3, 4)
        assert manifest.photos["train"] == 10 - manifest.photos["val"]
        held_out += [photo.name for photo, _ in prepared.pairs(tmp_path / f"{k}", "val")]
    assert len(held_out) == len(set(held_out)) == 10


def test_tags_of_a_dataset_rule_over_the_hash(tmp_path, rendered, monkeypatch):
    photos = images.list_photos(rendered / "photos")[:4]
    tags = (["val"], ["train", "checked"], ["test"], ["train"])

    def samples(name: str, *_: object) -> Iterator[training_folder.Sample]:
        for photo, tag in zip(photos, tags, strict=True):
            shapes = colonies(Porites=disc((30, 30), 20))
            made = Annotations(photo.name, (SIDE, SIDE), shapes, {"tags": tag})
            yield photo, lambda made=made: made

    monkeypatch.setattr(training_folder, "_fiftyone", samples)
    manifest = prepare.main(tmp_path / "data", fiftyone="reef", level="family")
    assert manifest.photos == {"train": 2, "val": 1, "test": 1}
    assert (manifest.trained_on, manifest.note) == ("FiftyOne dataset reef", "")


# ---------------------------------------------------------------------------------------------- points


def test_a_folder_of_points(tmp_path, table):
    manifest = from_points(table, tmp_path / "data", not_colony=["Sand", "Turf"], min_points=2, val=0.4, test=0.2)
    assert manifest.labels == ("Porit", "Sand", "Turf")
    assert manifest.background == ("Sand", "Turf")
    assert (manifest.kind, manifest.level) == ("points", "")
    assert manifest.ignored == {"Off": 1}
    assert manifest.trained_on.endswith("/annotations.csv")
    train = manifest.photos["train"]
    assert manifest.pixels == {"Porit": 2 * train, "Sand": 5 * train, "Turf": train}
    prepared.check_can_train(manifest)
    index = label_of(tmp_path / "data", "site_q3")
    expected = np.full((SIDE, SIDE), 255, np.uint8)
    expected[10, :5], expected[40, 40], expected[40, 50], expected[57, 9] = 1, 0, 0, 2
    np.testing.assert_array_equal(index, expected)
    found = {
        name: points for split in prepared.SPLITS for name, points in prepared.points(tmp_path / "data", split).items()
    }
    assert set(found) == {f"site_q{number}" for number in range(6)}
    assert all(len(points) == 8 for points in found.values()), "a class that is not known has no points either"
    assert (9.5, 57.5, "Turf") in found["site_q3"]


def test_a_labelset_gives_names_and_groups(tmp_path, table):
    manifest = from_points(
        table,
        tmp_path / "data",
        labelset=table.parent / "labelset.csv",
        not_colony=["Algae", "Sand"],
        ignore=["Off"],
        fold="2/3",
    )
    assert manifest.labels == ("Porites", "Sand", "Turf algae")
    assert manifest.background == ("Sand", "Turf algae")
    assert manifest.photos == {"train": 4, "val": 2, "test": 0}
    assert {label for _, _, label in prepared.points(tmp_path / "data", "val").popitem()[1]} == set(manifest.labels)


def test_points_are_grown_to_superpixels(tmp_path, table):
    pytest.importorskip("skimage")
    manifest = from_points(table, tmp_path / "data", only="train", superpixels=16)
    index = label_of(tmp_path / "data", "site_q5")
    assert index[10, 2] == manifest.labels.index("Sand")
    assert np.count_nonzero(index != 255) > 300
    assert manifest.pixels["Sand"] == 30, "points are counted, not their pixels"


def test_a_point_outside_of_its_photo_skips_the_photo(tmp_path, table):
    points = coralnet.read(table)
    points["site_q1.jpg"] = (Point(64.5, 3.5, "Sand"),)
    points["gone.jpg"] = points["site_q2.jpg"]
    coralnet.write(tmp_path / "t.csv", points)
    manifest = prepare.main(
        tmp_path / "data", coralnet=tmp_path / "t.csv", photos=[table.parent / "photos"], only="val"
    )
    assert {Path(path).name for path in manifest.skipped} == {"site_q1.jpg", "gone.jpg"}
    assert (
        "outside of the photo of 64 x 64 px" in manifest.skipped[str((table.parent / "photos/site_q1.jpg").resolve())]
    )
    assert manifest.photos["val"] == 5


def test_unknown_points_are_refused(tmp_path, table):
    (tmp_path / "c.txt").write_text("Porit\nSand\n")
    with pytest.raises(UnknownLabels, match="labels 'Off', 'Turf' are none of the classes Porit, Sand"):
        from_points(table, tmp_path / "data", classes=tmp_path / "c.txt")
    manifest = from_points(table, tmp_path / "data", classes=tmp_path / "c.txt", unknown="ignore", only="test")
    assert manifest.ignored == {"Off": 1, "Turf": 6}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "expected one source"),
        ({"rendered": Path("r"), "fiftyone": "reef"}, "expected one source"),
        ({"rendered": Path("r"), "coralnet": Path("t.csv")}, "--rendered: only for colonies"),
        ({"coralnet": Path("t.csv")}, "expected one source of points"),
        ({"points": "field"}, "expected one source of points"),
        ({"coralnet": Path("t.csv"), "photos": Path("p"), "ignore_border": 2}, "--ignore-border: only for colonies"),
        ({"fiftyone": "reef", "points": "human", "field": "x", "view": "y"}, "--field, --view: only for colonies"),
        ({"rendered": Path("r"), "view": "y"}, "--field and --view are of a FiftyOne dataset"),
        (
            {"rendered": Path("r"), "superpixels": 9, "not_colony": ["a"]},
            "--not-colony, --superpixels: only for points",
        ),
        ({"rendered": Path("r"), "photos": Path("p"), "min_points": 4}, "--photos, --min-points: only for points"),
        ({"rendered": Path("r"), "level": "species"}, "unknown taxonomy level 'species'"),
        ({"rendered": Path("r"), "unknown": "drop"}, "unknown 'drop'"),
        ({"rendered": Path("r"), "ignore_border": -1}, "expected 0 or more"),
        ({"rendered": Path("r"), "fold": "1/2", "only": "val"}, "expected one of them"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        prepare.main(tmp_path / "data", **options)
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_it_did(tmp_path, table, capsys):
    photos = str(table.parent / "photos")
    arguments = prepare._parse(
        [
            "--coralnet",
            str(table),
            "--photos",
            photos,
            "--out",
            str(tmp_path / "data"),
            "--fold",
            "1/2",
            "--min-points",
            "2",
        ]
    )
    prepare._report(arguments.out, prepare.main(**vars(arguments)))
    said = capsys.readouterr().out
    assert "not known Off: 1 points" in said
    assert "Sand: 15 points, 62.5%" in said
    assert "photos {'train': 3, 'val': 3, 'test': 0}, 3 classes, skipped 0" in said


@real
def test_real_points(tmp_path):
    manifest = prepare.main(
        tmp_path / "data",
        coralnet=REAL / "annotations.csv",
        photos=REAL,
        labelset=REAL / "labelset.csv",
        min_points=20,
        not_colony=["Algae", "Sand", "Off"],
        fold="3/11",
    )
    assert manifest.photos == {"train": 10, "val": 1, "test": 0}
    assert manifest.ignored == {"Monti": 1}
    assert set(manifest.labels) - set(manifest.background) == {"Porites"}
    assert not manifest.skipped
    [(_, label)] = prepared.pairs(tmp_path / "data", "val")
    [points] = prepared.points(tmp_path / "data", "val").values()
    index = prepared.read_label(label)
    assert all(index[int(y), int(x)] == manifest.labels.index(name) for x, y, name in points)


# ---------------------------------------------------------------------------------------------- FiftyOne


@pytest.fixture
def name(request) -> Iterator[str]:
    pytest.importorskip("fiftyone")
    from data_engineering import dataset

    name = f"dinov2-mmseg-{request.node.name}"
    yield name
    if dataset.fo.dataset_exists(name):
        dataset.fo.delete_dataset(name)


def test_a_real_fiftyone_dataset_of_masks(tmp_path, rendered, name):
    from data_engineering import dataset

    dataset.from_rendered(rendered, name, overwrite=True)
    prepare.main(tmp_path / "a", fiftyone=name, val=0.3, test=0.2, seed=1)
    prepare.main(tmp_path / "b", rendered=rendered, val=0.3, test=0.2, seed=1)
    for split in prepared.SPLITS:
        ours, theirs = (prepared.pairs(tmp_path / folder, split) for folder in ("a", "b"))
        assert [label.read_bytes() for _, label in ours] == [label.read_bytes() for _, label in theirs]
    assert prepare.main(tmp_path / "c", fiftyone=name, fold="1/5").photos == {"train": 8, "val": 2, "test": 0}


def test_a_real_fiftyone_dataset_of_closed_polylines(tmp_path, name):
    from data_engineering.labels import fo

    photo = write_photo(tmp_path / "a.jpg")
    ring = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.5), (0.25, 0.5)]
    closed = fo.Polyline(label="Porites", points=[ring], closed=True, filled=True)
    line = fo.Polyline(label="Acropora", points=[[(0, 0.9), (1, 0.9)]], closed=False, filled=False)
    sample = fo.Sample(filepath=str(photo), ground_truth=fo.Polylines(polylines=[closed, line]))
    fo.Dataset(name).add_sample(sample)
    manifest = prepare.main(tmp_path / "data", fiftyone=name, only="train")
    expected = np.zeros((SIDE, SIDE), np.uint8)
    expected[16:32, 16:48] = manifest.labels.index("Porites")
    np.testing.assert_array_equal(label_of(tmp_path / "data", "a"), expected)


def test_a_real_fiftyone_field_of_points(tmp_path, name):
    from data_engineering.labels import fo

    def keypoint(label: str | None, *xy: tuple[float, float]) -> fo.Keypoint:
        return fo.Keypoint(label=label, points=[((x + 0.5) / SIDE, (y + 0.5) / SIDE) for x, y in xy])

    hidden = float("nan")
    fields = {
        "a": [
            keypoint("Sand", (3, 4)),
            keypoint("Sand", (9, 8), (hidden, hidden), (63, 63)),
            keypoint("Porit", (0, 0)),
        ],
        "b": [keypoint("Porit", (1, 2)), keypoint(None, (5, 5))],
        "outside": [keypoint("Sand", (64, 3))],
        "empty": [],
    }
    samples = [
        fo.Sample(filepath=str(write_photo(tmp_path / f"{stem}.jpg")), human=fo.Keypoints(keypoints=found), tags=[tag])
        for (stem, found), tag in zip(fields.items(), ("train", "val", "val", "val"), strict=True)
    ]
    samples.append(fo.Sample(filepath=str(write_photo(tmp_path / "none.jpg")), tags=["train"]))
    fo.Dataset(name).add_samples(samples)
    manifest = prepare.main(tmp_path / "data", fiftyone=name, points="human", not_colony=["Sand"])
    assert manifest.labels == ("Porit", "Sand")
    assert manifest.background == ("Sand",)
    assert manifest.photos == {"train": 1, "val": 1, "test": 0}
    assert manifest.pixels == {"Porit": 1, "Sand": 3}
    assert {Path(path).stem for path in manifest.skipped} == {"outside", "empty", "none"}
    assert manifest.trained_on == f"points human of FiftyOne dataset {name}"
    expected = np.full((SIDE, SIDE), 255, np.uint8)
    expected[4, 3] = expected[8, 9] = expected[63, 63] = 1
    expected[0, 0] = 0
    np.testing.assert_array_equal(label_of(tmp_path / "data", "a"), expected)
    assert prepare.main(tmp_path / "fold", fiftyone=name, points="human", fold="1/2").photos["val"] == 1
    with pytest.raises(ValueError, match=r"no field 'humans' of keypoints \(there are: human\)"):
        prepare.main(tmp_path / "other", fiftyone=name, points="humans")


def test_coralnet_points_in_fiftyone_give_the_same_folder(tmp_path, table, name):
    from data_engineering import dataset, point_labels

    source = point_labels.PointSource(table, [table.parent / "photos"])
    dataset.create(name, [(photo, load()) for photo, load in source.samples()], field="human")
    from_points(table, tmp_path / "a", only="train")
    prepare.main(tmp_path / "b", fiftyone=name, points="human_keypoints", only="train")
    ours, theirs = (prepared.pairs(tmp_path / folder, "train") for folder in ("a", "b"))
    assert len(ours) == 6
    for (_, one), (_, other) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(prepared.read_label(one), prepared.read_label(other))


def test_keypoints_of_a_quadrat_are_no_shapes_of_a_class_map(tmp_path):
    corners = Keypoints("quadrat_corner", ("1", "2"), np.array([[1.0, 2.0], [3.0, 4.0]]))
    write_sample(tmp_path / "rendered", "q0", corners, *colonies(Porites=disc((30, 30), 9)))
    manifest = prepare.main(tmp_path / "data", rendered=tmp_path / "rendered", only="train")
    assert manifest.photos["train"] == 1
    assert label_of(tmp_path / "data", "q0")[3, 2] == 0
