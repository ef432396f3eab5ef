"""What an evaluation writes: figures over all photos, a row a photo, pictures, and crops of examples and the worst."""

from __future__ import annotations

import csv
import heapq
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_inpainting import metrics, plots
from grid_inpainting.measuring import FOUND, Painting, Photo, Pictures
from quadrat import files, images
from quadrat.formats import overlay

Rgb = NDArray[np.uint8]

CROP_PX = 256
ZOOM = 2
WORST, EXAMPLES = 12, 8


def summary(photos: Sequence[Photo]) -> dict[str, Any]:
    """Figures over photos.

    Returns:
        ``photos``; ``strings``: for ``true`` points, and for ``found`` ones where they were looked for, see
        `_strings`; ``painting``: by method, ``photos``, ``hole`` and ``band`` of `metrics.overall`, mean ``lpips`` and
        ``seconds``; ``warnings``: how many photos have each.
    """
    methods = dict.fromkeys(method for photo in photos for method in photo.paintings)
    found = any(photo.missed or FOUND in photo.strings for photo in photos)
    return {
        "photos": len(photos),
        "strings": {source: _strings(photos, source) for source in (("true", FOUND) if found else ("true",))},
        "painting": {
            method: _painting([photo.paintings[method] for photo in photos if method in photo.paintings])
            for method in methods
        },
        "warnings": dict(Counter(warning for photo in photos for warning in photo.warnings).most_common()),
    }


def _strings(photos: Sequence[Photo], source: str) -> dict[str, Any]:
    """Figures of those that have some: ``photos``, ``recall``, ``precision``, ``painted_share``, ``true_share``.

    Beside these ``not_found``: the number of photos that have none, with ``reasons``, and ``recall_of_all``: mean
    recall when theirs counts as 0.
    """
    known = [photo.strings[source] for photo in photos if source in photo.strings]
    keys = ("recall", "precision", "painted_share", "true_share")
    recall = sum(one.recall for one in known) / len(photos) if photos else None
    return {
        "photos": len(known),
        **{key: _spread([getattr(one, key) for one in known]) for key in keys},
        "not_found": len(photos) - len(known),
        "recall_of_all": recall,
        "reasons": dict(Counter(photo.missed for photo in photos if source not in photo.strings).most_common()),
    }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return dict.fromkeys(("mean", "median", "p05", "p95"))
    low, middle, high = np.percentile(values, [5, 50, 95])
    told = {"mean": np.mean(values), "median": middle, "p05": low, "p95": high}
    return {key: round(float(value), 6) for key, value in told.items()}


def _painting(painted: Sequence[Painting]) -> dict[str, Any]:
    lpips = [one.lpips for one in painted if one.lpips is not None]
    return {
        "photos": len(painted),
        "hole": metrics.overall([one.hole for one in painted if one.hole]),
        "band": metrics.overall([one.band for one in painted if one.band]),
        "lpips": round(float(np.mean(lpips)), 6) if lpips else None,
        "seconds": round(float(np.mean([one.seconds for one in painted])), 4) if painted else None,
    }


def row(photo: Photo) -> dict[str, Any]:
    """One photo's figures under names of their own; empty where there is none."""
    facts: dict[str, Any] = {"photo": photo.name, "frame": photo.frame, "layout": photo.layout}
    for source, one in photo.strings.items():
        for key in ("recall", "precision", "painted_share", "true_share"):
            facts[f"{key}_{source}"] = round(getattr(one, key), 6)
    for method, painting in photo.paintings.items():
        for region in ("hole", "band"):
            quality = getattr(painting, region)
            facts[f"psnr_db_{region}_{method}"] = round(quality.psnr_db, 4) if quality else ""
            facts[f"ssim_{region}_{method}"] = round(quality.ssim, 6) if quality else ""
        facts[f"lpips_{method}"] = "" if painting.lpips is None else round(painting.lpips, 6)
    return {**facts, "missed": photo.missed, "warnings": "; ".join(photo.warnings)}


class Crops:
    """Crops of some examples and of the worst photos, kept while photos are measured.

    Args:
        examples: names of the photos that are shown as examples.
    """

    def __init__(self, examples: Sequence[str]) -> None:
        self.examples = set(examples)
        self.shown: list[Rgb] = []
        self._worst: list[tuple[float, str, Rgb, str]] = []

    def add(self, photo: Photo, pictures: Pictures) -> None:
        """Take a photo; the worst are those whose bands are least like the true ones by SSIM; none if unpainted."""
        if not photo.paintings:
            return
        if photo.name in self.examples:
            self.shown.append(_side_by_side(pictures, _densest(pictures.strings)))
        first, *_ = photo.paintings.values()
        if first.band is None:
            return
        apart = np.abs(pictures.painted.astype(np.int16) - pictures.clean).max(2)
        near = metrics.near(pictures.strings, 8)
        note = f"{photo.name}: in the band SSIM {first.band.ssim:.3f}, PSNR {first.band.psnr_db:.1f} dB. {photo.missed}"
        crops = _side_by_side(pictures, _densest(np.where(near, apart, 0)))
        heapq.heappush(self._worst, (-first.band.ssim, photo.name, crops, note))
        if len(self._worst) > WORST:
            heapq.heappop(self._worst)

    def worst(self) -> Iterator[tuple[str, Rgb]]:
        """Name and picture of the worst, the worst first."""
        for _, name, crops, note in sorted(self._worst, reverse=True):
            yield name, overlay.contact_sheet([crops], columns=1, cell_px=crops.shape[1], note=note)


def _densest(values: NDArray[Any]) -> tuple[slice, slice]:
    """The window of `CROP_PX` that holds most."""
    height, width = values.shape
    tall, wide = min(CROP_PX, height), min(CROP_PX, width)
    total = cv2.integral(values.astype(np.float32))
    held = total[tall:, wide:] - total[:-tall, wide:] - total[tall:, :-wide] + total[:-tall, :-wide]
    top, left = np.unravel_index(int(held.argmax()), held.shape)
    return slice(int(top), int(top) + tall), slice(int(left), int(left) + wide)


def _side_by_side(pictures: Pictures, window: tuple[slice, slice]) -> Rgb:
    """Photo, painted and true, enlarged."""
    parts = [each[window] for each in (pictures.photo, pictures.painted, pictures.clean)]
    gap = np.full((parts[0].shape[0], 3, 3), 255, np.uint8)
    strip = np.hstack([parts[0], gap, parts[1], gap, parts[2]])
    return np.asarray(cv2.resize(strip, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC), np.uint8)


def write(folder: Path, photos: Sequence[Photo], result: dict[str, Any], crops: Crops) -> None:
    """Write all that is known into a folder; what other files it holds stay, but for older ``worst``.

    - ``figures.json``: `result`
    - ``photos.csv``: a row a photo
    - ``painting.png``, ``strings.png``: see `plots`
    - ``sheet.jpg``: crops of examples; ``worst/``: of the worst photos: with strings, painted, and true

    Args:
        folder: is made if it is not there.
        photos: at least one.
        result: has `summary` in it.
        crops: of the photos.
    """
    files.write_json(folder / "figures.json", result)
    _write_csv(folder / "photos.csv", [row(photo) for photo in photos])
    if result["painting"]:
        plots.painting(folder / "painting.png", result["painting"])
    kinds = ("recall", "precision", "painted_share", "true_share")
    figures = {
        source: [
            tuple(getattr(photo.strings[source], kind) for kind in kinds) for photo in photos if source in photo.strings
        ]
        for source in result["strings"]
    }
    plots.strings(folder / "strings.png", figures)
    note = f"With strings, painted, true. {result['note']}".strip()
    if crops.shown:
        sheet = overlay.contact_sheet(crops.shown, columns=1, cell_px=crops.shown[0].shape[1], note=note)
        images.write(folder / "sheet.jpg", sheet)
    for old in (folder / "worst").glob("*.jpg"):
        old.unlink()
    for place, (name, picture) in enumerate(crops.worst(), 1):
        images.write(folder / "worst" / f"{place:02d}-{name}.jpg", picture)


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for each in rows for name in each))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
