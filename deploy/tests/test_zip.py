"""What deploy_as_zip.sh packs is all that main.py needs, the same bytes every time, and what the image can run."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from deploy import pack, pins
from quadrat import images

from .conftest import b64, photo

ROOT = Path(__file__).parents[2]
PACKAGES = pack.find()
EACH = pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
CORAL = next(p for p in PACKAGES if p.name == "pth-yolo-coralseg")
GRID = next(p for p in PACKAGES if p.name == "pth-yolo-gridpose")

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")

PROJECTS = {"pth-lama": "quadratseg"}
WITHOUT_YOLO = {"pth-lama", "pth-mmseg-coralscopsegformer"}
MASK = b64(images.encode_png(np.eye(240, 320, dtype=np.uint8) * 255))
"""What pth-lama shall remove; the others let it pass."""

# Runs in the unpacked folder, with the repository itself out of reach.
IMPORT = """
import sys
sys.path[:] = [p for p in sys.path if p != ROOT and "__editable__" not in p]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in getattr(f, "__module__", "")]
sys.path.insert(0, "")
import main, quadrat, deploy.serving
for module in (main, quadrat, deploy.serving):
    assert not module.__file__.startswith(ROOT), module.__file__
heavy = {"torch", "ultralytics", "fiftyone", "mmseg", "timm", "transformers", "skimage", "fastapi", "nuclio_sdk"}
frameworks = sorted(heavy & set(sys.modules))
print("imported", frameworks, callable(main.init_context), callable(main.handler))
"""

SERVE = """
import json, nuclio_sdk
context = nuclio_sdk.Context(nuclio_sdk.Logger("ERROR"))
main.init_context(context)
event = nuclio_sdk.Event(body=json.load(open("request.json")), method="POST")
response = main.handler(context, event)
assert "torch" not in sys.modules and "ultralytics" not in sys.modules, "the image has neither"
print("answered", response.status_code, response.headers["X-Quadrat-Model"], type(json.loads(response.body)).__name__)
"""


@pytest.fixture
def exported(tmp_path):
    """An OpenVINO folder with its card, as far as packing goes."""
    path = tmp_path / "own" / "mine_openvino"
    path.mkdir(parents=True)
    (path / "mine.xml").write_text("<net/>")
    (path / "mine.bin").write_bytes(b"weights")
    path.with_name("mine_openvino.card.yaml").write_text("name: mine\ntask: instances\nlabels: [a]\n")
    return path


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "own" / "mine.pt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"weights")
    path.with_name("mine.card.yaml").write_text("name: mine\ntask: instances\nlabels: [a]\n")
    return path


def run(package, *options, **more):
    command = ["bash", str(package.folder / "deploy_as_zip.sh"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **more)


def run_in(unpacked, code):
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MODEL_PATH", "FUNCTION_YAML")}
    command = [sys.executable, "-c", f"ROOT = {str(ROOT) + os.sep!r}\n{code}"]
    return subprocess.run(command, cwd=unpacked, env=kept, capture_output=True, text=True, timeout=120, check=False)


def unpack(archive, folder):
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
        return opened.namelist()


@EACH
@pytest.mark.parametrize("gpu", [False, True])
def test_the_zip_holds_what_main_imports(package, gpu, exported, checkpoint, tmp_path):
    out = tmp_path / "a b" / "f.zip"
    done = run(package, checkpoint if gpu else exported, "--out", out, *(["--gpu"] if gpu else []))
    assert done.returncode == 0, done.stderr
    project = PROJECTS.get(package.name, "cvat")
    assert f"nuctl create project {project} --platform local" in done.stdout
    assert f"nuctl deploy {package.name} --project-name {project} --path '{out}' --platform local" in done.stdout
    names = unpack(out, tmp_path / "opt")
    weights = {"weights/mine.pt", "weights/mine.card.yaml"} if gpu else {"weights/mine_openvino/mine.xml"}
    assert {"main.py", "function.yaml", "LICENSE", "requirements.txt", "weights/index.yaml"} | weights <= set(names)
    assert ("yolo/__init__.py" in names) == (package.name not in WITHOUT_YOLO)
    assert not [n for n in names if "tests" in n.split("/") or "__pycache__" in n or n.startswith("deploy/host")]
    assert (tmp_path / "opt" / "function.yaml").read_bytes() == package.function_yaml(gpu).read_bytes()
    required = (tmp_path / "opt" / "requirements.txt").read_text().splitlines()[1:]
    assert required == pins.read(package.function_yaml(gpu).read_text())
    index = yaml.safe_load((tmp_path / "opt" / "weights" / "index.yaml").read_text())
    assert index == {"default": {package.key: "mine.pt" if gpu else "mine_openvino"}}
    ran = run_in(tmp_path / "opt", IMPORT)
    assert ran.stdout.strip() == "imported [] True True", ran.stdout + ran.stderr


@EACH
def test_what_ships_answers_from_an_empty_folder_without_torch(package, tmp_path):
    done = run(package, "--out", tmp_path / "f.zip")
    assert done.returncode == 0, done.stderr
    unpack(tmp_path / "f.zip", tmp_path / "opt")
    body = {"image": b64(images.encode_png(photo(320, 240))), "mask": MASK}
    (tmp_path / "opt" / "request.json").write_text(json.dumps(body))
    ran = run_in(tmp_path / "opt", IMPORT + SERVE)
    card = yaml.safe_load((pack.shipped(package).with_name(f"{pack.shipped(package).name}.card.yaml")).read_text())
    wanted = f"answered 200 {card['name']} {'dict' if package.name == 'pth-lama' else 'list'}"
    assert ran.stdout.splitlines()[-1:] == [wanted], ran.stdout + ran.stderr


def test_several_weights_go_along_and_the_first_is_loaded(exported, tmp_path):
    second = shutil.copytree(exported, exported.with_name("other_openvino"))
    assert run(CORAL, exported, "--weights", second, "--out", tmp_path / "f.zip").returncode == 0
    names = unpack(tmp_path / "f.zip", tmp_path / "opt")
    assert {"weights/mine_openvino/mine.bin", "weights/other_openvino/mine.bin"} <= set(names)
    assert "coral_seg_yolo: mine_openvino" in (tmp_path / "opt" / "weights" / "index.yaml").read_text()
    twice = run(CORAL, exported, exported, "--out", tmp_path / "f.zip")
    assert twice.returncode == 1
    assert "two weights are named mine_openvino" in twice.stderr


def test_layouts_that_the_card_names_go_along(exported, tmp_path):
    card = exported.with_name("mine_openvino.card.yaml")
    card.write_text("name: mine\ntask: keypoints\nlabels: [a]\nlayouts:\n- grid9x13\n- my net.yaml\nlicence: X\n")
    missing = run(GRID, exported, "--out", tmp_path / "f.zip")
    assert missing.returncode == 1
    assert "names the layout my net.yaml, which is not beside it" in missing.stderr
    assert not (tmp_path / "f.zip").exists()
    exported.with_name("my net.yaml").write_text("lattice: {columns: 5, rows: 4}\n")
    assert run(GRID, exported, "--out", tmp_path / "f.zip").returncode == 0
    assert "weights/my net.yaml" in unpack(tmp_path / "f.zip", tmp_path / "opt")


def test_a_processors_package_takes_no_checkpoint_and_says_how_to_make_one_of_it(checkpoint, tmp_path):
    done = run(CORAL, checkpoint, "--out", tmp_path / "f.zip")
    assert done.returncode == 1
    command = next(line for line in done.stderr.splitlines() if line.startswith("  python -m"))
    assert command.split() == [
        *("python", "-m", "coral_seg_yolo.export", "--weights", str(checkpoint)),
        *("--format", "openvino", "--out", str(checkpoint.parent)),
    ]
    assert not (tmp_path / "f.zip").exists()


@pytest.mark.slow
def test_a_checkpoint_is_exported_on_the_way(tmp_path):
    done = run(CORAL, "--export", pack.shipped(CORAL, gpu=True), "--out", tmp_path / "f.zip")
    assert done.returncode == 0, done.stderr
    names = unpack(tmp_path / "f.zip", tmp_path / "opt")
    (network,) = [name for name in names if name.endswith(".xml")]
    index = yaml.safe_load((tmp_path / "opt" / "weights" / "index.yaml").read_text())
    assert index["default"][CORAL.key] == network.split("/")[1]


def test_a_gpus_package_takes_no_openvino_folder(exported, tmp_path):
    done = run(CORAL, exported, "--gpu", "--out", tmp_path / "f.zip")
    assert done.returncode == 1
    assert "pack it without --gpu" in done.stderr


def test_a_finished_run_is_packed_by_its_best_weights(tmp_path):
    best = tmp_path / "run" / "weights" / "best.pt"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"weights")
    assert run(CORAL, tmp_path / "run", "--gpu", "--out", tmp_path / "f.zip").returncode == 0
    assert "weights/best.pt" in unpack(tmp_path / "f.zip", tmp_path / "opt")
    empty = run(CORAL, tmp_path, "--gpu", "--out", tmp_path / "f.zip")
    assert "expected an OpenVINO folder" in empty.stderr


def test_another_base_image_stands_in_the_packed_function_yaml(exported, tmp_path):
    assert run(CORAL, exported, "--base-image", "mine/base:1", "--out", tmp_path / "f.zip").returncode == 0
    unpack(tmp_path / "f.zip", tmp_path / "opt")
    packed = yaml.safe_load((tmp_path / "opt" / "function.yaml").read_text())
    assert packed["spec"]["build"].pop("baseImage") == "mine/base:1"
    own = yaml.safe_load(CORAL.function_yaml().read_text())
    own["spec"]["build"].pop("baseImage")
    assert packed == own


def copy_of_the_project(folder, mtime):
    """What packing a function reads, elsewhere and from another time."""
    for name in ("quadrat", "coral_seg_yolo", "yolo", "deploy", "weights"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("tests", "__pycache__", "package*.zip")
        )
    shutil.copy(ROOT / "LICENSE", folder)
    for path in folder.rglob("*"):
        os.utime(path, (mtime, mtime))
    return pack.Package(folder / "coral_seg_yolo" / "deploy" / CORAL.name, CORAL.key)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    packed = []
    for number, (mtime, umask) in enumerate([(1_000_000_000, 0o022), (1_700_000_000, 0o077)]):
        before = os.umask(umask)
        try:
            package = copy_of_the_project(tmp_path / f"copy{number}", mtime)
            (package.folder / "nuclio" / "main.py").chmod(0o600 if number else 0o755)
            (tmp_path / f"copy{number}" / "quadrat" / f".left{number}").write_text("an editor's file")
            done = run(package, env={**os.environ, "TZ": "UTC" if number else "Asia/Tokyo"})
        finally:
            os.umask(before)
        assert done.returncode == 0, done.stderr
        packed.append((package.folder / "nuclio" / "package.zip").read_bytes())
    assert packed[0] == packed[1]
    with zipfile.ZipFile(
        tmp_path / "copy0" / "coral_seg_yolo" / "deploy" / CORAL.name / "nuclio" / "package.zip"
    ) as one:
        assert {info.date_time for info in one.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        modes = {info.external_attr >> 16 & 0o777 for info in one.infolist() if not info.is_dir()}
        assert modes == {0o644}
        assert one.namelist() == sorted(one.namelist())


def test_packing_needs_nothing_but_python(exported, tmp_path):
    code = f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); runpy.run_module('deploy.pack', run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", code, str(CORAL.folder), CORAL.key, str(exported)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "f.zip")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def directive(package, gpu=False):
    """The step of function.yaml that unpacks, for a folder of ours."""
    build = yaml.safe_load(package.function_yaml(gpu).read_text())["spec"]["build"]
    (step,) = build["directives"]["postCopy"]
    assert step["kind"] == "RUN"
    return step["value"]


def build_image(package, nuclio, gpu=False):
    script = directive(package, gpu).replace("/opt/nuclio", str(nuclio))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False, env=env)


@EACH
@pytest.mark.parametrize("gpu", [False, True])
def test_the_image_unpacks_what_nuctl_copied(package, gpu, exported, checkpoint, tmp_path):
    name = "package-gpu.zip" if gpu else "package.zip"
    nuclio = shutil.copytree(
        package.folder / "nuclio", tmp_path / "nuclio", ignore=shutil.ignore_patterns("*.zip", "__pycache__")
    )
    unpacked_too_early = build_image(package, nuclio, gpu)
    assert unpacked_too_early.returncode == 1
    assert "run deploy_as_zip.sh" in unpacked_too_early.stderr
    options = ["--gpu"] if gpu else []
    assert run(package, checkpoint if gpu else exported, "--out", nuclio / name, *options).returncode == 0
    (nuclio / "main.py").chmod(0o600)  # of somebody with a strict umask
    done = build_image(package, nuclio, gpu)
    assert done.returncode == 0, done.stderr
    assert not list(nuclio.glob("*.zip"))
    assert (nuclio / "main.py").stat().st_mode & 0o044 == 0o044
    assert (nuclio / "function.yaml").read_bytes() == package.function_yaml(gpu).read_bytes()
    assert run_in(nuclio, IMPORT).stdout.strip() == "imported [] True True"
    before = sorted(path.relative_to(nuclio) for path in nuclio.rglob("*") if "__pycache__" not in path.parts)
    assert build_image(package, nuclio, gpu).returncode == 0, "nuctl unpacks a zip that is given as --path by itself"
    assert sorted(p.relative_to(nuclio) for p in nuclio.rglob("*") if "__pycache__" not in p.parts) == before


def test_the_command_in_the_readme_of_nuclio_works_from_the_functions_folder(exported, tmp_path):
    package = copy_of_the_project(tmp_path / "copy", 1_500_000_000)
    done = subprocess.run(
        ["./deploy_as_zip.sh"], cwd=package.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (package.folder / "nuclio" / "package.zip").is_file()
    path = package.folder / "nuclio"
    assert f"nuctl deploy {package.name} --project-name cvat --path {path} --platform local" in done.stdout
    gpu = subprocess.run(
        ["./deploy_as_zip.sh", "--gpu"], cwd=package.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"--path {path} --file {path / 'function-gpu.yaml'} --platform local" in gpu.stdout


def test_there_are_functions_to_pack():
    assert {package.name for package in PACKAGES} == {
        "pth-yolo-coralseg",
        "pth-yolo-gridcorners",
        "pth-yolo-gridpose",
        "pth-lama",
        "pth-mmseg-coralscopsegformer",
    }


@pytest.mark.parametrize(
    ("options", "word", "status"),
    [(["--weights", "nowhere.pt"], "no such weights", 1), (["--fast"], "unrecognized arguments: --fast", 2)],
)
def test_what_cannot_be_packed_is_said(options, word, status):
    done = run(PACKAGES[0], *options)
    assert done.returncode == status
    assert word in done.stderr


def test_an_index_that_names_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "ROOT", tmp_path)
    with pytest.raises(pack.PackError, match="names nothing under `packaged` for coral_seg_yolo"):
        pack.shipped(CORAL)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "index.yaml").write_text("packaged:\n  coral_seg_yolo: gone\nfiles:\n  coral_seg_yolo: x\n")
    with pytest.raises(pack.PackError, match="'gone', which is not there"):
        pack.shipped(CORAL)
    with pytest.raises(pack.PackError, match="names nothing under `default`"):
        pack.shipped(CORAL, gpu=True)


def test_the_printed_commands_can_be_pasted(tmp_path):
    for command in pack.nuctl_commands(CORAL, tmp_path / "a b.zip", gpu=False):
        assert re.fullmatch(r"[\w./ -]+", " ".join(command))
