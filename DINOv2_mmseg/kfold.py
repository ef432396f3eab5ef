"""Points that people labelled -> what a network that learns from them is worth: k-fold by photo, beside plain peers.

    python -m DINOv2_mmseg.kfold --coralnet annotations.csv --photos reef/ --out runs/kfold --peers-only
    python -m DINOv2_mmseg.kfold --coralnet annotations.csv --photos reef/ --folds 5 --out runs/kfold --json \
        --config DINOv2_mmseg/configs/points/small.py train_cfg.max_iters=2000

Every photo is held out once, and no point of it is seen in training. The peers are the commonest class of the training
photos and a random forest on colour and texture (`DINOv2_mmseg.peers`); they learn from the same photos and are asked
at the same points. All points count, also those of classes that a fold cannot learn. Called again, it goes on: a method
that is done with a fold is not asked again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from DINOv2_mmseg import fold_work, human_points
from DINOv2_mmseg.fold_work import FOREST, MAJORITY, OURS, Guess, Training
from DINOv2_mmseg.human_points import Dealt
from quadrat import files

NAMES = {OURS: "DINOv2_mmseg", FOREST: "random forest, colour + texture", MAJORITY: "commonest class"}
SHORT = {OURS: "ours", FOREST: "forest", MAJORITY: "commonest"}


def main(
    coralnet: Path,
    photos: Sequence[Path],
    out: Path,
    *,
    folds: int = 5,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    peers_only: bool = False,
    labelset: Path | None = None,
    not_colony: Sequence[str] = (),
    superpixels: int = 0,
    groups: Path | None = None,
    seed: int = 0,
    device: str | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    jobs: int = -1,
) -> dict[str, Any]:
    """Cross-validate by photo.

    Args:
        coralnet: table of points as CoralNet exports it.
        photos: folders of the photos that it names.
        out: gets a folder a fold, and ``figures.json``, ``classes.csv``, ``cover.csv``, ``cover.png``,
            ``confusion.png`` and ``confusion.csv``.
        folds: their number.
        config: mmengine config of our network; needed unless `peers_only`.
        overrides: ``key=value`` settings over it.
        peers_only: measure the peers alone.
        labelset: CoralNet's table of short codes: classes get their full names.
        not_colony: classes, or groups of the labelset, that are no colonies.
        superpixels: points are grown to so many superpixels a photo for training; 0: not.
        groups: CSV with the columns ``photo`` and ``group`` (frame type, site, camera): figures are given for each too.
        seed: of the deal, the training and the forest.
        device: to train and predict on.
        scales: of further looks at a photo, averaged.
        flip: look at the mirrored photo too.
        jobs: threads of the forest; -1: one a core.

    Returns:
        See `fold_report.summary`; ``skipped``: photos that cannot be used, with the reason.

    Raises:
        ValueError: points or photos that cannot be read, no config, or an `out` of other data or settings.
        RuntimeError: a training failed.
    """
    from DINOv2_mmseg import fold_report

    if config is None and not peers_only:
        raise ValueError("expected --config, the network to train on each fold, or --peers-only")
    dealt = human_points.deal(coralnet, photos, folds, labelset=labelset, seed=seed)
    _check_same(out / "data.json", _told(dealt, seed), "points, photos or folds")
    guesses = {FOREST: _forest(out, dealt, seed, jobs), MAJORITY: _majority(out, dealt)}
    if config is not None and not peers_only:
        training = Training(
            config=config,
            table=coralnet,
            photos=tuple(photos),
            overrides=tuple(overrides),
            labelset=labelset,
            not_colony=tuple(not_colony),
            superpixels=superpixels,
            seed=seed,
            device=device,
            scales=tuple(scales),
            flip=flip,
            ignore=tuple(dealt.unlearnable()),
        )
        _check_same(out / "training.json", training.told(), "settings of the training")
        guesses = {OURS: _ours(out, dealt, training), **guesses}
    result = {
        **fold_report.summary(dealt, guesses, _groups(groups, dealt)),
        "seed": seed,
        "skipped": dealt.skipped,
    }
    fold_report.write(out, dealt, guesses, result)
    return result


def _forest(out: Path, dealt: Dealt, seed: int, jobs: int) -> dict[int, list[Guess]]:
    done = _done(out, dealt, FOREST)
    missing = [fold for fold in range(1, dealt.count + 1) if fold not in done]
    features = fold_work.features_of(dealt.photos) if missing else {}
    for fold in _bar(missing, "forest"):
        done[fold] = fold_work.forest(out, dealt, fold, features, seed, jobs)
    return done


def _majority(out: Path, dealt: Dealt) -> dict[int, list[Guess]]:
    return {fold: fold_work.majority(out, dealt, fold) for fold in range(1, dealt.count + 1)}


def _ours(out: Path, dealt: Dealt, training: Training) -> dict[int, list[Guess]]:
    done = _done(out, dealt, OURS)
    for fold in _bar([fold for fold in range(1, dealt.count + 1) if fold not in done], "train"):
        done[fold] = fold_work.ours(out, dealt, fold, training)
    return done


def _done(out: Path, dealt: Dealt, method: str) -> dict[int, list[Guess]]:
    found = {fold: fold_work.read(fold_work.guesses_file(out, fold, method)) for fold in range(1, dealt.count + 1)}
    return {fold: guesses for fold, guesses in found.items() if guesses is not None}


def _bar(folds: Sequence[int], title: str) -> Any:
    from tqdm import tqdm

    return tqdm(folds, desc=title, unit="fold", disable=not folds)


def _told(dealt: Dealt, seed: int) -> dict[str, Any]:
    points = {photo.path.name: [list(point) for point in photo.points] for photo in dealt.photos}
    return {"folds": dealt.count, "seed": seed, "points": points}


def _check_same(path: Path, wanted: Mapping[str, Any], what: str) -> None:
    """Refuse to mix results: what `out` was made of is what is asked for now, or `out` is new."""
    known = json.loads(path.read_text("utf-8")) if path.is_file() else None
    if known is not None and known != wanted:
        differ = [key for key in wanted if known.get(key) != wanted[key]]
        raise ValueError(
            f"{path.parent} holds a k-fold of other {what} ({', '.join(differ)} differ): choose another --out, or "
            "remove that folder"
        )
    files.write_json(path, wanted, indent=None)


def _groups(path: Path | None, dealt: Dealt) -> dict[str, str]:
    """The group of each photo by its file name.

    Raises:
        ValueError: another header, or a photo is missing.
    """
    if path is None:
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not {"photo", "group"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}: its columns are {reader.fieldnames}: expected photo,group")
        found = {row["photo"]: row["group"] for row in reader}
    if missing := [photo.path.name for photo in dealt.photos if photo.path.name not in found]:
        raise ValueError(f"{path} has no group of {', '.join(missing[:3])}: expected every photo")
    return found


def table(result: Mapping[str, Any]) -> str:
    """The figures for a terminal."""
    lines = [
        f"{result['folds']} folds by photo: {result['photos']} photos, {result['points']} points; mean ± standard "
        "deviation (accuracy and recall over folds, cover over photos)",
        f"{'':34}{'accuracy':>16}{'macro recall':>16}{'cover error':>18}",
    ]
    for method, one in result["methods"].items():
        accuracy, recall, cover = (one[key] for key in ("accuracy", "macro_recall", "cover_error"))
        lines.append(
            f"{NAMES[method]:34}{_spread(accuracy, 3):>16}{_spread(recall, 3):>16}{_spread(cover, 1) + ' %':>18}"
        )
    lines += ["", f"{'recall of all points held out':34}{'points':>8}" + _heads(result)]
    for label, support in result["classes"].items():
        mark = " (not learnt)" if label in result["unlearnable"] else ""
        shares = (one["pooled"]["classes"].get(label, {}).get("recall") for one in result["methods"].values())
        lines.append(f"{label + mark:34}{support:>8}" + "".join(f"{share or 0:>14.3f}" for share in shares))
    for group, one in result["groups"].items():
        title = f"accuracy, {group} ({one['photos']} photos)"
        lines.append(f"{title:34}{one['points']:>8}" + "".join(f"{share:>14.3f}" for share in one["accuracy"].values()))
    return "\n".join(lines)


def _heads(result: Mapping[str, Any]) -> str:
    return "".join(f"{SHORT[method]:>14}" for method in result["methods"])


def _spread(one: Mapping[str, float], digits: int) -> str:
    return f"{one['mean']:.{digits}f} ± {one['sd']:.{digits}f}"


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m DINOv2_mmseg.kfold", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--coralnet", type=Path, required=True, metavar="CSV", help="points as CoralNet exports them")
    add("--photos", type=Path, required=True, nargs="+", metavar="DIR", help="folders of its photos")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for everything; called again, it goes on")
    add("--folds", type=int, default=5, metavar="N", help="number of folds (default 5)")
    add("--config", type=Path, help="mmengine config of the network to train on each fold")
    add("--peers-only", action="store_true", help="measure the commonest class and the random forest alone")
    add("--labelset", type=Path, metavar="CSV", help="CoralNet's short codes and full names")
    add("--not-colony", nargs="+", default=(), metavar="LABEL", help="classes, or groups, that are no colonies")
    add("--superpixels", type=int, default=0, metavar="N", help="grow points to N superpixels a photo (default: no)")
    add("--groups", type=Path, metavar="CSV", help="columns photo,group (frame type, site): figures for each")
    add("--seed", type=int, default=0, help="of the folds, the training and the forest")
    add("--device", help="cpu, cuda or mps (default: what the training chooses)")
    add("--scales", type=float, nargs="+", default=(1.0,), help="looks at these sizes are averaged (default 1)")
    add("--flip", action="store_true", help="look at the mirrored photo too")
    add("--jobs", type=int, default=-1, help="threads of the forest (default: one a core)")
    add("--json", action="store_true", help="print one JSON object as the last line")
    add("overrides", nargs="*", metavar="key=value", help="settings over --config")
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    arguments = vars(_parse(None))
    as_json = arguments.pop("json")
    try:
        measured = main(**arguments)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"kfold: {error}")
    print(table(measured))
    for bad, reason in measured["skipped"].items():
        print(f"skipped {bad}: {reason}", file=sys.stderr)
    print(f"figures, tables and pictures in {arguments['out']}")
    if as_json:
        print(json.dumps(measured))
