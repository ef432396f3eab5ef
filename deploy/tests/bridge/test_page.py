"""The status page: what it says of a pipeline, and what its buttons do."""

import io
import re
import time
import zipfile

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from benchmarks import bridge_example, bridge_page
from deploy.bridge import families, health, page, page_view, page_words, plan
from deploy.bridge import ledger as states
from deploy.bridge.ledger import Ledger
from deploy.bridge.settings import Settings

TOKEN = "a long random text"
ORIGIN = {"Origin": "http://testserver"}
CVAT = "https://cvat.example.org"
GUIDE = plan.read(plan.GUIDES / "c.yaml")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.db")


@pytest.fixture
def enqueued():
    return []


@pytest.fixture
def client(ledger, enqueued, tmp_path):
    app = FastAPI()
    settings = Settings(page_token=TOKEN, folder=tmp_path)
    app.include_router(page.routes(ledger, GUIDE, settings, enqueued.append, f"{CVAT}/"))
    client = TestClient(app, headers=ORIGIN)
    assert client.post("/login", data={"token": TOKEN}).status_code == 200
    return client


def order(ledger, stage, task, step, revision="r", job=None, name="Temae T1"):
    return ledger.order(stage, task, step, revision, job=job, task_name=name, request_id="0123abcd")[0]


def done(ledger, *args, photos=(), child=None, **more):
    row = order(ledger, *args, **more)
    ledger.start(row.id)
    for frame, (name, state, reason) in enumerate(photos):
        ledger.set_photo(row, frame, name, state, reason)
    if child:
        ledger.made_child(row.id, child)
    ledger.finish(row.id, f"{len(photos)} photos")
    return row


def failed(ledger, *args, reason="the function is away", **more):
    row = order(ledger, *args, **more)
    ledger.start(row.id)
    ledger.fail(row.id, reason)
    return row


@pytest.fixture
def family(ledger):
    """Task 7 went on to 12 without one photo; the grid of 12 could not be removed."""
    two = [("a.jpg", states.OK, ""), ("b.jpg", states.REVIEW, "corner 3 scores 0.2")]
    done(ledger, "corners", 7, "corners", "job-70", job=70, photos=two)
    done(ledger, "corners", 7, "rectify", photos=two, child=12)
    done(ledger, "grid", 12, "grid", "job-71", job=71, photos=two[:1], name="Temae T1 (from #7)")
    return failed(ledger, "grid", 12, "clean", name="Temae T1 (from #7)")


def csrf(client):
    return re.search(r'name="csrf" value="(\w+)"', client.get("/").text)[1]


def text_of(answer):
    """What a person reads."""
    assert answer.status_code == 200
    text = re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<script.*?</script>", "", answer.text))
    return " ".join(text.split()).replace(" ,", ",")


def test_a_family_is_one_row_through_the_stages(client, family):
    answer = client.get("/")
    assert answer.text.count('<th scope="row">') == 1
    text = text_of(answer)
    for words in ("Temae T1", "#7", "#12", "corners done", "rectify done", "clean failed", "the function is away"):
        assert words in text
    assert "1 ok, 1 for review" in text
    assert "1 failed" in text


def test_an_empty_ledger_says_how_to_begin(client):
    text = text_of(client.get("/"))
    assert "Set a job in the project Quadrat corners to “in progress” in CVAT" in text
    assert "never heard of" in text


def test_what_people_must_do_next_is_said(client, ledger):
    done(ledger, "corners", 7, "corners", "job-70", job=70)
    assert "rectify when the task is completed" in text_of(client.get("/"))
    assert "rectify begins" not in text_of(client.get("/tasks/7"))


def test_a_child_in_which_nothing_was_done_is_there(client, ledger):
    done(ledger, "corners", 7, "rectify", child=12)
    assert "#12 waits for people" in text_of(client.get("/"))
    assert "grid begins when a job is in progress" in text_of(client.get("/tasks/12"))


def test_one_kind_alone(client, ledger, family):
    done(ledger, "corners", 90, "corners", name="Papetoai T9")
    order(ledger, "corners", 91, "corners", name="Vaiare T3")
    shown = {kind: text_of(client.get("/", params={"show": kind})) for kind in families.SHOWN}
    there = {kind: {name for name in ("Temae", "Papetoai", "Vaiare") if name in text} for kind, text in shown.items()}
    assert there == {
        "all": {"Temae", "Papetoai", "Vaiare"},
        "failed": {"Temae"},
        "review": {"Temae"},
        "working": {"Vaiare"},
    }
    assert "All 3 At work 1 Failed 1 For review 1" in shown["all"]


def test_a_doubt_is_over_once_the_photo_has_gone_onward(ledger):
    doubt = [("a.jpg", states.REVIEW, "corner 3 scores 0.2")]
    done(ledger, "corners", 7, "corners", photos=doubt)
    counts = families.listed(ledger, GUIDE, "all", "", 1, 40).counts
    assert (counts["review"], health.look(ledger).doubts) == (1, {"review": 1, "failed": 0})
    done(ledger, "corners", 7, "rectify", photos=[("a.jpg", states.OK, "")], child=12)
    part = families.listed(ledger, GUIDE, "all", "", 1, 40)
    assert (part.counts["review"], health.look(ledger).doubts["review"]) == (0, 0)
    assert part.families[0].tasks["corners"][0].photos == {"ok": 1}


@pytest.mark.parametrize(("search", "found"), [("temae", 1), ("7", 1), ("12", 1), ("E T1", 1), ("%", 0), ("9" * 40, 0)])
def test_tasks_are_found_by_name_and_number(client, family, search, found):
    assert client.get("/api/status", params={"search": search}).json()["found"] == found


def test_the_latest_come_first_and_the_rest_is_on_further_pages(client, ledger):
    for task in range(1, 96):
        done(ledger, "corners", task, "corners", name=f"task {task:03d}")
    pages = [client.get("/api/status", params={"page": number}).json() for number in (1, 2, 3, 4)]
    listed = [[family["task"] for family in one["listed"]] for one in pages]
    assert [len(one) for one in listed] == [40, 40, 15, 0]
    assert sum(listed, []) == list(range(95, 0, -1))
    assert "page 2 of 3" in text_of(client.get("/", params={"page": 2}))
    assert "This page of the list is empty" in text_of(client.get("/", params={"page": 9}))


def test_pipeline_yaml_may_have_changed_since(client, ledger):
    done(ledger, "former", 7, "old-step", child=8)
    assert "#7 is in stage former, which pipeline.yaml has no more" in text_of(client.get("/"))
    assert "old-step" in text_of(client.get("/tasks/7"))
    assert "In no stage" in text_of(client.get("/tasks/8"))


def test_names_and_reasons_are_shown_and_not_run(client, ledger):
    evil = "<script>alert(1)</script>"
    done(ledger, "corners", 7, "corners", photos=[(evil, states.REVIEW, evil)], name=evil)
    failed(ledger, "corners", 7, "rectify", reason=f"{evil} {{{{ 7 * 7 }}}}", name=evil)
    ledger.take("d", evil, 1, 7, None, "", evil)
    for path in ("/", "/tasks/7", "/deliveries", f"/?search={evil}"):
        assert evil not in client.get(path).text
        assert "&lt;script&gt;" in client.get(path).text
    assert "{{ 7 * 7 }}" in client.get("/tasks/7").text


def test_a_task_tells_its_steps_photos_and_family(client, family):
    answer = client.get("/tasks/7")
    text = text_of(answer)
    for words in ("Temae T1 #7", "Stage corners", "job 70", "2 photos → task #12", "id 0123abcd", "b.jpg frame 1"):
        assert words in text
    assert "corners for review corner 3 scores 0.2" in text
    for link in ("/tasks/7", "/tasks/7/jobs/70", "/tasks/7/jobs/70?frame=1"):
        assert f'href="{CVAT}{link}"' in answer.text
    assert "made by rectify of #7" in text_of(client.get("/tasks/12"))
    assert client.get("/tasks/999").status_code == 404


def test_the_photos_of_a_task_are_filtered_and_turned(client, ledger):
    photos = [(f"p{number:03d}.jpg", states.REVIEW if number % 50 == 0 else states.OK, "") for number in range(450)]
    done(ledger, "corners", 7, "corners", photos=photos)
    text = text_of(client.get("/tasks/7", params={"page": 3}))
    assert "p400.jpg" in text
    assert "p399.jpg" not in text
    assert "page 3 of 3" in text
    doubtful = text_of(client.get("/tasks/7", params={"show": "review"}))
    assert len(re.findall(r"p\d{3}\.jpg", doubtful)) == 9


def test_the_changing_part_alone(client, family):
    whole, part = client.get("/").text, client.get("/", headers={page_view.FRAGMENT: "1"}).text
    assert "<html" not in part
    assert "<script" not in part
    assert "Temae T1" in part
    steady = re.compile(r"<time.*?</time>|heard of[^<]*|for [\d.]+ s")
    assert steady.sub("", part).strip() in steady.sub("", whole)


def test_links_hold_under_any_path_of_a_proxy(client, family):
    for path, root in (("/", "./"), ("/tasks/7", "../"), ("/deliveries", "./")):
        text = client.get(path).text
        assert f'href="{root}static/page.css"' in text
        assert f'href="{root}tasks/12"' in text or path == "/deliveries"
        assert not re.search(r'(?:href|action|src)="/', text)


def test_a_failed_step_is_tried_again_by_its_button(client, ledger, enqueued, family):
    form = {"csrf": csrf(client), "step": str(family.id), "back": "tasks/12"}
    answer = client.post("/retry", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./tasks/12")
    assert (ledger.step(family.id).state, enqueued) == (states.WAITING, [family.id])
    client.post("/retry", data=form)
    assert enqueued == [family.id]  # it waits already


def test_all_failed_steps_at_once(client, ledger, enqueued, family):
    other = failed(ledger, "corners", 90, "corners")
    fine = done(ledger, "corners", 91, "corners")
    assert "Retry all 2 failed steps" in text_of(client.get("/?show=failed"))
    client.post("/retry", data={"csrf": csrf(client), "step": "failed"})
    assert enqueued == [family.id, other.id]
    assert ledger.step(fine.id).state == states.DONE


@pytest.mark.parametrize("step", ["", "x", "-1", "9" * 30])
def test_a_step_that_is_none_is_refused(client, enqueued, step):
    assert client.post("/retry", data={"csrf": csrf(client), "step": step}).status_code == 400
    assert enqueued == []


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example/", "javascript:alert(1)", "tasks/../../x", "\\x"]
)
def test_a_form_leads_back_to_pages_of_ours_alone(client, family, back):
    form = {"csrf": csrf(client), "step": str(family.id), "back": back}
    assert client.post("/retry", data=form, follow_redirects=False).headers["location"] == "./"


def test_a_large_form_is_refused(client):
    assert client.post("/retry", data={"csrf": "x" * 5000}).status_code == 413


def test_deliveries_say_what_came_of_them(client, ledger):
    for number in range(103):
        ledger.take(f"d{number}", "update:job", 1, 7, 70, "", f"request{number}")
    ledger.settle(103, "step 5 corners")
    ledger.put_off(102, "CVAT is away")
    text = text_of(client.get("/deliveries"))
    assert "update:job task 7, job 70 step 5 corners" in text
    assert "waits after 1 try: CVAT is away" in text
    assert "request3 " in f"{text} "
    older = text_of(client.get("/deliveries", params={"before": 4}))
    assert "request2" in older
    assert "request3" not in older


def test_mappings_of_the_family_in_one_file(client, family, tmp_path):
    assert client.get("/tasks/7/mappings.zip").status_code == 404
    folder = tmp_path / "mappings" / "12"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text('{"a": 1}')
    (folder / "b.json").symlink_to("/etc/hostname")
    (tmp_path / "mappings" / "13").mkdir()
    (tmp_path / "mappings" / "13" / "c.json").write_text("{}")
    for task in (7, 12):
        assert "mappings of 1 photo" in text_of(client.get(f"/tasks/{task}"))
        answer = client.get(f"/tasks/{task}/mappings.zip")
        assert answer.headers["content-disposition"] == f'attachment; filename="mappings-{task}.zip"'
        with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
            assert packed.namelist() == ["12/a.json"]


def test_the_overview_as_json(client, ledger, family):
    ledger.remember("worker_heartbeat", str(time.time() - 1))
    ledger.take("d", "update:job", 1, 7, 70, "", "request")
    told = client.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert told["worker"]["alive"]
    assert told["deliveries"]["open"] == 1
    assert told["steps"] == {"done": 3, "failed": 1}
    assert told["families"] == {"all": 1, "working": 0, "failed": 1, "review": 1}
    (listed,) = told["listed"]
    assert [task["task"] for task in listed["tasks"]] == [7, 12]
    trouble = listed["tasks"][1]["steps"][1]["troubled"][0]
    assert trouble.items() >= {"id": family.id, "reason": "the function is away", "request_id": "0123abcd"}.items()


def test_a_silent_worker_is_noticed(client, ledger):
    ledger.remember("worker_heartbeat", str(time.time() - 300))
    assert "silent worker for 5 min" in text_of(client.get("/"))


def test_a_whole_season_is_shown(client, ledger):
    bridge_example.fill(ledger, 300, time.time())
    told = client.get("/api/status").json()
    assert told["families"]["all"] > 90
    assert 0 < told["families"]["failed"] < told["families"]["all"]
    for path in ("/", "/?show=failed", "/?show=review", "/?show=working", "/?page=2", "/deliveries"):
        assert not re.search(r"(?<!again )\bin \d+ (s|min|h)", text_of(client.get(path)))  # nothing was done in future
    tasks = [task["task"] for family in told["listed"] for task in family["tasks"]]
    assert all(client.get(f"/tasks/{task}").status_code == 200 for task in tasks[:20])
    assert len(tasks) == len(set(tasks))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (41.2, "41 s"),
        (99.6, "2 min"),
        (720, "12 min"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
    ]
    + [(86_400 * 4, "4 days"), (3599, "1 h")],
)
def test_stretches_of_time_in_words(seconds, words):
    assert page_words.took(seconds) == words


def test_moments_in_words():
    now = time.time()
    assert page_words.away(now) == "now"
    assert page_words.away(now - 125) == "2 min ago"
    assert page_words.away(now + 3600) in ("in 1 h", "in 60 min")
    assert page_words.utc(0) == "1970-01-01 00:00:00 UTC"
    assert page_words.iso(0) == "1970-01-01T00:00:00Z"


def test_the_benchmark_measures_every_page():
    result = bridge_page.main(tasks=30, repeat=1)
    assert 30 <= result["tasks"] < 40
    assert set(result["ms"]) == set(result["kb"]) >= {"overview", "task", "deliveries", "metrics"}
    assert all(size > 1 for size in result["kb"].values())
