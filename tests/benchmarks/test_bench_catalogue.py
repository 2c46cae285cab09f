"""The workloads are those of the issue, written in our own library's circuits."""

import json

import numpy as np
import pytest

from benchmarks.engines import ENGINES
from benchmarks.engines.ours import circuit_of
from benchmarks.task import Task, Training, task_from_json
from benchmarks.workloads import catalogue
from benchmarks.workloads.base import BEST_PEER
from qimg_circuits.ansatzes.ry_cz import RYCZ
from qimg_circuits.ansatzes.strongly_entangling import StronglyEntangling
from qimg_circuits.encoders.angle import AngleEncoder

CASES = [case for workload in catalogue().values() for case in workload.cases]
ASKED = {  # must and goal: against default.qubit (torch), against the best peer
    "W1": [(10, 16), (0.9, 1.2), (3, 5)],
    "W2": [(12, 20), (2.5, 4), (10, 16)],
    "W3": [(7, 10), (2, 3), (5, 8)],
    "W4 G=8": [(100, 300), (1.8, 2.5)],
    "W4 G=56": [(100, 300), (2.5, 4)],
    "W5": [(6, 10), (1.7, 2.5)],
    "W6 n=14": [(2.5, 5)],
    "W6 n=20": [(2.5, 5), (4, 2)],  # the second is memory
    "W7 n=4 B=32": [(40, 100), (10, 30)],
    "W8": [(8, 13), (5, 9)],
}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_engines_of_a_case_are_known_and_ours_comes_first(case):
    assert set(case.engines) | set(case.slow) <= set(ENGINES)
    assert len({*case.engines, *case.slow}) == len(case.engines) + len(case.slow)
    assert case.engines[0] in ("qimg-simulator", "quantum arm")


@pytest.mark.parametrize("workload", catalogue().values(), ids=lambda w: w.name)
def test_targets_name_engines_that_run(workload):
    for target in workload.targets:
        for case in workload.cases:
            if not target.cases or case.name in target.cases:
                assert target.ours in case.engines
                assert target.peer in ("", BEST_PEER, *case.engines)
        assert set(target.cases) <= {c.name for c in workload.cases}


def test_what_is_asked_is_what_the_issue_asks():
    found = {}
    for workload in catalogue().values():
        for target in workload.targets:
            if target.metric in ("ratio", "memory"):
                for case in workload.cases:
                    if not target.cases or case.name in target.cases:
                        found.setdefault(case.name, []).append((target.must, target.goal))
    assert {k: found[k] for k in ASKED} == ASKED
    first = {w.name for w in catalogue().values() if any(t.metric == "first_ms" and t.must == 200 for t in w.targets)}
    assert first == {"W1", "W2", "W3", "W4", "W5"}
    shares = {t.metric: t.must for t in catalogue()["TS"].targets}
    assert shares == {"layer_share": 0.15, "record_share": 0.02}


@pytest.mark.parametrize(("name", "wires", "rows"), [("W1", 4, 256), ("W2", 8, 128), ("W3", 10, 64), ("RU", 8, 128)])
def test_sizes(name, wires, rows):
    task = catalogue()[name].cases[0].task
    assert (task.wires, task.rows) == (wires, rows)
    arrays = task.arrays()
    assert arrays["x"].shape == (rows, 1024 if name == "W3" else wires)
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.float32)}
    if name != "W3":
        assert np.abs(arrays["x"]).max() > np.pi  # cosines of half angles of both signs


def gates(circuit):
    """Names, wires and kinds of parameters, in order."""
    roles = [p.role for p in circuit.parameters]
    return [(g.name.value, g.wires, [roles[a.parameter] for a in g.angles]) for g in circuit.gates]


def test_entangling_layers_are_those_of_the_library():
    built = circuit_of(catalogue()["W2"].cases[0].task)
    wanted = AngleEncoder(8, "x").circuit.then(StronglyEntangling(8, 4).circuit)
    assert gates(built) == gates(wanted)


def test_the_patch_circuit_is_that_of_the_library():
    built = circuit_of(catalogue()["W4"].cases[0].task)
    wanted = AngleEncoder(5, "y").circuit.then(RYCZ(5, 6).circuit)
    assert gates(built) == gates(wanted)


def test_weights_are_used_once_and_all_of_them():
    for case in CASES:
        if isinstance(case.task, Task):
            used = [i for g in case.task.gates for kind, i in g.angles if kind == "w"]
            assert sorted(used) == list(range(case.task.n_weights)), case.name


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_tasks_travel_as_json(case):
    back = task_from_json(json.loads(json.dumps(case.task.to_json())))
    assert back == case.task
    assert isinstance(back, Training) == case.name.startswith("TS")


def test_the_digest_is_of_the_work_and_not_of_its_name():
    from attrs import evolve

    task = catalogue()["W1"].cases[0].task
    assert evolve(task, name="other").digest == task.digest
    assert evolve(task, rows=255).digest != task.digest
    assert evolve(task, gates=task.gates[:-1]).digest != task.digest
