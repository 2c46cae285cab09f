"""``qimg inventory``: every run is in one workload, and the sums are those of the entries."""

import json
from decimal import Decimal

import pytest

from qimg_core import Session
from qimg_core.cli.app import App
from qimg_core.cli.commands.inventory import inventory
from qimg_core.cli.workloads import workloads
from qimg_core.jobs import Polling
from qimg_core.ledger import MemoryLedger, SQLiteLedger
from qimg_core.testing import FakeProvider

QUIET = Polling(sleep=lambda s: None)


@pytest.fixture
def listed(capsys, registry, monkeypatch):
    """Calls the command, as the program does: its document."""

    def call(*argv, as_json=True):
        capsys.readouterr()
        app = App(given=registry)
        inventory.main([str(a) for a in argv] + ["--json"] * as_json, obj=app, standalone_mode=False)
        out = capsys.readouterr().out
        return json.loads(out)["workloads"] if as_json else out

    return call


def made(ledger, registry, seed, backend="reference", *, images=4, **changes):
    with Session(
        ledger, seed=seed, backend=backend, registry=registry, activity="generate", polling=QUIET, **changes
    ) as session:
        session.generator("toy").sample(images, seed=seed)
    return session.run


def test_runs_of_one_kind_are_one_workload_and_sums_are_those_of_the_entries(tmp_path, registry, listed):
    stated = {"purpose": "research", "sensitivity": "public"}
    fake = FakeProvider(price=Decimal("0.25"))
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        for seed in (1, 2):
            made(ledger, registry, seed, context=stated)
        last = made(ledger, registry, 3, context=stated, images=5)
        made(ledger, registry, 4, fake, context={"purpose": "publication", "sensitivity": "internal"}, shots=100)
        total = sum(e.facts["n"] for e in ledger.entries(kind="images.made"))
        jobs = len(list(ledger.entries(kind="job.finished")))
        runs = {e.run for e in ledger.entries() if e.run}
    paid, free = listed("--ledger", tmp_path / "runs")
    assert (free["runs"], free["images"], free["last_run"]) == (3, 13, last)
    assert (free["purpose"], free["class"], free["backend"]) == ("research", "public", ["reference"])
    assert free["at_most"] == {}
    assert "simulated" in free["tags"]
    assert paid["backend"] == ["fake-provider"]
    assert paid["jobs"] == jobs
    assert paid["at_most"] == {"USD": str(Decimal("0.25") * jobs)}
    assert paid["billed"] == paid["at_most"]
    assert free["images"] + paid["images"] == total
    assert free["runs"] + paid["runs"] == len(runs)
    text = listed("--ledger", tmp_path / "runs", "--class", "internal", as_json=False)
    assert "generate toy on fake-provider" in text
    assert "reference" not in text
    assert listed("--ledger", tmp_path / "runs", "--tag", "nothing") == []


def test_the_class_of_the_data_follows_the_weights(qimg, trained, toy, listed):
    assert qimg("generate", *toy, "--weights", trained, "--n", 3, "--out", "three.png").code == 0
    document = qimg("generate", *toy, "--untrained", "--n", 3, "--out", "more.png")
    assert document.code == 0
    with SQLiteLedger.open("runs") as ledger:
        (data,) = {e.facts["data"]["digest"] for e in ledger.entries(kind="training.started")}
    untrained, generated, training = listed()
    assert [d["digest"] for d in training["data"]] == [data]
    assert generated["data"] == training["data"]
    assert untrained["data"] == []
    assert training["trained"] == 1
    assert training["weights"] == ["new"]
    assert {w["class"] for w in (untrained, generated, training)} == {"unstated"}
    assert "purpose not stated" in training["tags"]


def drafts(run, *kinds):
    started = {"activity": "train", "backend": "reference", "profile": "full"}
    data = {"digest": "sha256:d", "name": "faces"}
    facts = {
        "run.started": started,
        "data.checked": {"stated": {"sensitivity": "personal"}, "state": "unsigned"},
        "training.started": {"generator": "toy", "data": data},
        "weights.saved": {"digest": "sha256:w", "data": data},
        "run.finished": {"status": "ok"},
        "images.made": {"generator": "toy", "n": 2, "quantum": True, "simulated": True, "weights": "sha256:w"},
    }
    return [(kind, run, facts[kind]) for kind in kinds]


def test_images_of_weights_that_learned_personal_data_are_of_that_class():
    training = drafts("a", "run.started", "data.checked", "training.started", "weights.saved", "run.finished")
    later = drafts("b", "run.started", "images.made")
    with MemoryLedger() as ledger:
        for kind, run, facts in [*training, *later]:
            activity = {"activity": "generate"} if run == "b" and kind == "run.started" else {}
            ledger.append(kind, run=run, facts={**facts, **activity}, claims={"sensitivity": "public"})
        ledger.append("job.finished", run="a", facts={"billed": {"high": "0.30", "unit": "USD"}})  # after its end
        ledger.append("job.finished", run="a", facts={"billed": None})
        old, new = sorted(workloads(ledger.entries()), key=lambda w: w.key.activity, reverse=True)
    assert (old.key.sensitivity, new.key.sensitivity) == ("personal", "personal")
    assert new.key.data == ("sha256:d",)
    assert new.counts["open"] == 1
    assert old.counts["open"] == 0
    assert old.billed == {"USD": Decimal("0.30")}
    assert (old.counts["jobs"], old.counts["jobs_without_a_bill"]) == (2, 1)
