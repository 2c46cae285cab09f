"""Stops that are damaged, foreign or signed, and a kill -9 at every step of posting and recording one."""

import hashlib
import json
import os
import signal
from pathlib import Path
from runpy import run_path

import pytest
from attrs import evolve

import qimg_core.storage
from qimg_core.errors import AdmissionDenied, ConfigurationError
from qimg_core.ledger import SQLiteLedger
from qimg_core.session import Session
from qimg_core.testing import FakeProvider
from qimg_policy.keys import SigningKey, make_key
from qimg_rollout import blocks, stopping, stops

KEY = SigningKey("release", bytes(range(32)))
given = run_path(str(Path(__file__).with_name("stops_bench.py")))
folder, running, run, opened, entries = (given[n] for n in ("folder", "running", "run", "opened", "entries"))


def altered(path):
    path.write_bytes(path.read_bytes().replace(b"reference", b"referencf"))


def cut(path):
    path.write_bytes(path.read_bytes()[:40])


def renamed(path):
    path.rename(path.with_name("0" * 64 + ".stop"))


@pytest.mark.parametrize("harm", [altered, cut, renamed])
def test_a_damaged_stop_refuses_what_leaves_until_somebody_has_looked(harm, running, run, registry, folder):
    p = running("reference")
    p.ask()
    held = run("rollout", "block", "--match", "backend=reference", "--reason", "r", "--wait", "0")
    harm(Path(held["file"]))
    assert p.ask().split()[0] == "reference"  # in this process: goes on
    p.stdin.close()
    p.wait()
    fake = FakeProvider()
    with (
        Session("runs", seed=1, backend=fake, registry=registry, shots=10) as session,
        pytest.raises(AdmissionDenied, match="cannot be read") as refused,
    ):
        session.generator("toy").sample(2)
    assert fake.submits == 0
    assert "qimg incident stops" in refused.value.hint
    assert entries("plan.refused")
    (bad,) = run("incident", "stops", code=1)["damaged"]
    run("incident", "stops", "--discard", bad["file"], code=2)  # without a reason
    run("incident", "stops", "--discard", bad["file"], "--reason", "the block was made again")
    assert run("incident", "stops")["damaged"] == []
    assert entries(stopping.DISCARDED)[0].claims["reason"] == "the block was made again"


def test_a_stop_that_no_entry_could_hold_is_refused_before_it_is_written(folder, run):
    """Written, it would refuse every plan of the ledger, and be no damaged file that can be put aside."""
    words = ("rollout", "block", "--match", "backend=reference", "--reason")
    assert "60,000 bytes at most" in run(*words, "r" * 60_000, code=2)["error"]["message"]
    assert not (folder / "stops").exists()
    with SQLiteLedger.open("runs", read_only=True) as log:
        found = stopping.propose(log, matches=[{"backend": "reference"}], reason="r", by="operator")
        number = evolve(found, flags=(stops.StoppedFlag(flag="q", path="p", to={"x": 0.5}),))
        for bad in (number, evolve(found, reason="\ud800"), evolve(found, matches=({"colour": "red"},))):
            with pytest.raises(ConfigurationError):
                stops.post(folder / "stops", bad)
    assert not (folder / "stops").exists()
    longest = run(*words, "r" * 59_000)  # the longest that is taken does fit into its entry
    assert longest["recorded"]


@pytest.mark.parametrize(
    "change", [{"reason": "r" * 70_000}, {"flags": [{"flag": "q", "path": "p", "to": {"x": 0.5}}]}]
)
def test_a_file_that_no_entry_could_hold_is_a_damaged_stop_and_work_here_goes_on(change, folder, run, running):
    with SQLiteLedger.open("runs", read_only=True) as log:
        found = stopping.propose(log, matches=[{"backend": "other"}], reason="r", by="operator").to_json()
    data = json.dumps({**found, **change}).encode()
    (folder / "stops").mkdir()
    (folder / "stops" / (hashlib.sha256(data).hexdigest() + ".stop")).write_bytes(data)
    assert running("reference").ask().split()[0] == "reference"
    assert len(run("incident", "stops", code=1)["damaged"]) == 1


def test_a_damaged_stop_that_is_repaired_under_its_name_is_obeyed_at_the_next_request(running, run):
    p = running("reference", "other")
    p.ask()
    held = Path(run("rollout", "block", "--match", "backend=reference", "--reason", "r", "--wait", "0")["file"])
    sound = held.read_bytes()
    altered(held)
    assert [p.ask().split()[0] for _ in range(2)] == ["reference"] * 2
    held.write_bytes(sound)
    assert p.ask().split()[0] == "other"


def test_a_stop_that_is_gone_is_put_aside_with_a_reason(running, run):
    p = running("reference")
    p.ask()
    first = run("rollout", "block", "--match", "backend=other", "--reason", "r", "--wait", "0")
    run("rollout", "block", "--match", "backend=third", "--reason", "r", "--wait", "0")
    Path(first["file"]).unlink()
    p.stdin.close()
    p.wait()
    gone = first["stop"]
    run("incident", "stops", "--discard", gone[:12], "--reason", "r", code=2)
    run("incident", "stops", "--discard", gone, "--reason", "it was blocked again")
    assert run("incident", "stops")["gone"] == []
    (aside,) = entries(stopping.DISCARDED)
    assert (aside.facts["stop"], "taken away" in aside.facts["found"]) == (gone, True)


def test_a_stop_of_another_log_is_none(folder, run):
    with SQLiteLedger.open("other") as log:
        posted = stops.post(
            stops.folder_of(log), stopping.propose(log, matches=[{"backend": "reference"}], reason="r", by="operator")
        )
    target = folder / "stops"
    target.mkdir()
    posted.path.rename(target / posted.path.name)
    (bad,) = run("incident", "stops", code=1)["damaged"]
    assert "another" in bad["found"] or "for the log" in bad["found"]


def test_a_signed_stop_carries_an_envelope_that_holds(folder, run, running):
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    from qimg_policy.keys import load_public

    private, public = make_key("duty", folder.parent / "keys")
    p = running("reference", "other")
    p.ask()
    words = ("--match", "backend=reference", "--reason", "r", "--wait", "0", "--key", private)
    held = run("rollout", "block", *words)
    key = load_public(public)
    envelope = Envelope.from_dict(json.loads(Path(held["file"]).read_bytes()))
    known = SSlibKey(key.id, "ed25519", "ed25519", {"public": key.raw.hex()})
    assert envelope.verify([known], 1)
    p.ask()
    (block,) = entries(blocks.BLOCKED)
    assert block.facts["signed_by"] == [key.id] == held["signed_by"]
    with SQLiteLedger.open("runs", read_only=True) as log:
        assert json.loads(log.get(block.facts["artefacts"]["stop"]))["signatures"][0]["keyid"] == key.id


# -- kill -9 -----------------------------------------------------------------------------------

STEPS = ("open", "write", "fsync", "replace", "unlink")


def killed_after(steps, work):
    """Fork, do the work, and be killed at the step of that number; True where the work was done before."""
    child = os.fork()
    if child == 0:
        left = [steps]

        def counted(real):
            def call(*args, **kwargs):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return real(*args, **kwargs)

            return call

        for step in STEPS:
            setattr(os, step, counted(getattr(os, step)))
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return not os.WIFSIGNALED(status)


def posting():
    with SQLiteLedger.open("runs", read_only=True) as log:
        opens = stops.Opening(incident=f"inc-20261121-{os.urandom(3).hex()}", severity="high")
        found = stopping.propose(log, matches=[{"backend": "reference"}], opens=opens, reason="r", by="operator")
        posted = stops.post(stops.folder_of(log), found, [SigningKey("duty", bytes(32))])
    Path("said").write_text(posted.digest)


def recording():
    with SQLiteLedger.open("runs") as log:
        stopping.record(log)


@pytest.mark.parametrize("work", [posting, recording])
def test_killed_at_every_step_a_stop_that_was_said_is_never_lost_and_counts_once(work, folder, registry):
    assert qimg_core.storage.os is os
    for steps in range(200):
        Path("said").unlink(missing_ok=True)
        if work is recording:
            posting()
        done = killed_after(steps, work)
        said = Path("said").read_text() if Path("said").exists() else None
        recording()
        recording()
        of = [e.facts["stop"] for e in entries(stopping.OPENED)]
        assert len(set(of)) == len(of)
        blocked = entries(blocks.BLOCKED)
        assert sorted(e.facts["stop"] for e in (*blocked, *entries(stopping.HELD))) == sorted(of)
        assert len(blocked) == min(len(of), 1)  # the same by the same is blocked once
        if said is not None:
            assert said in of
        assert not os.path.exists("runs/stops") or os.listdir("runs/stops") == []  # nothing half written either
        if done:
            break
    assert done
    assert steps > 3
    with SQLiteLedger.open("runs") as log:
        assert log.verify().ok
        with pytest.raises(AdmissionDenied), Session(log, backend="reference", registry=registry) as session:
            session.generator("toy").sample(2)
