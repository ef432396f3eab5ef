"""Who may see the status page, and what a stranger's page can make a browser do there: nothing."""

import re
import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from deploy.bridge import page, page_access, plan
from deploy.bridge.ledger import Ledger
from deploy.bridge.settings import Settings

TOKEN = "a long random text"
ORIGIN = {"Origin": "http://testserver"}
PAGES = ["/", "/tasks/7", "/tasks/7/mappings.zip", "/deliveries", "/api/status"]


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    row, _ = ledger.order("corners", 7, "rectify", "r", job=None, task_name="secret reef", request_id="abc")
    ledger.start(row.id)
    ledger.fail(row.id, "away")
    return ledger


@pytest.fixture
def connect(ledger, tmp_path):
    def make(token=TOKEN, public_url="", base_url="http://testserver"):
        app = FastAPI()
        settings = Settings(page_token=token, folder=tmp_path, public_url=public_url)
        guide = plan.read(plan.GUIDES / "c.yaml")
        app.include_router(page.routes(ledger, guide, settings, lambda step: None, "https://cvat.example.org"))
        return TestClient(app, base_url=base_url)

    return make


@pytest.fixture
def client(connect):
    return connect()


def log_in(client, token=TOKEN, **more):
    return client.post("/login", data={"token": token, **more}, headers=ORIGIN, follow_redirects=False)


def csrf(client):
    return re.search(r'name="csrf" value="(\w+)"', client.get("/").text)[1]


@pytest.mark.parametrize("path", PAGES)
def test_nothing_without_the_token(client, path):
    answer = client.get(path)
    assert answer.status_code == 401
    assert "secret reef" not in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_without_a_token_there_is_no_page(connect, path):
    client = connect(token="")
    assert client.get(path).status_code == 404
    assert "BRIDGE_TOKEN" in client.get(path).text
    assert client.get(path, headers={"Authorization": "Bearer "}).status_code == 404
    assert client.post("/login", data={"token": ""}, headers=ORIGIN).status_code == 404
    assert client.post("/retry", data={"step": "1"}, headers=ORIGIN).status_code == 404


def test_who_logs_in_sees_the_page_that_they_wanted(client):
    answer = log_in(client, back="tasks/7")
    assert (answer.status_code, answer.headers["location"]) == (303, "./tasks/7")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    assert "secret reef" in client.get("/").text


def test_the_login_form_remembers_where_to_go(client):
    assert 'name="back" value="tasks/7"' in client.get("/tasks/7").text
    assert log_in(client, back="//evil.example").headers["location"] == "./"


def test_over_https_the_cookie_stays_there(connect):
    client = connect(public_url="https://bridge.example.org")
    assert "Secure" in log_in(client).headers["set-cookie"]


def test_a_wrong_token_is_told_so(client):
    answer = log_in(client, "something else")
    assert answer.status_code == 401
    assert "That is not the token." in answer.text
    assert "set-cookie" not in answer.headers


def test_a_cookie_ends_with_its_time_and_with_its_token(connect, client, monkeypatch):
    log_in(client)
    value = client.cookies[page_access.COOKIE]
    other = connect(token="another token")
    assert other.get("/", headers={"Cookie": f"{page_access.COOKIE}={value}"}).status_code == 401
    now = time.time()
    monkeypatch.setattr(page_access.time, "time", lambda: now + page_access.LASTS_S + 2)
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1] + ("0" if v[-1] != "0" else "1"), lambda v: "9" + v, lambda v: "", lambda v: "é"]
)
def test_a_cookie_that_was_changed_is_none(client, change):
    log_in(client)
    value = change(client.cookies[page_access.COOKIE])
    client.cookies.clear()
    cookie = f"{page_access.COOKIE}={value}".encode()
    assert client.get("/", headers={b"Cookie": cookie}).status_code == 401


def test_scripts_send_the_token(client):
    assert client.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"}).json()["steps"] == {"failed": 1}
    assert client.get("/api/status", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    for wrong in (f"Basic {TOKEN}", "Bearer wrong", "Bearer", "Bearer é"):
        refused = client.get("/api/status", headers={"Authorization": wrong.encode()})
        assert refused.status_code == 401
        assert "BRIDGE_TOKEN" in refused.json()["error"]["message"]


def test_wrong_tokens_cost_a_pause_that_grows(client, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(page_access.time, "monotonic", lambda: now)
    for _ in range(5):
        assert log_in(client, "wrong").status_code in (401, 429)
    pauses = []
    for _ in range(9):
        refused = log_in(client)  # the right one: nobody learns that it is
        assert refused.status_code == 429
        assert "Too many wrong tokens" in refused.text
        assert client.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 429
        pauses.append(int(refused.headers["retry-after"]))
        now += pauses[-1] + 0.01
        log_in(client, "wrong")
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    now += 61
    assert log_in(client).status_code == 303
    assert log_in(client, "wrong").status_code == 401  # and the count begins anew


def test_who_is_logged_in_does_not_feel_the_pause(connect):
    client = connect()
    log_in(client)
    for _ in range(7):
        client.get("/api/status", headers={"Authorization": "Bearer wrong", "Cookie": ""})
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://testserver.evil.example"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "none"},
    ],
)
def test_forms_from_elsewhere_change_nothing(client, ledger, headers):
    log_in(client)
    form = {"csrf": csrf(client), "step": "1"}
    assert client.post("/retry", data=form, headers=headers).status_code == 403
    assert client.post("/logout", data=form, headers=headers).status_code == 403
    assert client.post("/login", data={"token": TOKEN}, headers=headers).status_code == 403
    assert ledger.step(1).state == "failed"


def test_forms_need_the_token_of_their_own_session(connect, ledger):
    first, second = connect(), connect()
    log_in(first)
    log_in(second)
    for wrong in ("", "x", "é", csrf(second)):
        assert first.post("/retry", data={"csrf": wrong, "step": "1"}, headers=ORIGIN).status_code == 403
    assert ledger.step(1).state == "failed"
    assert first.post("/retry", data={"csrf": csrf(first), "step": "1"}, headers=ORIGIN).status_code == 200
    assert ledger.step(1).state == "waiting"


def test_a_script_presses_no_button(client, ledger):
    headers = {**ORIGIN, "Authorization": f"Bearer {TOKEN}"}
    assert client.post("/retry", data={"csrf": "", "step": "1"}, headers=headers).status_code == 403
    assert "Retry" not in client.get("/", headers=headers).text
    assert ledger.step(1).state == "failed"


@pytest.mark.parametrize("path", ["/retry", "/logout"])
def test_nothing_is_changed_by_following_a_link(client, path):
    log_in(client)
    assert client.get(path).status_code == 405


def test_behind_a_proxy_the_public_address_counts(connect):
    client = connect(public_url="https://bridge.example.org/reef")
    headers = {"Origin": "https://bridge.example.org", "Host": "10.0.0.7:8090"}
    assert client.post("/login", data={"token": TOKEN}, headers=headers, follow_redirects=False).status_code == 303


def test_logging_out(client):
    log_in(client)
    client.post("/logout", data={"csrf": csrf(client)}, headers=ORIGIN)
    assert client.get("/").status_code == 401


@pytest.mark.parametrize("path", ["/", "/tasks/7", "/tasks/8", "/deliveries"])
def test_pages_let_no_strangers_code_in(client, path):
    log_in(client)
    first, second = client.get(path), client.get(path)
    policy = first.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for rule in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert rule in policy
    nonce = re.search(r"script-src 'nonce-([\w-]{20,})'", policy)[1]
    assert f'<script nonce="{nonce}">' in first.text
    assert nonce not in second.text
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["referrer-policy"] == "same-origin"
    assert first.headers["cache-control"] == "no-store"
    assert not re.search(r"\son\w+=|\sstyle=", first.text)
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', first.text)
