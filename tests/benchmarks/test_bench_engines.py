"""The adapters that this environment can run agree with the judge; the clocks of the train step add up."""

import importlib

import pytest
from attrs import evolve

from benchmarks.check import compare
from benchmarks.engines import ENGINES
from benchmarks.engines.train_step import TrainStep
from benchmarks.reference import solve
from benchmarks.task import Task, Training
from benchmarks.workloads import catalogue
from benchmarks.workloads.base import turning_layer, upload
from benchmarks.workloads.scattered import scattered

TASKS = {w.name: evolve(w.cases[0].task, rows=3) for w in catalogue().values() if w.name not in ("W6", "W7", "TS")}
TASKS["W3"] = Task(name="W3", wires=3, rows=3, layers=1, gates=turning_layer(3, 0), amplitudes=True)
TASKS["R2"] = Task(name="R2", wires=4, rows=3, layers=1, gates=scattered(4, 24, 7))
TASKS["W7"] = Task(name="W7", wires=3, rows=2, layers=1, gates=[*upload(3), *turning_layer(3, 0)], noise=0.01)
CLEAN = ("W1", "W2", "W3", "RU", "W4", "W5", "W8", "R2")


def made(name):
    spec = ENGINES[name]
    module, _, target = spec.target.partition(":")
    engine = getattr(importlib.import_module(module), target)(**spec.options)
    engine.start()
    return engine


def agrees(name, task):
    engine = made(name)
    assert engine.refuses(task) is None
    arrays = task.arrays()
    got = engine.prepare(task, arrays)()
    if task.shots is not None:
        got = engine.counts(task, got)
    return compare(task, solve(task, arrays), got, values_only=engine.values_only)


@pytest.mark.parametrize("task", [*CLEAN, "W7"])
def test_ours(task):
    assert agrees("qimg-simulator", TASKS[task]).reason is None


@pytest.mark.parametrize("task", CLEAN)
def test_ours_compiled(task):
    if (reason := made("qimg-simulator with qimg-kernels").refuses(TASKS[task])) is not None:
        pytest.skip(reason)
    assert agrees("qimg-simulator with qimg-kernels", TASKS[task]).reason is None


def test_ours_without_derivatives():
    assert agrees("qimg-simulator, values only", TASKS["W7"]).reason is None


@pytest.mark.parametrize("task", ["W1", "W3", "W4", "W5", "W8", "R2"])
def test_default_qubit(task):
    assert agrees("default.qubit torch", TASKS[task]).reason is None


def test_default_qubit_with_a_weight_vector_a_row():
    assert agrees("default.qubit torch, one row a weight vector", TASKS["W4"]).reason is None


@pytest.mark.parametrize("task", ["W1", "R2", "W8"])
def test_lightning(task):
    assert agrees("lightning.qubit", TASKS[task]).reason is None


def test_lightning_refuses_what_its_adjoint_does_not_take():
    assert made("lightning.qubit").refuses(TASKS["W5"]) is not None


@pytest.mark.parametrize("name", ["default.mixed torch", "default.mixed torch, values only", "Aer, values only"])
def test_noise(name):
    assert agrees(name, TASKS["W7"]).reason is None


def test_aer_shots():
    assert agrees("Aer", TASKS["W8"]).reason is None
    assert made("Aer").refuses(TASKS["W1"]) == "it has no derivatives"


def test_a_step_of_other_numbers_is_noticed():
    engine, task = made("qimg-simulator"), TASKS["W1"]
    got = engine.prepare(task, task.arrays(seed=2))()
    assert compare(task, solve(task, task.arrays()), got).reason is not None


@pytest.fixture
def train_step():
    """Makes engines of an arm with their step; closes them."""
    made = []

    def make(arm):
        engine = TrainStep(arm=arm)
        made.append(engine)
        return engine, engine.prepare(Training(name="TS", generator="quantum-latent-flow"), {})

    yield make
    for engine in made:
        engine.close()


def test_a_train_step_is_checked_and_taken_apart(train_step):
    engine, step = train_step("quantum")
    for _ in range(2):
        assert step()["loss"] > 0
    checked = engine.check()
    assert checked["reason"] is None
    assert 0 < checked["error"] < 1e-4
    for times in engine.clock.steps:
        assert min(times["record"], times["layer"]) > 0
        assert times["record"] + times["layer"] < times["whole"]
    facts = engine.facts()
    assert 0 < facts["record_share"] < 1
    assert 0 < facts["layer_share"] < 1


def test_a_layer_that_is_wrong_is_noticed(train_step, monkeypatch):
    engine, step = train_step("quantum")
    step()
    plain = engine._request

    def other(layer):
        task, arrays, request = plain(layer)
        return task, arrays, lambda x, w: request(x, -w)

    monkeypatch.setattr(engine, "_request", other)
    assert "off by" in engine.check()["reason"]


def test_an_arm_without_circuit_has_nothing_to_check(train_step):
    engine, step = train_step("twin")
    step()
    assert engine.check() is None
    assert engine.facts() == {}
