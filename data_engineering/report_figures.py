"""The figures of a dataset's report, counted photo by photo: colonies, sizes, cover, people.

A colony is a polygon, mask, rectangle or ellipse; polygons of one label and group are its parts. Cover is the share of
the quadrat that colonies cover where its corners are drawn on the photo, else their share of the photo; photos without
shapes count, with none.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_engineering import surfaces
from data_engineering.report_scale import Scale
from data_engineering.surfaces import Surfaces
from quadrat import cvat_labels
from quadrat.drawn import DrawnPhoto

Figures = dict[str, Any]

BINS = 30
"""Number of classes of colony size, each wider than the one before by the same factor."""

UNNAMED = "not said"


@dataclass
class _Cover:
    """Cover of the photos of a year, a site, or all: sums, of which means and errors are made."""

    photos: int = 0
    total: float = 0.0
    squares: float = 0.0
    labels: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, shares: Mapping[str, float]) -> None:
        whole = sum(shares.values())
        self.photos, self.total, self.squares = self.photos + 1, self.total + whole, self.squares + whole**2
        for label, share in shares.items():
            self.labels[label] += share

    def figures(self, order: Sequence[str]) -> Figures:
        n = max(self.photos, 1)
        spread = max(self.squares - self.total**2 / n, 0) / max(n - 1, 1)
        return {
            "photos": self.photos,
            "percent": round(100 * self.total / n, 3),
            "standard_error": round(100 * math.sqrt(spread / n), 3) if n > 1 else None,
            "labels": {label: round(100 * self.labels[label] / n, 3) for label in order if label in self.labels},
        }


class Tally:
    """Counts photos one after the other.

    Args:
        to_name: what a label is called in the report, for example at another level of the taxonomy.
        scale: how px become cm.
    """

    def __init__(self, to_name: Callable[[str], str] = str, scale: Scale | None = None):
        self._to_name, self._scale = to_name, scale or Scale()
        self._counts: dict[str, Counter[Any]] = defaultdict(Counter)
        self._without: list[str] = []
        self._px: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._cm2: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._covers: dict[tuple[str, Any], _Cover] = defaultdict(_Cover)

    def add(self, photo: DrawnPhoto, ground: Surfaces) -> None:
        """Count a photo; `ground` is `surfaces.of` it."""
        self._count_photo(photo)
        sheltered = ground.frame is not None
        whole = float(photo.size_wh[0] * photo.size_wh[1])
        shares = surfaces.shares(ground) if sheltered else ground.areas_px / whole
        how, cm2 = self._scale.cm2(photo, ground, shares)
        self._counts["scale"][how] += 1
        self._counts["cover of"]["quadrat" if sheltered else "photo"] += 1
        colony = surfaces.colonies(ground)
        names = [self._to_name(one.label) for one in ground.shapes]
        for areas, sizes in ((ground.areas_px, self._px), (cm2, self._cm2)):
            sums = np.bincount(colony, areas, len(ground)) if len(ground) else areas
            counted = np.isfinite(sums) if sizes is self._px else sums > 0  # false for NaN too
            for k in np.flatnonzero((colony == np.arange(len(ground))) & counted):
                sizes[names[k]].append(float(sums[k]))
        self._count_people(photo, len(set(colony.tolist())))
        self._counts["photos of"].update(set(names))
        self._count_cover(photo, names, shares)

    def _count_photo(self, photo: DrawnPhoto) -> None:
        counts, facts = self._counts, photo.facts
        counts["photos"][""] += 1
        counts["size"][photo.size_wh] += 1
        counts["kind"].update(one.kind for one in photo.drawn)
        for key in ("area", "year", "quadrat_id", "cvat_subset", "cvat_project_name", "cvat_task_id", "cvat_job_id"):
            if facts.get(key) not in (None, ""):
                counts[key][facts[key]] += 1
        counts["tag"].update(facts.get("tags") or ())
        if not photo.drawn:
            self._without.append(photo.name)

    def _count_people(self, photo: DrawnPhoto, colonies: int) -> None:
        for name in photo.facts.get("annotators") or ([UNNAMED] if photo.drawn else ()):
            self._counts["annotator photos"][name] += 1
            self._counts["annotator colonies"][name] += colonies
        self._counts["source"].update(one.source or UNNAMED for one in photo.drawn if one.kind in surfaces.KINDS)

    def _count_cover(self, photo: DrawnPhoto, names: Sequence[str], shares: NDArray[np.float64]) -> None:
        covers: dict[str, float] = defaultdict(float)
        for name, share in zip(names, shares.tolist(), strict=True):
            covers[name] += share
        self._covers["all", None].add(covers)
        for key in ("year", "area"):
            if photo.facts.get(key) not in (None, ""):
                self._covers[key, photo.facts[key]].add(covers)

    # ------------------------------------------------------------------------------------------ written down

    def figures(self) -> Figures:
        """All figures, ready for JSON; `docs/dataset-report.md` says what each is."""
        order = sorted(self._px, key=lambda name: (-len(self._px[name]), name))
        unit = "cm2" if self._cm2 else "px2"
        sizes = self._cm2 if self._cm2 else self._px
        return {
            "photos": self._photo_figures(),
            "colonies": {
                "count": sum(map(len, self._px.values())),
                "area_px2": round(sum(map(sum, self._px.values()))),
                "labels": [self._label_figures(name) for name in order],
            },
            "shapes": dict(self._counts["kind"].most_common()),
            "scale": self._scale_figures(),
            "sizes": {"unit": unit, **_histograms({name: sizes[name] for name in order if sizes[name]})},
            "cover": {
                "of": {key: self._counts["cover of"][key] for key in ("quadrat", "photo")},
                **self._covers["all", None].figures(order),
                "by_year": self._cover_by("year", order),
                "by_site": self._cover_by("area", order),
            },
            "people": self._people_figures(),
        }

    def _photo_figures(self) -> Figures:
        counts = self._counts
        sizes = [{"size_wh": list(size), "photos": n} for size, n in counts["size"].most_common()]
        return {
            "count": counts["photos"][""],
            "without_shapes": {"count": len(self._without), "names": self._without[:100]},
            "sizes": sizes,
            "sites": _sorted(counts["area"]),
            "years": _sorted(counts["year"]),
            "subsets": _sorted(counts["cvat_subset"]),
            "projects": _sorted(counts["cvat_project_name"]),
            "tags": _sorted(counts["tag"]),
            "quadrats": len(counts["quadrat_id"]),
            "tasks": len(counts["cvat_task_id"]),
            "jobs": len(counts["cvat_job_id"]),
        }

    def _label_figures(self, name: str) -> Figures:
        px = self._px[name]
        everything, area = sum(map(len, self._px.values())), sum(map(sum, self._px.values()))
        cover = self._covers["all", None].labels[name] / max(self._counts["photos"][""], 1)
        return {
            "label": name,
            "color": cvat_labels.colour(name),
            "count": len(px),
            "share": round(len(px) / max(everything, 1), 5),
            "share_of_area": round(sum(px) / area, 5) if area else 0.0,
            "photos": self._counts["photos of"][name],
            "cover_percent": round(100 * cover, 3),
            "size_px2": _quantiles(px),
            "size_cm2": _quantiles(self._cm2[name]) if name in self._cm2 else None,
        }

    def _scale_figures(self) -> Figures:
        known = {how: n for how, n in self._counts["scale"].most_common() if how}
        said = self._scale
        return {
            "photos_known": sum(known.values()),
            "how": known,
            "quadrat_cm": list(said.quadrat_cm) if said.quadrat_cm else None,
            "px_per_cm": said.px_per_cm,
        }

    def _cover_by(self, key: str, order: Sequence[str]) -> list[Figures]:
        found = [(value, cover) for (whose, value), cover in self._covers.items() if whose == key]
        return [{"name": str(value), **cover.figures(order)} for value, cover in sorted(found, key=lambda e: str(e[0]))]

    def _people_figures(self) -> Figures:
        photos, colonies = self._counts["annotator photos"], self._counts["annotator colonies"]
        everything = max(sum(map(len, self._px.values())), 1)
        return {
            "annotators": [
                {"name": name, "photos": photos[name], "colonies": n, "share": round(n / everything, 5)}
                for name, n in colonies.most_common()
            ],
            "sources": dict(self._counts["source"].most_common()),
        }


def _sorted(counts: Mapping[Any, int]) -> dict[str, int]:
    return {str(value): counts[value] for value in sorted(counts, key=str)}


def _quantiles(values: Iterable[float]) -> Figures:
    numbers = np.fromiter(values, np.float64)
    q = np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]) if len(numbers) else np.zeros(5)
    names = ("least", "quarter", "median", "three_quarters", "most")
    found: Figures = {name: float(f"{value:.4g}") for name, value in zip(names, q, strict=True)}
    return {"count": len(numbers), "mean": float(f"{numbers.mean() if len(numbers) else 0:.4g}"), **found}


def _histograms(sizes: Mapping[str, array[float]]) -> Figures:
    """Number of colonies in `BINS` classes of size, of each label; the same classes for all."""
    everything = np.concatenate([np.frombuffer(values) for values in sizes.values()] or [np.zeros(0)])
    positive = everything[everything > 0]
    if not len(positive):
        return {"edges": [], "labels": {}}
    low, high = math.log10(positive.min()), math.log10(positive.max())
    edges = np.logspace(low - 0.02, max(high, low + 0.3) + 0.02, BINS + 1)
    counted = {name: np.histogram(np.frombuffer(values), edges)[0].tolist() for name, values in sizes.items()}
    return {"edges": [float(f"{edge:.4g}") for edge in edges], "labels": counted}
