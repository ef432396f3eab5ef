"""Every function answers from its package alone, in an environment with what its function.yaml installs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks import packages
from deploy import pack, smoke
from deploy.pack import Package
from quadrat import images

PACKAGES = pack.find()


@pytest.fixture
def folder():
    """That any user of the machine may enter, as an image's files are open to the function's user."""
    path = Path(tempfile.mkdtemp(prefix="quadratseg-package-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def nobody(python: Path) -> int | None:
    """A user without name and home, as in the image, where we may be one and it may run this Python."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(PermissionError):
        subprocess.run([str(python), "-c", ""], user=65534, check=True)
        return 65534
    return None


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_a_package_answers_alone_as_it_does_in_the_project(package: Package, folder: Path) -> None:
    archive = pack.main(package, out=folder / "package.zip")
    python = packages.environment(package, False, folder / "venv")
    unpacked = packages.unpack(archive, folder / "opt")
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    photo_rgb, _ = smoke.scene()
    size_wh = (photo_rgb.shape[1], photo_rgb.shape[0])
    body = packages.request(package, images.encode_png(photo_rgb), size_wh)
    alone = packages.serve(python, unpacked, body, user=nobody(python))
    assert alone["status"] == 200, alone["body"]
    assert alone["frameworks"] == ["openvino"]
    here = packages.serve(Path(sys.executable), unpacked, body)
    assert alone["body"] == here["body"]
    assert json.loads(alone["body"]), "it finds nothing in a rendered quadrat, or paints nothing"


def test_a_photo_has_the_size_that_was_asked() -> None:
    data, (width, height) = packages.photo(0.3)
    assert images.decode(data).shape == (height, width, 3)
    assert width * height == pytest.approx(300_000, rel=0.01)


def test_a_function_that_paints_is_given_a_mask_and_the_others_are_not() -> None:
    bodies = {package.name: packages.request(package, b"photo", (64, 48)) for package in PACKAGES}
    assert [name for name, body in bodies.items() if "mask" in body] == ["pth-lama"]


def test_a_package_that_does_not_serve_says_why(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("raise ImportError('no torch here')")
    with pytest.raises(RuntimeError, match="does not serve: (.|\n)*no torch here"):
        packages.serve(Path(sys.executable), tmp_path, {})


def test_the_table_has_a_row_a_function() -> None:
    weighed = packages.Weighed("pth-a", 6.7, 15, 445, 2.0, 0.22, 276, ("openvino",))
    result = {"megapixels": 12, "functions": [{**vars_of(weighed)}]}
    lines = packages.table(result).splitlines()
    assert lines[2] == "| `pth-a` | 6.7 | 15 | 445 | 2 | 0.22 | 276 |"
    assert lines[-1] == "Imported: openvino."


def vars_of(weighed: packages.Weighed) -> dict[str, object]:
    return {name: getattr(weighed, name) for name in weighed.__slots__}
