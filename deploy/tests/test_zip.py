"""What deploy_as_zip.sh packs is all that main.py needs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(ROOT.glob("*/deploy/*/deploy_as_zip.sh"))

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")

# Runs in the unpacked folder, with the repository itself out of reach.
IMPORT = """
import sys
sys.path[:] = [p for p in sys.path if p != ROOT and "__editable__" not in p]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in getattr(f, "__module__", "")]
sys.path.insert(0, "")
import main, quadrat, deploy.serving
for module in (main, quadrat, deploy.serving):
    assert not module.__file__.startswith(ROOT), module.__file__
frameworks = sorted({"torch", "ultralytics", "fiftyone", "mmseg", "fastapi", "nuclio_sdk"} & set(sys.modules))
print("imported", frameworks, callable(main.init_context), callable(main.handler))
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
    assert f'nuctl deploy {script.parent.name} --project-name cvat --path "{out}"' in done.stdout
    assert "--env MODEL_PATH=/opt/nuclio/weights/mine.pt" in done.stdout
    unpacked = tmp_path / "opt"
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        archive.extractall(unpacked)
    assert {"main.py", "function.yaml", "weights/mine.pt", "weights/mine.card.yaml"} <= set(names)
    assert not [n for n in names if "tests" in n.split("/") or "__pycache__" in n or n.startswith("deploy/host")]
    wanted = script.parent / "nuclio" / ("function-gpu.yaml" if gpu else "function.yaml")
    assert (unpacked / "function.yaml").read_bytes() == wanted.read_bytes()
    code = f"ROOT = {str(ROOT) + os.sep!r}\n" + IMPORT
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=unpacked, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.strip() == "imported [] True True", ran.stdout + ran.stderr


def test_there_are_scripts_to_check():
    assert SCRIPTS


@pytest.mark.parametrize(
    ("options", "word"), [(["--weights", "nowhere.pt"], "no such weights"), (["--fast"], "unknown option --fast")]
)
def test_what_cannot_be_packed_is_said(options, word):
    done = pack(SCRIPTS[0], *options)
    assert done.returncode == 2
    assert word in done.stderr
