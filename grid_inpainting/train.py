"""Prepared folder + config -> weights, in a run folder that says all about how they were made.

    python -m grid_inpainting.train --data data/strings --config grid_inpainting/configs/rendered/lama-small.yaml
    python -m grid_inpainting.train --data data/strings --name first --resume
    python -m grid_inpainting.train --data data/reef --config FILE init=big-lama.safetensors --device 0,1

Ctrl-C, SIGTERM and SIGUSR1 end it after the step; `--resume` goes on with the next one, and draws the samples that an
unbroken run would have drawn.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from grid_inpainting import folder
from grid_inpainting.settings import ON_RESUME, Settings, for_overfitting
from quadrat import experiment, files, held_out
from quadrat.predictor import Card

MODULE = "grid_inpainting"
EXIT_STOPPED = 130
RESULT_FILE = "result.json"
"""Figures of the best weights on the validation samples; lies in the run folder once training is over."""


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
        data: a folder of `grid_inpainting.prepare`.
        config: a file of `configs`; `None` means the defaults of `settings.Settings`.
        overrides: ``key=value`` over the config.
        name: of the run; `None` takes date and time, or with `resume` the latest run.
        resume: go on from the run's ``last.ckpt`` with the run's own settings (`settings.ON_RESUME` may be overridden).
        overfit: train and validate on the same so many samples; 0 for all.
        device: ``cpu``, ``cuda``, ``0``, ``0,1``, ``mps``; `None` takes a GPU if there is one.
        seed: of weights and samples.
        deterministic: use only algorithms that give the same numbers again.

    Returns:
        The run folder, and the figures of the best weights on the validation samples; ``None`` if a signal ended it.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: a setting, the folder or the run does not fit.
    """
    manifest = folder.read(data)
    held_out.check(data, {split: [pair.clean for pair in folder.pairs(data, split)] for split in ("train", "val")})
    settings = None if resume else _settings(config, overrides, overfit)
    run = experiment.open_run(MODULE, name, resume=resume)
    settings = settings or _settings_to_resume(run, data, overrides)
    if resume:
        files.write_text(run / "config.yaml", experiment.config_to_yaml(settings))  # with what has changed
    else:
        experiment.write_provenance(run, settings, data=data, seed=seed)
    card = Card(run.name, "inpainting", (), trained_on=manifest.trained_on, note=manifest.note)
    return run, _fit(run, data, settings, card, resume, overfit, device, seed, deterministic)


def _settings(config: Path | None, overrides: Sequence[str], overfit: int) -> Settings:
    settings = experiment.resolve_config(Settings, config)
    if overfit:
        settings = for_overfitting(settings, overfit)
    return experiment.resolve_config(settings, None, overrides)  # OmegaConf takes instances


def _settings_to_resume(run: Path, data: Path, overrides: Sequence[str]) -> Settings:
    """The run's settings with what may change; everything else asked for must be as it was."""
    before = experiment.resolve_config(Settings, run / "config.yaml")
    wanted = experiment.resolve_config(before, None, overrides)
    experiment.check_resume(run, asdict(before), asdict(wanted), ON_RESUME, data, run / RESULT_FILE, f"init={run}")
    return wanted


def _fit(
    run: Path,
    data: Path,
    settings: Settings,
    card: Card,
    resume: bool,
    overfit: int,
    device: str | None,
    seed: int,
    deterministic: bool,
) -> dict[str, float] | None:
    from grid_inpainting import fitting  # only here: it brings the framework

    with experiment.stop_on_signals() as stop:
        fitting.fit(run, data, settings, card, stop, resume, overfit, device, seed, deterministic)
        if stop:
            return None
    best: dict[str, float] = json.loads((run / "weights" / "best.json").read_text("utf-8"))
    files.write_json(run / RESULT_FILE, best)
    return best


def _parse(argv: list[str] | None) -> argparse.Namespace:
    what = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m grid_inpainting.train", description=what)
    parser.add_argument("--data", type=Path, required=True, help="folder of grid_inpainting.prepare")
    experiment.add_common_arguments(parser)
    return parser.parse_intermixed_args(argv)


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    try:
        made, figures = main(**vars(_parse(argv)))
    except (ValueError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    if figures is None:
        print(f"{made}: stopped; go on with --resume --name {made.name}")
        return EXIT_STOPPED
    told = ", ".join(f"{name.removeprefix('val/')} {value:.4g}" for name, value in figures.items() if "val/" in name)
    print(f"{made}: {told} (step {figures['step']:.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(run())
