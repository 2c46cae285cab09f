"""What not even governed mode finds, as the documentation says: limits, asserted so that they do not move unseen."""

from __future__ import annotations

import shutil

import pytest

from qimg_core.testing.rewriting import bodies_of, changed, opened, rewritten
from qimg_core.verdict import Verdict


@pytest.fixture
def here(governed, scratch):
    (scratch / "world").mkdir()
    return governed.world(scratch / "world", 4)


def test_the_receipts_of_the_last_head_can_be_cut_off_unseen(here, scratch):
    shutil.copytree(here.log, scratch / "copy")
    gone = here.sizes[-1] - here.kept
    rewritten(scratch / "copy", bodies_of(scratch / "copy")[: here.kept], here.sizes, keep=here.kept)
    alone, whole = here.look("ledger", scratch / "copy")
    assert gone == 2  # receipts, which the memories give again when asked
    assert alone.ok
    assert whole.verdict is Verdict.PASS


def test_what_no_memory_has_kept_yet_can_be_changed_with_the_keys(here, scratch):
    shutil.copytree(here.log, scratch / "copy")
    bodies = bodies_of(scratch / "copy")
    bodies[-1] = changed(here.rng, bodies[-1])
    rewritten(scratch / "copy", bodies, here.sizes, keep=here.kept)
    assert [found.verdict for found in here.look("ledger", scratch / "copy")] == [Verdict.PASS, Verdict.PASS]
    bodies[here.kept - 1] = changed(here.rng, bodies[here.kept - 1])
    rewritten(scratch / "copy", bodies, here.sizes, keep=here.kept - 1)
    assert here.look("ledger", scratch / "copy")[1].verdict is Verdict.FAIL


def test_a_signed_head_below_others_can_be_removed_unseen_and_nothing_else_with_it(here, scratch):
    shutil.copytree(here.log, scratch / "copy")
    with opened(scratch / "copy") as db:
        db.execute("DELETE FROM checkpoint WHERE size=?", (here.sizes[-3],))
    assert here.sizes[-3] < here.kept
    alone, whole = here.look("ledger", scratch / "copy")
    assert alone.ok
    assert whole.verdict is Verdict.PASS
    with opened(scratch / "copy") as db:  # a head that was handed over is missed
        db.execute("DELETE FROM checkpoint WHERE size=?", (here.kept,))
    assert here.look("ledger", scratch / "copy")[1].verdict is Verdict.FAIL
