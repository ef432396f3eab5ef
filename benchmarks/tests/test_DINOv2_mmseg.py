from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import DINOv2_mmseg as speed
from benchmarks import DINOv2_mmseg_colonies as colonies
from benchmarks import DINOv2_mmseg_memory as memory
from benchmarks import DINOv2_mmseg_networks as networks
from benchmarks import cases, measure, photos
from benchmarks.cases import CheckError
from DINOv2_mmseg import weights

pytest.importorskip("mmseg")


@pytest.fixture(scope="module")
def net() -> networks.Network:
    """Random weights; photos of 96 px go through it in several windows of 64 px."""
    return networks.made("rendered/small.py", work_px=96, window_px=64)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return photos._noise(192, 136)  # 96 x 68 px when brought: no whole number of patches


def test_the_cases_that_were_asked_for_are_there():
    found = {case.name: case.target for case in cases.load("DINOv2_mmseg")}
    assert found["forward"] == found["forward-12mp"] == 0.95
    assert found["slide"] == 1
    assert found["argmax"] == found["argmax-24mp"] == 3
    assert found["colonies"] == 5
    assert found["colonies-components"] is found["openvino-bf16"] is None


def test_mmsegmentation_sees_the_same_windows(net, photo):
    import torch

    seen: list[torch.Tensor] = []
    handle = net.module.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    try:
        networks.slide(net)(photo)
    finally:
        handle.remove()
    from DINOv2_mmseg import network

    ours = [network.normalised(window[0], net.spec) for window in networks.windows(net, photo)]
    assert len(ours) == len(seen) == 4
    assert all(torch.equal(a, b) for a, b in zip(ours, seen, strict=True))


def test_both_ways_to_a_class_map_agree(net, photo):
    sides = speed.against_slide(net, photo)
    found = sides.check()
    assert found["windows"] == 4
    assert found["classes in the map"] >= 4
    assert found["weights"].startswith("random")
    assert 0.6 <= found["share of pixels with the same class"] <= 1
    assert found["the same where one window sees the whole photo"] > 0.98
    assert sides.ours().map.index.shape == sides.peer().shape == (136, 192)


def test_a_map_that_is_another_is_not_timed(net, photo, monkeypatch):
    monkeypatch.setattr(networks, "slide", lambda _: lambda given: np.full(given.shape[:2], 255))
    with pytest.raises(CheckError, match=r"0\.0% of the pixels"):
        speed.against_slide(net, photo).check()
    with pytest.raises(CheckError, match="pixels"):
        speed._same(np.zeros((2, 3)), np.zeros((3, 2)), 0.5)


def test_forward_passes_are_those_of_the_windows(net, photo):
    sides = speed.against_forward(net, photo)
    calls: list[tuple[int, ...]] = []
    handle = net.module.backbone.register_forward_pre_hook(lambda _, given: calls.append(tuple(given[0].shape)))
    try:
        sides.peer()
        sides.ours()
    finally:
        handle.remove()
    assert calls == [(1, 3, 64, 64)] * 8
    assert sides.check() == {"weights": net.said, "windows": 4, "window px": 64}
    assert "enlarging and arg-max" in sides.facts()["share of each stage"]


def test_weights_are_those_that_are_named_else_random(tmp_path, monkeypatch, net):
    from DINOv2_mmseg import network

    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    assert networks.load().said == "random, of DINOv2_mmseg/configs/rendered/small.py"
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path / "none.safetensors"))
    with pytest.raises(FileNotFoundError, match="none.safetensors"):
        networks.load()
    (tmp_path / "export.onnx").touch()
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path / "export.onnx"))
    with pytest.raises(ValueError, match=r"export\.onnx: expected \.safetensors"):
        networks.load()
    network.save(tmp_path / "mine.safetensors", net.module, net.spec)
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path / "mine.safetensors"))
    found = networks.load()
    assert (found.said, found.spec.work_px, found.spec.labels) == ("mine.safetensors", 96, net.spec.labels)


def test_random_weights_are_the_same_each_time(net, photo):
    again = networks.made("rendered/small.py", work_px=96, window_px=64)
    np.testing.assert_array_equal(again.segment(photo).map.index, net.segment(photo).map.index)


def test_the_arg_max_is_torchs():
    sides = speed.against_interpolate(5, (9, 6), (72, 48))
    assert sides.check()["share of pixels with the same class"] > 0.999
    assert sides.ours().shape == sides.peer().shape == (48, 72)
    assert len(np.unique(sides.ours())) == 5


def test_openvino_says_what_torch_says(net):
    pytest.importorskip("openvino")
    sides = speed.against_torch(net, photos._noise(64, 64))
    try:
        found = sides.check()
        assert found["share of cells with the same class"] > 0.8
        assert sides.ours().shape == sides.peer().shape == (1, 17, 8, 8)
    finally:
        sides.close()


def small_map() -> colonies.Dense:
    """Two colonies of a class that touch, one of another beside them, one alone."""
    y, x = np.mgrid[:120, :160] + 0.5
    index = np.zeros((120, 160), np.uint8)
    for kind, cx, cy in ((1, 40, 40), (1, 76, 40), (2, 112, 40), (3, 50, 95)):
        index[np.hypot(x - cx, y - cy) < 19] = kind
    return colonies.blurred(index, (80, 60), (320, 240))


def test_components_are_scikit_images_to_the_pixel():
    assert colonies.by_components(small_map()).check()["colonies"] == 3


def test_watershed_cuts_on_both_sides():
    found = colonies.by_watershed(small_map()).check()
    assert found["colonies"] == found["colonies of theirs"] == 4
    assert found["share of pixels in both"] > 0.98


def test_colonies_that_differ_are_not_timed(monkeypatch):
    monkeypatch.setattr(colonies, "plain_components", lambda given: [])
    with pytest.raises(CheckError, match="0 colonies of theirs, 3 of ours"):
        colonies.by_components(small_map()).check()
    monkeypatch.setattr(colonies, "plain_watershed", lambda given: [])
    with pytest.raises(CheckError, match=r"0\.0% of the pixels"):
        colonies.by_watershed(small_map()).check()


def test_a_case_runs_from_check_to_close(monkeypatch):
    monkeypatch.setattr(colonies, "_reef", small_map)
    (case,) = cases.choose(cases.load("DINOv2_mmseg"), ["colonies-components"])
    result = measure.run(case, 1)
    assert result["ratio"] > 0
    assert result["facts"]["colonies"] == 3


def test_a_process_that_asks_for_too_much_dies_and_is_said_to(monkeypatch):
    monkeypatch.setattr(memory, "SIZES_WH", ((320, 240),))
    (row,) = memory.main(limit_gib=0.05, sides=("ours",))
    assert row["megapixels"] == 0.1
    assert row["died"].startswith("within 0.05 GiB")
    assert json.dumps(row)
    assert "died" in memory._line(row)
