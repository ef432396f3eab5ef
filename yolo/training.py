"""Prepared folder + settings -> weights, in a run folder that says all about how they were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from quadrat import experiment, files, held_out
from quadrat.predictor import Card, write_card
from yolo import folder, framework
from yolo.settings import ON_RESUME, OVERFIT_REPEATS, Settings, for_overfitting, to_ultralytics

EXIT_STOPPED = 130
RESULT_FILE = "result.json"
"""Metrics of the best weights on the validation photos; lies in the run folder once training is over."""


@dataclass(frozen=True)
class Job:
    """What one module's training is made of.

    Attributes:
        module: whose runs these are.
        settings: its dataclass of settings.
        ours: those that ultralytics does not know.
        check: raises `ValueError` where a prepared folder does not fit the settings.
        task: ultralytics' name of the task: ``segment``, ``detect`` or ``pose``.
        card: what a reader must know of the weights of a run, from the run's name and the prepared folder.
        beside: files of the prepared folder that belong beside the weights.
    """

    module: str
    settings: type[Settings]
    ours: tuple[str, ...]
    check: Callable[[Any, Path], None]
    task: Callable[[Any], str]
    card: Callable[[str, Path], Card]
    beside: Callable[[Path], Sequence[Path]] = lambda _: ()


def train(
    job: Job,
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
        job: the module's part in it.
        data: a prepared folder.
        config: a file of the module's ``configs``; `None` means the defaults of its settings.
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
    card = job.card(name or "", data)
    held_out.check(data, folder.used(data))
    settings = None if resume else settings_of(job, config, overrides, overfit)
    run = experiment.open_run(job.module, name, resume=resume)
    settings = settings or _settings_to_resume(job, run, data, config, overrides, overfit)
    job.check(settings, data)
    if overfit:
        _write_overfit_dataset(run, data, overfit)
    experiment.write_provenance(run, settings, data=data, seed=seed)
    _write_cards(run, card if name else job.card(run.name, data), job.beside(data))
    dataset = run / "overfit.yaml" if (run / "overfit.yaml").is_file() else data / "dataset.yaml"
    arguments = {
        **to_ultralytics(settings, job.ours),
        "task": job.task(settings),
        "data": str(dataset.resolve()),
        "device": _ultralytics_device(device),
        "seed": seed,
        "deterministic": deterministic,
        "project": job.module,
        "name": run.name,
        "save_dir": str(run.resolve()),
        "exist_ok": True,
    }
    return run, _fit(run, arguments, resume)


def settings_of(job: Job, config: Path | None, overrides: Sequence[str], overfit: int) -> Any:
    """The settings that a command line asks for."""
    settings = experiment.resolve_config(job.settings, config)
    if overfit:
        settings = for_overfitting(settings, overfit)
    return _override(settings, overrides)


def _override(settings: Any, overrides: Sequence[str]) -> Any:
    return experiment.resolve_config(settings, None, overrides)  # OmegaConf takes instances


def _settings_to_resume(
    job: Job, run: Path, data: Path, config: Path | None, overrides: Sequence[str], overfit: int
) -> Any:
    """The run's settings with what may change; everything else asked for must be as it was."""
    before = experiment.resolve_config(job.settings, run / "config.yaml")
    asked = config or overfit
    wanted = settings_of(job, config, overrides, overfit) if asked else _override(before, overrides)
    pretrained = f"pretrained={run}/weights/best.pt"
    experiment.check_resume(run, asdict(before), asdict(wanted), ON_RESUME, data, run / RESULT_FILE, pretrained)
    return wanted


def _ultralytics_device(device: str | None) -> str:
    """Its names: empty for the best there is, a number for one GPU, a comma list for several."""
    if device == "cuda":
        return "0"
    return (device or "").removeprefix("cuda:")


def _write_overfit_dataset(run: Path, data: Path, count: int) -> None:
    photos = [photo for photo in folder.photos(data, "train") if folder.labels_of(photo).stat().st_size][:count]
    if len(photos) < count:
        raise ValueError(f"--overfit {count}: {data} has only {len(photos)} training photos with something to find")
    lines = "".join(f"{photo.absolute()}\n" for photo in photos)
    files.write_text(run / "overfit.txt", lines)
    files.write_text(run / "overfit_repeated.txt", lines * OVERFIT_REPEATS)
    kept = yaml.safe_load((data / "dataset.yaml").read_text("utf-8"))
    kept = {key: value for key, value in kept.items() if key not in folder.SPLITS}
    dataset = {"path": str(run.resolve()), "train": "overfit_repeated.txt", "val": "overfit.txt", **kept}
    files.write_text(run / "overfit.yaml", yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True))


def _write_cards(run: Path, card: Card, beside: Sequence[Path]) -> None:
    (run / "weights").mkdir(exist_ok=True)
    for name in ("best.pt", "last.pt"):
        write_card(run / "weights" / name, card)
    for path in beside:
        files.write_bytes(run / "weights" / path.name, path.read_bytes())


def _fit(run: Path, arguments: dict[str, Any], resume: bool) -> dict[str, float] | None:
    last = run / "weights" / "last.pt"
    pretrained = arguments["pretrained"]
    if resume and last.is_file():  # none yet if the first epoch was cut short: then from the start
        arguments.update(resume=str(last), pretrained=False)
    elif pretrained:
        arguments["pretrained"] = framework.fetch_weights(str(pretrained))
    framework.quiet()
    from yolo.trainer import TRAINERS, Stopped

    try:
        TRAINERS[arguments["task"]](overrides=arguments).train()
    except Stopped:
        return None
    return json.loads((run / RESULT_FILE).read_text("utf-8"))
