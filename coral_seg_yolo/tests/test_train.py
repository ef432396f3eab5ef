from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

from coral_seg_yolo import prepare, settings, train
from quadrat import experiment, images
from quadrat.experiment import ConfigError
from quadrat.held_out import HeldOutError
from quadrat.predictor import read_card
from yolo import settings as shared
from yolo import training

CONFIGS = Path(__file__).parents[1] / "configs"
TINY = ["imgsz=64", "batch=4", "nbs=4", "plots=False", "warmup_epochs=0"]


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUADRATSEG_RUNS", str(tmp_path / "runs"))


def epochs_in(run: Path) -> list[int]:
    with (run / "results.csv").open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def stop_when_there_is(path: Path) -> None:
    def watch() -> None:
        while not path.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def test_a_run_is_stopped_by_a_signal_and_goes_on(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "coral_seg_yolo" / "a"
    stop_when_there_is(run / "weights" / "last.pt")
    overrides = [*TINY, "epochs=4", "val_period=2", "keep_best=2", "monitor=metrics/mAP50(B)"]
    folder, metrics = train.main(data, overrides=overrides, name="a", device="cpu")
    assert folder.resolve() == run.resolve()
    assert metrics is None
    done = epochs_in(run)
    assert 0 < len(done) < 4
    assert not (run / "result.json").exists()

    with pytest.raises(ValueError, match="another lr0"):
        train.main(data, overrides=["lr0=0.5"], name="a", resume=True, device="cpu")
    _, metrics = train.main(data, name="a", resume=True, device="cpu")
    assert epochs_in(run) == [1, 2, 3, 4]
    assert metrics is not None
    assert 0 <= metrics["metrics/mAP50(M)"] <= 1
    with (run / "results.csv").open() as file:
        measured = [row["metrics/mAP50(M)"] for row in csv.DictReader(file)]
    assert [value == "nan" for value in measured] == [True, False, True, False]  # val_period=2
    assert min(images.read(run / "curves.png").shape[:2]) > 400
    kept = list((run / "weights").glob("epoch*-*.pt"))
    assert len(kept) == 2, "epochs 2 and 4 were validated"
    for name in ("config.yaml", "provenance.json", "weights/best.pt", "weights/last.pt"):
        assert (run / name).is_file()
    card = read_card(run / "weights" / "best.pt")
    assert card is not None
    assert len(card.labels) == 16
    assert "rendered quadrats only" in card.note

    with pytest.raises(ValueError, match="is finished"):
        train.main(data, name="a", resume=True, device="cpu")
    with pytest.raises(FileExistsError, match="--resume"):
        train.main(data, name="a", device="cpu")


def test_data_that_changed_is_not_resumed_on(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "coral_seg_yolo" / "a"
    run.mkdir(parents=True)
    experiment.write_provenance(run, settings.Settings(), data=tmp_path, seed=0)
    with pytest.raises(ValueError, match="is not what .* was trained on"):
        train.main(data, name="a", resume=True, device="cpu")


@pytest.mark.parametrize(
    ("override", "message"),
    [("epoch=3", "did you mean epochs"), ("imgsz=large", "imgsz"), ("epochs", "expected key=value")],
)
def test_overrides_that_do_not_fit(data: Path, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train.main(data, overrides=[override], name="a", device="cpu")
    assert not (tmp_path / "runs").exists(), "a run folder was made for nothing"


def test_labels_of_another_level_are_refused(data: Path) -> None:
    with pytest.raises(ValueError, match="level 'genus', the config wants level 'family'"):
        train.main(data, config=CONFIGS / "main_families" / "yolo11n.yaml", device="cpu")


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """A copy of the prepared folder, to be changed."""
    return Path(shutil.copytree(data, tmp_path / "own", symlinks=True))


@pytest.mark.parametrize("split", ["train", "val"])
def test_photos_of_the_test_split_are_refused_wherever_they_were_moved(own: Path, tmp_path: Path, split: str) -> None:
    photo = next((own / "images" / "test").iterdir())
    photo.rename(own / "images" / split / f"renamed{photo.suffix}")
    with pytest.raises(HeldOutError, match=rf"photos for {split} .*renamed\.jpg \(the same file as {photo.stem}\)"):
        train.main(own, name="a", device="cpu")
    assert not (tmp_path / "runs").exists(), "a run folder was made for nothing"


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("listed", [False, True])
def test_a_dataset_file_that_points_at_the_test_split_is_refused(own: Path, split: str, listed: bool) -> None:
    place = "images/test"
    if listed:
        place = "mine.txt"
        names = [f"./images/test/{photo.name}\n" for photo in (own / "images" / "test").iterdir()]
        (own / place).write_text("".join(names))
    raw = yaml.safe_load((own / "dataset.yaml").read_text())
    (own / "dataset.yaml").write_text(yaml.safe_dump({**raw, split: ["images/train", place]}))
    with pytest.raises(HeldOutError, match=f"photos for {split} are of the test split"):
        train.main(own, name="a", device="cpu")


def test_a_folder_for_evaluation_is_refused(rendered: Path, tmp_path: Path) -> None:
    prepare.main(tmp_path / "data", rendered=rendered, only="test")
    for overfit in (0, 2):
        with pytest.raises(HeldOutError, match="was prepared with --only test"):
            train.main(tmp_path / "data", overfit=overfit, device="cpu")


def test_no_setting_names_other_photos(data: Path) -> None:
    for override in ("data=elsewhere.yaml", "split=test"):
        with pytest.raises(ConfigError, match="unknown key"):
            train.main(data, overrides=[override], device="cpu")


def test_overfitting_wants_as_many_photos(data: Path) -> None:
    with pytest.raises(ValueError, match="--overfit 50"):
        train.main(data, overfit=50, device="cpu")


def test_overfit_settings_give_way_to_overrides_and_keep_the_steps() -> None:
    config = CONFIGS / "rendered" / "yolo11n.yaml"
    made = training.settings_of(train.JOB, config, ["imgsz=128", "fliplr=0.5"], 2)
    assert (made.imgsz, made.fliplr, made.flipud, made.batch) == (128, 0.5, 0.0, 2)
    for count in (1, 2, 7, 64):
        made = training.settings_of(train.JOB, config, [], count)
        steps = made.epochs * shared.OVERFIT_REPEATS * -(-count // made.batch)
        assert shared.OVERFIT_STEPS <= steps <= 4 * shared.OVERFIT_STEPS + 640


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/yolo*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_config_names_a_network_and_a_level_that_exist(path: Path) -> None:
    import ultralytics

    from data_engineering import taxonomy

    made = experiment.resolve_config(settings.Settings, path)
    assert made.model == f"{path.stem}-seg"
    assert taxonomy.labels(made.level)
    family = made.model.removeprefix("yolo")[:2]
    assert (Path(ultralytics.__file__).parent / "cfg" / "models" / family / f"yolo{family}-seg.yaml").is_file()
    assert made.pretrained == ("" if path.parent.name == "rendered" else f"{made.model}.pt")


def test_settings_are_keys_that_ultralytics_knows() -> None:
    import ultralytics

    known = yaml.safe_load((Path(ultralytics.__file__).parent / "cfg" / "default.yaml").read_text())
    names = {field.name for field in fields(settings.Settings)}
    assert names - set(known) == set(settings.OURS)
    assert set(shared.ON_RESUME) <= names
    assert set(shared.to_ultralytics(settings.Settings(), settings.OURS)) == names - set(settings.OURS)
    assert asdict(settings.Settings())["model"] == "yolo11n-seg"


def test_a_pretrained_name_that_is_not_to_be_had_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from yolo import framework

    framework.quiet()
    from ultralytics.utils import downloads

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(downloads, "safe_download", offline)
    with pytest.raises(FileNotFoundError, match="pretrained=PATH"):
        framework.fetch_weights("yolo11n-seg.pt")


def test_train_needs_no_fiftyone_and_parsing_no_framework() -> None:
    code = (
        "import sys, coral_seg_yolo.train as t; t._parse(['--data', 'x', 'epochs=1', '--name', 'a', 'imgsz=64']); "
        "print([m for m in ('torch', 'ultralytics', 'fiftyone', 'data_engineering') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_two_rendered_quadrats_are_learnt_by_heart(tmp_path: Path) -> None:
    from coral_seg_yolo import evaluate, prepare

    subprocess.run(
        [sys.executable, "-m", "data_engineering.render", "--out", str(tmp_path / "r"), "--count", "12", "--seed", "5"]
        + ["--size", "960"],
        check=True,
    )
    prepare.main(tmp_path / "data", rendered=tmp_path / "r", val=0.25, test=0)
    config = CONFIGS / "rendered" / "yolo11n.yaml"
    _, metrics = train.main(tmp_path / "data", config=config, overfit=2, name="overfit", device="cpu")
    assert metrics is not None
    assert metrics["metrics/mAP50(M)"] > 0.9
    again = evaluate.main("overfit", data=tmp_path / "data", split="train")
    assert again["colonies"] > 0
