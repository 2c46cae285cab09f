"""circuit, data, plugin, backends, doctor."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from qimg_core import Registry, png
from qimg_core.circuit import Circuit, CircuitBuilder
from qimg_core.circuit.qasm import from_qasm3
from qimg_core.datasets import open_images
from qimg_core.errors import PluginLoadError
from qimg_core.hooks import AnsatzSpec, BackendSpec, DatasetSpec, hookimpl
from qimg_core.plugins import PluginStatus


class TwoTurns:
    """An ansatz: ``layers`` times RY on every wire and a CX chain."""

    def __init__(self, n_wires, layers=1, axis="y"):
        self.n_wires, self.layers, self.axis = n_wires, layers, axis

    @property
    def circuit(self):
        b = CircuitBuilder(self.n_wires)
        for layer in range(self.layers):
            for w in range(self.n_wires):
                b.gate(f"r{self.axis}", w, angles=(b.weight(f"w{layer}.{w}"),))
            for w in range(self.n_wires - 1):
                b.cx(w, w + 1)
        return b.build()


class Supplier:
    @hookimpl
    def qimg_ansatzes(self):
        return [AnsatzSpec(name="two-turns", target=f"{__name__}:TwoTurns")]

    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="broken", target="no_such_module_anywhere:Device", summary="cannot be imported")]

    @hookimpl
    def qimg_datasets(self):
        return [DatasetSpec(name="squares", target=f"{__name__}:squares", summary="five squares")]


def squares(*, split):
    from qimg_core.datasets import ArraySource

    return ArraySource(name=f"squares/{split}", pixels=np.ones((5, 2, 2, 1), np.float32), labels=None, provenance={})


def test_circuit_of_a_generator_is_the_one_it_runs(qimg, registry):
    from qimg_core import Session

    with Session(None, seed=0, backend="reference", registry=registry) as session:
        wanted = session.generator("toy").circuit
    done = qimg("circuit", "show", "toy", "--backend", "reference", "--json")
    assert done.code == 0, done.err
    (shown,) = done.json["circuits"]
    assert Circuit.from_json(shown["circuit"]).digest == wanted.digest == shown["digest"]
    assert (shown["wires"], shown["gates"], shown["two_qubit_gates"]) == (4, 7, 3)
    text = qimg("circuit", "show", "toy", "--backend", "reference")
    assert "RY(x0)" in text.out
    assert qimg("circuit", "show", "toy", "--backend", "reference", "--arm", "twin").code == 2
    assert not Path("runs").exists()


def test_circuit_of_an_ansatz_a_file_and_a_run(qimg, registry, made):
    registry.register(Supplier(), "supplier")
    show = ("circuit", "show", "two-turns", "--wires", 3, "--layers", 2)
    done = qimg(*show, "--json")
    wanted = TwoTurns(3, 2).circuit
    assert done.json["circuits"][0]["digest"] == wanted.digest
    qasm = qimg(*show, "--qasm")
    assert from_qasm3(qasm.out).digest == wanted.digest
    Path("c.qasm").write_text(qasm.out)
    assert qimg("circuit", "show", "c.qasm", "--json").json["circuits"][0]["digest"] == wanted.digest
    Path("c.json").write_bytes(wanted.canonical())
    assert qimg("circuit", "show", "c.json", "--json").json["circuits"][0]["digest"] == wanted.digest
    assert (
        qimg("circuit", "show", "two-turns", "--set", "axis=x", "--json").json["circuits"][0]["digest"] != wanted.digest
    )
    assert qimg("circuit", "show", "two-turns", "--set", "axes=x").code == 2
    assert qimg("circuit", "show", "two-turns", "--set", "axis=q").code == 2
    of_run = qimg("circuit", "show", made["run"], "--json")
    assert of_run.json["circuits"][0]["digest"] == made["circuits"][0]["digest"]
    drawn = qimg(*show, "--svg", "new/c.svg")
    assert drawn.code == 0
    assert Path("new/c.svg").read_text().startswith("<svg")


def test_circuits_of_the_library_by_number(qimg):
    library = pytest.importorskip("qimg_circuits.library")
    shown = qimg("circuit", "show", "sim14", "--wires", 3, "--json").json["circuits"][0]
    assert shown["digest"] == library.sim_circuit(14, 3).digest
    assert qimg("circuit", "show", "sim99").code == 2


def test_measure_without_its_plugin_says_what_to_install(qimg, monkeypatch):
    monkeypatch.setitem(sys.modules, "qimg_metrics.circuit", None)
    done = qimg("circuit", "measure", "toy")
    assert done.code == 1
    assert "pip install qimg-metrics" in done.err


def test_measure_prints_what_the_metrics_say(qimg, registry):
    metrics = pytest.importorskip("qimg_metrics.circuit")
    registry.register(importlib.import_module("qimg_simulator.plugin"), "simulator")
    registry.register(Supplier(), "supplier")
    circuit = TwoTurns(2).circuit
    done = qimg("circuit", "measure", "two-turns", "--wires", 2, "--samples", 40, "--points", 10, "--seed", 2, "--json")
    assert done.code == 0, done.err
    measured = done.json["circuits"][0]["measured"]
    assert measured["expressibility"] == metrics.expressibility(circuit, samples=40, seed=2).to_json()
    assert measured["meyer_wallach"] == metrics.meyer_wallach(circuit, samples=40, seed=2).to_json()
    assert measured["gradient_variance"] == metrics.gradient_variance(circuit, points=10, seed=2).to_json()
    bell = CircuitBuilder(2).h(0).cx(0, 1).build()
    Path("bell.json").write_bytes(bell.canonical())
    fixed = qimg("circuit", "measure", "bell.json", "--samples", 40)
    assert "gradient_variance not measured: the circuit has no weights" in fixed.out
    assert "meyer_wallach 1.0000" in fixed.out  # a Bell pair is maximally entangled


def test_data_show_counts_and_draws(qimg, corners):
    done = qimg("data", "show", corners, "--png", "new/c.png", "--json")
    assert done.code == 0, done.err
    source = open_images(corners)
    assert done.json["digest"] == source.digest
    assert done.json["n"] == 30
    assert done.json["per_class"] == {"0": 10, "1": 10, "2": 10}
    pixels, text = png.read("new/c.png")
    assert text["qimg:quantum"] == "false"
    assert pixels.shape[0] > 2
    assert qimg("data", "show", corners, "--size", "4x3", "--json").json["shape"] == [4, 3, 1]


def test_data_of_plugins(qimg, registry):
    registry.register(Supplier(), "supplier")
    assert "squares" in qimg("data", "list").out
    assert qimg("data", "show", "squares", "--json").json["n"] == 5


def test_data_list_and_get_send_nothing_unasked(qimg, monkeypatch, tmp_path):
    monkeypatch.setenv("QIMG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QIMG_MNIST", raising=False)
    found = {d["name"]: d["here"] for d in qimg("data", "list", "--json").json["datasets"]}
    assert found["mnist"] is False
    assert qimg("data", "get", "https://example.org/x.npz").code == 2  # no digest
    assert qimg("data", "get", "digits").code == 2
    assert qimg("data", "get", "mnist", "--sha256", "0" * 64).code == 2
    assert not (tmp_path / "cache").exists()


def test_plugin_list_shows_what_is_broken(qimg, registry):
    registry.register(Supplier(), "supplier")
    fine = qimg("plugin", "list", "--json")
    assert fine.code == 0
    assert {(c["kind"], c["name"]) for c in fine.json["components"]} == {
        ("backend", "reference"),
        ("backend", "broken"),
        ("generator", "toy"),
        ("ansatz", "two-turns"),
        ("dataset", "squares"),
    }
    assert {c["kind"] for c in qimg("plugin", "list", "--kind", "backend", "--json").json["components"]} == {"backend"}
    error = PluginLoadError("plugin 'bad' failed to load", hint="pip install -U bad")
    registry.status.append(PluginStatus(name="bad", distribution="bad", version="1", error=error))
    broken = qimg("plugin", "list")
    assert broken.code == 1
    assert "pip install -U bad" in broken.out


def test_backends_lists_one_that_cannot_be_loaded(qimg, registry):
    registry.register(Supplier(), "supplier")
    done = qimg("backends", "--json")
    assert done.code == 0
    found = {b["name"]: b for b in done.json["backends"]}
    assert "no_such_module_anywhere" in found["broken"]["error"]
    assert found["reference"]["kind"] == "simulator"
    assert "cannot be used" in qimg("backends").out


def test_doctor_finds_what_has_to_be_mended(qimg, registry, monkeypatch, tmp_path):
    monkeypatch.setenv("QIMG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QIMG_MNIST", raising=False)
    assert qimg("doctor").code == 0
    assert not Path("runs").exists()
    Path("file").write_text("")
    bad = qimg("doctor", "--ledger", "file", "--json")
    assert bad.code == 1
    assert [f["what"] for f in bad.json["findings"] if f["state"] == "bad"] == ["ledger"]
    nothing = qimg("doctor", "--json", plugins=Registry(discover=False))
    assert "devices" in [f["what"] for f in nothing.json["findings"] if f["state"] == "bad"]
    monkeypatch.setenv("QIMG_MNIST", str(tmp_path))
    assert "mnist" in [f["what"] for f in qimg("doctor", "--json").json["findings"] if f["state"] == "bad"]
