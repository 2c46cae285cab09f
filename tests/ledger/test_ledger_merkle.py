from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core.errors import ConfigurationError
from qimg_core.ledger.merkle import EMPTY_ROOT, Frontier, Tree, leaf_hash, verify_consistency, verify_inclusion
from qimg_core.ledger.standalone import verify as standalone

# Leaves and roots of the Certificate Transparency reference tests.
LEAVES = [b"", b"\0", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", bytes(range(0x60, 0x70))]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def bad_standalone_consistency(old, size, proof, old_root, root):
    return standalone.consistent(old, size, list(proof), old_root, root)


CHECKS = [(verify_inclusion, verify_consistency), (standalone.included, bad_standalone_consistency)]


def reference_root(leaves):
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + reference_root(leaves[:k]) + reference_root(leaves[k:])).digest()


def test_reference_roots():
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    frontier, tree = Frontier(), Tree()
    assert frontier.root() == tree.root() == EMPTY_ROOT
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        frontier.append(leaf_hash(leaf))
        tree.append(leaf_hash(leaf))
        assert frontier.root().hex() == tree.root().hex() == root


@pytest.mark.parametrize("checks", CHECKS, ids=["core", "standalone"])
def test_public_vectors(vectors, checks):
    def b(text):
        return base64.b64decode(text) if text else b""

    counted = {}
    for kind, check in zip(("inclusion", "consistency"), checks, strict=True):
        for path in sorted((vectors / "merkle" / kind).rglob("*.json")):
            v = json.loads(path.read_bytes())
            proof = [b(part) for part in v["proof"] or []]
            if kind == "inclusion":
                holds = check(v["leafIdx"], v["treeSize"], b(v["leafHash"]), proof, b(v["root"]))
            else:
                holds = check(v["size1"], v["size2"], proof, b(v["root1"]), b(v["root2"]))
            assert holds is not v["wantErr"], path
            counted[kind] = counted.get(kind, 0) + 1
    assert counted == {"inclusion": 98, "consistency": 98}


@pytest.mark.parametrize("checks", CHECKS, ids=["core", "standalone"])
def test_every_proof_of_every_size_to_64(checks):
    included, consistent = checks
    leaves = [leaf_hash(bytes([i])) for i in range(64)]
    tree = Tree(leaves)
    roots = [reference_root(leaves[:n]) for n in range(65)]
    for size in range(1, 65):
        assert tree.root(size) == Frontier(leaves[:size]).root() == roots[size]
        for index in range(size):
            proof = tree.inclusion(index, size)
            assert len(proof) <= (size - 1).bit_length()
            assert included(index, size, leaves[index], proof, roots[size])
            assert not included(index, size, leaves[(index + 1) % 64], proof, roots[size])
            assert not included(index, size, leaves[index], [*proof, roots[size]], roots[size])
        for old in range(1, size + 1):
            proof = tree.consistency(old, size)
            assert consistent(old, size, proof, roots[old], roots[size])
            assert not consistent(old, size, proof, roots[old], roots[size - 1])
            if old != size:
                assert not consistent(old, size, proof, roots[old - 1], roots[size])
                assert not consistent(old, size, proof[:-1], roots[old], roots[size])


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 700), st.data())
def test_a_changed_proof_does_not_hold(size, data):
    leaves = [leaf_hash(i.to_bytes(2, "big")) for i in range(size)]
    tree = Tree(leaves)
    root = tree.root()
    assert root == reference_root(leaves)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    path, steps = list(tree.inclusion(index)), list(tree.consistency(old))
    assert verify_inclusion(index, size, leaves[index], path, root)
    assert verify_consistency(old, size, steps, tree.root(old), root)
    for proof, holds in (
        (path, lambda: verify_inclusion(index, size, leaves[index], path, root)),
        (steps, lambda: verify_consistency(old, size, steps, tree.root(old), root)),
    ):
        if proof:
            at = data.draw(st.integers(0, len(proof) - 1))
            flipped = bytearray(proof[at])
            flipped[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
            proof[at] = bytes(flipped)
            assert not holds()


def test_what_is_not_in_the_tree_is_refused():
    tree = Tree([leaf_hash(b"a")] * 5)
    for ask in (
        lambda: tree.inclusion(5),
        lambda: tree.inclusion(-1),
        lambda: tree.inclusion(0, 6),
        lambda: tree.consistency(0),
        lambda: tree.consistency(6),
        lambda: tree.root(6),
    ):
        with pytest.raises(ConfigurationError):
            ask()
    assert not verify_consistency(0, 5, (), EMPTY_ROOT, tree.root())
    assert not verify_inclusion(0, 0, leaf_hash(b"a"), (), EMPTY_ROOT)


def test_a_frontier_copy_is_independent():
    frontier = Frontier(leaf_hash(bytes([i])) for i in range(5))
    root = frontier.root()
    frontier.copy().append(leaf_hash(b"x"))
    assert (frontier.size, frontier.root()) == (5, root)
