"""The generator against the published one's names and numbers, and what is exported of it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from grid_inpainting import backends, convert, export, lama, weights

SMALL = {"width": 8, "downsamplings": 2, "blocks": 2, "global_share": 0.75}


def painter(diffused: bool = True, seed: int = 0, **shape: float) -> lama.Painter:
    """One whose weights and statistics are all about something."""
    torch.manual_seed(seed)
    made = lama.Painter(lama.Generator(**(SMALL | shape)), diffused)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return made.eval()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    lama.save_torchscript(painter(), tmp_path / "small.pt")
    return tmp_path / "small.pt"


def square(side: int = 64, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.from_numpy(np.random.default_rng(seed).random((1, 3, side, side), np.float32))
    mask = torch.zeros(1, 1, side, side)
    mask[..., 20:29, :] = 1
    return image, mask


def published_names(width: int, downsamplings: int, blocks: int, share: float) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published generator's weights, written down from its description, layer by layer."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    trunk = width * 2**downsamplings
    glob = int(trunk * share)
    local = trunk - glob
    shapes["model.1.ffc.convl2l.weight"] = (width, 4, 7, 7)
    norm("model.1.bn_l", width)
    for level in range(downsamplings):
        name, channels = f"model.{2 + level}", width * 2**level
        if level < downsamplings - 1:
            shapes[f"{name}.ffc.convl2l.weight"] = (2 * channels, channels, 3, 3)
            norm(f"{name}.bn_l", 2 * channels)
        else:
            shapes[f"{name}.ffc.convl2l.weight"] = (local, channels, 3, 3)
            shapes[f"{name}.ffc.convl2g.weight"] = (glob, channels, 3, 3)
            norm(f"{name}.bn_l", local)
            norm(f"{name}.bn_g", glob)
    for block in range(blocks):
        for half in ("conv1", "conv2"):
            name = f"model.{2 + downsamplings + block}.{half}"
            shapes[f"{name}.ffc.convl2l.weight"] = (local, local, 3, 3)
            shapes[f"{name}.ffc.convl2g.weight"] = (glob, local, 3, 3)
            shapes[f"{name}.ffc.convg2l.weight"] = (local, glob, 3, 3)
            spectral = f"{name}.ffc.convg2g"
            shapes[f"{spectral}.conv1.0.weight"] = (glob // 2, glob, 1, 1)
            norm(f"{spectral}.conv1.1", glob // 2)
            shapes[f"{spectral}.fu.conv_layer.weight"] = (glob, glob, 1, 1)
            norm(f"{spectral}.fu.bn", glob)
            shapes[f"{spectral}.conv2.weight"] = (glob, glob // 2, 1, 1)
            norm(f"{name}.bn_l", local)
            norm(f"{name}.bn_g", glob)
    at = 3 + downsamplings + blocks  # one number is taken by the layer that joins local and global channels
    for level in reversed(range(downsamplings)):
        channels = width * 2**level
        shapes[f"model.{at}.weight"], shapes[f"model.{at}.bias"] = (2 * channels, channels, 3, 3), (channels,)
        norm(f"model.{at + 1}", channels)
        at += 3
    shapes[f"model.{at + 1}.weight"], shapes[f"model.{at + 1}.bias"] = (3, width, 7, 7), (3,)
    return shapes


def test_the_official_generator_loads_strictly_by_name() -> None:
    names = published_names(64, 3, 18, 0.75)
    checkpoint = {name: torch.zeros(shape) for name, shape in names.items()}
    with torch.device("meta"):
        generator = lama.Generator(**lama.BIG_LAMA)
    generator.load_state_dict(checkpoint, strict=True, assign=True)
    assert sum(p.numel() for p in generator.parameters()) == 50_975_875
    assert lama.shape_of(checkpoint) == lama.BIG_LAMA


@pytest.mark.parametrize("trust", [True, False])
def test_a_checkpoint_as_the_official_one_is_converted_once(tmp_path: Path, trust: bool) -> None:
    made = painter(diffused=False)
    state = {f"generator.{name}": value for name, value in made.generator.state_dict().items()}
    state["discriminator.model0.0.weight"] = torch.zeros(1)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "best.ckpt")
    assert convert.main(tmp_path / "best.ckpt", tmp_path / "big.safetensors", trust=trust) == SMALL
    kept = weights.read_generator(tmp_path / "big.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in made.generator.state_dict().items())
    image, mask = square()
    script = torch.jit.load(tmp_path / "big.pt")
    assert (script(image, mask) - made(image, mask)).abs().max() < 1e-6


class Harmless:
    def __reduce__(self):
        return (print, ("code of a checkpoint ran",))


def test_a_pickle_is_opened_only_if_it_is_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {f"generator.{name}": value for name, value in painter().generator.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": Harmless()}, tmp_path / "best.ckpt")
    assert convert.run([str(tmp_path / "best.ckpt"), "--out", str(tmp_path / "a.safetensors")]) == 1
    told = capsys.readouterr()
    assert "give --trust" in told.err
    assert "ran" not in told.out
    assert convert.run([str(tmp_path / "best.ckpt"), "--out", str(tmp_path / "a.safetensors"), "--trust"]) == 0


def test_what_holds_no_generator_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "other.ckpt")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    for name, expected in (("other", "no generator"), ("text", "--trust"), ("none", "no such file")):
        assert convert.run([str(tmp_path / f"{name}.ckpt"), "--out", str(tmp_path / "a.safetensors")]) == 1
        assert expected in capsys.readouterr().err


def reference_spectrum(unit: lama.FourierUnit, x: np.ndarray) -> np.ndarray:
    """The Fourier unit by numpy: real and imaginary parts of a channel are neighbours."""
    spectrum = np.fft.rfft2(x, norm="ortho")
    planes = np.stack([spectrum.real, spectrum.imag], 2).reshape(len(x), -1, *spectrum.shape[2:])
    mixed = np.einsum("oi,bihw->bohw", unit.conv_layer.weight[:, :, 0, 0].detach().numpy(), planes)
    bn = unit.bn
    scale = (bn.weight / (bn.running_var + bn.eps).sqrt()).detach().numpy()
    shift = (bn.bias - bn.running_mean * torch.from_numpy(scale)).detach().numpy()
    mixed = np.maximum(mixed * scale[:, None, None] + shift[:, None, None], 0)
    return np.fft.irfft2(mixed[:, ::2] + 1j * mixed[:, 1::2], s=x.shape[2:], norm="ortho")


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (7, 5)])
def test_the_fourier_unit_is_what_numpy_makes_of_it(size: tuple[int, int]) -> None:
    unit = next(module for module in painter().modules() if isinstance(module, lama.FourierUnit))
    x = np.random.default_rng(0).standard_normal((2, unit.bn.num_features // 2, *size)).astype(np.float32)
    with torch.no_grad():
        assert np.allclose(unit(torch.from_numpy(x)), reference_spectrum(unit, x), atol=1e-5)


def test_spectra_stay_in_32_bits_under_autocast() -> None:
    image, mask = square()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        mixed = painter()(image, mask)
    assert torch.isfinite(mixed).all()
    with torch.no_grad():
        assert (mixed - painter()(image, mask)).abs().max() < 0.05


@pytest.mark.parametrize("diffused", [True, False])
def test_what_is_seen_stays_and_what_is_hidden_does_not_matter(diffused: bool) -> None:
    image, mask = square()
    made = painter(diffused)
    with torch.no_grad():
        painted = made(image, mask)
        again = made(torch.where(mask > 0, torch.rand_like(image), image), mask)
    assert torch.equal(torch.where(mask > 0, 0.0, painted), torch.where(mask > 0, 0.0, image))
    assert torch.allclose(painted, again, atol=1e-6)
    assert 0 <= float(painted.min()) <= float(painted.max()) <= 1


def test_diffusion_fills_a_hole_between_what_lies_around_it() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64).contiguous()
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 28:36, :] = 1
    off = (lama.diffuse(ramp, mask) - ramp).abs()
    assert off[..., 16:48].max() < 0.06
    assert off.max() < 0.15  # at the border there is one side only
    flat = torch.full((1, 3, 37, 53), 0.3)  # sides that do not halve evenly
    mask = torch.zeros(1, 1, 37, 53)
    mask[..., 5:30, 7:40] = 1
    assert torch.allclose(lama.diffuse(flat, mask), flat, atol=1e-4)


def test_a_new_painter_paints_what_diffusion_gives() -> None:
    made = painter()
    lama.start_from_diffusion(made)
    image, mask = square()
    with torch.no_grad():
        filled = image * (1 - mask) + mask * lama.diffuse(image, mask)
        assert torch.allclose(made(image, mask), filled, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"global_share": 0.0}, {"global_share": 1.0}, {"downsamplings": 0}])
def test_a_network_without_local_or_global_channels_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 < share < 1"):
        lama.Generator(**(SMALL | wrong))


def test_torchscript_is_torch_and_simple_lama_loads_it(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simple_lama_inpainting import SimpleLama

    monkeypatch.setenv("LAMA_MODEL", str(script))
    image, mask = square()
    whole = SimpleLama(torch.device("cpu"))(
        Image.fromarray((image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)),
        Image.fromarray((mask[0, 0].numpy() * 255).astype(np.uint8)),
    )
    rounded = torch.from_numpy((image.numpy() * 255).round().astype(np.float32) / 255)
    with torch.no_grad():
        wanted = painter()(rounded, mask)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(np.asarray(whole, float) - wanted).max() <= 1.01  # it cuts to whole colours
    loaded = torch.jit.load(script)
    for side in (64, 72, 128):
        image, mask = square(side, side)
        with torch.no_grad():
            assert (loaded(image, mask) - painter()(image, mask)).abs().max() < 1e-4


def test_torchscript_names_no_folder_of_this_machine_and_is_always_the_same(script: Path, tmp_path: Path) -> None:
    lama.save_torchscript(painter(), tmp_path / "other" / "name.pt")
    assert script.read_bytes() == (tmp_path / "other" / "name.pt").read_bytes()
    here = str(Path(__file__).parents[2]).encode()
    with zipfile.ZipFile(script) as archive:
        assert all(here not in archive.read(name) for name in archive.namelist())


def test_exports_paint_what_torch_paints(script: Path, tmp_path: Path) -> None:
    made, off = export.main(str(script), format="torchscript", name="given", out=tmp_path / "shared")
    assert made == tmp_path / "shared" / "given.pt"
    assert off["torchscript"]["max"] < 1e-4


_BY_OPENVINO = """
import json, sys
import numpy as np
from grid_inpainting import export, model

folder, off = export.main(sys.argv[1], format="openvino")
photo, mask = np.full((50, 70, 3), 90, np.uint8), np.zeros((50, 70), bool)
mask[20:24] = True
ours = model.load(folder, backend="openvino").remove(photo, mask=mask).image_rgb.astype(int)
off["apart"] = int(np.abs(ours - model.load(sys.argv[1]).remove(photo, mask=mask).image_rgb).max())
print(json.dumps(off), flush=True)
"""


def test_openvino_paints_what_torch_paints(script: Path) -> None:
    """In a process of its own: one that has run such a network in OpenVINO crashed in later tests."""
    command = [sys.executable, "-W", "ignore", "-c", _BY_OPENVINO, str(script)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    off = json.loads(done.stdout.splitlines()[-1])
    assert off.pop("apart") <= 1
    assert set(off) == {"f32", "bf16"}
    assert off["f32"]["max"] < 1e-3


def test_an_export_that_paints_otherwise_is_set_aside(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = script.read_bytes()
    monkeypatch.setattr(backends, "lama", lambda *_: lambda images, holes: images * 0)
    with pytest.raises(RuntimeError, match=r"differs from torch.*small\.pt\.failed"):
        export.main(str(script), format="torchscript")
    assert script.read_bytes() == before
    assert script.with_name("small.pt.failed").is_file()
