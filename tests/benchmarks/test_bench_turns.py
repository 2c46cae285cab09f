"""Turns: interleaved, rotating, ended by number or by time; statistics; what is right is kept."""

import numpy as np
import pytest

from benchmarks.client import WorkerFailed
from benchmarks.measure import Runner, Settings, _interleaved, judged, quick, summary
from benchmarks.task import Task
from benchmarks.workloads.base import turning_layer, upload


class Stub:
    """Answers as a worker would, with given times; writes down the order of the calls."""

    def __init__(self, name, ms, order, fails_at=None):
        self.spec = type("Spec", (), {"name": name})
        self.ms, self.order, self.fails_at, self.asked = ms, order, fails_at, 0

    def ask(self, limit, *, do, **message):
        if do == "facts":
            return {}
        self.asked += 1
        self.order.append((self.spec.name, message["calls"], message["warm"]))
        if self.asked == self.fails_at:
            raise WorkerFailed("it broke")
        return {"wall_ms": self.ms, "cpu_ms": self.ms / 2, "peak_mb": self.asked}


def run(settings, **engines):
    order, missing = [], []
    ready = [Runner(Stub(name, ms, order), {"engine": name}) for name, ms in engines.items()]
    return _interleaved(ready, settings, missing), order, missing


def test_every_round_begins_with_another_engine():
    rows, order, _ = run(Settings(rounds=3, turn_ms=0), a=1, b=1, c=1)
    assert "".join(name for name, *_ in order) == "abc" + "bca" + "cab" + "abc"
    assert [r["turns"] for r in rows] == [3, 3, 3]


def test_a_fast_step_is_repeated_and_warmed_up():
    rows, order, _ = run(Settings(rounds=2, turn_ms=20), fast=2, slow=200)
    assert order[0] == ("fast", 1, 0)
    assert set(order[2:]) == {("fast", 10, 1), ("slow", 1, 0)}
    assert rows[0]["calls"] == 10


def test_an_engine_that_had_its_time_stops_after_the_fewest_turns():
    rows, _, _ = run(Settings(rounds=20, seconds=1.5, fewest=3), slow=900, slower=5000, fast=1)
    assert [r["turns"] for r in rows] == [3, 3, 20]  # the 5 s of warming up count as a turn, the 0.9 s do not


def test_an_engine_that_breaks_is_left_out_and_the_others_go_on():
    order, missing = [], []
    ready = [Runner(Stub("good", 1, order), {"engine": "good"}), Runner(Stub("bad", 1, order, 3), {"engine": "bad"})]
    rows = _interleaved(ready, Settings(rounds=4), missing)
    assert [r["engine"] for r in rows] == ["good"]
    assert missing == [("bad", "it broke")]
    assert rows[0]["turns"] == 4


def test_a_row_has_the_figures():
    (row,), _, _ = run(Settings(rounds=5, turn_ms=0), a=3)
    assert {k: row[k] for k in ("median_ms", "low", "high", "cpu_ms", "turns")} == {
        "median_ms": 3,
        "low": 3,
        "high": 3,
        "cpu_ms": 1.5,
        "turns": 5,
    }
    assert row["peak_mb"] == 4  # of answers 2 to 6


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 10])
def test_median_and_quartiles_are_those_of_numpy(size):
    values = list(np.random.default_rng(size).exponential(size=size))
    wanted = np.percentile(values, [50, 25, 75])
    np.testing.assert_allclose(summary(values), wanted, rtol=1e-12)


def test_the_judge_is_asked_once_for_a_task(tmp_path, monkeypatch):
    import benchmarks.measure as module

    task = Task(name="t", wires=2, rows=2, layers=1, gates=[*upload(2), *turning_layer(2, 0)])
    first = judged(task, task.arrays(), tmp_path)
    monkeypatch.setattr(module, "solve", lambda *a: pytest.fail("asked again"))
    again = judged(task, task.arrays(), tmp_path)
    assert set(first) == set(again)
    np.testing.assert_array_equal(first["w"], again["w"])


def test_quick_takes_fewer_turns():
    assert quick(Settings()).rounds < Settings().rounds
