"""A processor's package carries no torch: the five functions answer with the OpenVINO folders that ship.

Two processes answer the same requests through every `main.py`: one in which torch and what needs it cannot be imported,
one that has imported them.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from quadrat import images

ROOT = Path(__file__).parents[1]
PACKAGED = yaml.safe_load((ROOT / "weights" / "index.yaml").read_text("utf-8"))["packaged"]
FOLDERS = {
    "coral_seg_yolo": "coral_seg_yolo/deploy/pth-yolo-coralseg",
    "DINOv2_mmseg": "DINOv2_mmseg/deploy/pth-mmseg-coralscopsegformer",
    "grid_inpainting": "grid_inpainting/deploy/pth-lama",
    "grid_pose_detection/corners": "grid_pose_detection/deploy/pth-yolo-gridcorners",
    "grid_pose_detection/grid": "grid_pose_detection/deploy/pth-yolo-gridpose",
}
FRAMEWORKS = ("torch", "torchvision", "ultralytics", "mmseg", "mmengine", "mmcv", "timm", "transformers")
UNNEEDED = (*FRAMEWORKS, "simple_lama_inpainting", "safetensors", "onnxruntime", "tqdm")
VARIABLES = ("MODEL_PATH", "LAMA_MODEL", "SEGFORMER_WEIGHTS", "INPAINT_BACKEND", "DEVICE", "PRECISION", "TEMPLATE")

ANSWERING = """
import importlib, importlib.util, json, os, sys

asked = json.load(sys.stdin)


class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in asked["refused"]:
            raise ImportError(f"{name} is not here")


sys.meta_path.insert(0, Refuses())
for name in asked["imported"]:
    importlib.import_module(name)
import nuclio_sdk

answers = {}
for key, (main, weights, request) in asked["functions"].items():
    os.environ["MODEL_PATH"] = weights
    spec = importlib.util.spec_from_file_location("main", main)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = nuclio_sdk.Context(nuclio_sdk.Logger("ERROR"))
    module.init_context(context)
    answer = module.handler(context, nuclio_sdk.Event(body=json.dumps(request), method="POST"))
    assert answer.status_code == 200, answer.body
    answers[key] = {"body": json.loads(answer.body), "model": answer.headers["X-Quadrat-Model"]}
print(json.dumps({"answers": answers, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


@pytest.fixture(scope="module")
def requests() -> dict[str, object]:
    """What each function is asked: a rendered quadrat, and where its strings meet for the one that paints."""
    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings

    sample = render(7, Settings(size_px=640, layouts={"grid11x11": 1.0}))
    photo = {"image": base64.b64encode(images.encode_jpeg(sample.photo)).decode()}
    grid = next(shape for shape in sample.annotations.shapes if shape.label == "grid")
    painting = {**photo, "keypoints": grid.xy_px.tolist()}
    return {key: painting if key == "grid_inpainting" else photo for key in FOLDERS}


def answer(requests: dict[str, object], *, refused: tuple[str, ...] = (), imported: tuple[str, ...] = ()) -> dict:
    functions = {
        key: (str(ROOT / folder / "nuclio" / "main.py"), str(ROOT / "weights" / PACKAGED[key]), requests[key])
        for key, folder in FOLDERS.items()
    }
    there = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", ANSWERING],
        input=json.dumps({"functions": functions, "refused": refused, "imported": imported}),
        capture_output=True, text=True, check=False, cwd=ROOT, env={**there, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(requests: dict[str, object]) -> dict:
    return answer(requests, refused=UNNEEDED)


@pytest.fixture(scope="module")
def beside_torch(requests: dict[str, object]) -> dict:
    return answer(requests, imported=("torch", "torchvision", "ultralytics", "mmengine"))


def test_every_function_has_weights_for_a_processor() -> None:
    assert set(PACKAGED) == set(FOLDERS)


def test_the_processes_differ_by_torch(alone: dict, beside_torch: dict) -> None:
    assert not set(UNNEEDED) & set(alone["modules"])
    assert {"torch", "torchvision", "ultralytics"} <= set(beside_torch["modules"])


@pytest.mark.parametrize("key", FOLDERS)
def test_the_answer_without_torch_is_that_with_it(key: str, alone: dict, beside_torch: dict) -> None:
    ours = alone["answers"][key]
    assert ours["body"], "the photo has corals, corners and a grid"
    assert ours == beside_torch["answers"][key]
    assert ours["model"].split("/")[0] in PACKAGED[key]
