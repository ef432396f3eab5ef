"""`load`: weights of any kind the project writes, or of mmsegmentation -> a predictor of coral colonies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg import inference, instances, runners, weights
from DINOv2_mmseg.dense import Dense
from quadrat.predictor import Card, Explained, read_card
from quadrat.shapes import Instance

REFINERS = (*instances.METHODS, "sam")
find_weights = weights.find


def load(
    path: str | Path | None = None,
    device: str = "cpu",
    *,
    config: str | Path | None = None,
    refiner: str = "watershed",
    sam: str | Path | None = None,
    min_threshold: float = 0.05,
    unsure_threshold: float = 0.2,
    work_px: int | None = None,
    window_px: int | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    tidy_px: int | None = None,
    precision: str = "f32",
) -> SegmentationPredictor:
    """Load weights and warm them up.

    Args:
        path: ``.safetensors``, an export, a run folder, a run's name, or mmsegmentation's ``.pth`` with its `config`;
            `None` takes ``SEGFORMER_WEIGHTS``, else what ships.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; for OpenVINO also its own names.
        config: an mmengine config, for weights that do not say what network they are of.
        refiner: what makes colonies of the class map: ``watershed``, ``components``, or ``sam``, see `refine`.
        sam: weights of SAM; `None` takes ``SAM_WEIGHTS``.
        min_threshold: 0..1, the lowest score to return by default.
        unsure_threshold: 0..1; colonies with a lower score get the attribute ``unsure``.
        work_px: long side that a photo is brought to; `None`: as the weights say.
        window_px: side of the windows; `None`: as the weights say.
        scales: factors of the working scale, whose results are averaged.
        flip: average with the mirrored photo.
        tidy_px: patches of a class smaller than this squared go to what surrounds them; 0: none;
            `None`: 4 cells of the network (`inference.TIDY_CELLS`).
        precision: ``f32`` or ``bf16``.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: a setting, the config or the file does not fit.
    """
    for name, value in (("min_threshold", min_threshold), ("unsure_threshold", unsure_threshold)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}: expected 0..1")
    if refiner not in REFINERS or precision not in runners.PRECISIONS:
        known = f"expected one of {', '.join(REFINERS)} and {', '.join(runners.PRECISIONS)}"
        raise ValueError(f"refiner {refiner!r}, precision {precision!r}: {known}")
    loaded = _load(find_weights(path), device, config, precision)
    settings = replace(
        loaded.settings,
        **{k: v for k, v in {"work_px": work_px, "window_px": window_px}.items() if v is not None},
        scales=tuple(scales),
        flip=flip,
        tidy_px=tidy_px,
        batch=1 if device == "cpu" else 8,
    )
    outliner = None
    if refiner == "sam":
        from DINOv2_mmseg import refine

        outliner = refine.load(sam, device)
    predictor = SegmentationPredictor(
        loaded.run, loaded.card, settings, refiner, outliner, min_threshold, unsure_threshold
    )
    predictor.segment(np.zeros((settings.window_px, settings.window_px, 3), np.uint8))  # what is set up late
    return predictor


@dataclass(frozen=True)
class _Loaded:
    run: inference.Run
    card: Card
    settings: inference.Settings


def _load(found: Path, device: str, config: str | Path | None, precision: str) -> _Loaded:
    if found.is_dir() or found.suffix in runners.SUFFIXES:
        spec, run, patch = runners.read_spec(found), runners.of_export(found, device, precision), None
    else:
        from DINOv2_mmseg import network

        model, spec = network.load(found, device) if found.suffix == ".safetensors" else _foreign(found, config, device)
        run, patch = runners.of_torch(model, spec, precision), network.patch_of(model)
    fixed = patch is None  # an export takes windows of one size
    settings = inference.Settings(spec.work_px, spec.window_px, patch or spec.patch_px, fixed=fixed)
    card = read_card(found) or Card(found.stem, "semantic", spec.labels, background=spec.background)
    if card.labels != spec.labels:
        from DINOv2_mmseg.train import side_by_side

        raise ValueError(f"{found} and its card differ: {side_by_side('weights', spec.labels, 'card', card.labels)}")
    return _Loaded(run, card, settings)


def _foreign(found: Path, config: str | Path | None, device: str) -> Any:
    from DINOv2_mmseg import foreign

    return foreign.load(found, config, device)


class SegmentationPredictor:
    """A `quadrat.predictor.ExplainingPredictor` of colonies. Thread-unsafe: one a worker.

    Attributes:
        semantic_card: what the weights are, with all their classes.
        settings: how photos go through the network.
    """

    def __init__(
        self,
        run: inference.Run,
        card: Card,
        settings: inference.Settings,
        refiner: str = "watershed",
        outliner: Any = None,
        min_threshold: float = 0.05,
        unsure_threshold: float = 0.2,
    ):
        self.run, self.semantic_card, self.settings = run, card, settings
        self.refiner, self.outliner = refiner, outliner
        self.min_threshold, self.unsure_threshold = min_threshold, unsure_threshold
        colonies = tuple(label for label in card.labels if label not in card.background)
        self._card = replace(card, task="instances", labels=colonies, background=())

    @property
    def card(self) -> Card:
        """What the weights are, with the classes of colonies alone."""
        return self._card

    def segment(self, image_rgb: NDArray[np.uint8]) -> Dense:
        """The class of every pixel.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.

        Raises:
            ValueError: `image_rgb` is not as above.
        """
        image_rgb = np.asarray(image_rgb)
        if image_rgb.dtype != np.uint8 or image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or not image_rgb.size:
            raise ValueError(f"image_rgb is {image_rgb.dtype}{list(image_rgb.shape)}: expected uint8[H, W, 3]")
        return inference.segment(self.run, image_rgb, self.semantic_card.labels, self.settings)

    def predict(self, image_rgb: NDArray[np.uint8], *, threshold: float | None = None) -> Sequence[Instance]:
        """Find colonies, see `quadrat.predictor.Predictor`."""
        return self.predict_explained(image_rgb, threshold=threshold).shapes  # type: ignore[return-value]

    def predict_explained(self, image_rgb: NDArray[np.uint8], *, threshold: float | None = None) -> Explained:
        """As `predict`; the facts say how colonies were made and at which scale the photo was seen."""
        return self.explain(image_rgb, self.segment(image_rgb), threshold=threshold)

    def explain(self, image_rgb: NDArray[np.uint8], dense: Dense, *, threshold: float | None = None) -> Explained:
        """Colonies out of a class map that `segment` gave of the photo.

        Raises:
            ValueError: `threshold` is not 0..1.
        """
        lowest = self.min_threshold if threshold is None else float(threshold)
        if not 0 <= lowest <= 1:
            raise ValueError(f"threshold is {threshold}: expected 0..1")
        background = self.semantic_card.background
        method = "components" if self.refiner == "components" else "watershed"
        found = instances.colonies(dense, background, method=method)
        if self.outliner is not None:
            found = self.outliner.refine(
                image_rgb, dense, found, background, min_threshold=lowest, unsure_threshold=self.unsure_threshold
            )
        else:
            found = [self._marked(one) for one in found if one.score >= lowest]
        return Explained(found, {"refiner": self.refiner, "scale": f"{dense.scale:.4g}"})

    def _marked(self, instance: Instance) -> Instance:
        if instance.score >= self.unsure_threshold:
            return instance
        return replace(instance, attributes={**instance.attributes, "unsure": "true"})
