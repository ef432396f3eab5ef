"""Many photos through one predictor: files for each, no stop at a bad one, and nothing done twice.

names = batch.name_photos([Path("photos")])
done, failed = batch.each(names, work)                       # any work
done, failed = batch.predict(predictor, [Path("photos")], Path("out"), maker={"weights": "first"})
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tqdm import tqdm

from quadrat import files, images
from quadrat.formats import coco, cvat_xml, overlay, shapes_json
from quadrat.predictor import ExplainingPredictor, JudgingPredictor, Predictor
from quadrat.shapes import Annotations
from quadrat.verdict import OK, Judged

T = TypeVar("T")


class Outcome(NamedTuple, Generic[T]):
    """What became of many photos.

    Attributes:
        done: photo -> what the work gave.
        failed: photo -> why there is nothing, in words.
    """

    done: dict[Path, T]
    failed: dict[Path, str]


class Extra(Protocol):
    """What is made of a photo besides its shapes."""

    def is_there(self, name: str) -> bool:
        """Whether it was made of the photo of that name already."""
        ...

    def make(self, image_rgb: images.Rgb, name: str, found: Annotations) -> None:
        """Make it, right after the photo's shapes were found."""
        ...


def name_photos(sources: Iterable[Path]) -> dict[Path, str]:
    """Every photo of files and folders, and the name of what is made of it: its path under the folder given, no suffix.

    Where two photos would share a name, the second keeps its suffix, and a number if that is not enough.

    Raises:
        FileNotFoundError: no such file or folder, or no photo in it.
    """
    inside: dict[Path, PurePath] = {}
    for source in sources:
        for photo in images.list_photos(source):
            inside[photo] = photo.relative_to(source) if source.is_dir() else PurePath(photo.name)
    return dict(zip(inside, files.distinct_names(inside.values()), strict=True))


def each(photos: Mapping[Path, str], work: Callable[[Path, str], T], *, title: str = "predict") -> Outcome[T]:
    """Work on every photo behind a progress bar.

    Args:
        photos: as `name_photos` gives them.
        work: gets a photo and its name; a `ValueError`, `OSError` or `MemoryError` fails this photo alone.
        title: of the progress bar.
    """
    outcome: Outcome[T] = Outcome({}, {})
    for photo, name in tqdm(photos.items(), desc=title, unit="photo"):
        try:
            outcome.done[photo] = work(photo, name)
        except (ValueError, OSError, MemoryError) as error:
            outcome.failed[photo] = f"{type(error).__name__}: {error}"
    return outcome


def fingerprint(path: Path) -> str:
    """What tells two photos or weights of one name apart: size and time of the file, or of the largest in a folder."""
    found = max(path.iterdir(), key=lambda inside: inside.stat().st_size) if path.is_dir() else path
    return f"{found.stat().st_size}-{found.stat().st_mtime_ns}"


def predict(
    predictor: Predictor,
    sources: Iterable[Path],
    out: Path,
    *,
    maker: Mapping[str, Any],
    overlays: bool = True,
    extra: Extra | None = None,
) -> Outcome[Annotations]:
    """Predict the shapes of photos; what `maker` has made of a photo already is left as it is.

    Args:
        predictor: of instances or keypoints. The verdict of a `JudgingPredictor` goes into each ``meta``: ``verdict``,
            ``score`` and ``reasons``; what an `ExplainingPredictor` says as ``facts``.
        sources: files, and folders with photos.
        out: gets ``shapes/*.json``, ``overlays/*.jpg``, ``coco.json`` and ``cvat.xml``.
        maker: what a result depends on, such as weights and settings; JSON-able.
        overlays: draw the shapes over each photo.
        extra: what else is made of each.

    Raises:
        FileNotFoundError: no such photos.
    """

    def work(photo: Path, name: str) -> Annotations:
        made_by = json.loads(json.dumps({**maker, "photo": fingerprint(photo)}))
        shapes, picture = out / "shapes" / f"{name}.json", out / "overlays" / f"{name}.jpg"
        known = _known(shapes, made_by)
        if known is not None and (picture.is_file() or not overlays) and (extra is None or extra.is_there(name)):
            return known
        image_rgb = images.read(photo)
        found = _find(predictor, image_rgb, (PurePath(name).parent / photo.name).as_posix(), made_by)
        if overlays:
            images.write(picture, _draw(image_rgb, found, photo.name))
        if extra is not None:
            extra.make(image_rgb, name, found)
        shapes_json.write(shapes, found)  # last: what has shapes is done
        return found

    outcome = each(name_photos(sources), work)
    coco.write(out / "coco.json", outcome.done.values())
    cvat_xml.write(out / "cvat.xml", outcome.done.values())
    return outcome


def verdicts(done: Mapping[Path, Annotations]) -> dict[str, dict[Path, str]]:
    """Photos by the verdict of a judging predictor, each with its reasons in one sentence."""
    by_status: dict[str, dict[Path, str]] = {}
    for photo, found in done.items():
        reasons = found.meta.get("reasons")
        words = "; ".join(map(str, reasons)) if isinstance(reasons, Sequence) else ""
        by_status.setdefault(str(found.meta.get("verdict", OK)), {})[photo] = words
    return by_status


def _find(predictor: Predictor, image_rgb: images.Rgb, name: str, made_by: Mapping[str, Any]) -> Annotations:
    start = time.perf_counter()
    facts: dict[str, object] = {}
    if isinstance(predictor, JudgingPredictor):
        judged = predictor.predict_judged(image_rgb)
        shapes, facts = judged.shapes, _facts(judged)
    elif isinstance(predictor, ExplainingPredictor):
        explained = predictor.predict_explained(image_rgb)
        shapes, facts = tuple(explained.shapes), {"facts": dict(explained.facts)}
    else:
        shapes = tuple(predictor.predict(image_rgb))
    seconds = round(time.perf_counter() - start, 3)
    meta = {"maker": made_by, "note": predictor.card.note, "seconds": seconds, **facts}
    return Annotations(name, (image_rgb.shape[1], image_rgb.shape[0]), shapes, meta)


def _facts(judged: Judged) -> dict[str, object]:
    found = judged.verdict
    return {"verdict": found.status, "score": round(found.score, 6), "reasons": list(found.reasons)}


def _draw(image_rgb: images.Rgb, found: Annotations, title: str) -> images.Rgb:
    words = [str(found.meta["note"])]
    if "verdict" in found.meta:
        reasons = found.meta["reasons"]
        told = "; ".join(map(str, reasons)) if isinstance(reasons, Sequence) else ""
        words.insert(0, f"Verdict {found.meta['verdict']}{f': {told}' if told else ''}.")
    if isinstance(facts := found.meta.get("facts"), Mapping):
        how = ", ".join(f"{name} {text}" for name, text in facts.items())
        words.append(f"{how[:1].upper()}{how[1:]}.")
    return overlay.draw(image_rgb, found.shapes, title=title, note=" ".join(filter(None, words)))


def _known(path: Path, made_by: Mapping[str, Any]) -> Annotations | None:
    """What lies at `path`, if `made_by` made it."""
    try:
        found = shapes_json.read(path)
    except (OSError, ValueError):
        return None
    return found if found.meta.get("maker") == made_by else None
