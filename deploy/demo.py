"""The main job, end to end: photographs go through the functions as CVAT would send them, annotations come out.

    python -m deploy.demo                      # renders its own photographs and measures against their truth
    python -m deploy.demo --images folder      # yours

Corners of the quadrat, its rectified view, the points of its grid, the photograph without it, coral colonies one by
one, and colonies from a map that names every pixel. A function that cannot start is said, and the others go on. Then
the same photographs go through the whole chain (`deploy.pipeline`): the grid is found on the rectified quadrat and
removed from it, and the colonies on that are mapped back. Writes ``runs/demo/``: shapes JSON, one CVAT XML, clean
photographs, overlays, a contact sheet, a picture of the stages, and the FiftyOne dataset of the app; what comes from
the map lies in ``segmenter/``, what comes out of the chain in ``chain/``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy import asking, cells, cleaning, demo_chain, stages
from deploy.demo_report import Done, print_score, print_table, truth_of
from deploy.pipeline.result import Result
from deploy.stages import CLEAN, COLONIES, CORNERS, GRID, SEGMENTER
from quadrat import images
from quadrat.files import write_bytes
from quadrat.formats import cvat_xml, overlay, shapes_json
from quadrat.shapes import Annotations

DATASET = "quadratseg-demo"
SEED, COUNT = 2026, 12
SHEET_PHOTOS = 24
_TRAIN = "How to train: pixi run train {0} --data FOLDER, or python -m {0}.train --data FOLDER."
HOW_TO_TRAIN, HOW_TO_TRAIN_SEGMENTER = _TRAIN.format("coral_seg_yolo"), _TRAIN.format("DINOv2_mmseg")


def main(
    images_folder: Path | None = None,
    *,
    out: Path = Path("runs/demo"),
    count: int = COUNT,
    threshold: float | None = None,
    weights: str | None = None,
    corner_weights: str | None = None,
    grid_weights: str | None = None,
    clean_weights: str | None = None,
    segmenter_weights: str | None = None,
    fiftyone: bool = True,
) -> tuple[list[Done], dict[Path, str]]:
    """Run the main job.

    Args:
        images_folder: a photo or a folder of photos; ``None`` renders `count` photographs.
        out: where everything is written; a photo's results replace those of an earlier demo.
        count: photographs to render.
        threshold: lowest score of a colony, 0..1; ``None`` leaves it to the function.
        weights: for the colonies: a run, a file or an export of one's own; ``None`` takes what ships.
        corner_weights: likewise for the corners.
        grid_weights: likewise for the grid.
        clean_weights: likewise for its removal.
        segmenter_weights: likewise for the map that names every pixel.
        fiftyone: make the FiftyOne dataset too.

    Returns:
        The photos that went through, and the reason for each that did not.

    Raises:
        FileNotFoundError: no photo.
        RuntimeError: no function can start.
    """
    rendered = None if images_folder else _render(out, count)
    photos = images.list_photos(images_folder or rendered / "photos")
    photos = photos[:count] if rendered else photos
    names = _result_names(photos)
    given = {COLONIES: weights, CORNERS: corner_weights, GRID: grid_weights, CLEAN: clean_weights}
    given[SEGMENTER] = segmenter_weights
    own = {name: path for name, path in given.items() if path}
    done, failed, chained = _annotate(photos, names, out, threshold, own, rendered)
    if done:
        cvat_xml.write(out / "annotations.xml", [item.annotations for item in done])
        _write_segmenter_xml(out / "segmenter" / "annotations.xml", done)
        _write_sheet(out / "contact_sheet.jpg", done)
        _write_stages(out / "stages.jpg", done)
    print_table(done, failed)
    if chained:
        demo_chain.tell(chained)
    if rendered and done:
        print_score(rendered, done)
        came_back = demo_chain.came_back(out, chained)
        direct = {item.photo: item.annotations for item in done if item.photo in came_back}
        demo_chain.tell_nearness(demo_chain.nearness(came_back, rendered), demo_chain.nearness(direct, rendered))
    if fiftyone and done:
        _make_dataset(done, rendered)
    pictures = "clean/*, overlays/*.jpg, contact_sheet.jpg, stages.jpg"
    more = ", segmenter/*" if any(item.segmented for item in done) else ""
    more += f", {demo_chain.FOLDER}/*" if chained else ""
    print(f"\nWritten to {out}/: shapes/*.json, annotations.xml, {pictures}{more}, host.log")
    return done, failed


def _render(out: Path, count: int) -> Path:
    """Render into a folder of the renderer's own version and settings: what another one drew there stays as it is."""
    from data_engineering.render.folder import render_folder
    from data_engineering.render.settings import VERSION, Settings, to_dict

    drawn_with = zlib.crc32(json.dumps(to_dict(Settings()), sort_keys=True).encode())
    return render_folder(out / f"rendered-{VERSION}-{drawn_with:08x}", count, SEED)


def _result_names(photos: Sequence[Path]) -> dict[Path, str]:
    """A file stem for each photo: its own, with a number where two folders hold the same name."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for photo in photos:
        stem, number = photo.stem, 2
        while stem.lower() in taken:
            stem, number = f"{photo.stem}-{number}", number + 1
        taken.add(stem.lower())
        names[photo] = stem
    return names


def _annotate(
    photos: Sequence[Path],
    names: dict[Path, str],
    out: Path,
    threshold: float | None,
    weights: Mapping[str, str],
    rendered: Path | None,
) -> tuple[list[Done], dict[Path, str], tuple[Result, ...]]:
    from tqdm import tqdm

    from deploy.host import Host
    from deploy.log import LOG_FILE

    os.environ.setdefault(LOG_FILE, str(out / "host.log"))  # the progress bar has the screen
    done: list[Done] = []
    failed: dict[Path, str] = {}
    print(f"starting the host with {', '.join(stages.FUNCTIONS)} …", flush=True)
    with Host(port=0, model_paths=weights) as host:
        urls = _running(host.urls, host.failures)
        for photo in tqdm(photos, desc="photographs", unit="photo"):
            try:
                staged = stages.run(urls, photo, threshold)
                row = stages.row(photo.name, staged) if len(done) < SHEET_PHOTOS else ()
                done.append(_written(photo, names[photo], staged, row, out, rendered))
            except (ValueError, KeyError, OSError) as error:
                failed[photo] = str(error)
        through = [item.photo for item in done]
        chained = demo_chain.run(through, out, host.url, urls, threshold) if through else ()
    return done, failed, chained


def _running(urls: Mapping[str, str], failures: Mapping[str, str]) -> dict[str, str]:
    """The functions that run; says which do not, and why."""
    running = {name: urls[name] for name in stages.FUNCTIONS if name in urls and name not in failures}
    reasons = {name: failures.get(name, "not found") for name in stages.FUNCTIONS if name not in running}
    if not running:
        raise RuntimeError("; ".join(f"{name} cannot start: {reason}" for name, reason in reasons.items()))
    for name, reason in reasons.items():
        print(f"{name} cannot start, the others go on without it: {reason}", flush=True)
    return running


def _written(
    photo: Path, name: str, staged: stages.Staged, row: Sequence[images.Rgb], out: Path, rendered: Path | None
) -> Done:
    clean = staged.clean
    facts = {function: dict(answer.facts) for function, answer in staged.answers.items()}
    facts |= {CLEAN: dict(clean.facts)} if clean and clean.facts else {}
    annotations = Annotations(photo.name, staged.size_wh, staged.shapes, {"functions": facts})
    shapes_json.write(out / "shapes" / f"{name}.json", annotations)
    segmented = _write_segmented(out / "segmenter", name, photo, staged)
    given = [*(answer.note for answer in staged.answers.values()), clean.note if clean else ""]
    note = _joined(given, HOW_TO_TRAIN)
    path = out / "overlays" / f"{name}.jpg"
    images.write(path, overlay.draw(staged.image_rgb, annotations.instances, title=photo.name, note=note))
    _write_clean(out / "clean", name, clean)
    nearness = None
    if clean and rendered:
        nearness = cleaning.nearness(clean, staged.image_rgb, images.read(rendered / "clean" / f"{photo.stem}.jpg"))
    facts_of_clean = clean.facts if clean else None
    return Done(photo, staged.answers, annotations, path, note, row, facts_of_clean, nearness, segmented)


def _joined(notes: Sequence[str], advice: str) -> str:
    """What must be known of the weights, mostly one sentence, said once, and what to do about it."""
    known = dict.fromkeys(note for note in notes if note)
    return " ".join([*known, advice]) if known else ""


def _write_segmented(folder: Path, name: str, photo: Path, staged: stages.Staged) -> Annotations | None:
    """The colonies of the segmenter as files of their own; those of an earlier demo go where there are none now."""
    shapes, picture = folder / "shapes" / f"{name}.json", folder / "overlays" / f"{name}.jpg"
    for old in (shapes, picture):
        old.unlink(missing_ok=True)
    answer = staged.segmented
    if answer is None:
        return None
    found = Annotations(photo.name, staged.size_wh, answer.shapes, {"functions": {SEGMENTER: dict(answer.facts)}})
    note = _joined([answer.note], HOW_TO_TRAIN_SEGMENTER)
    images.write(picture, overlay.draw(staged.image_rgb, answer.shapes, title=photo.name, note=note))
    shapes_json.write(shapes, found)
    return found


def _write_segmenter_xml(path: Path, done: Sequence[Done]) -> None:
    found = [item.segmented for item in done if item.segmented]
    path.unlink(missing_ok=True)
    if found:
        cvat_xml.write(path, found)


def _write_clean(folder: Path, name: str, clean: cleaning.Cleaned | None) -> None:
    """The clean photo as the function answered it; one of an earlier demo goes where there is none now."""
    for old in (folder / f"{name}.png", folder / f"{name}.jpg"):
        old.unlink(missing_ok=True)
    if clean and clean.file:
        write_bytes(folder / f"{name}{'.png' if asking.is_png(clean.file) else '.jpg'}", clean.file)


def _write_sheet(path: Path, done: Sequence[Done]) -> None:
    cells = []
    for item in done[:SHEET_PHOTOS]:
        image_rgb = images.read(item.photo)
        cells.append(overlay.draw(image_rgb, item.annotations.instances, title=item.photo.name, long_side=900))
    images.write(path, overlay.contact_sheet(cells, columns=3, cell_px=800, note=_sheet_note(done)))


def _write_stages(path: Path, done: Sequence[Done]) -> None:
    images.write(path, cells.sheet([item.row for item in done[:SHEET_PHOTOS]], _sheet_note(done)))


def _sheet_note(done: Sequence[Done]) -> str:
    more = f" The first {SHEET_PHOTOS} of {len(done)} photographs." if len(done) > SHEET_PHOTOS else ""
    return done[0].note + more


def _make_dataset(done: Sequence[Done], rendered: Path | None) -> None:
    try:
        from data_engineering import dataset

        predicted = [(item.photo, item.annotations) for item in done]
        truth = [(item.photo, truth_of(rendered, item)) for item in done] if rendered else []
        dataset.create(DATASET, truth or predicted, field="ground_truth" if rendered else "prediction", overwrite=True)
        if rendered:
            dataset.attach(DATASET, "prediction", predicted)
        segmented = [(item.photo, item.segmented) for item in done if item.segmented]
        if segmented:
            dataset.attach(DATASET, "segmenter", segmented)
    except Exception as error:  # no FiftyOne, or no database for it on this machine: everything else is done
        print(f"\nno FiftyOne dataset ({type(error).__name__}: {error}); everything else is written")
        return
    print(f"\nFiftyOne dataset {DATASET!r}: open it with `make app` (or: python -m data_engineering.review)")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--images", dest="images_folder", type=Path, help="a photo or a folder (default: rendered ones)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--count", type=int, default=COUNT, help=f"photographs to render (default {COUNT})")
    parser.add_argument("--threshold", type=float, help="lowest score of a colony, 0..1 (default: the function's)")
    for option, what in (
        ("--weights", "colonies"),
        ("--corner-weights", "corners"),
        ("--grid-weights", "the grid"),
        ("--clean-weights", "its removal"),
        ("--segmenter-weights", "the map that names every pixel"),
    ):
        parser.add_argument(option, help=f"for {what}: a run, a file or an export of your own (default: what ships)")
    parser.add_argument("--no-fiftyone", dest="fiftyone", action="store_false")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        passed, _ = main(**vars(_parse(None)))
    except (OSError, ValueError, RuntimeError) as problem:
        sys.exit(f"demo: {problem}")
    sys.exit(0 if passed else 1)
