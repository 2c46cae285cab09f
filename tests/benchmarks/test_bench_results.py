"""Figures from rows: ratios, limits, verdicts; the page shows them and the reasons of who is not there."""

import re

import pytest

from benchmarks.ceilings import limits, measured
from benchmarks.measure import Measured
from benchmarks.page import INTRO, number, page, plain, read_remarks
from benchmarks.results import add_ratios, document, evaluated, reached, verdict
from benchmarks.task import Task
from benchmarks.workloads import catalogue
from benchmarks.workloads.base import Target

CEILINGS = {
    "sgemm_gflops": 100.0,
    **{f"cgemm{k}_gflops": 50.0 for k in (4, 8, 16, 32)},
    "copy_256kB_gbs": 50.0,
    "copy_8MB_gbs": 20.0,
    "copy_256MB_gbs": 10.0,
    "copy_fresh_256MB_gbs": 4.0,
    "eager_op_us": 1.0,
    "op_with_backward_us": 7.0,
}
FACTS = {
    "machine": {
        "cpu": "Some CPU",
        "cores": 2,
        "simd": "AVX2",
        "memory_mb": 8192,
        "system": "Linux 6.1",
        "python": "3.11.7",
    },
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "when": "2026-01-01T00:00:00+00:00",
    "load": [0.1, 0.2],
    "core": 1,
    "quick": False,
}


def row(engine, ms, case="W2", **more):
    return {
        "case": case,
        "engine": engine,
        "values_only": "values only" in engine,
        "median_ms": ms,
        "low": ms * 0.9,
        "high": ms * 1.1,
        "cpu_ms": ms,
        "peak_mb": 10.0,
        "first_ms": 100.0,
        "import_ms": 1000.0,
        "error": 1e-6,
        "versions": {"numpy": "2"},
        "turns": 9,
        "calls": 1,
        **more,
    }


ROWS = [row("qimg-simulator", 4.0), row("default.qubit torch", 60.0), row("fast one", 10.0), row("x, values only", 1.0)]


def test_ratios_are_over_ours_that_does_the_same():
    rows = [*map(dict, ROWS), row("qimg-simulator, values only", 0.5)]
    add_ratios(rows)
    assert [r["over_ours"] for r in rows] == [1, 15, 2.5, 2, 1]


@pytest.mark.parametrize(
    ("target", "figure", "peer"),
    [
        (Target(metric="ratio", peer="default.qubit torch", must=10), 15, "default.qubit torch"),
        (Target(metric="ratio", peer="best peer", must=10), 2.5, "fast one"),  # not the one without derivatives
        (Target(metric="ratio", peer="nobody", must=10), None, None),
        (Target(metric="ratio", peer="best peer", ours="nobody", must=10), None, None),
        (Target(metric="first_ms", must=200), 100, None),
        (Target(metric="memory", peer="fast one", must=4), 1, "fast one"),
        (Target(metric="layer_share", must=0.1), None, None),
    ],
)
def test_a_target_finds_its_rows(target, figure, peer):
    assert reached(target, ROWS) == (figure, peer)


def test_ratios_may_be_taken_of_the_processor_time():
    rows = [row("qimg-simulator", 4.0, cpu_ms=2.0), row("a", 8.0, cpu_ms=8.0), row("b", 9.0, cpu_ms=7.0)]
    best = Target(metric="ratio", peer="best peer", must=1)
    assert reached(best, rows) == (2, "a")
    assert reached(best, rows, "cpu_ms") == (3.5, "b")


@pytest.mark.parametrize(
    ("metric", "figure", "wanted"),
    [
        ("ratio", 16, "goal"),
        ("ratio", 15.9, "must"),
        ("ratio", 10, "must"),
        ("ratio", 9.9, "behind"),
        ("ratio", None, "not measured"),
        ("memory", 16, "behind"),
        ("memory", 10, "must"),
        ("memory", 3, "goal"),
    ],
)
def test_verdicts(metric, figure, wanted):
    goal = 16 if metric == "ratio" else 3
    assert verdict(Target(metric=metric, must=10, goal=goal), figure) == wanted


def test_who_might_have_been_the_best_peer_is_named():
    workload = catalogue()["W2"]
    missing = [
        {"case": "W2", "engine": "TensorCircuit-NG jax", "reason": "not installed"},
        {"case": "W2", "engine": "qulacs", "reason": "cannot: no such derivative"},
        {"case": "other", "engine": "lightning.qubit", "reason": "not installed"},
    ]
    found = {t["asked"]: t["without"] for t in evaluated(workload, ROWS, missing)}
    assert found == {"default.qubit torch": [], "best peer": ["TensorCircuit-NG jax"], "": []}


def test_limits_are_counted_by_hand():
    task = catalogue()["W2"].cases[0].task
    found = limits(task, CEILINGS)
    assert found["flops"] == 58 * 256 * 128 * 8 * 4  # amplitudes, rows, wires, layers
    assert found["bytes"] == 6 * 8 * 256 * 128 * 4 * 2  # six passes, complex64, four layers of two blocks
    assert found["limit_ms"] == pytest.approx(0.60817408)  # the arithmetic, at 100 GF/s
    assert limits(task, CEILINGS, values_only=True)["flops"] == 14 * 256 * 128 * 8 * 4
    slow = {**CEILINGS, "copy_256kB_gbs": 1.0}
    assert limits(task, slow)["limit_ms"] == pytest.approx(1e3 * found["bytes"] / 1e9)


def test_noisy_work_is_counted_on_real_numbers():
    task = catalogue()["W7"].cases[0].task
    assert limits(task, CEILINGS)["flops"] == 22 * 4**4 * 32 * 4 * 3


def test_ceilings_are_positive_numbers_of_the_names_that_limits_uses():
    found = measured(scale=16, seconds=0.0)
    assert set(found) == set(CEILINGS)
    assert min(found.values()) > 0


def documents():
    out = []
    for workload in catalogue().values():
        cells = []
        for case in workload.cases:
            if workload.name == "TS":
                rows = (
                    row("quantum arm", 20, case.name, layer_share=0.1, record_share=0.01, layer_ms=2, record_ms=0.2),
                )
            else:
                rows = tuple(row(name, 1.0 + i, case.name) for i, name in enumerate(case.engines[:3]))
            cells.append(Measured(rows, (("Some Peer", "ImportError: no /home/someone/env/lib/x.so | <sad>"),)))
        out.append(document(workload, cells, CEILINGS, FACTS))
    return out


def test_a_document_has_rows_with_the_promised_keys():
    for found in documents():
        assert {"rows", "machine", "versions", "git", "when", "targets", "not_measured"} <= set(found)
        for one in found["rows"]:
            assert {"engine", "median_ms", "low", "high", "peak_mb", "first_ms"} <= set(one)
    w2 = next(d for d in documents() if d["workload"] == "W2")
    assert w2["rows"][0]["over_limit"] == pytest.approx(1 / 0.60817408)
    assert w2["rows"][0]["ns_per_amplitude"] == pytest.approx(1e6 / (256 * 128 * 8 * 4))


def test_the_page_shows_every_case_target_and_reason():
    workloads = list(catalogue().values())
    found = documents()
    text = page(workloads, found, {"W2": "Because."})
    assert text.startswith(INTRO.split("\n", maxsplit=1)[0])
    for workload in workloads:
        assert f"## {workload.name}: {workload.title}" in text
        for case in workload.cases:
            assert f"**{case.name}**" in text
    assert text.count("- Some Peer not measured: ImportError: no .../x.so \\| &lt;sad>") == sum(
        len(w.cases) for w in workloads
    )
    assert "Because." in text
    assert text.count("behind") > 0
    assert "without Some Peer" in text
    assert "/home" not in text
    assert re.findall(r"<[A-Za-z]", text) == []


def test_every_table_of_the_page_has_rows_as_long_as_its_head():
    text = page(list(catalogue().values()), documents(), read_remarks())
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) > 15
    for table in tables:
        lengths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(lengths) == 1, table


def test_remarks_are_for_workloads_that_exist():
    assert set(read_remarks()) <= set(catalogue())


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0, "0"), (1234567, "1230000"), (0.01234, "0.0123"), (9.999, "10"), (12.0, "12"), (1e-6, "1e-06")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_messages_lose_the_paths_of_the_machine():
    assert plain("cannot load /a/b/c.so from https://x.org/a/b") == "cannot load .../c.so from https://x.org/a/b"


def test_amplitudes_touched_by_a_density_matrix():
    task = Task(name="t", wires=3, rows=2, layers=5, gates=(), noise=0.1)
    assert task.amplitudes_touched == 64 * 2 * 3 * 5
