"""The real command under fire: nothing lost, nothing twice. `benchmarks.bridge_stress` says how long answers take."""

import pytest

from benchmarks import bridge_stress


def check(result):
    assert result["lost"] == []
    assert result["twice"] == []
    assert result["faults"] == []
    assert result["function_faults"] > 0


def test_a_few_tasks_and_a_kill(tmp_path):
    check(bridge_stress.main(tasks=8, kills=2, folder=tmp_path))


@pytest.mark.slow
def test_a_thousand_deliveries_and_twenty_kills(tmp_path):
    result = bridge_stress.main(folder=tmp_path)
    assert (result["deliveries"], result["kills"]) == (1000, 20)
    check(result)
