"""The ledger: everything once, whoever asks and whoever dies."""

import threading

import pytest

from deploy.bridge import ledger as states
from deploy.bridge.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "new" / "ledger.db")


def order(ledger, task=33, step="rectify", revision="r1"):
    return ledger.order("corners", task, step, revision, job=None, task_name="T", request_id="abc")


def test_a_delivery_is_put_down_once(ledger):
    first, new = ledger.take("d1", "update:job", 1, 2, 3, "2026", "req")
    assert new
    assert ledger.take("d1", "update:job", 1, 2, 3, "2026", "other") == (first, False)
    assert ledger.open_deliveries() == [first]
    assert ledger.put_off(first, "CVAT is away") == 1
    ledger.settle(first, "nothing is due")
    assert ledger.open_deliveries() == []
    kept = ledger.delivery(first)
    assert (kept.request_id, kept.tries, kept.words) == ("req", 1, "nothing is due")


def test_a_step_is_asked_for_once(ledger):
    row, new = order(ledger)
    again, newer = order(ledger)
    assert (new, newer, again.id) == (True, False, row.id)
    assert order(ledger, revision="r2")[1]


def test_many_who_ask_at_once_get_one_step(ledger):
    found = []
    threads = [threading.Thread(target=lambda: found.append(order(ledger))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len({row.id for row, _ in found}) == 1
    assert sum(new for _, new in found) == 1


def test_a_step_runs_once_and_one_of_a_task_at_a_time(ledger):
    first, second = order(ledger)[0], order(ledger, revision="r2")[0]
    other = order(ledger, task=34)[0]
    assert ledger.start(first.id).state == states.RUNNING
    assert ledger.start(first.id) is None
    assert ledger.start(second.id) is None
    assert ledger.start(other.id) is not None
    ledger.finish(first.id, "done")
    assert ledger.start(first.id) is None
    assert ledger.start(second.id) is not None


def test_a_step_that_ran_when_all_died_is_taken_up_again(ledger):
    row = order(ledger)[0]
    ledger.start(row.id)
    after = Ledger(ledger.path)
    assert after.recover() == 1
    assert [step.id for step in after.open_steps()] == [row.id]
    assert after.start(row.id).tries == 0


def test_a_failed_step_waits_for_a_person(ledger):
    row = order(ledger)[0]
    ledger.start(row.id)
    ledger.try_again(row.id, "busy", 5.0)
    assert ledger.step(row.id).next_try == 5.0
    ledger.start(row.id)
    ledger.fail(row.id, "no such label")
    assert ledger.open_steps() == []
    assert (ledger.step(row.id).tries, ledger.step(row.id).reason) == (2, "no such label")
    assert ledger.retry(row.id)
    assert not ledger.retry(row.id)
    assert ledger.step(row.id).tries == 0
    with pytest.raises(KeyError):
        ledger.step(99)


def test_a_photo_goes_onward_once(ledger):
    first, second = order(ledger)[0], order(ledger, revision="r2")[0]
    assert set(ledger.claim(first, {0: ("a.jpg", {"at": 1}), 1: ("b.jpg", {})})) == {0, 1}
    assert set(ledger.claim(second, {1: ("b.jpg", {}), 2: ("c.jpg", {})})) == {2}
    mine = ledger.claim(first, {0: ("a.jpg", {"at": 2})})
    assert set(mine) == {0, 1}
    assert mine[0].facts == {"at": 1}, "a retry works with what the first try worked with"
    ledger.set_photo(first, 0, "a.jpg", states.OK)
    assert set(ledger.claim(second, {0: ("a.jpg", {})})) == {2}
    assert ledger.photos(33, "rectify")[0].facts == {"at": 1}


def test_a_photo_that_was_kept_back_may_go_later(ledger):
    first, second = order(ledger)[0], order(ledger, revision="r2")[0]
    ledger.set_photo(first, 0, "a.jpg", states.REVIEW, "two corners in one place", {"issue": 7})
    assert set(ledger.claim(second, {0: ("a.jpg", {"at": 2})})) == {0}
    assert ledger.photos(33, "rectify")[0].reason == ""


def test_a_write_that_fails_leaves_nothing(ledger):
    row = order(ledger)[0]
    with pytest.raises(TypeError):
        ledger.claim(row, {0: ("a.jpg", {}), 1: ("b.jpg", {"bad": object()})})
    assert ledger.photos(33, "rectify") == {}


def test_facts_are_remembered(ledger):
    assert ledger.fact("own_user") == ""
    ledger.remember("own_user", "bridge")
    ledger.remember("own_user", "robot")
    assert Ledger(ledger.path).fact("own_user") == "robot"


def test_the_family_of_a_task(ledger):
    row = order(ledger)[0]
    ledger.made_child(row.id, 34)
    assert ledger.parent_of(34).task == 33
    assert ledger.parent_of(33) is None
    assert [step.child for step in ledger.steps_of(33)] == [34]
