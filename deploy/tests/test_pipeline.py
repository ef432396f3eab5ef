"""The whole chain in one call, the functions played by a stand-in; with the real ones it runs in the demo."""

from __future__ import annotations

import base64
import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from data_engineering.function_url import FunctionError
from deploy.chain import CLEAN, COLONIES, CORNERS, GRID
from deploy.pipeline import functions as places
from deploy.pipeline import main, record, run
from deploy.pipeline.photo import Settings
from quadrat import images, mapping
from quadrat.formats import cvat_xml, shapes_json

from . import functions_stand_in as stand_in
from .functions_stand_in import Said, judged, serving

SIZE = (320, 240)


@pytest.fixture
def reef(tmp_path):
    """Two photos of one name in two folders, and one that is cut short."""
    folder = tmp_path / "reef"
    rng = np.random.default_rng(0)
    for name in ("2024/a.jpg", "2025/a.jpg"):
        images.write(folder / name, rng.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8))
    (folder / "broken.jpg").write_bytes((folder / "2024" / "a.jpg").read_bytes()[:900])
    return folder


@pytest.fixture
def functions():
    with serving(stand_in.chain()) as functions:
        yield functions


def photos_asked(functions, name=CORNERS):
    """How often each photo was asked about; not the blank one that every run begins with."""
    sent = [base64.b64decode(body["image"]) for body in functions.bodies(name)]
    return [data for data in sent if not data.startswith(b"\x89PNG")]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        return {row["photo"]: row for row in csv.DictReader(file)}


def test_photos_go_through_the_whole_chain(reef, functions, tmp_path, capsys):
    out = tmp_path / "out"
    assert run.run([str(reef), str(out), "--functions", functions.url, "--threshold", "0.3"]) == 1
    told = capsys.readouterr()
    assert "3 photographs: 2 done, 0 review, 1 failed; 2 colonies" in told.out
    assert "broken.jpg: ImageError: the photo is damaged or cut short" in told.err
    assert files(out) == sorted(
        [
            *(
                f"{kind.format(f'{year}/a')}"
                for kind in (*record.KINDS.values(), record.RECORD)
                for year in (2024, 2025)
            ),
            *("summary.csv", "annotations.xml", "contact_sheet.jpg", ".lock"),
        ]
    )
    assert [body.get("threshold") for body in functions.bodies(COLONIES)][1:] == [0.3, 0.3]
    rows = table(out)
    assert [rows[name]["state"] for name in ("2024/a.jpg", "2025/a.jpg", "broken.jpg")] == ["done", "done", "failed"]
    assert rows["2024/a.jpg"]["colonies"] == "1"  # that in the margin is not of the quadrat
    assert [photo.image for photo in cvat_xml.read(out / "annotations.xml")] == ["2024/a.jpg", "2025/a.jpg"]


def test_the_colonies_lie_on_the_photo_where_they_lie_on_the_quadrat(reef, functions, tmp_path):
    main(reef / "2024", tmp_path / "out", functions_at=functions.url)
    way = mapping.read(tmp_path / "out" / "quadrats" / "a.mapping.json")
    (there,) = shapes_json.read(tmp_path / "out" / "quadrat-colonies" / "a.json").instances
    found = shapes_json.read(tmp_path / "out" / "colonies" / "a.json")
    (here,) = found.instances
    assert (found.image, found.size_wh) == ("a.jpg", SIZE)
    assert [points.label for points in found.keypoints] == ["quadrat_corner"]
    x0, y0, x1, y1 = there.xyxy_px
    assert np.allclose(way.to_photo([(x0, y0), (x1, y1)]).ravel(), here.xyxy_px, atol=1)
    expected = [
        stand_in.ROOM + (1 - 2 * stand_in.ROOM) * share for share in (0.225, 0.5)
    ]  # 1/4 and 1/2, less the margin
    assert np.allclose(np.array(here.xyxy_px) / (*SIZE, *SIZE), np.repeat(expected, 2), atol=0.01)
    kept = record.read(tmp_path / "out", "a")
    assert kept.note == "A note. Look."
    assert kept.facts[CLEAN]["painted_fraction"] == 0.1
    assert kept.verdicts["grid"] == {"status": "ok", "score": 0.88, "reasons": [], "layout": "grid9x13"}


def test_what_is_done_stays_and_what_has_changed_is_done_again(reef, functions, tmp_path):
    (reef / "broken.jpg").unlink()
    out = tmp_path / "out"
    main(reef, out, functions_at=functions.url)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    assert main(reef, out, functions_at=functions.url).count("done") == 2
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    assert len(photos_asked(functions)) == 2

    changed = reef / "2025" / "a.jpg"
    images.write(changed, np.full((240, 320, 3), 9, np.uint8))
    main(reef, out, functions_at=functions.url)
    assert photos_asked(functions)[2:] == [changed.read_bytes()]

    (out / "clean" / "2024" / "a.jpg").unlink()
    main(reef, out, functions_at=functions.url)
    assert photos_asked(functions)[3:] == [(reef / "2024" / "a.jpg").read_bytes()]

    main(reef, out, functions_at=functions.url, settings=Settings(threshold=0.2))
    assert len(photos_asked(functions)) == 6

    def newer(body):
        return Said(stand_in.colonies(body).body, headers={"X-Quadrat-Model": "coral-2"})

    functions.answers[COLONIES] = newer
    main(reef, out, functions_at=functions.url, settings=Settings(threshold=0.2))
    assert len(photos_asked(functions)) == 8


def test_results_of_an_earlier_run_do_not_outlive_what_made_them(reef, functions, tmp_path):
    out = tmp_path / "out"
    main(reef / "2024", out, functions_at=functions.url)
    functions.answers[CORNERS] = judged([], "failed", "no quadrat frame found")
    outcome = main(reef / "2024", out, functions_at=functions.url, settings=Settings(px_per_cm=2))
    assert outcome.count("review") == 1
    assert [name for name in files(out) if name.endswith(("a.json", "a.jpg", "mapping.json"))] == [
        "corners/a.json",
        "overlays/a.jpg",
        "records/a.json",
    ]


def test_a_photo_that_is_not_sure_waits_for_a_person(reef, functions, tmp_path, capsys):
    functions.answers[GRID] = judged([], "failed", "no grid found")
    out = tmp_path / "out"
    assert run.run([str(reef / "2024"), str(out), "--functions", functions.url]) == 0
    assert "review" in capsys.readouterr().err
    row = table(out)["a.jpg"]
    assert (row["state"], row["stage"], row["reasons"]) == ("review", "grid", "grid: no grid found")
    assert len(functions.bodies(COLONIES)) == len(functions.bodies(CLEAN)) == 1  # about the blank picture
    assert not (out / "colonies").exists()
    assert images.read(out / "contact_sheet.jpg").size


def test_carrying_on_goes_as_far_as_there_are_points(reef, functions, tmp_path):
    functions.answers[GRID] = judged([], "failed", "no grid found")
    on = Settings(carry_on=True)
    (result,) = main(reef / "2024", tmp_path / "out", functions_at=functions.url, settings=on).results
    assert (result.state, result.record.stage, result.record.colonies) == ("review", "colonies", 1)
    assert len(functions.bodies(CLEAN)) == 1
    functions.answers[CORNERS] = judged([], "failed", "no quadrat frame found")
    (result,) = main(reef / "2025", tmp_path / "out2", functions_at=functions.url, settings=on).results
    assert (result.state, result.record.stage, result.record.colonies) == ("review", "corners", 0)


def test_doubtful_points_are_used_when_carrying_on(reef, functions, tmp_path):
    def doubtful(body):
        return judged(stand_in.corners(body).body, "review", "a corner is only faintly seen")

    functions.answers[CORNERS] = doubtful
    (result,) = main(reef / "2024", tmp_path / "a", functions_at=functions.url).results
    assert (result.state, result.record.stage) == ("review", "corners")
    on = Settings(carry_on=True)
    (result,) = main(reef / "2024", tmp_path / "b", functions_at=functions.url, settings=on).results
    assert (result.state, result.record.stage, result.record.colonies) == ("review", "colonies", 1)
    assert mapping.read(tmp_path / "b" / "quadrats" / "a.mapping.json").verdict.status == "review"


def test_corners_that_make_no_frame_or_lie_outside_are_for_a_person(reef, functions, tmp_path):
    crossed = stand_in.corners({"image": base64.b64encode((reef / "2024" / "a.jpg").read_bytes()).decode()}).body
    crossed[0]["elements"][0]["points"], crossed[0]["elements"][1]["points"] = ([200.0, 150.0], [30.0, 40.0])
    functions.answers[CORNERS] = judged(crossed, "ok")
    (result,) = main(reef / "2024", tmp_path / "a", functions_at=functions.url).results
    assert (result.state, result.record.stage) == ("review", "rectify")
    assert "do not run clockwise" in result.reasons[0]
    crossed[0]["elements"][2]["outside"] = True
    (result,) = main(reef / "2024", tmp_path / "b", functions_at=functions.url).results
    assert result.reasons == ("corners: corner 3 lies outside the photo",)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["--guide", "a"], {COLONIES}),
        (["--guide", "b"], {CORNERS, COLONIES}),
        (["--no-grid"], {CORNERS, COLONIES}),
        ([], {CORNERS, GRID, CLEAN, COLONIES}),
    ],
)
def test_each_guide_asks_its_own_functions(reef, functions, tmp_path, arguments, asked):
    out = tmp_path / "out"
    assert run.run([str(reef / "2024"), str(out), "--functions", functions.url, *arguments, "--no-overlays"]) == 0
    assert {name for name, _ in functions.asked} == asked
    assert not (out / "overlays").exists()
    assert not (out / "contact_sheet.jpg").exists()
    assert len(shapes_json.read(out / "colonies" / "a.json").instances) == (2 if asked == {COLONIES} else 1)


def test_a_function_without_an_answer_fails_one_photo(reef, functions, tmp_path):
    bad = (reef / "2025" / "a.jpg").read_bytes()

    def choosy(body):
        if base64.b64decode(body["image"]) == bad:
            return Said({"error": {"code": "bad_image", "message": "too dark"}}, 400)
        return stand_in.corners(body)

    functions.answers[CORNERS] = choosy
    (reef / "broken.jpg").unlink()
    outcome = main(reef, tmp_path / "out", functions_at=functions.url)
    assert [result.state for result in outcome.results] == ["done", "failed"]
    assert outcome.results[1].error == "the function answered 400: too dark"
    functions.answers[CORNERS] = stand_in.corners
    assert main(reef, tmp_path / "out", functions_at=functions.url).count("done") == 2  # a failure is tried again


def test_a_clean_photo_of_another_size_is_refused(reef, functions, tmp_path):
    small = base64.b64encode(images.encode_jpeg(np.zeros((8, 8, 3), np.uint8))).decode()
    functions.answers[CLEAN] = Said({"image": small, "painted_fraction": 0.1, "warnings": []})
    (result,) = main(reef / "2024", tmp_path / "out", functions_at=functions.url).results
    assert (result.state, "the clean photo is of (8, 8) px" in result.error) == ("failed", True)


def test_a_function_that_cannot_be_used_ends_the_run(reef, functions, tmp_path, capsys):
    functions.answers[GRID] = Said({"error": {"message": "who are you"}}, 401)
    assert run.run([str(reef), str(tmp_path / "out"), "--functions", functions.url]) == 2
    assert "who are you); set QUADRAT_TOKEN" in capsys.readouterr().err
    functions.answers[GRID] = Said({"error": {"message": "weights are missing"}}, 400)
    with pytest.raises(FunctionError, match=f"{GRID} at .* is not fit for use: .*weights are missing"):
        main(reef, tmp_path / "out", functions_at=functions.url)
    with pytest.raises(FunctionError, match="is no URL of a function"):
        main(reef, tmp_path / "out", functions_at="somewhere")
    with pytest.raises(FunctionError, match="they go with functions local alone"):
        main(reef, tmp_path / "out", functions_at=functions.url, weights={GRID: "x.pt"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "2"], "threshold is 2.0"),
        (["--px-per-cm", "0"], "px_per_cm 0.0"),
        (["--margin", "-1"], "margin is -1.0"),
        (["--size-cm", "0", "5"], "size_cm is (0.0, 5.0)"),
        (["--workers", "0"], "workers is 0"),
    ],
)
def test_nonsense_is_refused(reef, functions, tmp_path, capsys, arguments, words):
    status = run.run([str(reef / "2024"), str(tmp_path / "out"), "--functions", functions.url, *arguments])
    assert (status, words in capsys.readouterr().err) == (2, True)


def test_nothing_to_do_is_said(reef, tmp_path, capsys):
    assert run.run([str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert run.run([str(reef), str(reef)]) == 2
    told = capsys.readouterr().err
    assert "none: no such file or folder" in told
    assert "choose another OUT" in told


def test_one_run_at_a_time_and_drafts_go(reef, functions, tmp_path):
    out = tmp_path / "out"
    for name in ("records/.a-k3x8_q1z.json", "quadrats/2024/.a-abcdefgh.jpg"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("half")
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another run is busy"):
            main(reef / "2024", out, functions_at=functions.url)
    main(reef / "2024", out, functions_at=functions.url)
    assert [name for name in files(out) if "/." in name] == []


def test_ctrl_c_leaves_what_is_done_and_a_second_call_goes_on(tmp_path, functions):
    photos = tmp_path / "reef"
    for number in range(8):
        images.write(photos / f"{number}.jpg", np.full((*SIZE[::-1], 3), 20 * number, np.uint8))
    third, go_on = threading.Event(), threading.Event()

    def slow(body):
        if len(photos_asked(functions)) >= 3:
            third.set()
            go_on.wait(20)
        return stand_in.corners(body)

    functions.answers[CORNERS] = slow
    out = tmp_path / "out"
    command = [sys.executable, "-m", "deploy.pipeline", str(photos), str(out), "--functions", functions.url]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen(
        [*command, "--workers", "1"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert third.wait(60)
    child.send_signal(signal.SIGINT)
    go_on.set()
    told, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "call it again to go on" in told
    done = len(list((out / "records").glob("*.json")))
    assert 2 <= done < 8
    functions.answers[CORNERS] = stand_in.corners
    asked = len(photos_asked(functions))
    outcome = main(photos, out, functions_at=functions.url)
    assert outcome.count("done") == 8
    assert len(photos_asked(functions)) - asked == 8 - done


def test_a_record_that_cannot_be_read_is_none(tmp_path):
    (tmp_path / "records").mkdir()
    for text in ("", "[]", "{}", '{"format": "other", "version": 1}', '{"format": "quadratseg-record", "version": 1}'):
        (tmp_path / "records" / "a.json").write_text(text)
        assert record.read(tmp_path, "a") is None


def test_the_models_of_the_functions_are_asked_for(functions, tmp_path):
    own = tmp_path / "own.pt"
    own.write_bytes(b"weights")
    known = places.models(functions.urls, {COLONIES: str(own)})
    assert known[CORNERS] == "judge-1"
    assert known[CLEAN] == "painter-1"
    assert known[COLONIES].startswith("coral-1 7-")
    assert json.dumps(known)
