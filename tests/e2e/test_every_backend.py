"""The same generator on every backend: one word changes, the numbers, the digits and the kind of record do not.

Requests are those of a real sampling run of the shipped `quantum-latent-flow`; what they must give comes from the dense
oracle of `qimg_core.testing`. ``-s`` prints the distances, and for shots the smallest fault that would have been seen.
IonQ is its fake server on a loopback port, with a simulator of its own. Everything here is a classical simulation.
"""

import json

import numpy as np
import pytest
from attrs import evolve

from qimg_core import Session
from qimg_core.cli import main
from qimg_core.images import read_images
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.measurement import LocalStates, Probabilities, Samples
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.statistics import detectable_effect, explained_by, multinomial_test
from qimg_ionq.testing import FakeIonQ

GENERATOR = "quantum-latent-flow"
EXACT = ("simulator", "pennylane", "pennylane:default.qubit", "ibm:aer", "braket:local", "ionq", "classical")
NOISY = "ibm:fake_guadalupe"
ORDER = (2, 0, 1, 7, 3, 6, 4, 5)  # neither its own inverse, nor plain, nor reversed
TOLERANCE = 1e-6
SHOTS, ALPHA = 2000, 1e-4

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def quiet(backend):
    return Session(None, seed=1, backend=backend, profile="light", polling=Polling(sleep=lambda seconds: None))


@pytest.fixture(scope="module", autouse=True)
def rehearsal():
    """`ionq` leads to its fake."""
    with FakeIonQ() as fake, pytest.MonkeyPatch.context() as patch:
        for name, value in fake.environment.items():
            patch.setenv(name, value)
        yield


def numbers(array):
    return array.detach().double().numpy().copy()


@pytest.fixture(scope="module")
def requests():
    """First and last request of a sampling run, in float64, and what the oracle makes of them."""
    taken = []
    with Session(None, seed=3, profile="light") as session:
        model = session.generator(GENERATOR, weights="mnist", sample_steps=4)
        execute = session.execute

        def noted(request, **more):
            plain = evolve(request, inputs=numbers(request.inputs), weights=numbers(request.weights), readout=None)
            taken.append(plain)
            return execute(request, **more)

        session.execute = noted
        model.sample(1, seed=2027)
    assert len(taken) == 4
    assert isinstance(taken[0].measurement, LocalStates)
    oracle = ReferenceBackend()
    return [(request, oracle.run(request).data) for request in (taken[0], taken[-1])]


@pytest.fixture(scope="module")
def distribution(requests):
    """The last request with all wires read in a scrambled order: request and exact probabilities."""
    asked = evolve(requests[-1][0], measurement=Probabilities(ORDER))
    return asked, ReferenceBackend().run(asked).data


@pytest.mark.parametrize("backend", EXACT)
def test_the_requests_of_a_run_give_the_same_numbers(backend, requests, distribution):
    worst = []
    with quiet(backend) as session:
        for request, wanted in (*requests, distribution):
            result = session.execute(request)
            assert (result.record.shots, result.record.ran_backend) == (None, backend)
            assert result.data.shape == wanted.shape
            worst.append(float(np.abs(result.data - wanted).max()))
    print(f"\n  {backend}: first, last, reordered distribution within {', '.join(f'{w:.0e}' for w in worst)}")
    assert max(worst) <= TOLERANCE


def test_a_wrong_order_or_a_small_error_of_an_angle_would_be_seen(requests, distribution):
    request, wanted = requests[-1]
    off = ReferenceBackend().run(evolve(request, inputs=request.inputs + 1e-4)).data
    assert np.abs(off - wanted).max() > TOLERANCE
    asked, right = distribution
    inverse = tuple(int(k) for k in np.argsort(ORDER))
    assert inverse != ORDER
    wrong = ReferenceBackend().run(evolve(asked, measurement=Probabilities(inverse))).data
    assert np.abs(wrong - right).max() > 1e-3


def fits_of(backend, asked, p):
    """Counts of `Probabilities` and of `Samples`, both against the exact distribution."""
    with quiet(backend) as session:
        shares = session.execute(evolve(asked, shots=SHOTS, seed=11)).data
        bits = session.execute(evolve(asked, measurement=Samples(ORDER), shots=SHOTS, seed=12)).data
    counts = np.rint(shares * SHOTS).astype(np.int64)
    np.testing.assert_allclose(counts / SHOTS, shares, atol=1e-12)
    index = bits.astype(np.int64) @ (1 << np.arange(len(ORDER))[::-1])
    seen = np.stack([np.bincount(row, minlength=p.shape[1]) for row in index])
    return [multinomial_test(c, p, seed=5, suspicious=1e-3) for c in (counts, seen)]


@pytest.mark.parametrize("backend", EXACT)
def test_shots_follow_the_exact_distribution(backend, distribution):
    asked, p = distribution
    fits = fits_of(backend, asked, p)
    least = detectable_effect(p, SHOTS, ALPHA, seed=6, draws=500)
    for what, fit in zip(("probabilities", "samples"), fits, strict=True):
        print(
            f"\n  {backend}, {what}: {fit.rows} rows x {fit.shots} shots, p = {fit.p_value:.3g}, too good "
            f"{fit.too_good:.3g}, distance {fit.tvd:.3f} of {fit.expected_tvd:.3f}; smallest fault seen {least:.3f}",
            end="",
        )
        assert fit.shots == SHOTS
        assert fit.impossible == 0
        assert min(fit.p_value, fit.too_good) > ALPHA


def test_the_noisy_device_reads_the_wires_in_the_order_asked(distribution):
    """Its noise is seen by the same test, and through it the right order explains the counts best by far."""
    asked, p = distribution
    with quiet(NOISY) as session:
        result = session.execute(evolve(asked, shots=SHOTS, seed=11))
    counts = np.rint(result.data * SHOTS).astype(np.int64)
    fit = multinomial_test(counts, p, seed=5, suspicious=0)
    print(f"\n  {NOISY}: p = {fit.p_value:.3g} against the exact numbers, distance {fit.tvd:.3f}")
    assert fit.p_value < 0.01
    footprint = result.record.footprint
    assert footprint is not None
    assert footprint.two_qubit_gates > 40
    inverse = tuple(int(k) for k in np.argsort(ORDER))
    wrong = [
        ReferenceBackend().run(evolve(asked, measurement=Probabilities(order))).data
        for order in (inverse, ORDER[::-1], tuple(range(len(ORDER))))
    ]
    for row in range(len(p)):
        scores = explained_by(counts[row], np.stack([p[row], *(w[row] for w in wrong)]))
        assert scores[0] > scores[1:].max() + 14


# -- the command line -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Calls `qimg generate` once for each backend; (images, text of the PNG, the ledger's entries, JSON of inspect)."""
    found = {}

    def call(backend, capsys, *more, steps="4"):
        if backend in found:
            return found[backend]
        folder = tmp_path_factory.mktemp("run")
        picture, ledger = str(folder / "digits.png"), str(folder / "runs")
        words = ["--generator", GENERATOR, "--n", "2", "--seed", "3", "--set", f"sample_steps={steps}"]
        code = main(["generate", *words, "--backend", backend, *more, "--out", picture, "--ledger", ledger, "--json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        assert main(["inspect", picture, "--ledger", ledger, "--json"]) == 0
        seen = json.loads(capsys.readouterr().out)
        with SQLiteLedger.open(ledger, read_only=True) as log:
            entries = list(log.entries())
        found[backend] = (*read_images(picture), entries, seen)
        return found[backend]

    return call


def of_kind(entries, kind):
    return [entry.facts for entry in entries if entry.kind == kind]


@pytest.mark.parametrize("backend", [*EXACT[:4], "ionq", "classical", *slow("braket:local")])
def test_the_command_makes_the_same_digits_and_records_what_ran(backend, made, capsys):
    exact = made("simulator", capsys)[0]
    images, text, entries, seen = made(backend, capsys)
    distance = np.abs(images.to_uint8().astype(int) - exact.to_uint8().astype(int)).max()
    print(f"\n  {backend}: pixels differ from the simulator's by {distance} of 255 at most")
    assert distance <= 1
    assert np.ptp(images.pixels) > 0.5
    assert text["qimg:simulated"] == "true"
    facts = seen["made"]
    assert seen["verdict"] == "pass"
    assert (facts["asked_backend"], facts["ran_backends"]) == (backend, [backend])
    assert (facts["device_kinds"], facts["fallback"], facts["quantum"]) == (["simulator"], [], True)
    (plan,) = of_kind(entries, "plan.admitted")
    assert (plan["backend"], plan["shots"], plan["device_kind"]) == (backend, None, "simulator")
    assert plan["fallback_reason"] is None
    if backend == "ionq":  # it lacks gates of the circuit: the plan says what was rewritten
        assert len(of_kind(entries, "job.finished")) == 4


@pytest.mark.slow
def test_the_command_on_a_noisy_device_records_what_was_compiled(made, capsys):
    more = ("--shots", "500", "--set", "guidance=1")
    images, _, entries, seen = made(NOISY, capsys, *more, steps="2")
    assert images.pixels.shape == (2, 28, 28, 1)
    assert (seen["made"]["ran_backends"], seen["made"]["shots"]) == ([NOISY], 500)
    (plan,) = of_kind(entries, "plan.admitted")
    footprint = plan["footprint"]
    assert footprint["basis"].startswith("transpiled for fake_guadalupe")
    assert footprint["two_qubit_gates"] > 40
    assert footprint["digest"].startswith("sha256:")


def test_a_chain_goes_on_and_says_why(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "--generator", GENERATOR, "--n", "1", "--seed", "3", "--set", "sample_steps=1"]
    chain = ["--backend", "ibm:aer[wires=4]", "--fallback", "classical"]
    assert main([*words, *chain, "--out", "d.png", "--ledger", "runs"]) == 0
    capsys.readouterr()
    assert main(["inspect", "d.png", "--ledger", "runs", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["made"]
    assert (facts["asked_backend"], facts["ran_backends"]) == ("ibm:aer", ["classical"])
    with SQLiteLedger.open("runs", read_only=True) as log:
        (plan,) = of_kind(list(log.entries()), "plan.admitted")
    assert "wires" in plan["fallback_reason"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["simulator", "pennylane", "ibm:aer", "classical"])
def test_sixteen_digits_in_thirty_steps(backend, tmp_path, capsys):
    from qimg_metrics.features import shipped_network

    picture = str(tmp_path / "d.png")
    words = ["--generator", GENERATOR, "--n", "16", "--seed", "3", "--backend", backend]
    assert main(["generate", *words, "--out", picture, "--ledger", str(tmp_path / "runs")]) == 0
    pixels = read_images(picture)[0].pixels
    asked = np.arange(16) % 10
    assert (shipped_network("mnist-28").classify(pixels) == asked).sum() >= 13
