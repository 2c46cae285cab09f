"""Logs of leaf hashes that can be signed at will, witnesses in this process, and ledgers with policies."""

from __future__ import annotations

import random

import pytest
from attrs import define, field

from qimg_anchors.heads import Heads, make_heads
from qimg_anchors.request import write_request
from qimg_anchors.testing.witness import LocalWitness
from qimg_anchors.witness import Witness
from qimg_core.ledger.cosignature import Cosigner
from qimg_core.ledger.merkle import Tree, leaf_hash
from qimg_core.ledger.note import Checkpoint, Signer

ORIGIN = "example.org/log"
NOW = 1_790_000_000


@define
class Log:
    """A log without scruples: signs whatever head it is asked for."""

    signer: Signer = field(factory=lambda: Signer.generate(ORIGIN))
    tree: Tree = field(factory=Tree)

    def grow(self, size, salt=b""):
        while self.tree.size < size:
            self.tree.append(leaf_hash(salt + self.tree.size.to_bytes(8, "big")))
        return self

    def fork(self, at, size, salt=b"other"):
        """The same log with other leaves from ``at`` on."""
        other = Log(self.signer)
        for k in range(at):
            other.tree.append(self.tree.leaf(k))
        return other.grow(size, salt)

    def note(self, size):
        head = Checkpoint(self.signer.origin, size, self.tree.root(size))
        return self.signer.sign_checkpoint(head, NOW)

    def request(self, old, size):
        proof = self.tree.consistency(old, size) if 0 < old < size else ()
        return write_request(old, proof, self.note(size))


@pytest.fixture
def log():
    return Log().grow(20)


@pytest.fixture
def forked(log):
    """Another history with the same keys, different from entry 3 on."""
    return log.fork(3, 20)


@pytest.fixture
def make_witness(tmp_path, log):
    """Makes witnesses in this process that know the log; the same name opens the same memory."""
    known, opened = {}, []

    def make(name="witness.example/w1", keys=None):
        folder = tmp_path / name.replace("/", "-")
        if name not in known:
            known[name] = Cosigner.generate(name)
            make_heads(folder, known[name].keys)
        for heads in opened:
            if heads.folder == folder:
                heads.close()
        heads = Heads(folder, known[name].keys)
        opened.append(heads)
        return Witness(known[name], {ORIGIN: keys or log.signer.keys}, heads, lambda: NOW)

    yield make
    for heads in opened:
        heads.close()


@pytest.fixture
def witness(make_witness):
    return make_witness()


@pytest.fixture
def rng():
    return random.Random(20260705)


@pytest.fixture
def serving(tmp_path):
    """Starts witnesses on loopback ports that know some keys: ``serving(keys, 3)``."""
    running = []

    def start(keys, count=3):
        for k in range(count):
            one = LocalWitness(tmp_path, f"witness.example/w{k + 1}", keys)
            one.__enter__()
            running.append(one)
        return running[-count:]

    yield start
    for one in running:
        one.__exit__(None, None, None)


def policy_text(witnesses, need=2):
    names = [f"w{k + 1}" for k in range(len(witnesses))]
    lines = "".join(
        one.line(name, mldsa44=k % 2 == 0) for k, (name, one) in enumerate(zip(names, witnesses, strict=True))
    )
    return f"{lines}group all-of-them {need} {' '.join(names)}\nquorum all-of-them\n"
