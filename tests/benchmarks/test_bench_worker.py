"""Workers in processes of their own: a right engine is measured, every other one is reported with its reason."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.client import Client, WorkerFailed
from benchmarks.engines import EngineSpec
from benchmarks.measure import Settings, measure
from benchmarks.task import Gate, Task
from benchmarks.worker import serve
from benchmarks.workloads.base import Case, upload

TASK = Task(
    name="tiny", wires=2, rows=2, layers=1, gates=[*upload(2), Gate("ry", (0,), (("w", 0),)), Gate("cx", (0, 1))]
)
HERE = Path(__file__).parent
PATHS = {"PYTHONPATH": f"{HERE.parents[1]}:{HERE}"}


def spec(fault="", **options):
    return EngineSpec(fault or "right", "own", "failing_engines:Faulty", {"fault": fault, **options})


def messages(folder, *, task=TASK):
    (folder / "task.json").write_text(json.dumps(task.to_json()))
    np.savez(folder / "arrays.npz", **task.arrays())
    return {"do": "task", "task": str(folder / "task.json"), "arrays": str(folder / "arrays.npz")}


def answers(folder, fault, *more, **options):
    """What a worker answers, in this process."""
    lines = [{"do": "open", "target": "failing_engines:Faulty", "options": {"fault": fault, **options}, "core": None}]
    lines += [messages(folder), *more]
    out = []
    serve([json.dumps(line) for line in lines], out.append)
    return out


def test_a_worker_opens_loads_runs_and_times(tmp_path):
    first = {"do": "first", "out": str(tmp_path / "out.npz")}
    opened, loaded, ran, timed, facts = answers(
        tmp_path, "", first, {"do": "time", "calls": 2, "warm": 1}, {"do": "facts"}, {"do": "close"}, {"do": "facts"}
    )
    assert opened["versions"] == {"numpy": np.__version__}
    assert loaded == {"refuses": None}
    assert ran["first_ms"] > 0
    assert ran["check"] is None
    assert timed["wall_ms"] > 0
    assert timed["cpu_ms"] >= 0
    assert facts == {}
    with np.load(tmp_path / "out.npz") as got:
        assert set(got) == {"values", "x", "w"}


def test_memory_above_the_base_line_is_seen(tmp_path):
    first = {"do": "first", "out": str(tmp_path / "out.npz")}
    plain = answers(tmp_path, "", first, {"do": "time", "calls": 1})[-1]["peak_mb"]
    more = answers(tmp_path, "allocates", first, {"do": "time", "calls": 1})[-1]["peak_mb"]
    assert 95 < more < plain + 130
    assert plain < 50


def test_an_error_is_one_line_and_the_worker_goes_on(tmp_path):
    first = {"do": "first", "out": str(tmp_path / "out.npz")}
    *_, failed, facts = answers(tmp_path, "raises", first, {"do": "facts"})
    assert failed == {"error": "ValueError: two lines"}
    assert facts == {}


def test_a_case_measures_the_right_engine_and_reports_the_others(tmp_path):
    known = {s.name: s for s in (spec(), *(spec(f) for f in ("wrong", "refuses", "import", "dies", "grows")))}
    settings = Settings(rounds=4, turn_ms=0, work=tmp_path, environment=PATHS)
    said = []
    found = measure(Case(task=TASK, engines=tuple(known)), settings, say=said.append, engines=known)
    (row,) = found.rows
    assert row["engine"] == "right"
    assert row["low"] <= row["median_ms"] <= row["high"]
    assert row["error"] < 1e-6
    assert row["turns"] == 4
    assert dict(found.missing) == {
        "wrong": "wrong: w is off by 2.0e+00 of its largest number",
        "refuses": "cannot: takes no circuits",
        "import": "ImportError: libfast.so.1: cannot open shared object file",
        "dies": "the process ended with 3: out of luck",
        "grows": "MemoryError: the third call",
    }
    assert [line for line in said if "wrong" in line]


def test_an_engine_that_is_silent_is_ended(tmp_path):
    loading = messages(tmp_path)
    with Client(spec("hangs"), sys.executable, core=None, log=tmp_path / "log", extra=PATHS) as client:
        client.answer(60)
        client.ask(60, **loading)
        with pytest.raises(WorkerFailed, match="no answer within 0 s"):
            client.ask(0.1, do="first", out=str(tmp_path / "out.npz"))
        assert client._process.poll() is not None
        with pytest.raises(WorkerFailed, match="the process was ended"):
            client.ask(1, do="facts")


def test_what_an_engine_prints_does_not_disturb(tmp_path):
    loading = messages(tmp_path)
    with Client(spec("prints"), sys.executable, core=None, log=tmp_path / "log", extra=PATHS) as client:
        client.answer(60)
        client.ask(60, **loading)
        assert client.ask(60, do="first", out=str(tmp_path / "out.npz"))["first_ms"] != 1
        assert client.ask(60, do="time", calls=1)["wall_ms"] > 0
    assert '{"first_ms": 1}' in (tmp_path / "log").read_text()


def test_an_interpreter_that_is_not_there_is_a_reason(tmp_path):
    with pytest.raises(WorkerFailed, match="cannot start /no/such/python"):
        Client(spec(), "/no/such/python", core=None, log=tmp_path / "log")
