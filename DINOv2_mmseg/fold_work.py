"""What is done for one fold: the peers' guesses, or prepare, train and ask our own network; each kept in a file.

A file is written when its work is whole, so that a k-fold that was cut short goes on where it was.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg import peers, point_metrics
from DINOv2_mmseg.human_points import Dealt, PointPhoto
from DINOv2_mmseg.train import MODULE, RESULT_FILE
from quadrat import files, images

OURS, MAJORITY, FOREST = "ours", "majority", "forest"
PEERS = (MAJORITY, FOREST)


@dataclass(frozen=True, slots=True)
class Guess:
    """What a method says of the points of a photo that it never saw.

    Attributes:
        photo: file name.
        predicted: a class a point, in the order of the human points.
        shares: of the whole predicted map, 0..1 a class; `None` where the method gives no map.
    """

    photo: str
    predicted: list[str]
    shares: dict[str, float] | None = None


@dataclass(frozen=True)
class Training:
    """How our network is trained on a fold.

    Attributes:
        config: mmengine config.
        overrides: ``key=value`` settings over it.
        table: CoralNet's.
        photos: folders of its photos.
        labelset: of short codes.
        not_colony: classes or groups that are no colonies.
        superpixels: points are grown to so many superpixels a photo; 0: not.
        seed: of the deal and the training.
        device: to train and to predict on; `None`: the training's own choice, and the CPU.
        scales: of further looks at a photo, averaged.
        flip: look at the mirrored photo too.
    """

    config: Path
    table: Path
    photos: tuple[Path, ...]
    overrides: tuple[str, ...] = ()
    labelset: Path | None = None
    not_colony: tuple[str, ...] = ()
    superpixels: int = 0
    seed: int = 0
    device: str | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    ignore: tuple[str, ...] = field(default=())

    def told(self) -> dict[str, Any]:
        """What decides the result, JSON-able: the device does not."""
        known = {key: value for key, value in asdict(self).items() if key not in ("device", "photos")}
        return json.loads(json.dumps({**known, "config": str(self.config), "table": self.table.name}, default=str))


def read(path: Path) -> list[Guess] | None:
    """The guesses of a fold; `None` if its work is not done."""
    return [Guess(**one) for one in json.loads(path.read_text("utf-8"))] if path.is_file() else None


def guesses_file(out: Path, fold: int, method: str) -> Path:
    """Where the guesses of a method lie."""
    return out / f"fold-{fold}" / f"{method}.json"


def _keep(path: Path, guesses: Sequence[Guess]) -> list[Guess]:
    files.write_json(path, [asdict(guess) for guess in guesses], indent=None)
    return list(guesses)


# ---------------------------------------------------------------------------------------------- peers


def majority(out: Path, dealt: Dealt, fold: int) -> list[Guess]:
    """The commonest class of the training photos, for every point."""
    commonest = peers.majority([label for photo in dealt.training(fold) for label in photo.labels])
    held = [Guess(photo.path.name, [commonest] * len(photo.points)) for photo in dealt.held_out(fold)]
    return _keep(guesses_file(out, fold, MAJORITY), held)


def forest(
    out: Path, dealt: Dealt, fold: int, features: Mapping[Path, NDArray[np.float32]], seed: int, jobs: int
) -> list[Guess]:
    """A random forest that learns from the training photos; its settings lie beside its guesses."""
    known = dealt.training(fold)
    rows = np.concatenate([features[photo.path] for photo in known])
    labels = [label for photo in known for label in photo.labels]
    names = [str(photo.path) for photo in known for _ in photo.points]
    fitted = peers.forest(rows, labels, names, seed=seed, jobs=jobs)
    files.write_json(
        out / f"fold-{fold}" / "forest-settings.json",
        {"chosen": dict(fitted.settings), "inner_accuracy": list(fitted.inner_accuracy)},
    )
    held = [Guess(photo.path.name, fitted.predict(features[photo.path])) for photo in dealt.held_out(fold)]
    return _keep(guesses_file(out, fold, FOREST), held)


def features_of(photos: Sequence[PointPhoto]) -> dict[Path, NDArray[np.float32]]:
    """The forest's features of every point, behind a progress bar."""
    from tqdm import tqdm

    return {
        photo.path: peers.features(images.read(photo.path), photo.xy_px)
        for photo in tqdm(photos, desc="features", unit="photo")
    }


# ---------------------------------------------------------------------------------------------- our own


def ours(out: Path, dealt: Dealt, fold: int, training: Training) -> list[Guess]:
    """Prepare the fold, train on it, and ask at the points of the photos that were held out.

    The last weights are asked, not the best: those were chosen on the very photos that are held out.

    Raises:
        RuntimeError: the training failed; its last lines are in the message.
        ValueError: the fold cannot be prepared.
    """
    from DINOv2_mmseg import model

    data = out / f"fold-{fold}" / "data"
    if not data.is_dir():
        _prepare(data, f"{fold}/{dealt.count}", training)
    run = train(out, fold, data, training)
    last = str(run / "weights" / "last.safetensors")
    predictor = model.load(last, training.device or "cpu", scales=training.scales, flip=training.flip)
    return _keep(guesses_file(out, fold, OURS), [_ask(predictor, photo) for photo in dealt.held_out(fold)])


def _prepare(data: Path, fold: str, training: Training) -> None:
    from DINOv2_mmseg import prepare

    prepare.main(
        data,
        coralnet=training.table,
        photos=training.photos,
        labelset=training.labelset,
        ignore=training.ignore,
        not_colony=training.not_colony,
        superpixels=training.superpixels,
        fold=fold,
        seed=training.seed,
    )


def _ask(predictor: Any, photo: PointPhoto) -> Guess:
    known = predictor.segment(images.read(photo.path)).map
    return Guess(photo.path.name, point_metrics.labels_at(known, photo.xy_px), point_metrics.map_shares(known))


def train(out: Path, fold: int, data: Path, training: Training) -> Path:
    """Train in a process of its own; goes on with a run that was cut short. Returns the run's folder.

    It never stops early: when to stop would be chosen on the photos that are held out.
    """
    root, name = out / "runs", f"fold-{fold}"
    run = root / MODULE / name
    if (run / RESULT_FILE).is_file():
        return run
    command = [sys.executable, "-m", f"{MODULE}.train", "--data", str(data), "--config", str(training.config)]
    command += ["--name", name, "--seed", str(training.seed)]
    command += ["--resume"] if (run / "provenance.json").is_file() else []
    command += ["--device", training.device] if training.device else []
    log = out / f"fold-{fold}" / "train.log"
    with log.open("a", encoding="utf-8") as lines:
        ended = subprocess.run(
            [*command, *training.overrides, "patience=0"],
            env={**os.environ, "QUADRATSEG_RUNS": str(root.resolve())},
            stdout=lines,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode:
        last = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])
        raise RuntimeError(f"training of fold {fold} ended with status {ended.returncode}; {log} ends with:\n{last}")
    return run
