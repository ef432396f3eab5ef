"""Photos -> quadrats seen straight from above, and shapes of those quadrats back to the photos.

    python -m grid_pose_detection.rectify photos/ --out quadrats                           # corners predicted
    python -m grid_pose_detection.rectify photos/ --out quadrats --corners annotations.xml --px-per-cm 20
    python -m grid_pose_detection.rectify --back shapes/ --mappings quadrats --out photo-shapes

Beside each quadrat lies its mapping, ``<name>.mapping.json``. Corners outside the photo leave black where the photo
shows nothing. A photo that cannot be read, or whose corners are not fit to go by, is listed at the end and the exit
status is 1; all others are done. Called again, it goes on: what is up to date is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from grid_pose_detection import sources
from grid_pose_detection.locate import Located, locate
from grid_pose_detection.sources import Source
from quadrat import batch, geometry, images, mapping
from quadrat.formats import annotated, shapes_json
from quadrat.homography import invert
from quadrat.mapping import QuadratMapping
from quadrat.shapes import Annotations
from quadrat.verdict import FAILED, REVIEW, Verdict

MAPPING_SUFFIX = ".mapping.json"
PX_PER_CM = 12.0
_JPEG_QUALITY = 95


@dataclass(slots=True)
class Report:
    """The files that did not simply succeed, with the reason in words.

    Attributes:
        failed: nothing was written for them.
        review: done, but a person should look.
    """

    failed: dict[Path, str] = field(default_factory=dict)
    review: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Settings:
    px_per_cm: float
    size_cm: tuple[float, float] | None
    layout: str | None
    margin: float
    suffix: str


def main(
    photos: Sequence[Path],
    out: Path,
    *,
    corners: Path | None = None,
    px_per_cm: float = PX_PER_CM,
    size_cm: tuple[float, float] | None = None,
    layout: str | None = None,
    margin: float = 0.0,
    weights: str | None = None,
    grid_weights: str | None = None,
    device: str = "cpu",
    png: bool = False,
) -> Report:
    """Rectify all photos.

    Args:
        photos: files, and folders with photos.
        out: gets ``<name>.jpg`` and ``<name>.mapping.json`` of each. Not the photos' own folder; one below it will do.
        corners: corners, grids or both (`annotated.read`); default: they are predicted.
        px_per_cm: of the quadrats.
        size_cm: inner width and height of the frame; default: what the annotations or the layout say.
        layout: of marked grids, see `locate.locate`.
        margin: room round the frame, over its longer side; 0 makes its inner edge the picture's border.
        weights: for the corners, as `grid_pose_detection.model.load` takes them; not with `corners`.
        grid_weights: likewise for the grid, ``default`` for what ships; without them the grid is not looked for.
        device: as `model.load` takes it.
        png: write PNG instead of JPEG.

    Raises:
        ValueError: a setting out of range, or `corners` cannot be read.
    """
    if not 0 < px_per_cm < np.inf:
        raise ValueError(f"px_per_cm is {px_per_cm}: expected a number above 0")
    if not 0 <= margin <= 1:
        raise ValueError(f"margin is {margin}: expected a share of the frame's side, 0..1")
    if size_cm is not None and not all(0 < side < np.inf for side in size_cm):
        raise ValueError(f"size_cm is {size_cm}: expected two lengths above 0")
    if corners and (weights or grid_weights):
        raise ValueError("corners and weights are both given: expected either marked points or networks")
    settings = _Settings(px_per_cm, size_cm, layout, margin, ".png" if png else ".jpg")
    source: Source = (
        sources.FromFile(annotated.read(corners), corners)
        if corners
        else sources.from_networks(weights, grid_weights, device)
    )
    work = partial(_rectify, out=out, source=source, settings=settings)
    names = {p: name for p, name in batch.name_photos(photos).items() if out.resolve() not in p.resolve().parents}
    if not names:
        raise ValueError(f"the photos lie in {out}, where the quadrats shall go: choose another --out")
    outcome = batch.each(names, work, title="rectify")
    told = {
        status: {photo: "; ".join(v.reasons) for photo, v in outcome.done.items() if v.status == status}
        for status in (FAILED, REVIEW)
    }
    return Report({**outcome.failed, **told[FAILED]}, told[REVIEW])


def _rectify(photo: Path, name: str, *, out: Path, source: Source, settings: _Settings) -> Verdict:
    picture, kept = out / f"{name}{settings.suffix}", out / f"{name}{MAPPING_SUFFIX}"
    inside = (PurePath(name).parent / photo.name).as_posix()
    maker = _maker(photo, source.fingerprint(inside), settings)
    done = _done(picture, kept, maker)
    if done is not None:
        return done
    image_rgb = images.read(photo)
    size_wh = image_rgb.shape[1], image_rgb.shape[0]
    found = source.find(inside, image_rgb)
    located = (
        locate(found.keypoints, size_wh, layout=settings.layout, size_cm=settings.size_cm or found.size_cm)
        if found.keypoints
        else found.verdict
    )
    if isinstance(located, Verdict):
        if kept.is_file():  # what was made of other points is not right any more
            picture.unlink(missing_ok=True)
            kept.unlink()
        return located
    made = replace(to_mapping(located, inside, size_wh, settings.px_per_cm, settings.margin), maker=maker)
    images.write(picture, made.draw(image_rgb), _JPEG_QUALITY)
    mapping.write(kept, made)  # last: what has a mapping is done
    return made.verdict


def to_mapping(
    located: Located, photo: str, photo_size_wh: tuple[int, int], px_per_cm: float, margin: float = 0.0
) -> QuadratMapping:
    """The mapping of a located quadrat at a scale, with a margin over the frame's longer side.

    Raises:
        ValueError: the quadrat would have more pixels than a photo may.
    """
    width, height = geometry.size_for(located.template.size_cm, px_per_cm)
    room = round(margin * max(width, height))
    size_wh = width + 2 * room, height + 2 * room
    if size_wh[0] * size_wh[1] > images.MAX_PIXELS:
        raise ValueError(
            f"at {px_per_cm:g} px a cm the quadrat has {size_wh[0]} x {size_wh[1]} px, more than {images.MAX_PIXELS}: "
            "choose a smaller --px-per-cm"
        )
    frame_to_quadrat = np.array([[width, 0, room], [0, height, room], [0, 0, 1]], np.float64)
    photo_to_quadrat = frame_to_quadrat @ invert(located.to_photo)
    facts = located.lens, located.verdict, located.source
    return QuadratMapping(photo, photo_size_wh, size_wh, px_per_cm, photo_to_quadrat, *facts, margin_px=float(room))


def _maker(photo: Path, points: str, settings: _Settings) -> dict[str, Any]:
    """What the result depends on, as JSON gives it back."""
    facts = {
        "px_per_cm": settings.px_per_cm,
        "size_cm": settings.size_cm,
        "layout": settings.layout,
        "margin": settings.margin,
    }
    maker = {"photo": batch.fingerprint(photo), "points": points, "settings": facts}
    known: dict[str, Any] = json.loads(json.dumps(maker))
    return known


def _done(picture: Path, kept: Path, maker: dict[str, Any]) -> Verdict | None:
    try:
        known = mapping.read(kept)
    except (OSError, ValueError):
        return None
    return known.verdict if picture.is_file() and dict(known.maker) == maker else None


# ------------------------------------------------------------------------------------------------ back to the photo


def to_photo(shapes: Annotations, known: QuadratMapping) -> Annotations:
    """Shapes of a rectified quadrat as shapes of its photo.

    Raises:
        ValueError: the shapes are of a picture of another size.
    """
    if shapes.size_wh != known.size_wh:
        raise ValueError(
            f"shapes of {shapes.image} are of {shapes.size_wh} px, the quadrat is of {known.size_wh} px: expected "
            "shapes of the quadrat as it was written"
        )
    back = tuple(known.shapes_to_photo(shapes.shapes))
    return Annotations(known.photo, known.photo_size_wh, back, {**shapes.meta, "quadrat": shapes.image})


def bring_back(shapes: Sequence[Path], mappings: Path, out: Path) -> Report:
    """Bring shapes JSON of rectified quadrats back to the photos.

    Args:
        shapes: shapes JSON files, and folders of them.
        mappings: the folder that `main` filled, or one mapping.
        out: gets a shapes JSON file of the same name each.

    Raises:
        FileNotFoundError: no shapes there.
    """

    def work(path: Path, inside: str) -> None:
        found = shapes_json.read(path)
        known = mapping.read(_mapping_of(mappings, (found.image, inside)))
        shapes_json.write(out / inside, to_photo(found, known))

    return Report(batch.each(dict(_shapes_files(shapes)), work, title="back").failed)


def _shapes_files(given: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Files, and their paths under the folder that was given."""
    for source in given:
        files = [source] if source.is_file() else sorted(source.rglob("*.json"))
        if not files:
            raise FileNotFoundError(f"{source}: no shapes JSON file there")
        for path in files:
            if not path.name.endswith(MAPPING_SUFFIX) and not path.name.startswith("."):
                yield path, path.relative_to(source).as_posix() if source.is_dir() else path.name


def _mapping_of(mappings: Path, names: Sequence[str]) -> Path:
    if mappings.is_file():
        return mappings
    tried = [mappings / f"{PurePath(name).with_suffix('')}{MAPPING_SUFFIX}" for name in names]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise ValueError(f"there is no mapping for it: looked for {' and '.join(map(str, dict.fromkeys(tried)))}")
    return found


# ------------------------------------------------------------------------------------------------ command line


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m grid_pose_detection.rectify", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("photos", type=Path, nargs="*", help="photos, or folders with photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--corners", type=Path, help="shapes JSON, COCO or CVAT XML (default: predict)")
    parser.add_argument("--px-per-cm", type=float, default=PX_PER_CM, help="scale of the quadrats (default: 12)")
    parser.add_argument("--size-cm", type=float, nargs=2, metavar=("W", "H"), help="inner sides of the frame")
    parser.add_argument("--layout", help="of marked grids: a built-in name or a file")
    parser.add_argument(
        "--margin", type=float, default=0.0, help="room round the frame, over its longer side (default: 0)"
    )
    parser.add_argument("--weights", help="network for the corners (default: what ships)")
    parser.add_argument("--grid-weights", help="network for the grid, `default` for what ships (default: none)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--png", action="store_true", help="write PNG instead of JPEG")
    parser.add_argument("--back", type=Path, nargs="+", metavar="SHAPES", help="shapes JSON of quadrats, or folders")
    parser.add_argument("--mappings", type=Path, help="with --back: where the mappings of the quadrats lie")
    given = parser.parse_args(argv)
    if bool(given.photos) == bool(given.back):
        parser.error("expected either photos or --back SHAPES")
    if bool(given.back) != bool(given.mappings):
        parser.error("--back and --mappings go together")
    return given


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    given = vars(_parse(argv))
    back, mappings = given.pop("back"), given.pop("mappings")
    try:
        if given["size_cm"]:
            given["size_cm"] = tuple(given["size_cm"])
        report = bring_back(back, mappings, given["out"]) if back else main(**given)
    except (ValueError, OSError) as error:
        print(f"rectify: {error}", file=sys.stderr)
        return 1
    print(f"results in {given['out']}")
    for path, reason in report.review.items():
        print(f"review {path}: {reason}", file=sys.stderr)
    for path, reason in report.failed.items():
        print(f"failed {path}: {reason}", file=sys.stderr)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(run())
