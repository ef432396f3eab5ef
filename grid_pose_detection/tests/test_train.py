from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from grid_pose_detection import prepare, settings, train
from grid_pose_detection.tests.test_prepare import write_quadrat
from quadrat import experiment, held_out
from quadrat.held_out import HeldOutError
from quadrat.predictor import read_card
from yolo import settings as shared

CONFIGS = Path(__file__).parents[1] / "configs"
TINY = ["imgsz=64", "batch=2", "nbs=2", "plots=False", "warmup_epochs=0", "epochs=1", "cache="]
LAYOUTS = {"corners": ["corners"], "grid": ["grid11x11", "grid9x13"]}


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUADRATSEG_RUNS", str(tmp_path / "runs"))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rendered")
    for number in range(8):
        write_quadrat(root, f"reef_2024_q{number}", ("grid11x11", "grid9x13", None)[number % 3])
    return root


@pytest.mark.parametrize("task", list(LAYOUTS))
@pytest.mark.parametrize("formulation", ["points", "pose"])
def test_a_run_ends_with_weights_and_a_card_that_names_the_layouts(
    task: str, formulation: str, rendered: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("lattice: {columns: 9, rows: 13}\n")
    layouts = [*LAYOUTS[task], *([own] if task == "grid" else [])]
    data = tmp_path / "data"
    prepare.main(data, layouts=layouts, formulation=formulation, rendered=rendered, val=0.4, test=0)
    config = CONFIGS / task / f"yolo11n-{formulation}.yaml"
    run, metrics = train.main(data, config=config, overrides=[*TINY, "pretrained="], name="a", device="cpu")
    assert metrics is not None
    assert metrics["epochs"] == 1
    card = read_card(run / "weights" / "best.pt")
    assert card is not None
    assert card.labels == (("quadrat_corner",) if task == "corners" else ("grid",))
    assert card.layouts == tuple(Path(name).name for name in layouts)
    assert card.task == "keypoints"
    assert "rendered quadrats only" in card.note
    assert (run / "weights" / "own.yaml").is_file() == (task == "grid")
    assert (run / "curves.png").is_file()


def test_a_folder_of_the_other_formulation_or_label_is_refused(rendered: Path, tmp_path: Path) -> None:
    prepare.main(tmp_path / "data", layouts=["corners"], rendered=rendered, val=0.4, test=0)
    for config, message in (
        ("corners/yolo11n-pose.yaml", "has formulation 'points', the config wants 'pose'"),
        ("grid/yolo11n-points.yaml", "has label 'quadrat_corner', the config wants 'grid'"),
    ):
        with pytest.raises(ValueError, match=message):
            train.main(tmp_path / "data", config=CONFIGS / config, overrides=TINY, device="cpu")
    with pytest.raises(ValueError, match="-pose belongs to pose"):
        train.main(tmp_path / "data", overrides=[*TINY, "model=yolo11n-pose"], device="cpu")


@pytest.mark.parametrize("split", ["train", "val"])
def test_photos_of_the_test_split_are_refused(rendered: Path, tmp_path: Path, split: str) -> None:
    data = tmp_path / "data"
    prepare.main(data, layouts=["corners"], rendered=rendered, val=0.4, test=0)
    photo = sorted((data / "images" / split).iterdir())[0]
    held_out.write(data, {"train": [], "val": [], "test": [photo]})
    with pytest.raises(HeldOutError, match="prepared with --only test"):
        train.main(data, overrides=TINY, device="cpu")
    (data / held_out.FILE).unlink()
    photo.rename(data / "images" / "test" / photo.name)
    (data / "images" / split / f"again{photo.suffix}").symlink_to(data / "images" / "test" / photo.name)
    with pytest.raises(HeldOutError, match=rf"photos for {split} .*again\.jpg"):
        train.main(data, overrides=TINY, device="cpu")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("yolo*.yaml")), ids=lambda path: path.parent.name + path.stem)
def test_every_config_is_complete_and_known(path: Path) -> None:
    made = experiment.resolve_config(settings.Settings, path)
    assert made.formulation == ("pose" if made.model.endswith("-pose") else "points")
    assert made.label == ("quadrat_corner" if path.parent.name == "corners" else "grid")
    assert made.formulation in path.stem


def test_every_setting_is_ours_or_one_that_ultralytics_knows() -> None:
    import ultralytics
    import yaml

    known = yaml.safe_load((Path(ultralytics.__file__).parent / "cfg" / "default.yaml").read_text())
    names = {field.name for field in fields(settings.Settings)}
    assert names - set(known) == set(settings.OURS)
    assert set(shared.to_ultralytics(settings.Settings(), settings.OURS)) == names - set(settings.OURS)
