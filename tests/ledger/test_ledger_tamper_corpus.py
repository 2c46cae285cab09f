"""A seeded corpus of tampering, of eight kinds, against a governed ledger: all of it found, and no false alarm.

Each mutation spoils a copy of the ledger, of a bundle, of the published log or of a picture. It is checked twice by
what `qimg verify` and `qimg inspect` run: without anything from outside, and with what governed mode has outside of
the folder (2 of 3 witnesses and an archive, asked online; for a bundle the log's keys and a kept head).
"""

from __future__ import annotations

import collections
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qimg_core.cli.evidence import match_picture
from qimg_core.images import read_images
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing.tampering import KINDS, NOBODY
from qimg_core.testing.tampering_copies import BUNDLE
from qimg_core.verdict import Verdict


def corpus(governed, scratch, count, seed, show=print):
    """Spoil so many copies, the kinds in turn. Gives (kind, way, place) -> [mutations, found alone, found in all]."""
    (scratch / "world").mkdir()
    here = governed.world(scratch / "world", seed)
    rng, table = random.Random(seed), collections.defaultdict(lambda: [0, 0, 0])
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        way, where, first, alone, whole = here.spoiled(rng, kind, scratch / "spoiled")
        shutil.rmtree(scratch / "spoiled")
        row = table[kind, way, where]
        row[0] += 1
        row[1] += not alone.ok
        row[2] += not whole.ok
        assert whole.verdict is Verdict.FAIL if where != "picture" else not whole.ok, (number, kind, way, where)
        assert whole.problems, (number, kind, way, where)
        if not alone.ok and first != NOBODY:
            assert alone.first_bad == first, (number, kind, way, where, alone)
    for key, row in sorted(table.items()):
        show("| " + " | ".join([*key, *map(str, row)]) + " |")
    return table


def blind(table):
    """Ways that a check without the outside does not always find."""
    return {way for (_, way, _), (count, alone, _) in table.items() if alone < count}


BLIND = {  # docs/explanation/tampering.md says so too
    "Put an old copy of the whole folder back",
    "Another history from some entry on, longer or shorter than the true one",
    "Change an entry, and sign everything again",
    "Remove an entry, and sign everything again",
    "Change an entry, leave every receipt out, and sign everything again",
    "Sign the manifest and every head with other keys, put in place of the log's: a bundle that agrees with itself",
}


def test_400_mutations_are_found(governed, scratch):
    table = corpus(governed, scratch, 400, 1)
    assert blind(table) == BLIND
    assert {kind for kind, _, _ in table} == set(KINDS)


@pytest.mark.slow
def test_10000_mutations_are_found(governed, scratch):
    table = corpus(governed, scratch, 10_400, 2)
    assert blind(table) == BLIND


def untouched(governed, scratch, worlds, runs):
    """Check governed ledgers while they grow, their bundles, published forms and pictures: all must pass."""
    looked = 0
    for number in range(worlds):
        (scratch / f"world-{number}").mkdir()
        here = governed.world(scratch / f"world-{number}", number)
        for _ in range(runs):
            here.run()
            here.close()
            for where, folder in governed.FOLDERS.items():
                for found in here.look(where, here.root / folder):
                    assert found.verdict is Verdict.PASS, (where, found)
            with SQLiteLedger.open(here.log, read_only=True) as ledger:
                images, text = read_images(here.rng.choice(here.pictures))
                assert match_picture(ledger, images, text).verdict is Verdict.PASS
            looked += 1
    return looked


def test_no_false_alarm_on_6_untouched_ledgers(governed, scratch):
    assert untouched(governed, scratch, 2, 3) == 6


@pytest.mark.slow
def test_no_false_alarm_on_120_untouched_ledgers(governed, scratch):
    assert untouched(governed, scratch, 15, 8) == 120


def test_the_standalone_verifier_as_a_program(governed, scratch):
    """A bundle's own copy of it, run by plain Python, finds what the library finds."""
    (scratch / "world").mkdir()
    here, rng = governed.world(scratch / "world", 3), random.Random(3)
    (scratch / "trusted.vkeys").write_bytes(here.keys)
    verifier = [sys.executable, here.root / "bundle" / "verify.py"]
    trusted = ["--vkeys", scratch / "trusted.vkeys"]
    assert subprocess.run([*verifier, here.root / "bundle", *trusted], check=False, capture_output=True).returncode == 0
    for way in (way for ways in BUNDLE.values() for way in ways):
        shutil.copytree(here.root / "bundle", scratch / "spoiled")
        first = way(rng, here.target(scratch / "spoiled"))
        ran = subprocess.run([*verifier, scratch / "spoiled", *trusted, "--json"], check=False, capture_output=True)
        assert ran.returncode == 1, way
        if first != NOBODY:
            assert json.loads(ran.stdout)["first_bad"] == first
        shutil.rmtree(scratch / "spoiled")


def test_every_way_is_in_the_documentation(governed):
    page = Path(__file__).parents[2] / "docs" / "explanation" / "tampering.md"
    text = page.read_text()
    ways = [way for place in governed.PLACES.values() for ways in place.values() for way in ways]
    for way in ways:
        assert f"| {way.__doc__.rstrip('.')} |" in text, way
    for way in BLIND:
        assert f"| {way} |" in text
