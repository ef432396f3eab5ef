"""Exports, made and used in a process of its own: one that has used OpenVINO may not train afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from DINOv2_mmseg import export, network
from DINOv2_mmseg.export import Difference
from quadrat import images
from quadrat.predictor import read_card

from .conftest import ROOT
from .tiny_segmenter import LABELS, SIDE, drawn, write_weights

_EXPORTS = """
import json, sys
from pathlib import Path
import numpy as np
from DINOv2_mmseg import export, model, runners
from quadrat import images
from quadrat.predictor import read_card

given = json.loads(sys.argv[1])
weights, out, photo = Path(given["weights"]), Path(given["out"]), images.read(Path(given["photo"]))
plain, told = model.load(weights), {}
small = photo[:40, :50]
for format in export.FORMATS:
    command = ["--weights", str(weights), "--format", format, "--out", str(out), "--name", f"as-{format}"]
    status = export.run([*command, "--json", "--images", given["photo"]])
    made = next(p for p in out.glob(f"as-{format}*") if p.suffix not in (".yaml", ".json"))
    loaded = model.load(made)
    found, wanted = loaded.segment(photo), plain.segment(photo)
    told[format] = {
        "status": status,
        "made": made.name,
        "off": float(np.abs(found.scores - wanted.scores).max()),
        "same": float((found.map.index == wanted.map.index).mean()),
        "small": list(loaded.segment(small).map.index.shape),
        "labels": list(loaded.semantic_card.labels),
        "name": loaded.card.name,
        "fixed": loaded.settings.fixed,
    }
half, _ = export.main(str(weights), format="safetensors", half=True, name="half", out=out)
told["half"] = half.stat().st_size / weights.stat().st_size
told["left"] = [p.name for p in out.iterdir() if p.name.startswith(".")]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, dict[str, object]], list[dict[str, object]]]:
    """Folder, what was found of each export, and what the command printed."""
    root = tmp_path_factory.mktemp("exports")
    images.write(root / "photo.png", drawn(0, (100, 90))[0])
    path = write_weights(root / "w.safetensors")
    given = {"weights": str(path), "out": str(root / "out"), "photo": str(root / "photo.png")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _EXPORTS, json.dumps(given)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return root / "out", lines[-1], lines[:-1]


@pytest.mark.parametrize("format", export.FORMATS)
def test_an_export_says_what_torch_says(exported: tuple, format: str) -> None:
    """Through windows that are padded: the photo is no multiple of them."""
    _, told, _ = exported
    found = told[format]
    assert found["status"] == 0
    assert found["fixed"] == (format != "safetensors")
    if format == "safetensors":
        assert found["off"] == 0
    assert found["small"] == [40, 50]
    assert (found["labels"], found["name"]) == (list(LABELS), f"as-{format}")
    assert found["same"] > 0.97


def test_the_command_prints_how_it_differs(exported: tuple) -> None:
    _, told, printed = exported
    assert [Path(str(one["export"])).name for one in printed] == [told[format]["made"] for format in export.FORMATS]
    for one in printed:
        assert one["f32"]["largest"] <= export.ALLOWED
        assert one["f32"]["same_class"] > 0.99
    assert "bf16" in printed[export.FORMATS.index("openvino")]


def test_cards_and_specs_lie_beside_and_nothing_is_left(exported: tuple) -> None:
    out, told, _ = exported
    for format in export.FORMATS:
        card = read_card(out / told[format]["made"])
        assert card is not None
        assert (card.name, card.labels, card.background) == (f"as-{format}", LABELS, LABELS[:1])
    spec = json.loads((out / "as-onnx.spec.json").read_text())
    assert (spec["window_px"], spec["labels"]) == (SIDE, list(LABELS))
    assert told["left"] == []
    assert 0.4 < told["half"] < 0.65


def test_an_export_that_differs_is_put_aside_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_weights(tmp_path / "w.safetensors")
    before = write_weights(tmp_path / "out" / "new.safetensors", seed=1).read_bytes()
    monkeypatch.setattr(export, "_compare", lambda *_: {"f32": Difference(0.3, 0.1, 0.9)})
    with pytest.raises(
        RuntimeError, match=r"differs from torch by 0.3, allowed 0.01; it lies in .*new.safetensors.failed"
    ):
        export.main(str(path), format="safetensors", name="new", out=tmp_path / "out")
    assert (tmp_path / "out" / "new.safetensors").read_bytes() == before
    assert (tmp_path / "out" / "new.safetensors.failed").is_file()
    monkeypatch.setattr(export, "_compare", lambda *_: {"f32": Difference(0.0, 0.0, 1.0)})
    export.main(str(path), format="safetensors", name="new", out=tmp_path / "out")
    assert (tmp_path / "out" / "new.safetensors").read_bytes() != before
    assert network.read_spec(tmp_path / "out" / "new.safetensors").labels == LABELS


def test_a_difference_is_the_largest_of_all_and_no_number_is_infinite() -> None:
    wanted = np.full((1, 2, 2, 2), 0.5, np.float32)
    wanted[:, 0] += 0.1
    got = wanted.copy()
    got[0, :, 0, 0] = 0.2, 0.9
    found = export._difference(wanted, got)
    assert (found.largest, found.same_class) == (pytest.approx(0.4), 0.75)
    got[0, 0, 0, 0] = np.nan
    assert export._difference(wanted, got).largest == float("inf")
    with pytest.raises(RuntimeError, match="the export gives"):
        export._difference(wanted, got[:, :1])


def test_what_cannot_be_exported_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="format 'tflite': expected one of openvino"):
        export.main("w", format="tflite")
    (tmp_path / "w.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="is exported already"):
        export.main(str(tmp_path / "w.onnx"))
    path = write_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="needs a --name"):
        export.main(str(path), format="safetensors")
    assert export.run(["--weights", str(tmp_path / "none.safetensors")]) == 1
    assert "no such weights" in capsys.readouterr().err
