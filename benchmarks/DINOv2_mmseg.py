"""Cases of `DINOv2_mmseg`: photo to class map against mmsegmentation and the bare network; arg-max; OpenVINO.

``SEGFORMER_WEIGHTS`` names other weights than those that ship; without either the network's are random.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import DINOv2_mmseg_networks as networks
from benchmarks import machine, measure, photos
from benchmarks.cases import CheckError, Sides, case
from DINOv2_mmseg import dense, export, inference, runners

MODULE = "DINOv2_mmseg"
_EQUAL = "torch float32 on both sides, the same weights"
_REEF = "{} x {} px, rendered reef, decoded before"
CAMERA_WH, SMALL_WH = (4000, 3000), (1920, 1440)
SAME_IN_ONE, SAME_IN_WINDOWS = 0.98, 0.6
"""Least share of pixels with the same class: where one window suffices, and where windows are blended otherwise.

Random weights waver between 17 classes and so give about 0.76 in windows; trained ones should give far more.
"""


@functools.cache
def _network() -> networks.Network:
    return networks.load()


@functools.cache
def _photo(size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    from quadrat import images

    return images.decode(photos.reef_jpeg(*size_wh))


# ------------------------------------------------------------------------------------------------ photo to map


@case(
    MODULE,
    "slide",
    measures="`segment`: photo to class map",
    peer="mmsegmentation's own `slide` at the same windows of the same working image, resized to the photo, arg-max",
    photo=_REEF.format(*CAMERA_WH),
    objects="17 classes, or as many as the weights have",
    encoding="array in, class map of the photo's size out",
    precision=_EQUAL,
    target=1.0,
    repeat=5,
)
def slide() -> Sides:
    """A camera's photo."""
    return against_slide(_network(), _photo(CAMERA_WH))


def against_slide(net: networks.Network, photo: NDArray[np.uint8]) -> Sides:
    """Both ways from a photo to its class map.

    mmsegmentation weighs the pixels of all windows alike, ours fades windows into each other: where they overlap the
    maps can differ. Where one window sees the whole photo they may not.
    """
    theirs, one = networks.slide(net), net.at(work_px=net.spec.window_px)

    def check() -> dict[str, object]:
        ours = net.segment(photo).map.index
        same = _same(ours, theirs(photo), SAME_IN_WINDOWS)
        in_one = _same(one.segment(photo).map.index, networks.slide(one)(photo), SAME_IN_ONE)
        return {
            "weights": net.said,
            "windows": len(networks.windows(net, photo)),
            "classes in the map": len(np.unique(ours)),
            "share of pixels with the same class": same,
            "the same where one window sees the whole photo": in_one,
        }

    return Sides(lambda: net.segment(photo), lambda: theirs(photo), check)


def _same(ours: NDArray[Any], theirs: NDArray[Any], least: float) -> float:
    if ours.shape != theirs.shape:
        raise CheckError(f"their class map has {list(theirs.shape)} pixels, ours {list(ours.shape)}")
    share = float(np.mean(ours == theirs))
    if share < least:
        raise CheckError(f"{share:.1%} of the pixels have the same class: expected at least {least:.0%}")
    return share


def _forward_case(name: str, size_wh: tuple[int, int]) -> None:
    @case(
        MODULE,
        name,
        measures="`segment`: photo to class map; ratio = time(forward passes) / time(ours)",
        peer="the bare forward passes of the same windows, their tensors made before",
        photo=_REEF.format(*size_wh),
        objects="17 classes, or as many as the weights have",
        encoding="array in, class map of the photo's size out",
        precision=_EQUAL,
        target=0.95,
        repeat=7,
    )
    def prepare() -> Sides:
        return against_forward(_network(), _photo(size_wh))


_forward_case("forward", SMALL_WH)
_forward_case("forward-12mp", CAMERA_WH)


def against_forward(net: networks.Network, photo: NDArray[np.uint8]) -> Sides:
    """What shrinking, cutting, blending, enlarging and arg-max cost beside the network."""
    import torch

    from DINOv2_mmseg import network

    seen = networks.windows(net, photo)
    tensors = [torch.cat([network.normalised(image, net.spec) for image in some]) for some in seen]

    def peer() -> None:
        with torch.inference_mode():
            for tensor in tensors:
                network.logits(net.module, tensor)

    def check() -> dict[str, object]:
        return {"weights": net.said, "windows": sum(map(len, seen)), "window px": int(seen[0].shape[2])}

    return Sides(lambda: net.segment(photo), peer, check, lambda: {"share of each stage": _stages(net, photo)})


def _stages(net: networks.Network, photo: NDArray[np.uint8]) -> dict[str, str]:
    """Median ms and share of each stage, each run alone on what the stage before gave."""
    settings, size_wh = net.settings, (photo.shape[1], photo.shape[0])
    image, (right, down) = networks.brought(photo, settings)
    scores, stride = inference._windowed(net.run, image, settings)
    brought_wh = image.shape[1] - right, image.shape[0] - down
    cell = stride * size_wh[0] / brought_wh[0], stride * size_wh[1] / brought_wh[1]
    named = {
        "bringing to the working scale": lambda: networks.brought(photo, settings),
        "network and blending": lambda: inference._windowed(net.run, image, settings),
        "enlarging and arg-max": lambda: dense.label_map(scores, net.spec.labels, size_wh, cell),
        "probabilities": lambda: inference.softmax(scores),
    }
    return measure.stages(named, rounds=3)


# ------------------------------------------------------------------------------------------------ arg-max


def _argmax_case(name: str, classes: int, cells_wh: tuple[int, int], size_wh: tuple[int, int], repeat: int) -> None:
    @case(
        MODULE,
        name,
        measures="`dense.label_map`: scores of cells enlarged to the photo, the class with the largest for every pixel",
        peer="torch: `interpolate` (bilinear) to classes x height x width, `argmax`",
        photo=f"{size_wh[0]} x {size_wh[1]} px, scores of {cells_wh[0]} x {cells_wh[1]} cells",
        objects=f"{classes} classes, scores of noise: each of them wins somewhere",
        encoding="array in, array out",
        precision="float32 on both sides",
        target=3.0,
        repeat=repeat,
    )
    def prepare() -> Sides:
        return against_interpolate(classes, cells_wh, size_wh)


_argmax_case("argmax", 40, (74, 74), (1036, 1036), 15)
_argmax_case("argmax-24mp", 17, (84, 56), (6000, 4000), 5)


def against_interpolate(classes: int, cells_wh: tuple[int, int], size_wh: tuple[int, int]) -> Sides:
    """Both ways from the scores of cells, which cover the photo and no more, to a class for each pixel."""
    import torch

    scores = np.random.default_rng(0).normal(size=(classes, *cells_wh[::-1])).astype(np.float32)
    labels = tuple(f"class {number}" for number in range(classes))
    cell_px = size_wh[0] / cells_wh[0], size_wh[1] / cells_wh[1]

    def ours() -> NDArray[np.uint8]:
        return dense.label_map(scores, labels, size_wh, cell_px).index

    def theirs() -> NDArray[np.int64]:
        given = torch.from_numpy(scores)[None]
        large = torch.nn.functional.interpolate(given, size_wh[::-1], mode="bilinear", align_corners=False)
        found: NDArray[np.int64] = large.argmax(dim=1)[0].numpy()
        return found

    return Sides(ours, theirs, lambda: {"share of pixels with the same class": _same(ours(), theirs(), 0.999)})


# ------------------------------------------------------------------------------------------------ OpenVINO


@case(
    MODULE,
    "openvino-bf16",
    measures="one window through ViT-B, registers, SegFormer's head, exported to OpenVINO",
    peer="the same network in torch",
    photo="518 x 518 px, a window of a rendered reef",
    objects="17 classes",
    encoding="window in, scores of cells out",
    precision="OpenVINO bf16 where the processor has it, else float32; torch float32",
    repeat=5,
    needs={"openvino": "openvino"},
)
def openvino_bf16() -> Sides:
    """Random weights: they take as long as any."""
    net = networks.made("main_families/vit_base.py")
    side = net.spec.window_px
    return against_torch(net, np.ascontiguousarray(_photo(SMALL_WH)[:side, :side]))


def against_torch(net: networks.Network, window: NDArray[np.uint8]) -> Sides:
    """An export, made in a temporary folder, and torch, on one window."""
    folder = tempfile.TemporaryDirectory(prefix="benchmarks-")
    precision = "bf16" if _has_bf16() else "f32"
    try:
        path = export._convert(net.module, net.spec, Path(folder.name), "network", "openvino", False)
        run = runners.of_export(path, "cpu", precision)
    except BaseException:
        folder.cleanup()
        raise

    def check() -> dict[str, object]:
        wanted, got = (export._probabilities(one, [window]) for one in (net.run, run))
        found = export._difference(wanted, got)
        if not found.mean <= export.ALLOWED:  # true for NaN as well
            raise CheckError(f"probabilities differ by {found.mean:.3g} on average: expected {export.ALLOWED} at most")
        return {
            "weights": net.said,
            "precision": precision,
            "probabilities differ by at most": found.largest,
            "on average": found.mean,
            "share of cells with the same class": found.same_class,
        }

    return Sides(lambda: run(window[None]), lambda: net.run(window[None]), check, close=folder.cleanup)


def _has_bf16() -> bool:
    found = machine.describe()["vector_instructions"]
    return isinstance(found, list) and bool({"avx512_bf16", "amx_bf16"} & set(found))
