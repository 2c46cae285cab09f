from __future__ import annotations

import base64
import json

import pytest

from qimg_core.errors import ConfigurationError
from qimg_core.ledger.merkle import Frontier, Tree, fold, leaf_hash
from qimg_core.ledger.subtree import (
    is_subtree,
    subtree_consistency,
    subtree_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)

LEAVES = [leaf_hash(bytes([i])) for i in range(40)]


def b(text):
    return base64.b64decode(text) if text else b""


def test_public_vectors(vectors):
    counted = {"inclusion": 0, "consistency": 0}
    for path in sorted((vectors / "merkle" / "subtreeinclusion").rglob("*.json")):
        v = json.loads(path.read_bytes())
        proof = [b(part) for part in v["proof"] or []]
        holds = verify_subtree_inclusion(v["leafIdx"], v["start"], v["end"], b(v["leafHash"]), proof, b(v["root"]))
        assert holds is not v["wantErr"], path
        counted["inclusion"] += 1
    for path in sorted((vectors / "merkle" / "subtreeconsistency").rglob("*.json")):
        v = json.loads(path.read_bytes())
        proof = [b(part) for part in v["proof"] or []]
        holds = verify_subtree_consistency(v["start"], v["end"], v["size"], proof, b(v["root1"]), b(v["root2"]))
        assert holds is not v["wantErr"], path
        counted["consistency"] += 1
    assert counted == {"inclusion": 204, "consistency": 118}


def test_the_proofs_we_make_are_those_of_the_vectors(vectors):
    """The happy vectors carry the proof that the reference implementation made of the reference leaves."""
    leaves = [b"", b"\0", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", bytes(range(0x60, 0x70))]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    tree = Tree(hashes)
    made = 0
    for path in sorted((vectors / "merkle").rglob("*happy-path*.json")):
        v = json.loads(path.read_bytes())
        proof = tuple(b(part) for part in v["proof"] or [])
        if path.parts[-3] == "subtreeinclusion" and v["end"] <= 8:
            shifted = Tree([*hashes[: v["start"]], *hashes])  # there the subtree holds the first leaves
            assert subtree_inclusion(shifted, v["leafIdx"], v["start"], v["end"]) == proof
            made += 1
        elif path.parts[-3] == "subtreeconsistency" and v["size"] <= 8:
            assert subtree_consistency(tree, v["start"], v["end"], v["size"]) == proof
            made += 1
    assert made >= 10


def test_every_subtree_of_every_size_to_40():
    tree = Tree(LEAVES)
    for size in range(1, 41):
        for start in range(size):
            for end in range(start + 1, size + 1):
                if not is_subtree(start, end):
                    continue
                part, proof = fold(LEAVES[start:end]), subtree_consistency(tree, start, end, size)
                assert part == tree.subtree(start, end)
                assert verify_subtree_consistency(start, end, size, proof, part, tree.root(size))
                if start == 0:
                    assert proof == tree.consistency(end, size)  # RFC 9162 section 2.1.4.1
                if end == start + 1:
                    assert proof == tree.inclusion(start, size)  # RFC 9162 section 2.1.3.1
                wrong = LEAVES[(start + 1) % 40]
                assert not verify_subtree_consistency(start, end, size, proof, wrong, tree.root(size))
                assert not verify_subtree_consistency(start, end, size, [*proof, part], part, tree.root(size))
                for index in (start, end - 1):
                    path = subtree_inclusion(tree, index, start, end)
                    assert verify_subtree_inclusion(index, start, end, LEAVES[index], path, part)
                    assert not verify_subtree_inclusion(index, start, end, wrong, path, part) or LEAVES[index] == wrong


def test_what_is_no_subtree_is_refused():
    tree = Tree(LEAVES[:10])
    for ask in (
        lambda: subtree_consistency(tree, 2, 6),  # width 4 from 2
        lambda: subtree_consistency(tree, 8, 12),
        lambda: subtree_consistency(tree, 0, 4, 11),
        lambda: subtree_inclusion(tree, 3, 4, 8),
        lambda: subtree_inclusion(tree, 1, 1, 1),
    ):
        with pytest.raises(ConfigurationError):
            ask()


def test_a_frontier_grows_by_many_as_by_one():
    leaves = [leaf_hash(i.to_bytes(2, "big")) for i in range(1400)]
    for first, second in ((0, 1400), (1, 600), (255, 600), (256, 256), (300, 1100)):
        frontier = Frontier(leaves[:first])
        frontier.extend(leaves[first : first + second])
        assert frontier.size == first + second
        assert frontier.root() == Tree(leaves[: first + second]).root() == fold(leaves[: first + second])
