"""A process killed with SIGKILL while its request is at the provider; another goes on: one job, its result adopted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qimg_core import Registry
from qimg_core.ledger.opening import open_ledger
from qimg_core.testing.faults import Fault, Point

pytest.importorskip("qimg_ibm")
pytest.importorskip("qimg_braket")
pytest.importorskip("qimg_ionq")

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
CHILD = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import fault_matrix_cells as cells
name, ledger, run = sys.argv[1:]
with cells.session_at(name, Path(ledger), **({"resume": run} if run else {})) as session:
    print(session.run, flush=True)
    result = session.execute(cells.request())
    print(json.dumps([result.data.tolist(), list(result.record.decisions)]), flush=True)
"""
QUICK = {("ionq", Point.AFTER_ACCEPT), ("ionq", Point.DURING_DOWNLOAD)}


def child(name: str, ledger: Path, run: str = "") -> subprocess.Popen[str]:
    """A process with one session of ``run``, or of a new run."""
    environment = {**os.environ, "PYTHONPATH": str(RECIPES), "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "-c", CHILD, name, str(ledger), run]
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("name", "point"),
    [
        pytest.param(n, p, id=f"{n}-{p}", marks=() if (n, p) in QUICK else pytest.mark.slow)
        for n in ("ionq", "braket", "ibm")
        for p in Point
    ],
)
def test_killed_at_a_point_and_resumed(name, point, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)
    import fault_matrix_cells as cells

    ledger = tmp_path / "runs"
    with cells.provider(name) as at:
        if point is Point.BEFORE_SEND:  # it dies, and what it sent is not taken
            at.fake.faults.add(Fault.DROPPED, point)
        first: list[subprocess.Popen[str]] = []

        def kill() -> None:
            first[0].kill()
            first[0].wait()

        at.fake.faults.call(point, kill)
        first.append(child(name, ledger))
        run, rest = first[0].communicate(timeout=120)[0].partition("\n")[::2]
        assert first[0].returncode == -9, rest
        assert rest == ""
        assert at.jobs == (point is not Point.BEFORE_SEND)
        second = child(name, ledger, run)
        out, err = second.communicate(timeout=120)
        assert second.returncode == 0, err
        data, decisions = json.loads(out.splitlines()[1])
        assert at.jobs == 1
        assert at.gave(np.array(data))
        taken_again = name == "braket" and point is Point.AFTER_ACCEPT  # the same token: the provider makes one of two
        adopted = any("found again, not sent" in d for d in decisions)
        assert adopted == (point is Point.AFTER_ACCEPT and not taken_again), decisions
    with open_ledger(ledger, Registry(discover=False), create=False, read_only=True) as log:
        assert log.verify().ok
        kinds = [e.kind for e in log.entries(run=run)]
    assert kinds.count("jobs.intended") == kinds.count("job.finished") == 1
    assert "run.resumed" in kinds
