"""Prepared folder + config -> weights, in a run folder that says all about how they were made.

    python -m DINOv2_mmseg.train --data data/reef --config DINOv2_mmseg/configs/criobe_finegrained/vit_small.py
    python -m DINOv2_mmseg.train --data data/reef --name first --resume
    python -m DINOv2_mmseg.train --data data/reef --config FILE model.backbone.tune=lora batch_size=4 --device 0,1

Ctrl-C, SIGTERM and SIGUSR1 end it after the step; `--resume` goes on with the next one, with the same numbers as an
unbroken run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from DINOv2_mmseg import folder, settings
from quadrat import experiment, files, held_out
from quadrat.predictor import Card

MODULE = "DINOv2_mmseg"
EXIT_STOPPED = 130
RESULT_FILE = "result.json"
"""Figures of the best weights on the validation photos; lies in the run folder once training is over."""
CONFIG_FILE = "config.json"


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
        data: a folder of `DINOv2_mmseg.prepare`.
        config: a file of `configs`; `None` means `settings.DEFAULT`.
        overrides: ``key=value`` over the config.
        name: of the run; `None` takes date and time, or with `resume` the latest run.
        resume: go on from the run's last checkpoint with the run's own settings; `settings.ON_RESUME` may change.
        overfit: train and validate on the same so many photos; 0 for all, with `resume` the run's own.
        device: ``cpu``, ``cuda``, ``0``, ``mps``; `None` takes a GPU if there is one. Several GPUs: `run`.
        seed: of weights and views; with `resume`, the run's own.
        deterministic: use only algorithms that give the same numbers again.

    Returns:
        The run folder, and the figures of the best weights on the validation photos; ``None`` if a signal ended it.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: a setting, the folder or the run does not fit.
    """
    manifest = folder.read(data)
    used = {split: [photo for photo, _ in folder.pairs(data, split)] for split in ("train", "val")}
    held_out.check(data, used)
    if not overfit and not resume:
        folder.check_can_train(manifest)
    first = None if resume else _settings(config, overrides, overfit, manifest)
    launched = int(os.environ.get("RANK", "0")) > 0  # another process of the launcher has made the folder
    run = Path(os.environ[_RUN]) if launched else experiment.open_run(MODULE, name, resume=resume)
    if resume:
        overrides = [*overrides, f"overfit={overfit}"] if overfit else overrides
        seed = json.loads((run / "provenance.json").read_text("utf-8"))["seed"]
    resolved = first or _settings_to_resume(run, data, overrides)
    if not launched:
        _write_down(run, resolved, data, seed, resume)
    card = Card(
        run.name, "semantic", manifest.labels, manifest.trained_on, manifest.note, background=manifest.background
    )
    return run, _fit(run, data, resolved, card, resume, device, seed, deterministic)


_RUN = "QUADRATSEG_RUN_FOLDER"


def _settings(config: Path | None, overrides: Sequence[str], overfit: int, manifest: folder.Manifest) -> Any:
    found = settings.read(config, overrides, over={**settings.OVERFIT, "overfit": overfit} if overfit else None)
    wanted = found["classes"]
    if wanted and tuple(wanted) != manifest.labels:
        raise ValueError(
            f"config and data name other classes: {side_by_side('config', wanted, 'data', manifest.labels)}"
        )
    return found


def side_by_side(one: str, these: Sequence[str], other: str, those: Sequence[str]) -> str:
    """Two lists of classes that differ, in words."""
    only_one, only_other = ([n for n in a if n not in b] for a, b in ((these, those), (those, these)))
    if not only_one and not only_other:
        return f"the same names in another order: {one} {list(these)}, {other} {list(those)}"
    return f"{one} has {len(these)}, only there: {only_one}; {other} has {len(those)}, only there: {only_other}"


def _settings_to_resume(run: Path, data: Path, overrides: Sequence[str]) -> Any:
    from mmengine.config import Config

    before = Config(json.loads((run / CONFIG_FILE).read_text("utf-8")))
    wanted = Config(json.loads((run / CONFIG_FILE).read_text("utf-8")))
    settings.override(wanted, overrides)
    experiment.check_resume(
        run, before.to_dict(), wanted.to_dict(), settings.ON_RESUME, data, run / RESULT_FILE, f"init={run}"
    )
    return wanted


def _write_down(run: Path, resolved: Any, data: Path, seed: int, resume: bool) -> None:
    files.write_json(run / CONFIG_FILE, settings.to_json(resolved))
    files.write_text(run / "config.py", resolved.pretty_text)
    if not resume:
        experiment.write_provenance(run, None, data=data, seed=seed)


def _fit(
    run: Path,
    data: Path,
    resolved: Any,
    card: Card,
    resume: bool,
    device: str | None,
    seed: int,
    deterministic: bool,
) -> dict[str, float] | None:
    chosen = _choose_device(device)
    from DINOv2_mmseg import fitting  # only here: it brings the framework

    with experiment.stop_on_signals() as stop:
        fitting.fit(
            run,
            data,
            resolved,
            card,
            stop,
            resume=resume,
            overfit=int(resolved.get("overfit", 0)),
            device=chosen,
            seed=seed,
            deterministic=deterministic,
        )
        if stop:
            return None
    best: dict[str, float] = json.loads((run / "weights" / "best.json").read_text("utf-8"))
    files.write_json(run / RESULT_FILE, best)
    return best


def _choose_device(device: str | None) -> str:
    """Make torch see the wanted device only (mmengine takes the best it sees); returns its kind."""
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif device and device.removeprefix("cuda:").isdigit():
        os.environ["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
    import torch

    if device in ("cpu", "mps") or (device is None and not torch.cuda.is_available()):
        return device or "cpu"
    if not torch.cuda.is_available():
        raise ValueError(f"--device {device}: torch sees no GPU here; expected cpu, or a machine with a GPU")
    return "cuda"


def _parse(argv: list[str] | None) -> argparse.Namespace:
    what = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m DINOv2_mmseg.train", description=what)
    parser.add_argument("--data", type=Path, required=True, help="folder of DINOv2_mmseg.prepare")
    experiment.add_common_arguments(parser)
    return parser.parse_intermixed_args(argv)


def _launch(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    """Start a process a GPU with torch's own launcher."""
    devices = arguments.device.split(",")
    if not arguments.name:
        raise ValueError("several GPUs: give the run a --name")
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": arguments.device,
        _RUN: str(experiment.runs_root() / MODULE / arguments.name),
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={len(devices)}"]
    rest = [word for word in argv if word != arguments.device]
    rest.remove("--device")
    return subprocess.run([*launcher, "-m", "DINOv2_mmseg.train", *rest], env=environment, check=False).returncode


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _parse(argv)
    try:
        if "," in (arguments.device or "") and "RANK" not in os.environ:
            return _launch(arguments, sys.argv[1:] if argv is None else argv)
        made, figures = main(**vars(arguments))
    except (ValueError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    if figures is None:
        print(f"{made}: stopped; go on with --resume --name {made.name}")
        return EXIT_STOPPED
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if name != "step")
    print(f"{made}: {told} (step {figures['step']:.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(run())
