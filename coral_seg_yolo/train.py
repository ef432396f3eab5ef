"""Prepared folder + config -> weights, in a run folder that says all about how they were made.

    python -m coral_seg_yolo.train --data data/rendered --config coral_seg_yolo/configs/rendered/yolo11n.yaml --name a
    python -m coral_seg_yolo.train --data data/rendered --name a --resume
    python -m coral_seg_yolo.train --data data/rendered --config FILE epochs=20 imgsz=512 --device 0,1

Ctrl-C, SIGTERM and SIGUSR1 end it after the batch; `--resume` goes on with the epoch that was cut short.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import yaml

from coral_seg_yolo import folder as prepared
from coral_seg_yolo import framework
from coral_seg_yolo.settings import ON_RESUME, OVERFIT_REPEATS, Settings, for_overfitting, to_ultralytics
from quadrat import experiment, files
from quadrat.predictor import Card, write_card

MODULE = "coral_seg_yolo"
EXIT_STOPPED = 130


def main(
    data: Path,
    *,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    resume: bool = False,
    overfit: int = 0,
    device: str | None = None,
    seed: int = 0,
    deterministic: bool = False,
) -> tuple[Path, dict[str, float] | None]:
    """Train, or go on with a run.

    Args:
        data: a folder of `coral_seg_yolo.prepare`.
        config: a file of `coral_seg_yolo/configs`; `None` means the defaults of `Settings`.
        overrides: ``key=value`` over the config.
        name: of the run; `None` takes date and time, or with `resume` the latest run.
        resume: go on from the run's `last.pt` with the run's own settings (`ON_RESUME` may be overridden).
        overfit: train and validate on the same so many photos; 0 for all.
        device: ``cpu``, ``cuda``, ``0``, ``0,1``, ``mps``; `None` takes a GPU if there is one.
        seed: of weights, order and augmentation.
        deterministic: use only algorithms that give the same numbers again.

    Returns:
        The run folder, and the metrics of the best weights on the validation photos; ``None`` if a signal ended it.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: a setting, the folder or the run does not fit.
    """
    manifest = prepared.read(data)
    settings = None if resume else _settings(config, overrides, overfit)
    run = experiment.open_run(MODULE, name, resume=resume)
    settings = settings or _settings_to_resume(run, data, config, overrides, overfit)
    if settings.level not in ("", manifest.level):
        raise ValueError(f"{data} has labels of level {manifest.level!r}, the config wants level {settings.level!r}")
    if overfit:
        _write_overfit_dataset(run, data, overfit)
    experiment.write_provenance(run, settings, data=data, seed=seed)
    _write_cards(run, manifest)
    dataset = run / "overfit.yaml" if (run / "overfit.yaml").is_file() else data / "dataset.yaml"
    arguments = {
        **to_ultralytics(settings),
        "task": "segment",
        "data": str(dataset.resolve()),
        "device": _ultralytics_device(device),
        "seed": seed,
        "deterministic": deterministic,
        "project": MODULE,
        "name": run.name,
        "save_dir": str(run.resolve()),
        "exist_ok": True,
    }
    return run, _fit(run, arguments, resume)


def _settings(config: Path | None, overrides: Sequence[str], overfit: int) -> Settings:
    settings = experiment.resolve_config(Settings, config)
    if overfit:
        settings = for_overfitting(settings, overfit)
    return _override(settings, overrides)


def _override(settings: Settings, overrides: Sequence[str]) -> Settings:
    return experiment.resolve_config(settings, None, overrides)  # type: ignore[arg-type]  # OmegaConf takes instances


def _settings_to_resume(run: Path, data: Path, config: Path | None, overrides: Sequence[str], overfit: int) -> Settings:
    """The run's settings with what may change; everything else asked for must be as it was."""
    if (run / "result.json").is_file():
        raise ValueError(f"{run} is finished: start a new run, for example with pretrained={run}/weights/best.pt")
    before = experiment.resolve_config(Settings, run / "config.yaml")
    wanted = _settings(config, overrides, overfit) if config or overfit else _override(before, overrides)
    changed = [key for key, value in asdict(before).items() if getattr(wanted, key) != value and key not in ON_RESUME]
    if changed:
        raise ValueError(
            f"{run} cannot go on with another {', '.join(changed)}: only {', '.join(ON_RESUME)} may change"
        )
    known = json.loads((run / "provenance.json").read_text("utf-8"))["data"]["fingerprint"]
    if experiment.fingerprint(data) != known:
        raise ValueError(f"{data} is not what {run} was trained on (fingerprint {known}): start a new run")
    return wanted


def _ultralytics_device(device: str | None) -> str:
    """Its names: empty for the best there is, a number for one GPU, a comma list for several."""
    if device == "cuda":
        return "0"
    return (device or "").removeprefix("cuda:")


def _write_overfit_dataset(run: Path, data: Path, count: int) -> None:
    photos = [photo for photo in prepared.photos(data, "train") if prepared.labels_of(photo).stat().st_size][:count]
    if len(photos) < count:
        raise ValueError(f"--overfit {count}: {data} has only {len(photos)} training photos with colonies")
    lines = "".join(f"{photo.absolute()}\n" for photo in photos)
    files.write_text(run / "overfit.txt", lines)
    files.write_text(run / "overfit_repeated.txt", lines * OVERFIT_REPEATS)
    names = yaml.safe_load((data / "dataset.yaml").read_text("utf-8"))["names"]
    dataset = {"path": str(run.resolve()), "train": "overfit_repeated.txt", "val": "overfit.txt", "names": names}
    files.write_text(run / "overfit.yaml", yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True))


def _write_cards(run: Path, manifest: prepared.Manifest) -> None:
    (run / "weights").mkdir(exist_ok=True)
    card = Card(run.name, "instances", manifest.labels, trained_on=manifest.trained_on, note=manifest.note)
    for name in ("best.pt", "last.pt"):
        write_card(run / "weights" / name, card)


def _fit(run: Path, arguments: dict[str, object], resume: bool) -> dict[str, float] | None:
    last = run / "weights" / "last.pt"
    pretrained = arguments["pretrained"]
    if resume and last.is_file():  # none yet if the first epoch was cut short: then from the start
        arguments.update(resume=str(last), pretrained=False)
    elif pretrained:
        arguments["pretrained"] = framework.fetch_weights(str(pretrained))
    framework.quiet()
    from coral_seg_yolo.trainer import RESULT_FILE, Stopped, Trainer

    try:
        Trainer(overrides=arguments).train()
    except Stopped:
        return None
    return json.loads((run / RESULT_FILE).read_text("utf-8"))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coral_seg_yolo.train", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of coral_seg_yolo.prepare")
    experiment.add_common_arguments(parser)
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    try:
        folder, metrics = main(**vars(_parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"train: {error}")
    if metrics is None:
        print(f"{folder}: stopped; go on with --resume --name {folder.name}")
        sys.exit(EXIT_STOPPED)
    print(f"{folder}: mask mAP50 {metrics['metrics/mAP50(M)']:.3f}, mAP50-95 {metrics['metrics/mAP50-95(M)']:.3f}")
