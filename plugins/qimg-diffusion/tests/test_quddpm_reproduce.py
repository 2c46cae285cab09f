"""`reproduce`: figures beside the published ones. The trainings that reach the bounds are marked slow."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from qimg_core.errors import UnknownName
from qimg_core.session import Session
from qimg_core.verdict import Verdict
from qimg_diffusion.quddpm.ensembles import cluster, haar
from qimg_diffusion.quddpm.reproduce import Figure, mean_fidelity, reproduce


def test_mean_fidelity_is_uhlmanns():
    a, b = haar(3, 2, np.random.default_rng(1)), haar(4, 2, np.random.default_rng(2))
    rho, sigma = (np.einsum("ni,nj->ij", s, s.conj()) / len(s) for s in (a, b))
    root = sqrtm(rho + 1e-14 * np.eye(4))
    wanted = np.trace(sqrtm(root @ sigma @ root)).real ** 2
    assert np.isclose(mean_fidelity(a, b), wanted, atol=1e-6)
    assert np.isclose(mean_fidelity(a[:1], b[:1]), np.abs(a[0].conj() @ b[0]) ** 2)


def test_a_figure_is_judged_by_its_bounds():
    assert Figure(task="t", name="n", ours=0.5).verdict is Verdict.NOT_APPLICABLE
    assert Figure(task="t", name="n", ours=0.5, least=0.5, most=0.6).verdict is Verdict.PASS
    assert Figure(task="t", name="n", ours=0.61, most=0.6).verdict is Verdict.FAIL
    assert Figure(task="t", name="n", ours=float("nan"), most=0.6).verdict is Verdict.FAIL
    assert Figure(task="t", name="n", ours=0.25).to_json()["ours"] == "0.25"


def test_figures_are_recorded_beside_the_published_ones():
    session = Session(None, seed=2)
    with pytest.raises(UnknownName):
        reproduce(session, ["cluster-1", "cluster-9"])
    seen = []
    done = reproduce(
        session, ["cluster-1", "one-shot-gan"], effort=0.01, progress=lambda n, s: seen.append(n), layers=4, batch=8
    )
    assert (seen.count("cluster-1"), seen.count("one-shot-gan")) == (20, 10)
    fidelity = [f for f in done.figures if f.name == "mean |<0...0|psi>|^2"]
    assert [f.published for f in fidelity] == [0.9928, 0.4425]
    states = done.models["cluster-1"].sample(1000, seed=session.seed_for("reproduce", "cluster-1", "sample")).amplitudes
    assert np.isclose(fidelity[0].ours, (np.abs(states[:, 0]) ** 2).mean())
    held_out = cluster(1000, 1, seed=session.seed_for("reproduce", "cluster-1", "test")).states
    assert np.isclose(fidelity[0].data, (np.abs(held_out[:, 0]) ** 2).mean())
    entries = list(session.ledger.entries(run=session.run, kind="quddpm.reproduced"))
    assert entries[0].facts["figures"] == [f.to_json() for f in done.figures]


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", ["cluster-1", "cluster-2", "circle", "direct-transport", "one-shot-gan", "without-targets"]
)
def test_published_figures_are_reached(task):
    """Ten seconds to a minute each on a quiet core."""
    done = reproduce(Session(None, seed=1, profile="light"), [task])
    failed = [f for f in done.figures if f.verdict is Verdict.FAIL]
    assert not failed, failed
