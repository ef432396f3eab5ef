"""Photos -> the same photos without the strings of the quadrat, and beside each what was painted.

    python -m grid_inpainting.predict photos/ --points predictions/ --out clean
    python -m grid_inpainting.predict photos/ --points annotations.xml --out clean --sheet sheet.jpg
    python -m grid_inpainting.predict photos/ --masks masks/ --out clean --backend opencv
    python -m grid_inpainting.predict photos/ --detect-lines --out clean --keep-masks masks

``NAME.removed.json`` says which share of a photo was painted, by what, and what a person should know. A photo without
grid points or that cannot be read is listed at the end and the exit status is 1; all others are done. A photo with
nothing to paint is written unpainted. Called again, it goes on: what is up to date is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from grid_inpainting import backends, model, wanted
from grid_inpainting.weights import find as find_weights
from quadrat import batch, files, images, metadata
from quadrat.formats import overlay
from quadrat.predictor import GridRemover

FORMATS = {"jpeg": ".jpg", "png": ".png"}
FORMAT, REMOVED_SUFFIX = "quadratseg-removed", ".removed.json"
SHEET_PHOTOS = 16


@dataclass(frozen=True, slots=True)
class Removed:
    """What was done to one photo.

    Attributes:
        clean: the file that was written; `None` where nothing can be removed.
        painted_fraction: share of the photo's pixels that were painted, 0..1.
        warnings: what a person should know, in words; without a file, why.
    """

    clean: Path | None
    painted_fraction: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """What became of many photos.

    Attributes:
        done: what was painted.
        nothing: photos without grid points, with the reason; nothing was written for them.
        failed: photos that could not be done, with the reason.
        note: what must be known of all that was painted.
    """

    done: dict[Path, Removed] = field(default_factory=dict)
    nothing: dict[Path, str] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Work:
    """All that painting one photo takes."""

    out: Path
    source: wanted.Source
    remover: Any  # `GridRemover` and `wanted.Finder`
    maker: dict[str, Any]
    note: str
    suffix: str | None
    force: bool
    keep_masks: Path | None


def main(
    photos: Sequence[Path],
    out: Path,
    *,
    points: Path | None = None,
    masks: Path | None = None,
    detect_lines: bool = False,
    weights: str | None = None,
    backend: str = backends.LAMA,
    line_width: float | None = None,
    layout: str | Path = model.AUTO,
    device: str = "cpu",
    format: str | None = None,
    force: bool = False,
    keep_masks: Path | None = None,
    sheet: Path | None = None,
) -> Report:
    """Paint the strings out of all photos.

    Args:
        photos: files, and folders with photos.
        out: gets ``NAME.jpg`` or ``.png`` and ``NAME.removed.json`` of each. Not the photos' own folder; one below it
            will do.
        points: grid points: a folder of predictions, shapes JSON, COCO or CVAT XML (`annotated.read`); or
        masks: a folder with a PNG of each photo's name, above 0 where something is to be removed; or
        detect_lines: remove straight strings that the photo itself shows.
        weights: as `model.load` takes them, and so backend, line_width, layout and device.
        backend: ``lama``, ``openvino`` or ``opencv`` (no network).
        line_width: of the strings in px; `None`: measured.
        layout: of the points.
        device: to run on.
        format: ``jpeg`` or ``png``; default: JPEG for a JPEG, else PNG. Only PNG keeps what is not painted exactly.
        force: paint even where that is over half of a photo.
        keep_masks: folder that gets what was to be removed as ``NAME.png``, as `masks` takes it. Best not below `out`:
            who takes that folder for photos would take the masks too.
        sheet: picture with up to 16 photos, each beside itself as painted.

    Raises:
        ValueError: a setting out of range, not exactly one of points, masks and detect_lines, or they cannot be read.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    source = wanted.source_of(points, masks, detect_lines)
    names = _names(photos, out)
    remover = model.load(weights, device, backend=backend, line_width=line_width, layout=layout)
    work = _Work(
        out=out,
        source=source,
        remover=remover,
        maker=_maker(remover, weights, backend, line_width, layout, force),
        note=remover.card.note,
        suffix=FORMATS[format] if format else None,
        force=force,
        keep_masks=keep_masks,
    )
    outcome = batch.each(names, partial(_remove, work), title="remove")
    report = Report(failed=outcome.failed, note=remover.card.note)
    for photo, removed in outcome.done.items():
        if removed.clean is None:
            report.nothing[photo] = "; ".join(removed.warnings)
        else:
            report.done[photo] = removed
    if sheet is not None and report.done:
        _write_sheet(sheet, report)
    return report


def _names(photos: Sequence[Path], out: Path) -> dict[Path, str]:
    inside = out.resolve()
    names = {p: name for p, name in batch.name_photos(photos).items() if inside not in p.resolve().parents}
    if not names:
        raise ValueError(f"the photos lie in {out}, where the results shall go: choose another --out")
    return names


def _maker(
    remover: GridRemover, weights: str | None, backend: str, line_width: float | None, layout: str | Path, force: bool
) -> dict[str, Any]:
    """What every result depends on."""
    found = find_weights(weights) if backend != backends.OPENCV else None
    own = Path(layout)
    return {
        "weights": remover.card.name if found else None,
        "fingerprint": batch.fingerprint(found) if found else None,
        "backend": backend,
        "line_width_px": line_width,
        "layout": f"{layout} {batch.fingerprint(own)}" if own.is_file() else str(layout),
        "force": force,
    }


def _remove(work: _Work, photo: Path, name: str) -> Removed:
    inside = (PurePath(name).parent / photo.name).as_posix()
    suffix = work.suffix or (".jpg" if photo.suffix.lower() in (".jpg", ".jpeg") else ".png")
    clean, kept = work.out / f"{name}{suffix}", work.out / f"{name}{REMOVED_SUFFIX}"
    mask = work.keep_masks / f"{name}.png" if work.keep_masks else None
    maker = {**work.maker, "remove": work.source.fingerprint(inside), "photo": batch.fingerprint(photo)}
    done = _done(clean, kept, maker)
    if done is not None and (mask is None or mask.is_file()):
        return done
    _forget(kept)
    image_rgb = images.read(photo)
    along = metadata.read(photo.read_bytes())
    removal = work.source.find(inside, image_rgb, work.remover)
    if removal.mask is None:
        return Removed(None, warnings=removal.warnings)
    begun = time.perf_counter()
    painted = work.remover.remove(image_rgb, mask=removal.mask, force=work.force)
    seconds = round(time.perf_counter() - begun, 3)
    files.write_bytes(clean, metadata.encode(painted.image_rgb, suffix, along))
    if mask is not None:
        images.write(mask, removal.mask.view(np.uint8) * 255)
    share = round(painted.painted_fraction, 6)
    removed = Removed(clean, share, _once(removal.warnings, painted.warnings, along.warnings))
    size_wh = [image_rgb.shape[1], image_rgb.shape[0]]
    facts = {"format": FORMAT, "version": 1, "photo": inside, "clean": clean.name, "size_wh": size_wh}
    facts |= {"painted_fraction": share, "warnings": removed.warnings, "note": work.note, "seconds": seconds}
    files.write_json(kept, {**facts, "maker": maker})  # last: what has it is done
    return removed


def _once(*warnings: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warning for each in warnings for warning in each))


def _done(clean: Path, kept: Path, maker: dict[str, Any]) -> Removed | None:
    """What was done before, if it is what would be done now."""
    try:
        known = json.loads(kept.read_text("utf-8"))
        same = known["maker"] == json.loads(json.dumps(maker)) and known["clean"] == clean.name and clean.is_file()
        return Removed(clean, float(known["painted_fraction"]), tuple(known["warnings"])) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _forget(kept: Path) -> None:
    """Take away what was made before: it is not right any more."""
    try:
        clean = kept.with_name(json.loads(kept.read_text("utf-8"))["clean"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    clean.unlink(missing_ok=True)
    kept.unlink()


def _write_sheet(path: Path, report: Report) -> None:
    """Photos left, the same as painted right; evenly taken where there are many."""
    every = list(report.done.items())
    chosen = np.linspace(0, len(every) - 1, min(len(every), SHEET_PHOTOS)).round().astype(int)
    pictures = []
    for photo, removed in (every[place] for place in chosen):
        assert removed.clean is not None
        pictures += [images.read(photo), images.read(removed.clean)]
    images.write(path, overlay.contact_sheet(pictures, columns=2, cell_px=960, note=report.note))


# ------------------------------------------------------------------------------------------------ command line


def summary(report: Report) -> str:
    """What a person must know: how much was painted, and what to look at."""
    shares = [removed.painted_fraction for removed in report.done.values()]
    lines = [report.note] if report.note else []
    lines.append(f"{len(shares)} photos done, {np.mean(shares) if shares else 0:.1%} of each painted on average")
    for photo, removed in report.done.items():
        lines += [f"warning {photo}: {warning}" for warning in removed.warnings]
    return "\n".join(lines)


def _width(text: str) -> float | None:
    return None if text == "auto" else float(text)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m grid_inpainting.predict", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("photos", type=Path, nargs="+", help="photos, or folders with photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--points", type=Path, help="grid points: predictions folder, shapes JSON, COCO or CVAT XML")
    what.add_argument("--masks", type=Path, metavar="DIR", help="PNG masks named as the photos, above 0: remove")
    what.add_argument("--detect-lines", action="store_true", help="straight strings, without points")
    parser.add_argument("--weights", help="weights file, export, run folder or run name (default: what ships)")
    parser.add_argument(
        "--backend", choices=backends.BACKENDS, default=backends.LAMA, help="what paints (default: lama)"
    )
    parser.add_argument("--line-width", type=_width, metavar="PX|auto", help="of the strings (default: auto)")
    parser.add_argument("--layout", default=model.AUTO, help="built-in name or file (default: auto, the best fit)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--format", choices=tuple(FORMATS), help="of the results (default: as the photo, else png)")
    parser.add_argument("--force", action="store_true", help="paint even over half of a photo")
    parser.add_argument("--keep-masks", type=Path, metavar="DIR", help="folder for PNGs of what was to be removed")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="picture of photos before and after")
    return parser.parse_args(argv)


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    given = vars(_parse(argv))
    try:
        report = main(**given)
    except (ValueError, OSError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 1
    print(summary(report))
    print(f"results in {given['out']}")
    for photo, reason in report.nothing.items():
        print(f"nothing to do {photo}: {reason}", file=sys.stderr)
    for photo, reason in report.failed.items():
        print(f"failed {photo}: {reason}", file=sys.stderr)
    return 1 if report.failed or report.nothing else 0


if __name__ == "__main__":
    sys.exit(run())
