"""LaMa's generator: a residual network half of whose channels pass through the frequency domain.

From Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions", WACV 2022 (arXiv 2109.07161),
and Chi et al., "Fast Fourier Convolution", NeurIPS 2020. The submodules bear the names of the published code, so that
the generator of the official ``big-lama`` checkpoint loads strictly into ``Generator(**BIG_LAMA)``.

Everywhere a pair ``(local, global)`` of tensors stands for one feature map: the channels that convolutions see, and
those that see the whole picture. Either may be empty (no channels) at the network's ends.
"""

from __future__ import annotations

import copy
import io
import warnings
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  (its customary name)
from torch import Tensor, nn

from quadrat.files import atomic_write

BIG_LAMA = {"width": 64, "downsamplings": 3, "blocks": 18, "global_share": 0.75}
"""The published ``big-lama``: 51 million parameters."""


class FourierUnit(nn.Module):
    """A 1 x 1 convolution over real and imaginary parts of the spectrum: every output sees every input.

    The transform runs in float32 whatever the precision around it: half-precision FFTs overflow, and are refused for
    sizes that are not powers of two.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to the same."""
        batch, channels, height, width = x.shape
        spectrum = torch.view_as_real(torch.fft.rfft2(x.float(), norm="ortho"))  # [B, C, H, W // 2 + 1, 2]
        planes = spectrum.permute(0, 1, 4, 2, 3).reshape(batch, 2 * channels, height, -1).to(x.dtype)
        planes = torch.relu(self.bn(self.conv_layer(planes))).float()
        pairs = planes.reshape(batch, channels, 2, height, -1).permute(0, 1, 3, 4, 2).contiguous()
        return torch.fft.irfft2(torch.view_as_complex(pairs), s=(height, width), norm="ortho").to(x.dtype)


class SpectralTransform(nn.Module):
    """Half the channels through the spectrum and back, beside a way around it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1 = nn.Sequential(nn.Conv2d(inputs, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        self.fu = FourierUnit(half)
        self.conv2 = nn.Conv2d(half, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs, H, W]`` to ``[B, outputs, H, W]``."""
        x = self.conv1(x)
        return self.conv2(x + self.fu(x))


def _conv(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Module:
    if not (inputs and outputs):
        return nn.Identity()
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False, padding_mode="reflect")


class FastFourierConv(nn.Module):
    """Convolutions between local and global channels, and the spectral transform among the global ones."""

    def __init__(self, inputs: tuple[int, int], outputs: tuple[int, int], kernel: int, stride: int, padding: int):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        (local_in, global_in), (local_out, global_out) = inputs, outputs
        self.convl2l = _conv(local_in, local_out, kernel, stride, padding)
        self.convl2g = _conv(local_in, global_out, kernel, stride, padding)
        self.convg2l = _conv(global_in, local_out, kernel, stride, padding)
        self.convg2g = SpectralTransform(global_in, global_out) if global_in and global_out else nn.Identity()

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """From one pair to the next; a part without inputs adds nothing."""
        local, glob = pair
        to_local, to_global = self.convl2l(local), local[:, :0]
        if self.outputs[1]:
            to_global = self.convl2g(local)
        if self.inputs[1]:
            to_local = to_local + self.convg2l(glob)
            if self.outputs[1]:
                to_global = to_global + self.convg2g(glob)
        return to_local, to_global


class Layer(nn.Module):
    """Fast Fourier convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: tuple[int, int], outputs: tuple[int, int], kernel: int, stride: int, padding: int):
        super().__init__()
        self.ffc = FastFourierConv(inputs, outputs, kernel, stride, padding)
        self.bn_l = nn.BatchNorm2d(outputs[0])
        self.bn_g = nn.BatchNorm2d(outputs[1]) if outputs[1] else nn.Identity()

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """From one pair to the next."""
        local, glob = self.ffc(pair)
        return torch.relu(self.bn_l(local)), torch.relu(self.bn_g(glob))


class Block(nn.Module):
    """Two layers and a way around them."""

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = Layer(channels, channels, 3, 1, 1)
        self.conv2 = Layer(channels, channels, 3, 1, 1)

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """From one pair to the next of the same size."""
        local, glob = self.conv2(self.conv1(pair))
        return pair[0] + local, pair[1] + glob


class _Split(nn.Module):
    """A tensor as a pair without global channels (has no number in the published code)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x[:, :0]


class _Join(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return torch.cat(pair, dim=1)


class Generator(nn.Module):
    """Paints ``[B, 3, H, W]`` from ``[B, 4, H, W]``: RGB 0..1 with the hole blacked out, and the mask of the hole.

    Sides must be multiples of ``2 ** downsamplings``.

    Args:
        width: channels of the first layer; doubled with each downsampling.
        downsamplings: how often the sides are halved.
        blocks: of the trunk.
        global_share: share of the trunk's channels that pass through the spectrum, above 0 and below 1.
    """

    def __init__(self, width: int = 64, downsamplings: int = 3, blocks: int = 18, global_share: float = 0.75) -> None:
        super().__init__()
        self.multiple = 2**downsamplings
        trunk = width * self.multiple
        glob = int(trunk * global_share)
        pair = (trunk - glob, glob)
        if not all(pair) or downsamplings < 1:
            raise ValueError(
                f"global_share {global_share}, downsamplings {downsamplings}: expected 0 < share < 1, and 1"
            )
        layers: list[nn.Module] = [
            nn.Sequential(nn.ReflectionPad2d(3), _Split()),
            Layer((4, 0), (width, 0), 7, 1, 0),
        ]
        for level in range(downsamplings):
            channels = width * 2**level
            last = level == downsamplings - 1
            layers.append(Layer((channels, 0), pair if last else (2 * channels, 0), 3, 2, 1))
        layers += [Block(pair) for _ in range(blocks)]
        layers.append(_Join())
        for level in reversed(range(downsamplings)):
            channels = width * 2**level
            up = nn.ConvTranspose2d(2 * channels, channels, 3, 2, 1, output_padding=1)
            layers += [up, nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Sigmoid()]
        self.model = nn.Sequential(*layers)

    def forward(self, masked: Tensor) -> Tensor:
        """``[B, 4, H, W]`` to ``[B, 3, H, W]``, 0..1."""
        return self.model(masked)


def diffuse(image: Tensor, mask: Tensor, levels: int = 7) -> Tensor:
    """Fill the hole with what lies around it, the nearer the more: averages over ever larger squares, coarse to fine.

    Args:
        image: ``[B, 3, H, W]``.
        mask: ``[B, 1, H, W]``, 1 in the hole.
        levels: how often the sides are halved: holes up to ``2 ** levels`` px wide are filled from both sides.
    """
    weights = [1 - mask]
    sums = [image * weights[0]]
    for _ in range(levels):
        weights.append(F.avg_pool2d(weights[-1], 2, ceil_mode=True))
        sums.append(F.avg_pool2d(sums[-1], 2, ceil_mode=True))
    filled = sums[-1] / weights[-1].clamp(min=1e-4)
    for level in range(levels - 1, -1, -1):
        size = [sums[level].shape[2], sums[level].shape[3]]
        above = F.interpolate(filled, size=size, mode="bilinear", align_corners=False)
        filled = sums[level] + (1 - weights[level]) * above
    return filled


class Painter(nn.Module):
    """What is exported and what `SimpleLama` calls: hides the hole, paints, and keeps what was seen.

    ``painter(image [B, 3, H, W] in 0..1, mask [B, 1, H, W] in {0, 1}) -> [B, 3, H, W] in 0..1``; sides as `Generator`
    wants them.

    Args:
        generator: what paints.
        diffused: the hole is first filled by `diffuse`, and the generator paints what is missing from that: its answer
            less a half is added. Else the hole is black and the answer is the picture, as published.
    """

    def __init__(self, generator: Generator, diffused: bool = False) -> None:
        super().__init__()
        self.generator, self.diffused = generator, diffused

    def paint(self, image: Tensor, mask: Tensor) -> Tensor:
        """The generator's own picture, in the hole and outside of it, ``[B, 3, H, W]``."""
        seen = image * (1 - mask)
        if self.diffused:
            seen = seen + mask * diffuse(image, mask)
        painted = self.generator(torch.cat([seen, mask], dim=1))
        return (seen + painted - 0.5).clamp(0, 1) if self.diffused else painted

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Paint where `mask` is 1."""
        mask = mask.to(image.dtype)
        return image * (1 - mask) + mask * self.paint(image, mask).to(image.dtype)


def start_from_diffusion(painter: Painter) -> None:
    """Let a new network paint just what `diffuse` gives: training then only ever adds to it."""
    last = painter.generator.model[-2]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


def save_torchscript(painter: Painter, path: Path) -> None:
    """Write what `SimpleLama` loads; the same weights give the same bytes wherever they are written.

    TorchScript notes the source files of every line, with the folders of the machine: that is left out.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")  # simple-lama-inpainting takes nothing newer
        torch.jit.save(torch.jit.script(copy.deepcopy(painter).eval().float().cpu()), buffer)
    with atomic_write(path) as draft, zipfile.ZipFile(buffer) as made, zipfile.ZipFile(draft, "w") as kept:
        for record in made.infolist():
            if not record.filename.endswith(".debug_pkl"):
                inside = "/".join(["painter", *record.filename.split("/")[1:]])
                kept.writestr(zipfile.ZipInfo(inside), made.read(record))


def shape_of(generator: dict[str, Tensor]) -> dict[str, float]:
    """The arguments of a `Generator` that takes these weights.

    Args:
        generator: weights by name, as ``Generator.state_dict()`` gives them.

    Raises:
        ValueError: they are of no such network.
    """
    layers = [name.split(".")[1:3] for name in generator if name.endswith("ffc.convl2l.weight")]
    first = generator.get("model.1.ffc.convl2l.weight")
    blocks = len({number for number, part in layers if part == "conv1"})
    downsamplings = len(layers) - 2 * blocks - 1
    joined = generator.get(f"model.{1 + downsamplings}.ffc.convl2g.weight")
    if first is None or joined is None or not blocks:
        raise ValueError("these are no weights of LaMa's generator: expected model.1.ffc.convl2l.weight and so on")
    width = first.shape[0]
    share = joined.shape[0] / (width * 2**downsamplings)
    return {"width": width, "downsamplings": downsamplings, "blocks": blocks, "global_share": share}
