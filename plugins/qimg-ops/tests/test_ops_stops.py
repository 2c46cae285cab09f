"""A stop made by one process while another holds the ledger: obeyed, recorded once, never lost, whatever is killed."""

import tomllib
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from attrs import evolve

import qimg_policy.plugin
from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, hookimpl, pauli
from qimg_core.capabilities import GradientMethod
from qimg_core.errors import AdmissionDenied, StorageError
from qimg_core.hooks import BackendSpec
from qimg_core.jobs import Polling
from qimg_core.ledger import MemoryLedger, SQLiteLedger
from qimg_core.session import Session
from qimg_core.testing import FakeProvider, ReferenceBackend
from qimg_ops import incidents as store
from qimg_ops.containing import finish
from qimg_policy.keys import SigningKey
from qimg_rollout import blocks, stopping
from qimg_rollout.flags import parse_flags, sign_flags
from qimg_rollout.provider import LedgerProvider
from qimg_rollout.serving import serve
from qimg_rollout.state import use_flags

KEY = SigningKey("release", bytes(range(32)))
given = run_path(str(Path(__file__).with_name("stops_bench.py")))
folder, running, run, opened, entries = (given[n] for n in ("folder", "running", "run", "opened", "entries"))


@pytest.mark.parametrize("device", ["reference", "fake-provider"])
def test_a_run_obeys_at_its_next_request_and_puts_the_stop_on_record_once(device, running, run):
    name = opened(run)
    p = running(device, "other")
    assert p.ask().split()[0] == device
    held = run("incident", "contain", name, "--backend", device, "--wait", "0")
    assert (held["recorded"], held["holder"]) == (False, str(p.pid))
    assert Path(held["file"]).exists()
    said = p.ask()
    assert said.startswith("other ")
    assert name in said
    (block,) = entries(blocks.BLOCKED)
    assert (block.facts["stop"], block.facts["by"]) == (held["stop"], f"incident {name}")
    assert not Path(held["file"]).exists()
    assert name in p.ask()
    assert len(entries(blocks.BLOCKED)) == 1
    p.stdin.write("\n")
    p.stdin.close()
    p.wait()
    assert [e.facts["reasons"].count(name) for e in entries("plan.refused")][:1] == [1]
    done = run("incident", "snapshot", name, "--out", "e.zip")
    assert done["entries"]
    (contained,) = entries(store.CONTAINED)
    assert contained.facts["stops"] == [held["stop"]]
    assert contained.facts["blocks"] == [block.index]
    shown = run("incident", "report", name)["markdown"]
    assert f"entry {block.index}: backend {device} stopped (stop {held['stop'][:12]})" in shown
    assert entries(store.AFFECTED)[0].facts["runs"] == [p.run]
    run("incident", "close", name, "--cause", "c", "--change", "d", "--release")
    with SQLiteLedger.open("runs") as log:
        assert blocks.in_force(log) == ()
        assert finish(log) == ()
        assert log.verify().ok


def test_without_a_fallback_the_run_is_refused_and_sends_nothing(running, run):
    p = running("fake-provider")
    assert p.ask().split()[0] == "fake-provider"
    run("rollout", "block", "--match", "backend=fake-provider", "--reason", "calibration", "--wait", "0")
    said = p.ask()
    assert said.startswith("error refused before anything was sent")
    assert "calibration" in said
    assert len(entries("job.submitted")) == 1


def test_the_command_sees_it_recorded_while_the_run_goes_on(running, run, monkeypatch):
    p = running("reference", "other")
    p.ask()
    looks = iter([None])

    def pause(_):
        next(looks)
        assert name_in(p.ask())

    def name_in(said):
        return "operator" in said

    monkeypatch.setattr("qimg_rollout.handing.sleep", pause)
    held = run("rollout", "block", "--match", "backend=reference", "--reason", "r", "--wait", "60")
    assert held["recorded"]
    assert held["holder"] == str(p.pid)
    assert held["entries"] == [entries(blocks.BLOCKED)[0].index]


def test_what_is_not_seen_on_record_in_time_is_inconclusive_and_written_all_the_same(running, run):
    p = running("reference", "other")
    p.ask()
    held = run("rollout", "block", "--match", "backend=reference", "--reason", "r", "--wait", "0.01", code=3)
    assert Path(held["file"]).exists()
    p.kill()
    p.wait()
    assert run("incident", "stops")["waiting"][0]["stop"] == held["stop"]
    again = running("reference", "other")
    assert again.ask().split()[0] == "other"
    assert [e.facts["stop"] for e in entries(blocks.BLOCKED)] == [held["stop"]]
    assert run("incident", "stops")["waiting"] == []


def test_a_file_that_was_taken_away_is_written_again_by_the_command_that_watches(running, run, monkeypatch):
    p = running("reference", "other")
    p.ask()
    rounds = iter(["remove", "ask"])

    def pause(_):
        if next(rounds) == "remove":
            for path in Path("runs/stops").iterdir():
                path.unlink()
        else:
            p.ask()

    monkeypatch.setattr("qimg_rollout.handing.sleep", pause)
    held = run("rollout", "block", "--match", "backend=reference", "--reason", "r", "--wait", "60")
    assert (held["recorded"], held["put_back"]) == (True, 1)


def test_a_file_that_was_taken_away_unwatched_shows_when_a_later_one_is_there(running, run):
    p = running("reference", "other")
    p.ask()
    first = run("rollout", "block", "--match", "backend=other", "--reason", "r", "--wait", "0")
    second = run("rollout", "block", "--match", "backend=reference", "--reason", "r", "--wait", "0")
    assert run("incident", "stops")["gone"] == []
    Path(first["file"]).unlink()
    assert run("incident", "stops", code=1)["gone"] == [first["stop"]]
    p.ask()
    assert [e.facts["stop"] for e in entries(blocks.BLOCKED)] == [second["stop"]]
    assert run("incident", "stops", code=1)["gone"] == [first["stop"]]


def test_a_device_that_no_plan_named_is_said_to_be_misspelt_perhaps(record, qimg, run):
    name = opened(run)
    code, out, _ = qimg("incident", "contain", name, "--backend", "referense", "--backend", "reference")
    assert code == 0
    assert "no plan of this record named referense until now" in out
    assert "named reference until" not in out
    assert run("rollout", "block", "--match", "backend=reference", "--reason", "r")["unseen"] == []
    refused = run("incident", "contain", name, "--weights", "mnist", code=2)["error"]
    assert "64 hex digits" in refused["message"]


def test_what_a_command_adds_is_signed_and_a_list_that_breaks_leaves_no_containment_without_it(
    record, run, monkeypatch
):
    name = opened(run)
    with monkeypatch.context() as broken:
        broken.setattr("qimg_ops.containing.trace", lambda *a, **k: 1 / 0)
        run("incident", "contain", name, "--backend", "reference", code=1)
    assert (len(entries(blocks.BLOCKED)), entries(store.CONTAINED)) == (1, [])
    run("incident", "note", name, "found again")
    assert len(entries(store.CONTAINED)) == len(entries(store.AFFECTED)) == 1
    with SQLiteLedger.open("runs", read_only=True) as log:
        assert log.verify().notes == ()  # no entry behind the last signed head


def test_a_command_that_fails_behind_the_file_says_that_the_stop_stands(folder, run, monkeypatch, caplog):
    def full(*_):
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("qimg_rollout.stopping._drafts", full)
        run("rollout", "block", "--match", "backend=reference", "--reason", "r", code=1)
    assert "is written all the same" in caplog.text
    assert len(run("incident", "stops")["waiting"]) == 1


# -- what else another process may switch -------------------------------------------------------


def test_a_flag_goes_back_for_who_reads_it_at_once_and_for_who_serves_it(folder, run, qimg, registry):
    text = 'version = 1\n[flags.q]\nstate = "on"\non = { generator = "toy", backend = "reference" }\n'
    text += 'off = { generator = "toy", arm = "twin", backend = "reference" }\n'
    with SQLiteLedger.open("runs") as log:
        use_flags(log, sign_flags(parse_flags(tomllib.loads(text)), [KEY]), [KEY.public])
        assert LedgerProvider(log).resolve_boolean_details("q", False).value
        run("rollout", "back", "q", "--reason", "drill", "--wait", "0")
        assert not LedgerProvider(log).resolve_boolean_details("q", True).value
        assert "not on record yet" in qimg("rollout", "status")[1]
        done = serve(log, registry, "q", n=2, seed=1)
        assert (done.served.variant, done.images.quantum) == ("off", False)
    assert len(entries("rollout.rolled_back")) == 1
    assert "rolled back in entry" in qimg("rollout", "status")[1]


def test_flags_and_policies_cannot_be_changed_beside_a_run_and_say_so(running, qimg, registry):
    """What docs/how-to/incidents.md says of the pin: nothing of it changes while a run holds the ledger."""
    registry.register(qimg_policy.plugin, "policy")
    p = running("reference")
    p.ask()
    for words in (("policy", "use", "team"), ("rollout", "release", "0", "--reason", "r")):
        code, _, err = qimg(*words)
        assert code == 1
        assert f"written by process {p.pid}" in err


def test_a_stricter_bundle_named_by_the_environment_holds_at_the_next_plan_that_leaves(folder, registry, monkeypatch):
    """A stricter folder under QIMG_POLICY: at once for what leaves; work in the process goes on as it was admitted."""
    registry.register(qimg_policy.plugin, "policy")
    monkeypatch.delenv("QIMG_POLICY", raising=False)
    fake = FakeProvider()
    quiet = Polling(sleep=lambda s: None)
    with Session("runs", seed=1, backend=fake, registry=registry, shots=10, polling=quiet) as session:
        session.generator("toy").sample(2, seed=1)
        monkeypatch.setenv("QIMG_POLICY", "team")
        with pytest.raises(AdmissionDenied):
            session.generator("toy").sample(2, seed=2)
    assert fake.submits == 1
    with Session("runs", seed=1, backend="reference", registry=registry) as session:
        session.generator("toy").sample(2)
        before = len(list(session.ledger.entries(kind="policy.decided")))
        monkeypatch.setenv("QIMG_POLICY", "nowhere")
        session.generator("toy").sample(2)
        assert len(list(session.ledger.entries(kind="policy.decided"))) == before


def test_where_many_may_write_a_block_of_another_writer_counts_at_the_next_request(registry, monkeypatch):
    """As on PostgreSQL: no file, the other's entry itself; the ledger here stands for one that others append to."""
    monkeypatch.setattr(stopping, "MemoryLedger", type(None))
    ledger = MemoryLedger()
    with Session(ledger, backend="reference", registry=registry) as session:
        session.generator("toy").sample(2)
        facts = {"schema": "qimg.block/1", "match": {"backend": "reference"}, "by": "operator"}
        ledger.append(blocks.BLOCKED, facts=facts, claims={"reason": "r"})  # around this process's own counting
        with pytest.raises(AdmissionDenied, match="operator"):
            session.generator("toy").sample(2)


class Adjoint(ReferenceBackend):
    """The reference device with a vector-Jacobian product, whose numbers do not matter here."""

    def __init__(self, name):
        super().__init__()
        self.name, self.products = name, 0

    @property
    def capabilities(self):
        return evolve(super().capabilities, gradients=frozenset({GradientMethod.ADJOINT}))

    def vjp(self, request, cotangent):
        self.products += 1
        return np.zeros((request.rows, request.circuit.n_inputs)), np.zeros_like(request.weights)


def test_a_stop_between_forward_and_backward_sends_the_derivative_to_the_fallback(folder, registry, run):
    class Two:
        @hookimpl
        def qimg_backends(self):
            return [BackendSpec(name=n, target="qimg_core.testing:ReferenceBackend") for n in ("first", "second")]

    registry.register(Two(), "two")
    devices = {n: Adjoint(n) for n in ("first", "second")}
    b = CircuitBuilder(1)
    asked = ExecutionRequest(
        circuit=b.ry(0, b.input("x")).build(),
        inputs=np.zeros((2, 1)),
        weights=np.zeros(0),
        measurement=Expectation([pauli("Z0")]),
    )
    with Session("runs", backend="first", fallback=["second"], registry=registry) as session:
        session._backends.update(devices)
        session.execute(asked, gradient=GradientMethod.ADJOINT)
        session.vjp(asked, np.ones((2, 1)))
        run("rollout", "block", "--match", "backend=first", "--reason", "r", "--wait", "0")
        session.vjp(asked, np.ones((2, 1)))
        assert [d.products for d in devices.values()] == [1, 1]
        assert [e.facts["to"] for e in session.ledger.entries(kind="route.fell_back")] == ["second"]


def test_a_block_and_its_release_in_the_same_process_count_at_the_next_request(folder, registry):
    with SQLiteLedger.open("runs") as log, Session(log, backend="reference", registry=registry) as session:
        session.generator("toy").sample(2)
        entry = blocks.block(log, {"backend": "reference"}, reason="r", by="operator")
        with pytest.raises(AdmissionDenied):
            session.generator("toy").sample(2)
        blocks.release(log, entry.index, reason="over", by="operator")
        session.generator("toy").sample(2)
        assert [e.kind for e in log.entries(kind="plan.admitted")] == ["plan.admitted"]
