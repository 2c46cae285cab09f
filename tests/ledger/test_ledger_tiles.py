from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger.merkle import EMPTY_ROOT, Tree, fold, leaf_hash
from qimg_core.ledger.tiles import Rows, Tile, all_tiles, edge_root, edge_tiles, level_tiles, pack, unpack


def test_paths_are_those_of_the_specification():
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(3, 0, 17).path == "tile/3/000.p/17"
    assert Tile(0, 999).bundle == "tile/entries/999"
    assert Tile(0, 1000, 255).bundle == "tile/entries/x001/000.p/255"
    for bad in (Tile(0, 0, 0), Tile(0, 0, 257), Tile(0, -1)):
        with pytest.raises(ConfigurationError):
            _ = bad.path


def test_the_example_of_the_specification():
    """C2SP tlog-tiles, section Partial Tiles: a tree of size 70,000."""
    found = Counter((tile.level, tile.width) for tile in all_tiles(70_000))
    assert found == {(0, 256): 273, (0, 112): 1, (1, 256): 1, (1, 17): 1, (2, 1): 1}
    assert list(all_tiles(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(all_tiles(0)) == []


def test_roots_come_from_the_right_edge():
    leaves = [leaf_hash(i.to_bytes(3, "big")) for i in range(66_000)]
    tree = Tree(leaves)
    rows, size = Rows(), 0
    for tile in level_tiles(0, 66_000):
        start = tile.index * 256
        for above, hashes in rows.put(tile, leaves[start : start + tile.width]):
            width = 256**above.level
            for i in (0, 255):
                assert hashes[i] == tree.subtree((above.index * 256 + i) * width, (above.index * 256 + i + 1) * width)
        size = start + tile.width
        if tile.index in (0, 1, 2, 100, 254, 255, 256, 257):
            edge = rows.edge(size)
            assert tuple(t for t, _ in edge) == edge_tiles(size)
            assert all(len(hashes) == t.width for t, hashes in edge)
            root = edge_root(hashes for _, hashes in edge)
            assert root == tree.root(size)
            again = Rows(size, [hashes for _, hashes in edge])
            assert again.edge(size) == edge
    assert edge_root(()) == fold(()) == EMPTY_ROOT


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2_000_000), st.integers(0, 2_000_000))
def test_what_was_published_and_what_is_new_is_all(a, b):
    old, new = sorted((a, b))
    before, after = set(all_tiles(old)), set(all_tiles(new))
    added = list(all_tiles(new, since=old))
    assert len(set(added)) == len(added)
    assert after <= before | set(added)
    assert not set(added) & {tile for tile in before if tile.width == 256}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_read_back(bodies):
    data = pack(bodies)
    assert len(data) == sum(2 + len(body) for body in bodies)
    assert int.from_bytes(data[:2], "big") == len(bodies[0])
    assert unpack(data, len(bodies)) == bodies
    for bad in (data + b"\0", data[:-1], b""):
        with pytest.raises(LedgerCorrupt):
            unpack(bad, len(bodies))
    with pytest.raises(LedgerCorrupt):
        unpack(data, len(bodies) + 1)


def test_the_longest_entry_fits_and_no_longer_one():
    assert unpack(pack([b"x" * 65_535]), 1) == [b"x" * 65_535]
    with pytest.raises(ConfigurationError, match="65,536 bytes"):
        pack([b"x" * 65_536])
