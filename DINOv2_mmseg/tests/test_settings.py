from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data_engineering import taxonomy
from DINOv2_mmseg import fitting, folder, network, settings
from DINOv2_mmseg.folder import Manifest

CONFIGS = sorted(path for path in settings.CONFIGS.glob("*/*.py") if path.parent.name != "_base_")
BUILDABLE = [path for path in CONFIGS if path.name != "base.py"]

LEVELS = {"criobe_finegrained": "genus", "banggai_extended": "extended", "main_families": "family"}


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


# ------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("step=3", "unknown key 'step'; did you mean steps"),
        ("augment.tilt=3", "did you mean tilt_deg"),
        ("losses.dic=3", "did you mean dice"),
        ("augment.turns.x=3", "unknown key 'augment.turns.x'"),
        ("modle.backbone.tune=lora", "unknown key"),
        ("steps", "expected key=value"),
        ("steps=many", "expected a value like"),
        ("steps=1.5", "expected a value like"),
        ("steps=true", "expected a value like"),
        ("steps=none", "expected a value like"),
        ("augment.turns=3", "expected a value like True"),
        ("augment.scales=2", "expected a value like"),
        ("steps=0", "steps is 0: expected at least 1"),
        ("precision=f16", "precision is 'f16': expected f32, bf16"),
        ("class_weights=some", "class_weights is 'some'"),
        ("monitor=loss", "monitor is 'loss': expected miou"),
        ("ema=1.0", "ema is 1.0"),
        ("accumulate=3", "val_period is 500: expected a multiple of accumulate, 3"),
    ],
)
def test_unfit_overrides_are_refused(override: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        settings.read(None, [override])


def test_overrides_are_read_as_what_they_replace() -> None:
    found = settings.read(
        None,
        [
            "steps=7",
            "lr=1",
            "class_weights=none",
            "init=2024",
            "augment.scales=[1, 2]",
            "augment.turns=false",
            "model.backbone.pretrained=",
        ],
    )
    assert (found["steps"], found["lr"], found["class_weights"], found["init"]) == (7, 1, "none", "2024")
    assert (found["augment"]["scales"], found["augment"]["turns"]) == ([1, 2], False)
    assert found["model"]["backbone"]["pretrained"] == ""
    assert settings.read(None, ["classes=['a', 'b']"])["classes"] == ["a", "b"]


def test_a_models_keys_are_free_and_others_are_not() -> None:
    """What goes to mmsegmentation or timm has more keys than a config states."""
    model = settings.read(
        None, ["model.backbone.arguments.qkv_bias=False", "model.decode_head.act_cfg={'type': 'GELU'}"]
    )["model"]
    assert model["backbone"]["arguments"]["qkv_bias"] is False
    assert model["decode_head"]["act_cfg"] == {"type": "GELU"}
    with pytest.raises(ValueError, match="cannot be built.*qkv_bais"):
        network.build(settings.to_json(settings.read(None, ["model.backbone.arguments.qkv_bais=False"]))["model"], 2)


def test_settings_over_a_file_go_under_overrides() -> None:
    found = settings.read(None, ["ema=0.5"], over=settings.OVERFIT)
    assert (found["ema"], found["weight_decay"], found["augment"]["colour"]) == (0.5, 0.0, 0.0)


def test_losses_must_be_known_and_one_of_them_counts() -> None:
    with pytest.raises(ValueError, match="expected one above 0"):
        settings.read(None, ["losses.ce=0", "losses.dice=0"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("_base_ = '{base}/small.py'\nstep = 3", "unknown key 'step'; did you mean steps"),
        ("_base_ = '{base}/settings.py'\nsteps = 3", "no `model`"),
        ("_base_ = '{base}/small.py'\nlosses = dict(cross=1.0)", "unknown key 'cross'"),
        ("steps = = 3", "not readable as a config"),
        ("_base_ = 'nowhere.py'", "not readable as a config"),
    ],
)
def test_files_with_mistakes_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "mine.py").write_text(text.format(base=(settings.CONFIGS / "_base_").as_posix()))
    with pytest.raises(ValueError, match=expected):
        settings.read(tmp_path / "mine.py")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine.py: no such configuration file"):
        settings.read(tmp_path / "mine.py")


def test_the_command_reads_arguments_before_any_framework() -> None:
    code = (
        "import sys, contextlib\nfrom DINOv2_mmseg import train\n"
        "with contextlib.suppress(SystemExit): train.run(['--help'])\n"
        "found = {'torch', 'mmengine', 'mmseg', 'timm'} & set(sys.modules)\nassert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# ------------------------------------------------------------------------------------------ what configs say


@pytest.mark.parametrize("path", sorted(settings.CONFIGS.rglob("*.py")), ids=named)
def test_every_config_says_what_it_is(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert said
    assert said.splitlines()[0].endswith((".", ":")), said


@pytest.mark.parametrize("path", CONFIGS, ids=named)
def test_every_config_is_read_and_its_window_is_of_whole_patches(path: Path) -> None:
    found = settings.read(path)
    assert found["crop_px"] <= found["work_px"]
    assert 0 < found["warmup_steps"] < found["steps"]
    assert not set(settings.to_json(found)) & {"_base_", "_delete_"}


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.parent.name in LEVELS], ids=named)
def test_classes_are_those_of_the_taxonomy(path: Path) -> None:
    labels = taxonomy.labels(LEVELS[path.parent.name])
    assert settings.read(path)["classes"] == [folder.BACKGROUND, *labels]


@pytest.mark.parametrize("path", BUILDABLE, ids=named)
def test_every_config_builds_a_network(path: Path) -> None:
    config = settings.read(path, ["model.backbone.pretrained="])
    labels = tuple(config["classes"] or ("background", "coral"))
    counts = dict.fromkeys(labels, 5)
    manifest = Manifest(labels, labels[:1], "dense", "genus", "", "", 0, {"train": 1, "val": 1}, counts)
    model = fitting.model_of(config, manifest, [])
    with torch.device("meta"):  # shapes alone, at once
        built = network.build(model, len(labels))
    assert built.decode_head.conv_seg.out_channels == len(labels)
    assert config["crop_px"] % network.patch_of(built) == 0
    assert config["work_px"] > 0
    spec = network.Spec(model, labels, labels[:1], config["work_px"], config["crop_px"], network.patch_of(built))
    fitting._check_crop(spec)
    with torch.device("meta"):
        image = torch.zeros(1, 3, config["crop_px"], config["crop_px"])
        shape = network.logits(built.eval(), image).shape
    assert shape[:2] == (1, len(labels))
    assert shape[2] >= config["crop_px"] // network.patch_of(built)


def test_every_dataset_has_the_same_choice_of_models() -> None:
    choice = {name: {path.stem for path in CONFIGS if path.parent.name == name} for name in LEVELS}
    assert len({frozenset(names) for names in choice.values()}) == 1
    assert {"rendered", "points"} <= {p.parent.name for p in CONFIGS}


# ------------------------------------------------------------------------------------------ class weights


def test_class_weights_are_inverse_shares_with_a_mean_of_1() -> None:
    labels = ("a", "b", "c")
    manifest = Manifest(labels, ("a",), "dense", "", "", "", 0, {}, {"a": 400, "b": 100, "c": 100})
    assert fitting.class_weights("none", manifest, []) is None
    assert fitting.class_weights("balanced", manifest, []) == pytest.approx([1 / 3, 4 / 3, 4 / 3], abs=1e-3)
    assert fitting.class_weights("sqrt", manifest, []) == pytest.approx([0.6, 1.2, 1.2], abs=1e-3)
    rare = Manifest(labels, ("a",), "dense", "", "", "", 0, {}, {"a": 10**9, "b": 10**9, "c": 1})
    assert max(fitting.class_weights("balanced", rare, [])) <= 10


def test_a_crop_of_broken_patches_is_refused_with_one_that_fits() -> None:
    spec = network.Spec({}, ("a",), (), 64, 100, 14)
    with pytest.raises(ValueError, match="crop_px is 100: expected a multiple of the patch, 14 px, such as 98"):
        fitting._check_crop(spec)
