from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass, field

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quadrat import experiment
from quadrat.experiment import ConfigError


@dataclass
class Augment:
    mosaic: float = 1.0


@dataclass
class Config:
    epochs: int = 100
    model: str = "yolo11n-seg"
    pretrained: str | None = None
    augment: Augment = field(default_factory=Augment)


def test_later_layers_win(tmp_path):
    (tmp_path / "base.yaml").write_text("epochs: 7\nmodel: yolo11s-seg\naugment: {mosaic: 0.5}\n")
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "m.yaml").write_text("base: ../base.yaml\nmodel: yolo11m-seg\n")
    config = experiment.resolve_config(Config, tmp_path / "nets" / "m.yaml", ["augment.mosaic=0"])
    assert config == Config(7, "yolo11m-seg", None, Augment(0.0))
    assert yaml.safe_load(experiment.config_to_yaml(config))["augment"] == {"mosaic": 0.0}


@given(st.integers(-(10**9), 10**9), st.floats(0, 1))
def test_overrides_keep_their_type(epochs, mosaic):
    config = experiment.resolve_config(Config, None, [f"epochs={epochs}", f"augment.mosaic={mosaic}"])
    assert config.epochs == epochs
    assert config.augment.mosaic == pytest.approx(mosaic)


def test_a_key_without_a_value_is_empty_text_and_not_null():
    config = experiment.resolve_config(Config(pretrained="yolo11n-seg.pt"), None, ["model=", "pretrained="])
    assert (config.model, config.pretrained) == ("", "")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "did you mean epochs"),
        ("augment.mosaik=3", r"did you mean augment\.mosaic"),
        ("epochs=many", "epochs"),
        ("zzzzzz=1", "known keys: epochs"),
        ("epochs", "expected key=value"),
    ],
)
def test_wrong_overrides_name_key_and_fix(override, message):
    with pytest.raises(ConfigError, match=message):
        experiment.resolve_config(Config, None, [override])


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.yaml: no such"):
        experiment.resolve_config(Config, tmp_path / "no.yaml")
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(ConfigError, match="comes back to itself"):
        experiment.resolve_config(Config, tmp_path / "a.yaml")
    (tmp_path / "c.yaml").write_text("epohcs: 3\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: unknown key 'epohcs'; did you mean epochs"):
        experiment.resolve_config(Config, tmp_path / "c.yaml")
    (tmp_path / "d.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="expected `key: value`"):
        experiment.resolve_config(Config, tmp_path / "d.yaml")


def test_run_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("QUADRATSEG_RUNS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="start one"):
        experiment.open_run("yolo", None, resume=True)
    run = experiment.open_run("yolo", "first")
    experiment.write_provenance(run, Config(), seed=3)
    assert yaml.safe_load((run / "config.yaml").read_text())["epochs"] == 100
    with pytest.raises(FileExistsError, match="--resume"):
        experiment.open_run("yolo", "first")
    assert experiment.open_run("yolo", None, resume=True) == run
    assert experiment.find_run("yolo", "first") == experiment.find_run("yolo", run) == run
    with pytest.raises(FileNotFoundError, match="there are: first"):
        experiment.find_run("yolo", "second")


def test_provenance_says_what_made_the_run(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    experiment.write_provenance(tmp_path, Config(), data=tmp_path / "data", seed=5)
    facts = yaml.safe_load((tmp_path / "provenance.json").read_text())
    assert facts["seed"] == 5
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["data"]["fingerprint"] == experiment.fingerprint(tmp_path / "data")


def test_fingerprint_follows_names_sizes_and_contents(tmp_path):
    big = bytes(1000)
    (tmp_path / "a").write_bytes(big)

    def digest() -> str:
        return experiment.fingerprint(tmp_path, whole_below=100, part=10)

    seen = {digest()}
    (tmp_path / "a").write_bytes(big[:-1] + b"1")
    seen.add(digest())
    (tmp_path / "a").rename(tmp_path / "b")
    seen.add(digest())
    (tmp_path / "c").write_bytes(b"")
    seen.add(digest())
    assert len(seen) == 4
    assert digest() == digest()
    (tmp_path / "labels.cache").write_bytes(b"made by a trainer")
    assert digest() in seen


def test_seeds_repeat():
    def draw() -> tuple[float, float]:
        experiment.seed_everything(7)
        return random.random(), float(np.random.rand())  # noqa: NPY002

    assert draw() == draw()


@pytest.mark.parametrize("number", experiment.STOP_SIGNALS)
def test_first_signal_raises_the_flag_second_stops(number):
    before = signal.getsignal(number)
    with experiment.stop_on_signals() as flag:
        assert not flag
        os.kill(os.getpid(), number)
        assert flag
        assert flag.signal == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
