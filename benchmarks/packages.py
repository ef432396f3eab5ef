"""What the functions' packages weigh and need: each zip unpacked alone, in a fresh environment of its own.

    python -m benchmarks.packages                       # all, for a processor
    python -m benchmarks.packages --gpu --only pth-lama # PyTorch's packages; the network still runs on the processor
    python -m benchmarks.packages --megapixels 100      # memory for the largest photo

The environment gets what function.yaml installs, and nuclio-sdk, which Nuclio adds; nothing of this repository is in
its reach. Needs uv and a package index. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy import pack, pins
from deploy.pack import Package
from quadrat import images

NUCLIO = ("nuclio-sdk", "msgpack")
"""Nuclio's build installs these into every Python image."""

# Runs in the unpacked folder as Nuclio's wrapper does: import, init_context, handler.
_SERVE = """
import json, sys, time
sys.path.insert(0, "")
start = time.perf_counter()
import main
import nuclio_sdk
context = nuclio_sdk.Context(nuclio_sdk.Logger("ERROR"))
main.init_context(context)
ready = time.perf_counter() - start
body = json.load(open(sys.argv[1]))
times = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    response = main.handler(context, nuclio_sdk.Event(body=body, method="POST"))
    times.append(time.perf_counter() - start)
heavy = {"torch", "torchvision", "ultralytics", "mmseg", "openvino", "onnxruntime"}
peak = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
facts = {"status": response.status_code, "model": response.headers.get("X-Quadrat-Model"), "ready_s": ready,
         "answer_s": min(times), "memory_mib": peak[0] / 1024, "frameworks": sorted(heavy & set(sys.modules))}
print(json.dumps({**facts, "body": response.body}))
"""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a package weighs and needs.

    Attributes:
        name: of the function.
        zip_mb: of the zip, in 1e6 bytes.
        packages: that the image installs.
        environment_mb: what they occupy, in 1e6 bytes, without byte code; the image has Python's base image beside it.
        ready_s: from the import of main.py until the network is loaded and warm.
        answer_s: from the request to the answer, the fastest of several.
        memory_mib: most main memory that the process held.
        frameworks: that were imported.
    """

    name: str
    zip_mb: float
    packages: int
    environment_mb: float
    ready_s: float
    answer_s: float
    memory_mib: float
    frameworks: tuple[str, ...]


def environment(package: Package, gpu: bool, folder: Path) -> Path:
    """A fresh environment with what a function's image installs; its Python.

    Raises:
        CalledProcessError: uv cannot make it.
    """
    uv = pins.uv()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin" / "python"
    names = folder / "requirements.txt"
    names.write_text("\n".join(pins.read(package.function_yaml(gpu).read_text("utf-8"))), "utf-8")
    install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, "--no-deps", "--requirement", str(names)], check=True)
    subprocess.run([*install, "--constraint", str(pins.ROOT / "constraints.txt"), *NUCLIO], check=True)
    return python


def unpack(archive: Path, folder: Path) -> Path:
    """A package where Nuclio puts it: in a folder of its own."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder


def serve(
    python: Path, unpacked: Path, body: Mapping[str, Any], rounds: int = 1, user: int | None = None
) -> dict[str, Any]:
    """Load main.py from an unpacked package alone and have it answer a request.

    Args:
        python: of the environment.
        unpacked: where the package lies.
        body: of the request.
        rounds: how often it is asked.
        user: number of the user to run as, who needs no name and has no home; `None` for the own.

    Returns:
        `status`, `body`, `model`, `ready_s`, `answer_s`, `memory_mib`, `frameworks`.

    Raises:
        RuntimeError: it does not start; the message has what it said.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as request:
        json.dump(body, request)
        request.flush()
        Path(request.name).chmod(0o644)
        command = [str(python), "-I", "-c", _SERVE, request.name, str(rounds)]
        env = {**os.environ, "HOME": tempfile.gettempdir(), "MODEL_PATH": "", "DEVICE": ""}
        done = subprocess.run(command, cwd=unpacked, env=env, capture_output=True, text=True, check=False, user=user)
    if done.returncode:
        raise RuntimeError(f"{unpacked} does not serve: {done.stderr.strip()[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def request(package: Package, photo: bytes, size_wh: tuple[int, int]) -> dict[str, Any]:
    """What a function is asked: a photo, and one that paints, a mask of two strings."""
    body = {"image": base64.b64encode(photo).decode()}
    if package.project() == "cvat":
        return body
    width, height = size_wh
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 3 :: width // 3] = 255
    return {**body, "mask": base64.b64encode(images.encode_png(mask)).decode(), "format": "jpeg"}


def weigh(package: Package, gpu: bool, photo: bytes, size_wh: tuple[int, int], rounds: int, folder: Path) -> Weighed:
    """Pack a function, install it, and have it answer."""
    archive = pack.main(package, gpu=gpu, out=folder / "package.zip")
    python = environment(package, gpu, folder / "venv")
    packages, occupied = len(list((folder / "venv").glob("lib/*/site-packages/*.dist-info"))), size(folder / "venv")
    unpacked = unpack(archive, folder / "opt")
    answer = serve(python, unpacked, request(package, photo, size_wh), rounds)
    if answer["status"] != 200:
        raise RuntimeError(f"{package.name} answered {answer['status']}: {answer['body'][:500]}")
    figures = {name: round(answer[name], 2) for name in ("ready_s", "answer_s")}
    return Weighed(
        package.name,
        round(archive.stat().st_size / 1e6, 1),
        packages,
        round(occupied / 1e6),
        memory_mib=round(answer["memory_mib"]),
        frameworks=tuple(answer["frameworks"]),
        **figures,
    )


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def photo(megapixels: float) -> tuple[bytes, tuple[int, int]]:
    """A JPEG of 4 : 3 with texture, as large as asked, and its width and height."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    noise = np.random.default_rng(0).integers(0, 255, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    pixels = np.ascontiguousarray(noise.repeat(16, 0).repeat(16, 1)[:height, :width])
    return images.encode_jpeg(pixels), (width, height)


def main(names: Sequence[str] = (), *, gpu: bool = False, megapixels: float = 12, rounds: int = 3) -> dict[str, Any]:
    """Weigh functions, all or those of these names."""
    data, size_wh = photo(megapixels)
    found = []
    for package in pack.find():
        if names and package.name not in names:
            continue
        print(f"{package.name} …", file=sys.stderr, flush=True)
        folder = Path(tempfile.mkdtemp(prefix="quadratseg-package-"))
        try:
            found.append(weigh(package, gpu, data, size_wh, rounds, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return {"gpu": gpu, "megapixels": megapixels, "functions": [asdict(each) for each in found]}


def table(result: Mapping[str, Any]) -> str:
    """The result as a Markdown table."""
    head = (
        f"| Function | Zip, MB | Packages | They occupy, MB | Ready, s | {result['megapixels']:g} MP, s | Memory, MiB |"
    )
    rows = [head, "| --- |" + " ---: |" * 6]
    for each in result["functions"]:
        cells = [
            f"{each[name]:g}" for name in ("zip_mb", "packages", "environment_mb", "ready_s", "answer_s", "memory_mib")
        ]
        rows.append(f"| `{each['name']}` | {' | '.join(cells)} |")
    frameworks = sorted({name for each in result["functions"] for name in each["frameworks"]})
    return "\n".join([*rows, "", f"Imported: {', '.join(frameworks) or 'no framework'}."])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packages", description=__doc__.splitlines()[0])
    parser.add_argument("--only", dest="names", nargs="+", default=[], metavar="NAME", help="these functions")
    parser.add_argument("--gpu", action="store_true", help="the packages for a GPU")
    parser.add_argument("--megapixels", type=float, default=12, metavar="N", help="of the photo (default: 12)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="requests a function (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = vars(_parse())
    as_json = arguments.pop("json")
    weighed = main(arguments.pop("names"), **arguments)
    print(table(weighed))
    if as_json:
        print(json.dumps(weighed))
