"""Programs whose power is cut. Each says what it was told is durable.

``("entry", index, body)``, ``("head", note)``, ``("artefact", digest)``, ``("keys", pairs so far)``,
``("published", size)``, ``("sealed", digest, content)``, ``("forgotten", digest)``, ``("bundle", name)``.
"""

from __future__ import annotations

import random
import threading

from qimg_core.ledger import Draft, SQLiteLedger, rotation, sealing
from qimg_core.ledger.bundle import export
from qimg_core.ledger.publishing import publish


def done(ack, entries):
    for entry in entries:
        ack(("entry", entry.index, entry.body))


def sealed(ack, written):
    done(ack, written.entries)
    ack(("head", written.note))


def one_thread(root, connect, ack):
    rng = random.Random(1)
    for session in range(2):
        with SQLiteLedger.open(root / "log", connect=connect) as ledger:
            for step in range(7):
                digest = ledger.put(rng.randbytes(rng.choice([10, 700, 6000])))
                ack(("artefact", digest))
                facts = {
                    "session": session,
                    "step": step,
                    "artefacts": {"a": digest},
                    "text": "x" * rng.randint(0, 900),
                }
                done(ack, ledger.extend([Draft("step", run="r", facts=facts)] * rng.randint(1, 4)))
                if step % 3 == 0:
                    ack(("head", ledger.checkpoint()))
                if step % 3 == 1:
                    sealed(ack, ledger.seal([Draft("sealed", facts=facts, key=f"{session}-{step}")]))


def many_threads(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:

        def work(number):
            for step in range(4):
                facts = {"thread": number, "step": step}
                if number == 0:
                    digest = ledger.put(f"{number}, {step}".encode() * 50)
                    ack(("artefact", digest))
                    facts["artefacts"] = {"a": digest}
                sealed(ack, ledger.seal([Draft("step", run=f"r{number}", facts=facts)]))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def new_keys(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        first = ledger.keys[0].id.hex()
        for number in range(2):
            done(ack, [ledger.append("step", facts={"n": number})])
            entry, note = rotation.rotate(ledger, root / "log", "planned")
            done(ack, [entry])
            ack(("head", note))
            ack(("keys", number + 2))
        _, note = rotation.revoke(ledger, root / "log", first, 1, "lost")
        ack(("head", note))


def publishing(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        for size in (3, 200, 300):
            done(ack, ledger.extend([Draft("step", facts={"k": k}) for k in range(size - len(ledger))]))
            ack(("head", ledger.checkpoint()))
            publish(ledger, root / "tiles")
            ack(("published", size))


def secret(ledger, ack, subject):
    """An artefact under a subject's key; gives what stands for the subject."""
    content = f"of {subject}, {len(ledger)}".encode()
    kept = sealing.seal(ledger, content, subject)
    done(ack, [ledger.append("step", facts=sealing.sealed_facts({"a": kept}))])
    if subject == "b":
        ack(("sealed", kept.digest, content))
    return kept


def forgetting(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        kept = [secret(ledger, ack, subject) for subject in ("b", "a", "b")]
        done(ack, [sealing.forget(ledger, "a")])
        ack(("forgotten", kept[1].digest))
        secret(ledger, ack, "b")


def everything(root, connect, ack):
    """A little of all; the same artefacts each time."""
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        for number in range(2):
            digest = ledger.put(f"artefact {number}".encode() * 100)
            ack(("artefact", digest))
            sealed(ack, ledger.seal([Draft("step", facts={"artefacts": {"a": digest}}, key=f"step {number}")]))
        secret(ledger, ack, "b")
        ack(("published", publish(ledger, root / "tiles").size))
        rotation.rotate(ledger, root / "log", "planned")
        ack(("keys", len(ledger.history.periods)))


def exporting(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        for number in range(2):
            digest = ledger.put(b"%d" % number * 900)
            ack(("artefact", digest))
            done(ack, [ledger.append("step", facts={"artefacts": {"a": digest}})])
            export(ledger, root / f"{number}.zip")
            ack(("bundle", f"{number}.zip"))


def few(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        for number in range(6):
            sealed(ack, ledger.seal([Draft("step", facts={"n": number})]))


PROGRAMS = [one_thread, many_threads, new_keys, forgetting, exporting, publishing]
