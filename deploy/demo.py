"""The main job, end to end: photographs go through a function as CVAT would send them, annotations come out.

    python -m deploy.demo                      # renders its own photographs and measures against their truth
    python -m deploy.demo --images folder      # yours

Writes ``runs/demo/``: shapes JSON, one CVAT XML, overlays, a contact sheet, and the FiftyOne dataset of the app.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quadrat import images
from quadrat.formats import cvat_answer, cvat_xml, overlay, shapes_json
from quadrat.shapes import Annotations

FUNCTION = "pth-yolo-coralseg"
DATASET = "quadratseg-demo"
SEED, COUNT = 2026, 12
SHEET_PHOTOS = 24
HOW_TO_TRAIN = (
    "How to train: pixi run train coral_seg_yolo --data FOLDER, or python -m coral_seg_yolo.train --data FOLDER."
)


@dataclass(frozen=True, slots=True)
class Done:
    """One photo that went through: what was found, the seconds of the request, the overlay and the note on it."""

    photo: Path
    annotations: Annotations
    seconds: float
    overlay: Path
    note: str


def main(
    images_folder: Path | None = None,
    *,
    out: Path = Path("runs/demo"),
    count: int = COUNT,
    threshold: float | None = None,
    weights: str | None = None,
    fiftyone: bool = True,
) -> tuple[list[Done], dict[Path, str]]:
    """Run the main job.

    Args:
        images_folder: a photo or a folder of photos; ``None`` renders `count` photographs.
        out: where everything is written; a photo's results replace those of an earlier demo.
        count: photographs to render.
        threshold: lowest score, 0..1; ``None`` leaves it to the function.
        weights: a run, a file or an export of one's own; ``None`` takes what ships.
        fiftyone: make the FiftyOne dataset too.

    Returns:
        The photos that went through, and the reason for each that did not.

    Raises:
        FileNotFoundError: no photo.
        RuntimeError: the function cannot start.
    """
    rendered = None if images_folder else _render(out, count)
    photos = images.list_photos(images_folder or rendered / "photos")
    photos = photos[:count] if rendered else photos
    names = _result_names(photos)
    done, failed = _annotate(photos, names, out, threshold, weights)
    if done:
        cvat_xml.write(out / "annotations.xml", [item.annotations for item in done])
        _write_sheet(out / "contact_sheet.jpg", done)
    _print_table(done, failed)
    if rendered and done:
        _print_score(rendered, done)
    if fiftyone and done:
        _make_dataset(done, rendered)
    print(f"\nWritten to {out}/: shapes/*.json, annotations.xml, overlays/*.jpg, contact_sheet.jpg, host.log")
    return done, failed


def _render(out: Path, count: int) -> Path:
    """Render into a folder of the renderer's own version: what another one drew there stays as it is."""
    from data_engineering.render.folder import render_folder
    from data_engineering.render.settings import VERSION

    return render_folder(out / f"rendered-{VERSION}", count, SEED)


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
    photos: Sequence[Path], names: dict[Path, str], out: Path, threshold: float | None, weights: str | None
) -> tuple[list[Done], dict[Path, str]]:
    import httpx
    from tqdm import tqdm

    from deploy.host import Host
    from deploy.host.log import LOG_FILE

    os.environ.setdefault(LOG_FILE, str(out / "host.log"))  # the progress bar has the screen
    done: list[Done] = []
    failed: dict[Path, str] = {}
    print(f"starting the host with {FUNCTION} …", flush=True)
    model_paths = {FUNCTION: weights} if weights else None
    with Host(port=0, model_paths=model_paths) as host, httpx.Client(timeout=120) as client:
        if FUNCTION in host.failures or FUNCTION not in host.urls:
            raise RuntimeError(f"{FUNCTION} cannot start: {host.failures.get(FUNCTION, 'not found')}")
        for photo in tqdm(photos, desc="photographs", unit="photo"):
            try:
                done.append(_annotate_one(client, host.urls[FUNCTION], photo, names[photo], out, threshold))
            except (ValueError, KeyError, OSError, httpx.HTTPError) as error:
                failed[photo] = str(error)
    return done, failed


def _annotate_one(client, url: str, photo: Path, name: str, out: Path, threshold: float | None) -> Done:  # noqa: ANN001
    body: dict[str, object] = {"image": base64.b64encode(photo.read_bytes()).decode("ascii")}
    if threshold is not None:
        body["threshold"] = threshold
    start = time.perf_counter()
    response = client.post(url, json=body)
    seconds = time.perf_counter() - start
    if response.status_code != 200:
        raise ValueError(_error_message(response))
    image_rgb = images.read(photo)
    size_wh = (image_rgb.shape[1], image_rgb.shape[0])
    meta = {"function": FUNCTION, "model": response.headers.get("X-Quadrat-Model", ""), "seconds": round(seconds, 3)}
    annotations = Annotations(photo.name, size_wh, cvat_answer.read(response.json(), size_wh), meta)
    shapes_json.write(out / "shapes" / f"{name}.json", annotations)
    weights_note = response.headers.get("X-Quadrat-Note", "")  # what the card of the weights says, if anything
    note = f"{weights_note} {HOW_TO_TRAIN}" if weights_note else ""
    picture = overlay.draw(image_rgb, annotations.shapes, title=photo.name, note=note)
    images.write(out / "overlays" / f"{name}.jpg", picture)
    return Done(photo, annotations, seconds, out / "overlays" / f"{name}.jpg", note)


def _error_message(response) -> str:  # noqa: ANN001
    try:
        return f"{response.status_code}: {response.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}: {response.text[:200]}"


def _write_sheet(path: Path, done: Sequence[Done]) -> None:
    cells = []
    for item in done[:SHEET_PHOTOS]:
        image_rgb = images.read(item.photo)
        cells.append(overlay.draw(image_rgb, item.annotations.shapes, title=item.photo.name, long_side=900))
    more = f" The first {SHEET_PHOTOS} of {len(done)} photographs." if len(done) > SHEET_PHOTOS else ""
    images.write(path, overlay.contact_sheet(cells, columns=3, cell_px=800, note=done[0].note + more))


def _print_table(done: Sequence[Done], failed: dict[Path, str]) -> None:
    width = max((len(item.photo.name) for item in done), default=5)
    print(f"\n{'photo':<{width}}  colonies  seconds  overlay")
    for item in done:
        found = len(item.annotations.instances)
        print(f"{item.photo.name:<{width}}  {found:>8}  {item.seconds:>7.2f}  {item.overlay}")
    for photo, reason in failed.items():
        print(f"left out {photo}: {reason}")


def _print_score(folder: Path, done: Sequence[Done]) -> None:
    from data_engineering.score import score

    truth = [_truth(folder, item) for item in done]
    result = score(truth, [item.annotations for item in done])
    print(
        f"\nagainst the truth of {len(done)} rendered photographs ({result.truths} colonies): "
        f"mask mAP50 {result.map50:.3f}, mAP50-95 {result.map50_95:.3f}, class-agnostic mAP50 {result.map50_any:.3f}; "
        f"found {result.recall:.0%}, their mean mask IoU {result.mask_iou:.3f}"
    )


def _truth(folder: Path, item: Done) -> Annotations:
    return shapes_json.read(folder / "truth" / f"{item.photo.stem}.json")


def _make_dataset(done: Sequence[Done], rendered: Path | None) -> None:
    try:
        from data_engineering import dataset

        predicted = [(item.photo, item.annotations) for item in done]
        truth = [(item.photo, _truth(rendered, item)) for item in done] if rendered else []
        dataset.create(DATASET, truth or predicted, field="ground_truth" if rendered else "prediction", overwrite=True)
        if rendered:
            dataset.attach(DATASET, "prediction", predicted)
    except Exception as error:  # no FiftyOne, or no database for it on this machine: everything else is done
        print(f"\nno FiftyOne dataset ({type(error).__name__}: {error}); everything else is written")
        return
    print(f"\nFiftyOne dataset {DATASET!r}: open it with `make app` (or: python -m data_engineering.app)")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--images", dest="images_folder", type=Path, help="a photo or a folder (default: rendered ones)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--count", type=int, default=COUNT, help=f"photographs to render (default {COUNT})")
    parser.add_argument("--threshold", type=float, help="lowest score, 0..1 (default: the function's)")
    parser.add_argument("--weights", help="a run, a file or an export of your own (default: what ships)")
    parser.add_argument("--no-fiftyone", dest="fiftyone", action="store_false")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        passed, _ = main(**vars(_parse(None)))
    except (OSError, ValueError, RuntimeError) as problem:
        sys.exit(f"demo: {problem}")
    sys.exit(0 if passed else 1)
