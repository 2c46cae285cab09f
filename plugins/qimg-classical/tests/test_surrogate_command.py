"""``qimg surrogate`` from end to end: proposals on disk, a file, its entry, and bad input that writes nothing."""

import json

import numpy as np
import pytest

from qimg_classical import plugin
from qimg_classical.backend import ClassicalBackend
from qimg_classical.surrogate_file import load, to_bytes
from qimg_core import Expectation, Registry, pauli
from qimg_core.cli import main
from qimg_core.ledger import SQLiteLedger
from qimg_core.proposals import Proposals
from qimg_core.storage import sha256_digest

X = np.random.default_rng(2).uniform(-3, 3, (40, 1))


@pytest.fixture
def qimg(tmp_path, monkeypatch, capsys, make_lab):
    """Calls ``qimg`` in a folder whose ledger ``runs`` holds 40 proposals of one circuit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)
    registry = Registry(discover=False)
    registry.register(plugin, "classical")
    with SQLiteLedger.open("runs") as ledger:
        lab = make_lab(ledger)
        lab.record(*(lab.request(lab.turn(), X[k : k + 10]) for k in range(0, 40, 10)))

    def call(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv], registry=registry)
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    call.lab = make_lab
    return call


def entries(kind=None):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        return list(ledger.entries(kind=kind))


def test_fit_and_show(qimg, tmp_path):
    code, out, err = qimg("surrogate", "fit", "--seed", 3, "--out", "turn.safetensors", "--json")
    assert code == 0, err
    document = json.loads(out)
    made = load("turn.safetensors")
    assert document["digest"] == made.digest
    x = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_allclose(made.estimate(x)[:, 0], np.cos(x[:, 0]), atol=1e-8)
    (entry,) = entries("surrogate.fitted")
    assert (entry.index, entry.run) == (document["entry"], document["run"])
    assert entry.artefacts["surrogate"] == sha256_digest((tmp_path / "turn.safetensors").read_bytes())
    assert entry.facts["error"] == document["error"]
    assert entry.facts["source"]["proposals"] == 4
    assert [e.kind for e in entries()][-3:] == ["run.started", "surrogate.fitted", "run.finished"]

    code, out, err = qimg("surrogate", "show", "turn.safetensors", "--ledger", "runs")
    assert code == 0, err
    assert f"in the record: entry {entry.index}" in out
    assert "fourier, 2 terms, degree 1, the whole spectrum of the circuit" in out
    assert "4 proposals, 40 distinct inputs, exact" in out
    assert qimg("surrogate", "show", "turn.safetensors")[0] == 0


def test_the_file_is_a_device(qimg, make_lab):
    assert qimg("surrogate", "fit", "--out", "turn.safetensors")[0] == 0
    lab = make_lab()
    raw = ClassicalBackend("turn.safetensors", max_wires=0).run(lab.request(lab.turn(), X))
    np.testing.assert_allclose(raw.data[:, 0], np.cos(X[:, 0]), atol=1e-8)


def test_a_circuit_can_be_named_by_the_beginning_of_its_digest(qimg, make_lab):
    digest = make_lab.turn().digest
    for number, name in enumerate((digest, digest[:16], digest[7:15])):
        assert qimg("surrogate", "fit", "--circuit", name, "--out", f"{number}.safetensors")[0] == 0
    code, _, err = qimg("surrogate", "fit", "--circuit", "sha256:0000", "--out", "x.safetensors")
    assert code == 2
    assert "no proposals of circuit sha256:0000 in the ledger (1 others)" in err


def test_several_functions_are_listed_and_nothing_is_written(qimg, make_lab):
    with SQLiteLedger.open("runs") as ledger:
        lab = make_lab(ledger)
        lab.record(lab.request(lab.turn(), X, Expectation([pauli("X0")])))
        wanted = {p.measurement for p in Proposals(ledger)}
    before = len(entries())
    code, _, err = qimg("surrogate", "fit", "--out", "x.safetensors")
    assert code == 2
    assert "of 2 functions" in err
    assert all(m[7:19] in err for m in wanted)
    assert len(entries()) == before
    assert qimg("surrogate", "fit", "--measurement", min(wanted), "--out", "x.safetensors")[0] == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--kind", "fourier", "--max-features", "2", "--ledger", "nowhere"], "no ledger in nowhere"),
        (["--out", "there.safetensors"], "exists already"),
        (["--out", "x.bin"], "does not end in .safetensors"),
        (["--backend", "ibm:ibm_fez"], "no proposals of backend ibm:ibm_fez"),
    ],
)
def test_bad_input_is_explained_and_writes_nothing(qimg, tmp_path, argv, words):
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    before = len(entries())
    out = [] if "--out" in argv else ["--out", "x.safetensors"]
    code, _, err = qimg("surrogate", "fit", *argv, *out)
    assert code == 2
    assert words in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs", "there.safetensors"]
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"
    assert len(entries()) == before


def test_too_few_proposals_say_how_many_are_needed(qimg, tmp_path, make_lab):
    with SQLiteLedger.open("few") as ledger:
        lab = make_lab(ledger)
        lab.record(lab.request(lab.turn(), X[:12]))
        before = len(ledger)
    code, _, err = qimg("surrogate", "fit", "--ledger", "few", "--out", "x.safetensors")
    assert code == 2
    assert "12 distinct inputs are too few for a surrogate of 1 inputs: 20 are needed" in err
    with SQLiteLedger.open("few", read_only=True) as ledger:
        assert len(ledger) == before
    assert not (tmp_path / "x.safetensors").exists()


def test_a_file_that_the_record_does_not_know_is_reported(qimg, tmp_path, make_lab):
    from attrs import evolve

    assert qimg("surrogate", "fit", "--out", "turn.safetensors")[0] == 0
    made = load("turn.safetensors")
    better = evolve(made, error=evolve(made.error, n=10_000))  # sealed again by somebody who likes it better
    (tmp_path / "forged.safetensors").write_bytes(to_bytes(better))
    code, out, _ = qimg("surrogate", "show", "forged.safetensors", "--ledger", "runs")
    assert code == 1
    assert "no entry surrogate.fitted holds a file" in out
    source = {**made.facts["source"], "proposals": [[2, "sha256:" + "0" * 64], [999, "sha256:" + "0" * 64]]}
    (tmp_path / "other.safetensors").write_bytes(to_bytes(evolve(made, facts={**made.facts, "source": source})))
    code, out, _ = qimg("surrogate", "show", "other.safetensors", "--ledger", "runs", "--json")
    problems = json.loads(out)["problems"]
    assert code == 1
    assert "proposal 2 has another digest" in problems[1]
    assert problems[2].startswith("proposal 999: ")
    with SQLiteLedger.open("else"):
        pass
    code, out, _ = qimg("surrogate", "show", "turn.safetensors", "--ledger", "else")
    assert code == 1
    assert "it was fitted from the log" in out


def test_a_broken_file_is_explained(qimg, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"not one")
    code, _, err = qimg("surrogate", "show", "broken.safetensors")
    assert code == 2
    assert "is no surrogate file" in err
