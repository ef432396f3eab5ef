"""Small convolutional networks in place of a transformer's patches, for nets that no DINOv2 weights fit.

Sources: Xiao et al., "Early Convolutions Help Transformers See Better" (2021); for `CspStem` the published layout of
YOLO11n's first seven layers, whose weights it takes as ultralytics' exports have them: each norm folded into its
convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvStem(nn.Module):
    """Convolutions in place of the patches' one: each step halves the size.

    Args:
        widths: channels of the steps before the last.
        width: channels of the last step.
        patch_px: 2 to the power of the number of steps.

    Raises:
        ValueError: the steps do not make the patch.
    """

    def __init__(self, widths: Sequence[int], width: int, patch_px: int):
        super().__init__()
        if 2 ** (len(widths) + 1) != patch_px:
            raise ValueError(f"stem_widths {list(widths)} halve {len(widths) + 1} times: no patch of {patch_px} px")
        self.finer_channels = widths[-1]
        ins = [3, *widths[:-1]]
        self.steps = nn.Sequential(
            *(
                nn.Sequential(_halving(a, b), *(_Block(b) for _ in range(i)))
                for i, (a, b) in enumerate(zip(ins, widths, strict=True))
            )
        )
        self.last = nn.Conv2d(widths[-1], width, 3, stride=2, padding=1)
        self._finer: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Float ``[N, 3, H, W]`` to ``[N, width, H / patch, W / patch]``; keeps the map before, see `take_finer`."""
        self._finer = self.steps(images)
        return self.last(self._finer)

    def take_finer(self) -> Tensor:
        """The last map but one of the last run, ``[N, widths[-1], 2 H / patch, 2 W / patch]``."""
        finer, self._finer = self._finer, None  # else it would keep the graph alive
        assert finer is not None
        return finer


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _halving(ins: int, outs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(ins, outs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outs), nn.ReLU(inplace=True)
    )


class CspStem(nn.Module):
    """The first layers of a YOLO11n, to stride 16, and a convolution to the transformer's width.

    Its convolutions have no norms: it is meant to start from trained weights. Takes colours of 0..1.

    Args:
        width: channels of the result.
        patch_px: 16.
        weights: TorchScript or safetensors with YOLO11n's weights by their names there; empty for random ones.

    Raises:
        ValueError: another patch, or a file without these weights.
        FileNotFoundError: there is no such file.
    """

    finer_channels = 128

    def __init__(self, width: int, patch_px: int, weights: str = ""):
        super().__init__()
        if patch_px != 16:
            raise ValueError(f"stem csp is for patches of 16 px, not {patch_px}")
        self.model = nn.Sequential(
            _Conv(3, 16, 3, 2),
            _Conv(16, 32, 3, 2),
            _Csp(32, 64, nn.ModuleList([_Residual(16, 8)])),
            _Conv(64, 64, 3, 2),
            _Csp(64, 128, nn.ModuleList([_Residual(32, 16)])),
            _Conv(128, 128, 3, 2),
            _Csp(128, 128, nn.ModuleList([_Inner(64)])),
        )
        self.last = nn.Conv2d(128, width, 1)
        self._finer: Tensor | None = None
        if weights:
            self.model.load_state_dict(_first_layers(Path(weights), self.model.state_dict()))

    def forward(self, images: Tensor) -> Tensor:
        """Float ``[N, 3, H, W]`` to ``[N, width, H / 16, W / 16]``; keeps the map of stride 8, see `take_finer`."""
        self._finer = self.model[:5](images)
        return self.last(self.model[5:](self._finer))

    def take_finer(self) -> Tensor:
        """The map of stride 8 of the last run, ``[N, 128, H / 8, W / 8]``."""
        finer, self._finer = self._finer, None
        assert finer is not None
        return finer


class _Conv(nn.Module):
    def __init__(self, ins: int, outs: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, kernel, stride, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.conv(x))


class _Residual(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.cv1, self.cv2 = _Conv(width, hidden, 3), _Conv(hidden, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x))


class _Csp(nn.Module):
    """YOLO11's C3k2: two halves, of which one goes through a block; all three are joined."""

    def __init__(self, ins: int, outs: int, blocks: nn.ModuleList):
        super().__init__()
        half = ins // 2
        self.cv1, self.cv2, self.m = _Conv(ins, ins), _Conv(3 * half, outs), blocks

    def forward(self, x: Tensor) -> Tensor:
        halves = self.cv1(x).chunk(2, dim=1)
        return self.cv2(torch.cat([*halves, self.m[0](halves[1])], dim=1))


class _Inner(nn.Module):
    """YOLO11's C3k: two ways, of which one goes through two blocks."""

    def __init__(self, width: int):
        super().__init__()
        hidden = width // 2
        self.cv1, self.cv2, self.cv3 = _Conv(width, hidden), _Conv(width, hidden), _Conv(2 * hidden, width)
        self.m = nn.Sequential(_Residual(hidden, hidden), _Residual(hidden, hidden))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], dim=1))


def _first_layers(path: Path, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that are wanted, whatever comes before their names in the file."""
    if not path.is_file():
        raise FileNotFoundError(f"model.backbone.stem_weights is {path}: no such file")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        known = load_file(path)
    else:
        known = torch.jit.load(str(path), map_location="cpu").state_dict()
    found = {}
    for name, own in wanted.items():
        like = [value for other, value in known.items() if other.endswith(f"model.{name}") and value.shape == own.shape]
        if len(like) != 1:
            raise ValueError(f"{path} has {len(like)} weights model.{name} of {list(own.shape)}: expected a YOLO11n's")
        found[name] = like[0].float()
    return found
