"""Pack a function, with all that its main.py imports and its weights, into a zip that Nuclio takes.

Called by the deploy_as_zip.sh beside each function, through pack_function.sh. Needs Python 3.9 and nothing else;
nothing is installed and nothing is deployed. The same input gives the same bytes whenever and wherever it is packed:
names are sorted, times and modes fixed, and nothing is compressed, since zlib's output depends on its version.

A processor's image has OpenVINO and no PyTorch, so its package holds OpenVINO folders; a GPU's has PyTorch alone.
"""

from __future__ import annotations

import argparse
import re
import shlex
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy import pins

ROOT = Path(__file__).resolve().parents[1]
CODE = {".py", ".yaml", ".json", ".npy"}
"""What of a package's folder goes along."""
_LEFT_OUT = {"tests", "__pycache__", "deploy"}
_KEY = re.compile(r'"\$here" (\S+) "\$@"')
_IMPORTS_YOLO = re.compile(r"^(from|import) yolo\b", re.MULTILINE)
_TIME = (1980, 1, 1, 0, 0, 0)


class PackError(ValueError):
    """A function cannot be packed; the message says what to do."""


@dataclass(frozen=True)
class Package:
    """A function that can be packed.

    Attributes:
        folder: where its deploy_as_zip.sh lies.
        key: of its weights in weights/index.yaml, ``MODULE`` or ``MODULE/TASK``.
    """

    folder: Path
    key: str

    @property
    def name(self) -> str:
        """Of the function."""
        return self.folder.name

    @property
    def module(self) -> str:
        """The package that its main.py imports."""
        return self.key.split("/")[0]

    def function_yaml(self, gpu: bool = False) -> Path:
        """The configuration of a variant."""
        return self.folder / "nuclio" / ("function-gpu.yaml" if gpu else "function.yaml")

    def project(self) -> str:
        """The Nuclio project: functions that CVAT cannot use name another than ``cvat``."""
        named = re.search(r"^ *nuclio\.io/project-name: *(\S+)", self.function_yaml().read_text("utf-8"), re.MULTILINE)
        return named[1] if named else "cvat"


def find(root: Path = ROOT) -> list[Package]:
    """Every function of the project that can be packed."""
    scripts = sorted(root.glob("*/deploy/*/deploy_as_zip.sh"))
    keys = ((script, _KEY.search(script.read_text("utf-8"))) for script in scripts)
    return [Package(script.parent, key[1]) for script, key in keys if key]


def main(
    package: Package,
    weights: Sequence[Path] = (),
    *,
    gpu: bool = False,
    out: Path | None = None,
    export: bool = False,
    base_image: str = "",
) -> Path:
    """Write a package.

    Args:
        package: the function.
        weights: files or folders of one's own, the first of which the function loads; none takes what ships.
        gpu: for the GPU's image: checkpoints, and function-gpu.yaml.
        out: the zip; `None` puts it where `nuctl deploy --path nuclio` finds it.
        export: make OpenVINO folders of checkpoints; needs the project's environment.
        base_image: of the image, in place of what function.yaml says.

    Raises:
        PackError: weights that the image cannot run, or that are not there.
    """
    with ExitStack() as stack:
        chosen = [_runnable(package, path, gpu, export, stack) for path in weights] or [shipped(package, gpu)]
        entries = {**_code(package), **_configuration(package, gpu, base_image), **_weights(package, chosen)}
        out = out or package.folder / "nuclio" / ("package-gpu.zip" if gpu else "package.zip")
        _write(out, entries)
    return out


def shipped(package: Package, gpu: bool = False) -> Path:
    """What weights/index.yaml names for an image: under `packaged` for a processor, `default` for a GPU.

    Raises:
        PackError: it names none, or they are not there.
    """
    index, section = ROOT / "weights" / "index.yaml", "default" if gpu else "packaged"
    text = index.read_text("utf-8") if index.is_file() else ""
    block = re.search(rf"^{section}:\n((?: +\S.*\n)*)", text, re.MULTILINE)
    named = re.search(rf"^ +{re.escape(package.key)}: *['\"]?([^\s'\"#]+)", block[1] if block else "", re.MULTILINE)
    if not named or not (ROOT / "weights" / named[1]).exists():
        what = f"{named[1]!r}, which is not there" if named else "nothing"
        raise PackError(f"{index} names {what} under `{section}` for {package.key}: give weights of your own")
    return ROOT / "weights" / named[1]


def _runnable(package: Package, path: Path, gpu: bool, export: bool, stack: ExitStack) -> Path:
    """The weights that a path means, fit for the image."""
    if not path.exists():
        raise PackError(f"{path}: no such weights; give {'a checkpoint' if gpu else 'an OpenVINO folder'}")
    path = path.resolve()
    if is_openvino(path):
        if gpu:
            raise PackError(f"{path} is an OpenVINO folder, which the GPU's image cannot run: pack it without --gpu")
        return path
    path = _best(path)
    if gpu:
        return path
    if export:
        return _export(package, path, Path(stack.enter_context(tempfile.TemporaryDirectory())))
    raise PackError(
        f"{path} is no OpenVINO folder, and the processor's image has no PyTorch. Make one with --export, or with\n"
        f"  {shlex.join(_export_command(package, path, path.parent))}\n"
        "and give that; or pack for a GPU with --gpu"
    )


def is_openvino(path: Path) -> bool:
    """Whether a path is a folder with an OpenVINO network."""
    return path.is_dir() and any(path.glob("*.xml"))


def _best(path: Path) -> Path:
    """The weights of a finished run, or the file itself."""
    if path.is_file():
        return path
    found = next(
        (p for name in ("best.pt", "best.safetensors") for p in [path / "weights" / name] if p.is_file()), None
    )
    if not found:
        raise PackError(f"{path}: expected an OpenVINO folder (*.xml in it), or a run (weights/best.pt in it)")
    return found


def _export_command(package: Package, weights: Path, out: Path) -> list[str]:
    command = ["python", "-m", f"{package.module}.export", "--weights", str(weights), "--format", "openvino"]
    return [*command, "--out", str(out)]


def _export(package: Package, weights: Path, out: Path) -> Path:
    command = [sys.executable, *_export_command(package, weights, out)[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    made = next((folder for folder in sorted(out.iterdir()) if is_openvino(folder)), None)
    if done.returncode or not made:
        raise PackError(f"{weights} could not be exported: {(done.stderr or done.stdout).strip()[-2000:]}")
    return made


def _code(package: Package) -> dict[str, Path | bytes]:
    """Sources by their names in the zip."""
    module = ROOT / package.module
    shares = any(_IMPORTS_YOLO.search(path.read_text("utf-8")) for path in module.glob("*.py"))
    folders = [ROOT / "quadrat", module, ROOT / "deploy" / "serving", *([ROOT / "yolo"] if shares else [])]
    paths = [ROOT / "deploy" / "__init__.py", *(path for folder in folders for path in _sources(folder))]
    return {path.relative_to(ROOT).as_posix(): path for path in paths}


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix in CODE and path.is_file() and not _LEFT_OUT & set(path.relative_to(folder).parts):
            yield path


def _configuration(package: Package, gpu: bool, base_image: str) -> dict[str, Path | bytes]:
    """What stands at the top of the zip."""
    function = package.function_yaml(gpu)
    text = function.read_text("utf-8")
    requirements = "".join(f"{pin}\n" for pin in pins.read(text))
    if base_image:
        text = re.sub(r"^( +baseImage: ).*$", lambda line: line[1] + base_image, text, count=1, flags=re.MULTILINE)
    return {
        "main.py": package.folder / "nuclio" / "main.py",
        "function.yaml": text.encode(),
        "requirements.txt": f"# What {function.name} installs; Nuclio adds nuclio-sdk.\n{requirements}".encode(),
        "LICENSE": ROOT / "LICENSE",
    }


def _weights(package: Package, chosen: Sequence[Path]) -> dict[str, Path | bytes]:
    """Weights, their cards and layouts, and an index that names the first as what is loaded."""
    entries: dict[str, Path | bytes] = {}
    for path in chosen:
        if f"weights/{path.name}" in {"/".join(name.split("/")[:2]) for name in entries}:
            raise PackError(f"two weights are named {path.name}: rename one")
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        files += list(_beside(path))
        entries.update({f"weights/{file.relative_to(path.parent).as_posix()}": file for file in files})
    entries["weights/index.yaml"] = f"default:\n  {package.key}: {chosen[0].name}\n".encode()
    return entries


def _beside(weights: Path) -> Iterator[Path]:
    """The card beside weights, and the layouts in files that it names."""
    card = weights.with_name(f"{weights.stem}.card.yaml")
    if not card.is_file():
        return
    yield card
    block = re.search(r"^layouts:\n((?:- .*\n)*)", card.read_text("utf-8") + "\n", re.MULTILINE)
    for line in block[1].splitlines() if block else ():
        layout = card.with_name(line[2:].strip().strip("'\""))
        if layout.suffix in (".yaml", ".yml", ".npy", ".json"):
            if not layout.is_file():
                raise PackError(f"{card} names the layout {layout.name}, which is not beside it")
            yield layout


def _write(out: Path, entries: Mapping[str, Path | bytes]) -> None:
    """A zip in one go: a reader finds the old one or the whole new one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f"{out.name}.part")
    folders = {f"{parent.as_posix()}/" for name in entries for parent in Path(name).parents if parent.name}
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted({*entries, *folders}):
            content = entries.get(name, b"")
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3  # Unix, on whatever it is packed: else the modes are not read
            mode = stat.S_IFDIR | 0o755 if name in folders else stat.S_IFREG | 0o644
            info.external_attr = mode << 16 | (0x10 if name in folders else 0)
            archive.writestr(info, content.read_bytes() if isinstance(content, Path) else content)
    unfinished.replace(out)


def nuctl_commands(package: Package, out: Path, gpu: bool) -> list[list[str]]:
    """What makes the function's project, and deploys the package into it."""
    project, nuclio = package.project(), package.folder / "nuclio"
    deploy = ["nuctl", "deploy", package.name, "--project-name", project]
    if out.parent.resolve() == nuclio.resolve():
        deploy += ["--path", str(nuclio), *(["--file", str(package.function_yaml(gpu))] if gpu else [])]
    else:
        deploy += ["--path", str(out)]
    return [["nuctl", "create", "project", project, "--platform", "local"], [*deploy, "--platform", "local"]]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy_as_zip.sh", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("key", help=argparse.SUPPRESS)
    parser.add_argument(
        "positional",
        nargs="*",
        type=Path,
        metavar="WEIGHTS",
        help="own weights, their cards beside them: OpenVINO folders, with --gpu checkpoints; the first is loaded",
    )
    parser.add_argument("--weights", action="append", default=[], type=Path, metavar="WEIGHTS", help="the same")
    parser.add_argument("--gpu", action="store_true", help="for an NVIDIA GPU: PyTorch, function-gpu.yaml")
    parser.add_argument("--out", type=Path, metavar="ZIP", help="(default: nuclio/package.zip, package-gpu.zip)")
    parser.add_argument("--export", action="store_true", help="make OpenVINO folders of checkpoints and runs")
    parser.add_argument("--base-image", default="", metavar="IMAGE", help="in place of that of function.yaml")
    parser.usage = "deploy_as_zip.sh [WEIGHTS ...] [--gpu] [--out ZIP] [--export] [--base-image IMAGE]"
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    arguments = vars(_parse())
    package = Package(arguments.pop("folder"), arguments.pop("key"))
    given = [*arguments.pop("positional"), *arguments.pop("weights")]
    try:
        written = main(package, given, **arguments)
    except (PackError, OSError) as problem:
        sys.exit(f"deploy_as_zip.sh: {problem}")
    print(f"{written} ({written.stat().st_size // 1024} KiB)\nDeploy it with:")
    for command in nuctl_commands(package, written, arguments["gpu"]):
        print(f"  {shlex.join(command)}")
