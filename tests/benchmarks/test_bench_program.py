"""The command line, the machine's facts, memory from /proc."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import arguments, chosen, write_page
from benchmarks.machine import busy_times, cpu_name, idlest_core
from benchmarks.memory import risen, status_mb
from benchmarks.workloads import catalogue
from benchmarks.workloads.base import COMPILED, OURS

STATUS = "Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t   512 kB\n"


def test_without_a_choice_everything_runs():
    assert [w.name for w in chosen(arguments([]))] == list(catalogue())


def test_only_and_engines_narrow():
    (workload,) = chosen(arguments(["--only", "w2", "--engines", "tensor"]))
    assert workload.name == "W2"
    assert workload.cases[0].engines == (OURS, COMPILED, "TensorCircuit-NG jax")


def test_slow_engines_come_with_all():
    assert "lightning.qubit" not in chosen(arguments(["--only", "W3"]))[0].cases[0].engines
    assert "lightning.qubit" in chosen(arguments(["--only", "W3", "--all"]))[0].cases[0].engines


def test_quick_keeps_one_case_and_the_peers_of_the_targets():
    quick = {w.name: w for w in chosen(arguments(["--quick"]))}
    assert [c.name for c in quick["W6"].cases] == ["W6 n=14"]
    assert quick["W6"].cases[0].engines == ("qimg-simulator", "lightning.qubit")
    assert quick["W7"].cases[0].engines == (
        "qimg-simulator",
        "qimg-simulator, values only",
        "default.mixed torch",
        "Aer, values only",
    )
    assert len(quick["TS"].cases) == 2
    assert [t.peer for t in quick["W2"].targets] == ["default.qubit torch", ""]  # who is best is not known


def test_an_unknown_workload_is_told():
    with pytest.raises(SystemExit, match="no workload W99; there are W1, W2"):
        chosen(arguments(["--only", "W2,w99"]))


def test_make_passes_its_choice():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "-m benchmarks $(if $(ONLY),--only $(ONLY))" in makefile


def test_the_page_waits_for_every_workload(tmp_path, capsys):
    (tmp_path / "W1.json").write_text(json.dumps({}))
    write_page(list(catalogue().values()), tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()
    assert "not yet: W2, W3" in capsys.readouterr().out


def test_memory_is_read_in_megabytes():
    assert status_mb(STATUS, "VmRSS") == pytest.approx(1.048576)
    assert status_mb(STATUS, "VmHWM") == pytest.approx(2.097152)
    assert status_mb(STATUS, "VmSwap") is None


@pytest.mark.parametrize(
    ("before", "after", "base", "above"),
    [
        ((100, 60), 150, 50, 60),  # grown by 10 since the base line, 50 more at the peak
        ((100, 60), 100, 80, 0),  # gave memory back
        ((70, 60), 110, 60, 40),  # the pages of a library were dropped before
    ],
)
def test_memory_above_the_base_line_is_of_private_pages(before, after, base, above):
    held, private = before
    text = f"VmRSS: {held} kB\nRssAnon: {private} kB\n"
    unit = 1024 / 1e6
    assert risen(text, f"VmHWM: {after} kB\n", base * unit) == pytest.approx(above * unit)
    assert risen("", "", 0) is None


def test_the_idlest_core_is_the_one_that_did_least(tmp_path, monkeypatch):
    stat = tmp_path / "stat"
    stat.write_text("cpu 9 9 9 9\ncpu0 100 0 0 100 0 0 0 0\ncpu1 100 0 0 100 0 0 0 0\nintr 5\n")

    def later(seconds):
        stat.write_text("cpu0 110 0 0 190 0 0 0 0\ncpu1 190 0 0 110 0 0 0 0\n")

    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 7})
    assert idlest_core(sleep=later, stat=stat) == 0
    assert busy_times(stat.read_text()) == {0: (110, 300), 1: (190, 300)}
    assert idlest_core(sleep=later, stat=tmp_path / "none") is None


def test_the_model_of_the_cpu():
    assert cpu_name("processor: 0\nmodel name\t: Some CPU @ 2GHz\n") == "Some CPU @ 2GHz"
    assert cpu_name("") != ""
