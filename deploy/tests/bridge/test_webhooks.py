"""Webhooks and accounts of CVAT through the real cvat-sdk, against the stand-in."""

import pytest

pytest.importorskip("cvat_sdk")

from data_engineering import cvat_about, cvat_server, cvat_webhooks
from data_engineering.cvat_errors import CvatError, MissingError
from data_engineering.cvat_server import Account
from deploy.bridge.events import EVENTS
from tests.cvat_stand_in import running
from tests.cvat_stand_in.receiver import receiving
from tests.cvat_stand_in.server import PASSWORD

SECRET = "a-secret-of-the-webhooks"


@pytest.fixture
def server():
    with running() as server:
        yield server
        assert server.errors == []


@pytest.fixture
def client(server):
    with cvat_server.connect(Account(server.url, server.token), backoff_s=0.01) as client:
        yield client


@pytest.fixture
def project(server, client):
    return cvat_server.find_project(client, server.add_project("Corals").id)


def test_a_webhook_is_made_listed_and_signed(server, client, project):
    with receiving() as receiver:
        cvat_webhooks.create(client, project, f"{receiver.url}/webhooks/cvat", EVENTS, SECRET, "ours")
        (hook,) = cvat_webhooks.of_project(client, project)
        assert (hook.url, hook.events) == (f"{receiver.url}/webhooks/cvat", frozenset(EVENTS))
        assert hook.is_active
        assert hook.checks_certificate
        assert hook.last_status is None
        assert cvat_webhooks.ping(client, hook).status == 200
        assert receiver.deliveries[0].signed_with(SECRET)
        assert cvat_webhooks.of_project(client, project)[0].last_status == 200


def test_webhooks_of_other_projects_are_not_listed(server, client, project):
    other = cvat_server.find_project(client, server.add_project("Other").id)
    cvat_webhooks.create(client, other, "http://127.0.0.1:9/x", EVENTS, SECRET, "theirs")
    assert cvat_webhooks.of_project(client, project) == []


def test_a_change_sets_secret_and_events_and_switches_on(server, client, project):
    with receiving() as receiver:
        cvat_webhooks.create(client, project, receiver.url, ["update:job"], "the-old-secret-of-it", "ours")
        (record,) = server.state.webhooks.values()
        record.is_active = False
        (hook,) = cvat_webhooks.of_project(client, project)
        assert not hook.is_active
        cvat_webhooks.update(client, hook, events=EVENTS, secret=SECRET)
        (after,) = cvat_webhooks.of_project(client, project)
        assert (after.id, after.url, after.events) == (hook.id, receiver.url, frozenset(EVENTS))
        assert after.is_active
        cvat_webhooks.ping(client, after)
        assert receiver.deliveries[0].signed_with(SECRET)


def test_a_ping_that_reaches_nobody_says_so_in_few_words(server, client, project):
    cvat_webhooks.create(client, project, "http://127.0.0.1:9/webhooks/cvat", EVENTS, SECRET, "ours")
    came = cvat_webhooks.ping(client, cvat_webhooks.of_project(client, project)[0])
    assert came.status == 502
    assert 0 < len(came.words) <= 121


def test_what_the_server_refuses_is_said(server, client, project):
    with pytest.raises(CvatError, match="make a webhook of project 'Corals'.*valid URL"):
        cvat_webhooks.create(client, project, "nowhere", EVENTS, SECRET, "ours")
    cvat_webhooks.create(client, project, "http://127.0.0.1:9/x", EVENTS, SECRET, "ours")
    (hook,) = cvat_webhooks.of_project(client, project)
    server.state.webhooks.clear()
    with pytest.raises(MissingError, match=f"ping webhook {hook.id}"):
        cvat_webhooks.ping(client, hook)


def test_the_server_says_version_and_time(server, client):
    told = cvat_about.server(client)
    assert told.version == "2.73.0"
    assert told.time.utcoffset().total_seconds() == 0
    assert cvat_about.user(client)["username"] == "bridge"


def test_a_token_is_known_as_read_only_or_not(server, client):
    assert not cvat_about.token(client).read_only
    cvat_about.check_may_write(client)
    with cvat_server.connect(Account(server.url, server.read_token)) as reader:
        assert cvat_about.token(reader).read_only
        with pytest.raises(CvatError, match="may only read.*CVAT_TOKEN"):
            cvat_about.check_may_write(reader)


def test_the_end_of_a_token_is_known(server, client):
    next(token for token in server.state.tokens.values() if token.value == server.token).expiry = "2099-01-02T03:04:05Z"
    assert cvat_about.token(client).expires.isoformat() == "2099-01-02T03:04:05+00:00"


def test_a_user_with_a_password_has_no_token(server):
    with cvat_server.connect(Account(server.url, ("annotator", PASSWORD))) as client:
        assert cvat_about.token(client) is None
        cvat_about.check_may_write(client)
