"""For tests: the rows of docs/reference/bad-input.md; each prepares a world in which one thing is wrong (`runpy`)."""

import datetime as dt
import shutil
import socket
import sqlite3
import types
from decimal import Decimal
from pathlib import Path

import numpy as np
from attrs import frozen

from qimg_core import run_log
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import toy
from qimg_policy.bundle import write_bundle


def malformed_bundle(w):
    w.pin()
    write_bundle(w.bundle(), Path("mine"))
    Path("mine/team.cedar").write_text("permit (principal")
    w.monkeypatch.setenv("QIMG_POLICY", "./mine")


def malformed_and_no_pin(w):
    write_bundle(w.bundle(), Path("mine"))
    Path("mine/team.cedar").write_text("permit (principal")
    w.monkeypatch.setenv("QIMG_POLICY", "./mine")


def forged_bundle(w):
    found = w.pin()
    write_bundle(found, Path("mine"))
    (name,) = [p for p in Path("mine").iterdir() if p.suffix == ".json"]
    w.envelope(name, lambda payload: payload.replace(b'"version":"1"', b'"version":"2"'))
    w.monkeypatch.setenv("QIMG_POLICY", "./mine")


def costly(w):
    """A plan that needs an approval, and the number of its refused decision."""
    approver = f'[[approvals.approver]]\nkey = "{w.key.public}"\nmay = ["cost"]\n[[device]]\nbackend = "ibm"'
    w.pin(**{'[[device]]\nbackend = "ibm"': approver})
    w.fake.price = Decimal(60)
    w.run(code=4)
    return next(e.index for e in w.entries() if e.kind == "policy.decided" and "findings" in e.facts)


def approved(w, ledger="runs"):
    decided = costly(w)
    if ledger != "runs":
        shutil.copytree("runs", ledger)
    words = ("--grants", "cost", "--key", "keys/officer.key.pem", "--days", 1, "--ledger", ledger)
    w.qimg("policy", "approve", decided, *words)


def clock(w, days):
    class Later(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + dt.timedelta(days=days)

    w.monkeypatch.setattr("qimg_policy.gate.dt", types.SimpleNamespace(datetime=Later, UTC=dt.UTC))


def expired_approval(w):
    approved(w)
    clock(w, 2)


def forged_approval(w):
    approved(w, "copy")
    with SQLiteLedger.open("copy", read_only=True) as log:
        entry = next(log.entries(kind="policy.approved"))
        data = log.get(entry.artefacts["envelope"])
    Path("forged.json").write_bytes(data)
    w.envelope("forged.json", lambda payload: payload.replace(b'"shots":200', b'"shots":999'))
    with SQLiteLedger.open("runs") as log:
        facts = {**entry.facts, "artefacts": {"envelope": log.put(Path("forged.json").read_bytes())}}
        log.append("policy.approved", facts=facts)


def clock_set_back(w):
    w.pin()
    clock(w, -1)


def forged_manifest(w):
    w.manifest()
    w.envelope("faces.npz.manifest.dsse.json", lambda payload: payload.replace(b"faces", b"facez"))


def changed_file(w):
    w.manifest()
    np.savez("faces.npz", x=np.ones((6, 2, 2, 1), np.float32), y=np.arange(6) % 3)


def licence_withdrawn(w):
    w.manifest()
    w.run("--fallback", "reference", code=0)
    assert w.fake.submits > 0
    w.fake.cloud.submits = 0
    Path("w.safetensors").unlink()
    w.rules('signature_required = true\nlicences = ["CC0-1.0"]\n')


def policy_server(answer):
    def prepare(w):
        w.monkeypatch.setattr("qimg_policy.opa.READ_S", 0.2)
        if answer is None:
            with socket.socket() as free:  # bound and closed: nobody listens there
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
        else:
            port = w.server(answer)
        w.pin(w.bundle("team-rego", **{"http://127.0.0.1:8181": f"http://127.0.0.1:{port}"}))

    return prepare


def shared_budget(w):
    w.qimg("budget", "init", "budget.db")
    w.qimg("budget", "set", "USD=5", "--budget", "budget.db")
    w.monkeypatch.setenv("QIMG_BUDGET", "budget.db")


def locked_budget(w):
    shared_budget(w)
    w.monkeypatch.setattr("qimg_budget.schema.WAIT", 0.05)
    w.held = sqlite3.connect("budget.db", isolation_level=None)
    w.held.execute("BEGIN IMMEDIATE")


def damaged_budget(w):
    shared_budget(w)
    for name in ("budget.db-wal", "budget.db-shm"):
        Path(name).unlink(missing_ok=True)
    Path("budget.db").write_bytes(b"no database " * 1000)


def missing_budget(w):
    w.monkeypatch.setenv("QIMG_BUDGET", "gone.db")


def unnamed_budget(w):
    shared_budget(w)
    w.qimg("budget", "use", "--ledger", "runs")
    w.monkeypatch.delenv("QIMG_BUDGET")


def unknown_cost(w):
    w.fake.price = None


def damaged_pin(w):
    w.pin()
    entry = next(e for e in w.entries() if e.kind == "policy.pinned")
    digest = entry.artefacts["bundle"].removeprefix("sha256:")
    (path,) = Path("runs/artefacts").rglob(f"*{digest[2:]}*")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"approved = true", b"approved = TRUE"))


def look_alike(w):
    w.pin()
    w.stated = ("sensitivity=\u0440ublic", *w.stated[1:])  # the first letter is Cyrillic


def overflow(w):
    w.pin()
    w.fake.price = Decimal(10) ** 30


def overflow_in_the_budget(w):
    shared_budget(w)
    w.fake.price = Decimal(10) ** 30


def damaged_stop(w):
    Path("runs/stops").mkdir()
    Path("runs/stops/" + "0" * 64 + ".stop").write_text("{}")


@frozen
class Row:
    """One row: what is wrong, words of the message, of what helps, the fallback, kinds on record."""

    name: str
    prepare: object
    said: str
    helps: str
    goes_on: bool
    kinds: tuple[str, ...]


REFUSED, DECIDED, DATA = ("plan.refused",), ("policy.decided", "plan.refused"), ("data.refused",)
BUDGET = ("budget.refused",)
ROWS = (
    Row("malformed policy bundle", malformed_bundle, "E_BUNDLE", "qimg policy lint", True, DECIDED),
    Row("malformed policy bundle, no pin", malformed_and_no_pin, "E_BUNDLE", "qimg policy lint", False, DECIDED),
    Row("forged signature of a bundle", forged_bundle, "E_SIGNATURE", "qimg policy diff", True, DECIDED),
    Row("expired approval", expired_approval, "expired on", "qimg policy approve", True, DECIDED),
    Row("forged approval", forged_approval, "forged", "qimg policy approve", True, DECIDED),
    Row("clock set back", clock_set_back, "E_CLOCK", "set the clock right", True, DECIDED),
    Row("forged signature of a manifest", forged_manifest, "D_SIGNATURE", "qimg manifest sign", False, DATA),
    Row("manifest with a changed file", changed_file, "D_CHANGED", "qimg manifest new", False, DATA),
    Row("licence withdrawn", licence_withdrawn, "D_LICENCE", "qimg manifest use", False, DATA),
    Row("policy server down", policy_server(None), "E_UNREACHABLE", "qimg policy show", True, DECIDED),
    Row("policy server slow", policy_server("slow"), "E_TIMEOUT", "qimg policy show", True, DECIDED),
    Row("policy server answers nonsense", policy_server("wrong"), "E_UNDEFINED", "qimg policy show", False, DECIDED),
    Row("budget locked", locked_budget, "cannot use the budget", "qimg budget show", True, BUDGET),
    Row("budget damaged", damaged_budget, "cannot use the budget", "qimg budget reconcile", True, BUDGET),
    Row("budget missing", missing_budget, "there is no budget", "qimg budget init", True, BUDGET),
    Row("budget not named", unnamed_budget, "does not say where", "export QIMG_BUDGET=FILE", True, BUDGET),
    Row("unknown cost", unknown_cost, "the price is not known", "--allow-unknown-cost", True, REFUSED),
    Row("damaged pin", damaged_pin, "has the digest", "qimg verify", False, REFUSED),
    Row("look-alike word", look_alike, "E_INPUT", "qimg policy words", False, DECIDED),
    Row("overflow number", overflow, "E_INPUT", "qimg policy words", True, DECIDED),
    Row("overflow number, shared budget", overflow_in_the_budget, "a budget can count", "qimg plan", True, BUDGET),
    Row("damaged stop", damaged_stop, "cannot be read", "qimg incident stops", True, REFUSED),
)  # fmt: skip


def busy(w):
    """Another process holds the ledger: nothing is sent and nothing can be written, which is said."""
    w.held = SQLiteLedger.open("runs")
    return ("generate", "--generator", "toy", "--untrained", "--n", 2, "--out", "a.png", "--backend", "fake-provider")


def pinning(bundle):
    """Putting a bundle to use that is malformed, or whose signature is forged."""

    def prepare(w):
        bundle(w)
        return ("policy", "use", "./mine", "--trust", "keys/officer.pub")

    return prepare


def recorded(w, *where):
    """Images of trained weights, recorded by a version of a plugin that is not here."""
    np.savez("faces.npz", x=np.zeros((6, 2, 2, 1), np.float32), y=np.arange(6) % 3)
    data = ("--data", "faces.npz", "--steps", 1, "--samples", 0, "--out", "w.safetensors", "--backend", "reference")
    w.qimg("train", "--generator", "toy", *data)
    real = run_log.environment
    w.monkeypatch.setattr(
        run_log, "environment", lambda: {**(e := real()), "packages": {**e["packages"], "qimg-toy": "9.9.0"}}
    )
    w.qimg("generate", "--generator", "toy", "--weights", "w.safetensors", "--n", 2, "--out", "a.png", *where)
    w.monkeypatch.setattr(run_log, "environment", real)


def unknown_version(w):
    recorded(w, "--backend", "reference")
    real = toy.ToyGenerator._pixels
    w.monkeypatch.setattr(toy.ToyGenerator, "_pixels", lambda self, *a: 1 - real(self, *a))
    return ("replay", w.entries()[-1].run)


def unknown_and_costly(w):
    recorded(w, "--backend", "fake-provider", "--shots", 100)
    w.fake.cloud.submits = 0
    return ("replay", w.entries()[-1].run)


@frozen
class Other:
    """A row of the second table: another command, its exit code, words of what it prints, what it leaves on record."""

    name: str
    prepare: object
    code: int
    said: str
    kinds: tuple[str, ...]


OTHERS = (
    Other("malformed policy bundle is pinned", pinning(malformed_bundle), 2, "policies", ()),
    Other("forged signature of a bundle is pinned", pinning(forged_bundle), 2, "signature", ()),
    Other("record of an unknown version", unknown_version, 3, "qimg-toy: 9.9.0 -> None", ("replay.compared",)),
    Other("the same, of a device that costs", unknown_and_costly, 4, "the budget allows 0", ("plan.refused",)),
    Other("the ledger is held by another process", busy, 1, "is being written by process", ()),
)  # fmt: skip
