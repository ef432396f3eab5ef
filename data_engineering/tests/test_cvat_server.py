"""The real cvat-sdk against the stand-in: signing in, what is asked again, and what every failure says."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
import urllib3
from cvat_sdk import Client

from data_engineering import cvat_server
from data_engineering.cvat_errors import CvatError, MissingError, OutageError, RefusedError, translated
from data_engineering.cvat_server import Account
from tests.cvat_stand_in import Server, running
from tests.cvat_stand_in.faults import Fault

LABELS = [{"name": "Porites", "type": "polygon", "attributes": []}]
VARIABLES = ("CVAT_URL", "CVAT_TOKEN", "CVAT_USERNAME", "CVAT_PASSWORD")


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    shared.faults.clear()
    shared.requests.clear()
    yield shared
    shared.faults.clear()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with cvat_server.connect(Account(server.url, server.token), poll_s=0.01, backoff_s=0.001) as client:
        server.requests.clear()
        yield client


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


# ---------------------------------------------------------------------------------------------- redirections


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_to_another_host_is_not_followed(status: int, server: Server, client: Client) -> None:
    with running() as other:
        there = other.url.replace("127.0.0.1", "localhost")
        server.faults.add(Fault(path="/api/server", status=status, headers={"Location": f"{there}/api/about"}))
        with pytest.raises(RefusedError, match="leads to localhost, and CVAT_URL names 127.0.0.1"):
            cvat_server.get_json(client, "/api/server/about", "look")
        assert other.requests.count() == 0  # nothing was sent there, the token least of all


def test_a_redirection_on_the_same_host_is(server: Server, client: Client) -> None:
    server.faults.add(Fault(path="/api/here", status=302, headers={"Location": f"{server.url}/api/users/self"}))
    assert cvat_server.get_json(client, "/api/here", "look")["username"] == "bridge"


@pytest.mark.parametrize(("status", "kind"), [(400, True), (415, True), (403, False), (404, False), (500, False)])
def test_what_the_server_will_never_take_is_told_apart(status: int, kind: bool, server: Server, client: Client) -> None:
    server.faults.fail(status, path="/api/users", times=None)
    with pytest.raises(CvatError) as caught:
        cvat_server.get_json(client, "/api/users/self", "look")
    assert isinstance(caught.value, RefusedError) == kind


# ---------------------------------------------------------------------------------------------- signing in


@pytest.mark.parametrize("how", ["token", "password"])
def test_connect_reads_the_environment(how: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_URL", server.url + "/")
    if how == "token":
        monkeypatch.setenv("CVAT_TOKEN", server.token)
    else:
        monkeypatch.setenv("CVAT_USERNAME", "bridge")
        monkeypatch.setenv("CVAT_PASSWORD", "pass")
    with cvat_server.connect() as client:
        assert client.users.retrieve_current_user().username == "bridge"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "CVAT_URL is not set"),
        ({"CVAT_URL": "ftp://reef"}, "CVAT_URL is 'ftp://reef'"),
        ({"CVAT_URL": "http://reef:none"}, "CVAT_URL is no address"),
        ({"CVAT_URL": "http://reef:1"}, "no one to sign in: set CVAT_TOKEN"),
        ({"CVAT_URL": "http://reef:1", "CVAT_USERNAME": "ana"}, "CVAT_USERNAME and CVAT_PASSWORD"),
    ],
)
def test_an_environment_that_lacks_something(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CvatError, match=said):
        cvat_server.connect()


def test_a_password_in_the_address_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_URL", "http://ana:hunter2@reef")
    with pytest.raises(CvatError, match="holds a user or password") as caught:
        cvat_server.connect()
    assert "hunter2" not in str(caught.value)


def test_a_wrong_password_is_said_and_kept_secret(server: Server) -> None:
    account = Account(server.url, ("bridge", "hunter2"))
    with pytest.raises(CvatError, match="does not know this user with this password") as caught:
        cvat_server.connect(account)
    assert "hunter2" not in f"{caught.value} {account!r}"


def test_an_expired_token_is_said_and_kept_secret(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_URL", server.url)
    monkeypatch.setenv("CVAT_TOKEN", "hunter2")
    with pytest.raises(OutageError, match=r"Invalid token\.\).* may have expired .*set CVAT_TOKEN") as caught:
        cvat_server.connect()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(cvat_server.account_from_environment())


def test_a_server_that_is_down() -> None:
    with pytest.raises(OutageError, match=r"cannot be reached, asked several times .*check that it runs"):
        cvat_server.connect(Account("http://127.0.0.1:9", "token"), backoff_s=0.001)


def test_a_server_that_is_no_cvat(server: Server) -> None:
    with pytest.raises(CvatError, match="no such thing"):
        cvat_server.connect(Account(f"{server.url}/nothing/here", server.token))


def test_a_certificate_that_nobody_trusts() -> None:
    cause = urllib3.exceptions.SSLError("self-signed certificate")
    with pytest.raises(CvatError, match="certificate is not trusted"), translated("sign in"):
        raise urllib3.exceptions.MaxRetryError(None, "/", cause)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- asking again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_get_is_asked_again_until_it_is_answered(status: int, server: Server, client: Client) -> None:
    server.faults.fail(status, path="/api/users/self", times=3, retry_after=0)
    assert cvat_server.get_json(client, "/api/users/self", "who")["username"] == "bridge"
    assert server.requests.count("/api/users/self") == 4


def test_what_stays_broken_is_given_up(server: Server, client: Client) -> None:
    server.faults.fail(503, path="/api/users/self", times=None)
    with pytest.raises(CvatError, match=r"who: the server failed \(503"):
        cvat_server.get_json(client, "/api/users/self", "who")
    assert server.requests.count("/api/users/self") == 5


def test_an_answer_that_breaks_off_is_asked_for_again(server: Server, client: Client) -> None:
    server.faults.cut(10, path="/api/users/self", times=2)
    assert cvat_server.get_json(client, "/api/users/self", "who")["username"] == "bridge"
    assert server.requests.count("/api/users/self") == 3


def test_a_refused_get_is_asked_once(server: Server, client: Client) -> None:
    with pytest.raises(MissingError):
        cvat_server.get_json(client, "/api/tasks/99999", "look")
    assert server.requests.count("/api/tasks/99999") == 1


@pytest.mark.parametrize(("status", "times"), [(503, 3), (429, 3), (500, 1), (502, 1), (504, 1)])
def test_a_write_is_sent_again_only_where_it_surely_did_not_arrive(
    status: int, times: int, server: Server, client: Client
) -> None:
    server.faults.fail(status, method="PATCH", times=times, retry_after=0)
    try:
        cvat_server.patch_json(client, "/api/tasks/99999", "rename", {"name": "x"})
    except CvatError as error:
        arrived = "no such thing" in str(error)
    assert arrived == (status in (429, 503))
    assert server.requests.count("/api/tasks/99999", "PATCH") == (4 if arrived else 1)


def test_a_write_whose_answer_is_lost_is_not_sent_again(server: Server, client: Client) -> None:
    task = server.add_task(server.add_project("lost answers", LABELS), "old", ["a.jpg"])
    server.faults.cut(0, method="PATCH")
    with pytest.raises(CvatError, match="may have arrived: run the command again"):
        cvat_server.patch_json(client, f"/api/tasks/{task.id}", "rename", {"name": "new"})
    assert server.requests.count(f"/api/tasks/{task.id}", "PATCH") == 1
    assert cvat_server.get_json(client, f"/api/tasks/{task.id}", "look")["name"] == "new"


def test_lists_are_read_page_by_page(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    project = server.add_project("paged", LABELS)
    names = [f"task {number}" for number in range(7)]
    for name in names:
        server.add_task(project, name, ["a.jpg"])
    server.requests.clear()
    monkeypatch.setattr(cvat_server, "_PAGE", 3)
    assert [t["name"] for t in cvat_server.get_all(client, "/api/tasks", "list", project_id=project.id)] == names
    assert server.requests.count("/api/tasks") == 3


def test_a_list_that_shrinks_while_it_is_read_is_read_anew(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = server.add_project("shrinking", LABELS)
    tasks = [server.add_task(project, f"task {number}", ["a.jpg"]) for number in range(7)]
    monkeypatch.setattr(cvat_server, "_PAGE", 3)
    get, left = cvat_server.get_json, [tasks[0].id]

    def delete_amid(client: Client, path: str, doing: str, **query: object) -> object:
        answer = get(client, path, doing, **query)
        if left:
            client.tasks.remove_by_ids([left.pop()])
        return answer

    monkeypatch.setattr(cvat_server, "get_json", delete_amid)
    found = cvat_server.get_all(client, "/api/tasks", "list", project_id=project.id)
    assert [one["id"] for one in found] == [task.id for task in tasks[1:]]


def test_an_answer_above_the_limit_is_refused(client: Client) -> None:
    with pytest.raises(CvatError, match="over 10 bytes"):
        cvat_server.get_bytes(client, "/api/users/self", "who", most=10)


def test_a_full_disk_is_said() -> None:
    with pytest.raises(OutageError, match=r"disk is full \(/reef\); free some space"), translated("write"):
        raise OSError(errno.ENOSPC, "No space left on device", "/reef")


# ---------------------------------------------------------------------------------------------- finding a project


def test_a_project_is_found_by_id_and_by_exact_name(server: Server, client: Client) -> None:
    record = server.add_project("Moorea corals", LABELS)
    assert cvat_server.find_project(client, record.id).name == "Moorea corals"
    assert cvat_server.find_project(client, str(record.id)).id == record.id
    assert cvat_server.find_project(client, "Moorea corals").id == record.id


def test_a_name_of_digits_is_a_name_too(server: Server, client: Client) -> None:
    record = server.add_project("202499", LABELS)
    assert cvat_server.find_project(client, "202499").id == record.id


def test_a_missing_project_names_those_near_it(server: Server, client: Client) -> None:
    record = server.add_project("Tahiti grid", LABELS)
    with pytest.raises(MissingError, match=rf"no project 'tahiti Grid' .*'Tahiti grid' \(id {record.id}\)"):
        cvat_server.find_project(client, "tahiti Grid")


def test_an_ambiguous_project_lists_the_ids(server: Server, client: Client) -> None:
    ids = [server.add_project("twice", LABELS).id for _ in range(2)]
    with pytest.raises(CvatError, match=rf"2 projects have the name 'twice': give the id of one: {ids[0]} .*{ids[1]}"):
        cvat_server.find_project(client, "twice")


def test_someone_elses_project_is_refused(server: Server, client: Client) -> None:
    record = server.add_project("not ours", LABELS, user="outsider")
    with pytest.raises(CvatError, match="may not do that"):
        cvat_server.find_project(client, record.id)
