"""What deploy_as_zip.sh packs is all that main.py needs."""

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

from quadrat import images

from .conftest import b64, photo

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(ROOT.glob("*/deploy/*/deploy_as_zip.sh"))

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")

PROJECTS = {"pth-lama": "quadratseg"}
WITHOUT_YOLO = {"pth-lama", "pth-mmseg-coralscopsegformer"}
MASK = b64(images.encode_png(np.eye(240, 320, dtype=np.uint8) * 255))
"""What pth-lama shall remove; the others let it pass."""
DEFAULTS = yaml.safe_load((ROOT / "weights" / "index.yaml").read_text("utf-8"))["default"]


def key_of(script):
    """Of a function's weights in weights/index.yaml."""
    return re.search(r'"\$here" (\S+) "\$@"', script.read_text("utf-8"))[1]


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
print("answered", response.status_code, response.headers["X-Quadrat-Model"], type(json.loads(response.body)).__name__)
"""


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "own" / "mine.pt"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    path.with_name("mine.card.yaml").write_text("name: mine\ntask: instances\nlabels: [a]\n")
    return path


def pack(script, *options):
    return subprocess.run(["bash", str(script), *map(str, options)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.parent.name)
@pytest.mark.parametrize("gpu", [False, True])
def test_the_zip_holds_what_main_imports(script, gpu, weights, tmp_path):
    out = tmp_path / "a b" / "f.zip"
    done = pack(script, "--weights", weights, "--out", out, *(["--gpu"] if gpu else []))
    assert done.returncode == 0, done.stderr
    project = PROJECTS.get(script.parent.name, "cvat")
    assert f"nuctl create project {project} " in done.stdout
    assert f'nuctl deploy {script.parent.name} --project-name {project} --path "{out}"' in done.stdout
    assert "--env MODEL_PATH=/opt/nuclio/weights/mine.pt" in done.stdout
    unpacked = tmp_path / "opt"
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        archive.extractall(unpacked)
    assert {"main.py", "function.yaml", "weights/mine.pt", "weights/mine.card.yaml"} <= set(names)
    assert ("yolo/__init__.py" in names) == (script.parent.name not in WITHOUT_YOLO)
    assert not [n for n in names if "tests" in n.split("/") or "__pycache__" in n or n.startswith("deploy/host")]
    wanted = script.parent / "nuclio" / ("function-gpu.yaml" if gpu else "function.yaml")
    assert (unpacked / "function.yaml").read_bytes() == wanted.read_bytes()
    ran = run_in(unpacked, IMPORT)
    assert ran.stdout.strip() == "imported [] True True", ran.stdout + ran.stderr


def run_in(unpacked, code):
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MODEL_PATH", "FUNCTION_YAML")}
    code = f"ROOT = {str(ROOT) + os.sep!r}\n" + code
    return subprocess.run(
        [sys.executable, "-c", code], cwd=unpacked, env=kept, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("script", [s for s in SCRIPTS if key_of(s) in DEFAULTS], ids=lambda p: p.parent.name)
def test_what_ships_answers_from_an_empty_folder(script, tmp_path):
    done = pack(script, "--out", tmp_path / "f.zip")
    assert done.returncode == 0, done.stderr
    unpacked = tmp_path / "opt"
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        archive.extractall(unpacked)
    body = {"image": b64(images.encode_png(photo(320, 240))), "mask": MASK}
    (unpacked / "request.json").write_text(json.dumps(body))
    ran = run_in(unpacked, IMPORT + SERVE)
    kind = "dict" if script.parent.name == "pth-lama" else "list"
    wanted = f"answered 200 {Path(DEFAULTS[key_of(script)]).stem} {kind}"
    assert ran.stdout.splitlines()[-1:] == [wanted], ran.stdout + ran.stderr


def test_layouts_that_the_card_names_go_along(weights, tmp_path):
    card = weights.with_name("mine.card.yaml")
    card.write_text("name: mine\ntask: keypoints\nlabels: [a]\nlayouts:\n- grid9x13\n- my net.yaml\nlicence: X\n")
    script = next(s for s in SCRIPTS if s.parent.name == "pth-yolo-gridpose")
    missing = pack(script, "--weights", weights, "--out", tmp_path / "f.zip")
    assert missing.returncode == 2
    assert "names the layout my net.yaml, which is not beside it" in missing.stderr
    weights.with_name("my net.yaml").write_text("lattice: {columns: 5, rows: 4}\n")
    assert pack(script, "--weights", weights, "--out", tmp_path / "f.zip").returncode == 0
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        assert "weights/my net.yaml" in archive.namelist()


def test_there_are_scripts_to_check():
    assert {script.parent.name for script in SCRIPTS} >= {
        "pth-yolo-coralseg",
        "pth-yolo-gridcorners",
        "pth-yolo-gridpose",
        "pth-lama",
        "pth-mmseg-coralscopsegformer",
    }


@pytest.mark.parametrize(
    ("options", "word"), [(["--weights", "nowhere.pt"], "no such weights"), (["--fast"], "unknown option --fast")]
)
def test_what_cannot_be_packed_is_said(options, word):
    done = pack(SCRIPTS[0], *options)
    assert done.returncode == 2
    assert word in done.stderr
