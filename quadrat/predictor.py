"""What every model is to the rest of the house: a `Predictor` with a `Card`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import yaml
from numpy.typing import NDArray

from quadrat.shapes import Keypoints, Shape
from quadrat.template import Template
from quadrat.verdict import Judged

_LISTS = ("labels", "layouts", "background")
UNTRUSTED_NOTE = "Weights trained on rendered quadrats only: check every shape, then train on your own photographs."


@dataclass(frozen=True, slots=True)
class Card:
    """What a reader must know of a weights file; lies beside it as ``<weights stem>.card.yaml``.

    Attributes:
        name: short name of the weights.
        task: ``instances``, ``keypoints``, ``semantic`` or ``inpainting``.
        labels: class names in the order of the network's outputs.
        trained_on: the data in words; ``rendered quadrats`` for all that ships.
        note: a sentence that goes on every overlay; empty if none is needed.
        licence: SPDX name.
        layouts: of a keypoints network, the layouts it was trained for: names of `quadrat.template.BUILTIN`, or of a
            file beside the card.
        background: of a semantic network, the labels that are no colonies.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    trained_on: str = "unknown"
    note: str = ""
    licence: str = "AGPL-3.0-or-later"
    layouts: tuple[str, ...] = ()
    background: tuple[str, ...] = ()


class Predictor(Protocol):
    """A loaded model. Thread-unsafe: one a worker."""

    @property
    def card(self) -> Card:
        """What the weights are."""
        ...

    def predict(self, image_rgb: NDArray[np.uint8], *, threshold: float | None = None) -> Sequence[Shape]:
        """Find shapes.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.
            threshold: 0..1, the lowest score to return; ``None`` means the predictor's own.

        Returns:
            Shapes in pixels of `image_rgb`, best score first, inside the photo.
        """
        ...


@runtime_checkable
class JudgingPredictor(Predictor, Protocol):
    """A predictor that says whether its result is fit to go on with; `predict` gives the same shapes without it."""

    @property
    def layouts(self) -> Sequence[Template]:
        """What its points may be of: all have the same label and number of points."""
        ...

    def predict_judged(self, image_rgb: NDArray[np.uint8], *, threshold: float | None = None) -> Judged:
        """As `predict`, with the verdict; no shapes where it is failed."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """Shapes with what a reader should know of how they were found.

    Attributes:
        shapes: as `Predictor.predict` gives them.
        facts: in words, by name, lower-case words joined by ``-``: ``{"scale": "0.26", "refiner": "watershed"}``.
    """

    shapes: Sequence[Shape]
    facts: Mapping[str, str]


@runtime_checkable
class ExplainingPredictor(Predictor, Protocol):
    """A predictor that says how it worked on each photo; `predict` gives the same shapes without it."""

    def predict_explained(self, image_rgb: NDArray[np.uint8], *, threshold: float | None = None) -> Explained:
        """As `predict`, with facts."""
        ...


def card_path(weights: Path) -> Path:
    """Where the card of a weights file or folder lies."""
    return weights.with_name(f"{weights.stem}.card.yaml")


def read_card(weights: Path) -> Card | None:
    """Read the card beside `weights`; ``None`` where there is none.

    Raises:
        ValueError: the card holds an unknown key, or lacks one that is needed.
    """
    path = card_path(weights)
    if not path.is_file():
        return None
    raw = yaml.safe_load(path.read_text("utf-8"))
    known = {f.name for f in fields(Card)}
    if not isinstance(raw, dict) or set(raw) - known or not {"name", "task", "labels"} <= set(raw):
        raise ValueError(f"{path}: expected the keys name, task, labels and at most {sorted(known)}")
    lists = {key: tuple(str(name) for name in raw[key]) for key in _LISTS if key in raw}
    return Card(**{**raw, **lists})


def write_card(weights: Path, card: Card) -> Path:
    """Write `card` beside `weights` and return its path."""
    path = card_path(weights)
    raw = asdict(card)
    for name in _LISTS:
        raw[name] = list(raw[name])
        if name != "labels" and not raw[name]:
            del raw[name]
    path.write_text(yaml.safe_dump(raw, sort_keys=False, allow_unicode=True), "utf-8")
    return path


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """A photo from which something was removed.

    Attributes:
        image_rgb: uint8 ``[H, W, 3]``; outside `mask` every pixel is as it was given.
        mask: bool ``[H, W]``: the pixels that were painted, soft edges included.
        warnings: what a person should know, in words.
    """

    image_rgb: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    warnings: tuple[str, ...] = ()

    @property
    def painted_fraction(self) -> float:
        """Share of the photo's pixels that were painted, 0..1."""
        return float(np.count_nonzero(self.mask) / self.mask.size)


class GridRemover(Protocol):
    """A loaded model that paints a quadrat's strings out. Thread-unsafe: one a worker."""

    @property
    def card(self) -> Card:
        """What the weights are."""
        ...

    @property
    def layouts(self) -> Sequence[Template]:
        """What the points may be of."""
        ...

    def remove(
        self,
        image_rgb: NDArray[np.uint8],
        *,
        keypoints: Keypoints | None = None,
        mask: NDArray[np.bool_] | None = None,
        force: bool = False,
    ) -> Painted:
        """Paint out the strings between the points of a grid, or what a mask says. Exactly one of both is given.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.
            keypoints: points of a grid in px of the photo.
            mask: bool ``[H, W]``, true where something is to be removed.
            force: paint even where the mask is over half of the photo.

        Returns:
            The photo as it was, with a warning, where there is nothing to paint.

        Raises:
            ValueError: the points are of no known layout, or fewer than four lie in the photo; the mask is of another
                size, or over half of the photo.
        """
        ...
