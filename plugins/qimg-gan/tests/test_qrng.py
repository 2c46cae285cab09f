"""Quantum random numbers: a fake service, every way it fails, the loud fallback and what the record says of it."""

import json
import logging
import subprocess
import sys

import httpx
import numpy as np
import pytest
from attrs import evolve
from scipy import stats

from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.config import config_to_json
from qimg_core.credentials import Credential, FromCallable
from qimg_core.errors import AuthenticationError, BackendUnavailable, ConfigurationError, ProtocolError, RateLimited
from qimg_core.generation import initial_noise
from qimg_core.ledger import SQLiteLedger
from qimg_core.replay import replay_images
from qimg_core.seeds import derive_seed
from qimg_core.session import Session
from qimg_core.testing.server import FakeServer, Response
from qimg_core.testing.toy import ToyPlugin
from qimg_core.weights import load_weights, save_weights
from qimg_gan import qrng
from qimg_gan.prior import PriorConfig, PriorGan
from qimg_gan.qrng import QuantumNumbers, attach, draw, normal_of

PRIOR = PriorConfig(
    arm="bypass", control="qrng", size=8, classes=2, wires=10, pool=100, depth=3, width=8, critic_width=4
)


class Service(httpx.BaseTransport):
    """Answers as the documentation says, or as it was told; keeps what it was asked."""

    def __init__(self, answer=None):
        self.answer, self.asked, self.rng = answer, [], np.random.default_rng(9)
        self.keys = set()

    def handle_request(self, request):
        self.asked.append(request)
        self.keys.add(request.headers["x-api-key"])  # the client takes it off again
        if self.answer is not None:
            found = self.answer(request)
            if isinstance(found, Exception):
                raise found
            return found
        n = int(request.url.params["length"])
        data = self.rng.integers(0, 256, n).tolist()
        return httpx.Response(200, json={"success": True, "type": "uint8", "length": str(n), "data": data})


def numbers(service):
    key = Credential(FromCallable(lambda: ("very-secret-key", None), "a test"), purpose="test key")
    return QuantumNumbers("https://qrng.example", credential=key, transport=service)


def says(**document):
    return lambda request: httpx.Response(200, json=document)


def test_numbers_come_in_pieces_with_the_key():
    service = Service()
    found = numbers(service).draw(2500)
    again = np.random.default_rng(9)
    np.testing.assert_array_equal(found, np.concatenate([again.integers(0, 256, n) for n in (1024, 1024, 452)]))
    assert [r.url.params["length"] for r in service.asked] == ["1024", "1024", "452"]
    assert service.keys == {"very-secret-key"}


FAILURES = [
    (lambda request: httpx.ConnectError("no route"), BackendUnavailable),
    (lambda request: httpx.ReadTimeout("slow"), BackendUnavailable),
    (lambda request: httpx.Response(503), BackendUnavailable),
    (lambda request: httpx.Response(429), RateLimited),
    (lambda request: httpx.Response(403), AuthenticationError),
    (lambda request: httpx.Response(200, text="<html>"), ProtocolError),
    (says(success=False, message="no"), ProtocolError),
    (says(success=True, data=[1, 2]), ProtocolError),
    (says(success=True, data=[256] * 300), ProtocolError),
    (says(success=True, data=[True] * 300), ProtocolError),
    (says(success=True, data=[7] * 300), ProtocolError),  # stuck
]


@pytest.mark.parametrize(("answer", "error"), FAILURES)
def test_every_failure_is_an_error_or_a_loud_fallback(answer, error, caplog):
    service = Service(answer)
    with Session(None, seed=1) as session:
        with pytest.raises(error):
            draw(session, numbers(service), 300, seed=5, purpose="a test", fallback=False)
        assert not list(session.ledger.entries(kind="noise.drawn"))
        with caplog.at_level(logging.WARNING, "qimg"):
            drawn = draw(session, numbers(service), 300, seed=5, purpose="a test")
        assert len(service.asked) == 2  # nothing is repeated
        assert "PRNG" in caplog.text
        assert error.__name__ in caplog.text
        (entry,) = session.ledger.entries(kind="noise.drawn")
    wanted = np.random.Generator(np.random.PCG64(derive_seed(5, "qrng"))).integers(0, 256, 300, dtype=np.uint8)
    np.testing.assert_array_equal(drawn.data, wanted)
    assert drawn.source == entry.facts["source"] == "prng"
    assert entry.facts["asked"] == "qrng"
    assert error.__name__ in entry.facts["reason"]
    assert [g.field for g in entry.gaps] == ["qrng"]
    assert "very-secret-key" not in json.dumps(entry.facts)


def test_what_was_drawn_is_an_artefact(caplog):
    with Session(None, seed=1) as session:
        drawn = draw(session, numbers(Service()), 40, seed=5, purpose="a test")
        (entry,) = session.ledger.entries(kind="noise.drawn")
        assert session.ledger.get(entry.facts["artefacts"]["bytes"]) == drawn.data.tobytes()
    assert (entry.facts["source"], entry.facts["reason"], entry.facts["seed"]) == ("qrng", None, None)
    assert not entry.gaps
    assert not caplog.records


def test_no_bytes_are_refused_before_anything_is_asked():
    service = Service()
    with pytest.raises(ConfigurationError, match="1 random byte"):
        draw(Session(None, seed=1), numbers(service), 0, seed=5, purpose="a test")
    assert not service.asked


def test_bytes_become_normal_numbers():
    middle, last = normal_of(np.array([128, 0, 0, 0, 255, 255, 255, 255], dtype=np.uint8))
    assert middle == pytest.approx(stats.norm.ppf(0.5 + 0.5**33), abs=1e-9)
    assert last == pytest.approx(stats.norm.ppf(1 - 0.5**33), rel=1e-6)
    data = np.random.default_rng(1).integers(0, 256, 40_000, dtype=np.uint8)
    assert stats.kstest(normal_of(data), "norm").pvalue > 1e-3


def test_the_hook_supplies_the_noise_of_its_own_session_only():
    service = Service()
    session, other = Session(None, seed=1), Session(None, seed=1)
    other.registry = session.registry
    plain = initial_noise(other, 3, (2, 2), seed=4)
    attach(session, numbers(service))
    found = initial_noise(session, 3, (2, 2), seed=4)
    wanted = normal_of(np.random.default_rng(9).integers(0, 256, 48).astype(np.uint8)).reshape(3, 2, 2)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(initial_noise(other, 3, (2, 2), seed=4), plain)
    assert len(service.asked) == 1


@pytest.mark.parametrize(("answer", "source"), [(None, "qrng"), (says(success=False), "prng")])
def test_images_of_attached_noise_name_it_and_replay_without_the_service(answer, source, tmp_path):
    config, service = evolve(PRIOR, control="gaussian"), Service(answer)
    path = tmp_path / "w.safetensors"
    facts = {"config": config_to_json(config)}
    save_weights(path, PriorGan(Session(None, seed=1), config).state(), format=PriorGan.weights_format, facts=facts)
    with Session(tmp_path / "runs", seed=1) as session:
        attach(session, numbers(service))
        images = session.generator("prior-gan", weights=path).sample(2, seed=4)
    asked = len(service.asked)
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        (drawn,) = ledger.entries(kind="noise.drawn")
        (kept,) = ledger.entries(kind="noise.supplied")
        noise = normal_of(np.frombuffer(ledger.get(drawn.facts["artefacts"]["bytes"]), np.uint8)).reshape(2, 2, 10)
        assert kept.facts["more"] == {"entry": drawn.index, "bytes": drawn.facts["artefacts"]["bytes"]}
        again = PriorGan(Session(None, seed=1), config)
        again.load(load_weights(path).arrays)
        assert images.digest == again.sample(2, noise=noise).digest
        made = ledger.entry(images.entry)
        assert made.facts["seed"] is None
        assert (made.facts["noise_source"]["source"], made.facts["noise_source"]["entry"]) == (source, kept.index)
        assert ("noise" in {g.field for g in made.gaps}) == (source == "prng")
        assert replay_images(ledger, run=session.run).verdict == "pass"
    assert len(service.asked) == asked


class Anu(FakeServer):
    """The service on a port of this machine."""

    broken = False

    def stage(self, request):
        return "other"

    def handle(self, request):
        if self.broken or request.headers.get("x-api-key") != "very-secret-key":
            return Response.json({"message": "no"}, status=503)
        n = int(request.query.partition("length=")[2].partition("&")[0])
        data = np.random.default_rng().integers(0, 256, n).tolist()
        return Response.json({"success": True, "type": "uint8", "length": str(n), "data": data})


TOY = ("--generator", "toy", "--backend", "reference")


@pytest.fixture
def anu(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QIMG_QRNG_KEY", "very-secret-key")
    monkeypatch.setenv("QIMG_NOISE_SOURCE", "qrng")
    with Anu() as server:
        monkeypatch.setenv("QIMG_QRNG_URL", server.url)
        yield server


def registry():
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    found.register(qrng, "qrng")
    return found


def toy_weights(path):
    with Session(None, seed=1, backend="reference", registry=registry()) as session:
        model = session.generator("toy")
        facts = {"config": config_to_json(model.config)}
        save_weights(path, model.state(), format=model.weights_format, facts=facts)
    return str(path)


@pytest.mark.parametrize("broken", [False, True])
def test_the_command_line_takes_the_source_from_the_environment(broken, anu, tmp_path, caplog):
    anu.broken = broken
    weights = toy_weights(tmp_path / "w.safetensors")
    for name in ("one.png", "two.png"):
        argv = ["generate", *TOY, "--weights", weights, "--n", "3", "--seed", "5", "--out", name]
        assert main(argv, registry=registry()) == 0
    asked = len(anu.seen)
    assert asked == 2
    with SQLiteLedger.open(tmp_path / "runs", read_only=True) as ledger:
        one, two = ledger.entries(kind="images.made")
    assert (one.facts["pixels"] == two.facts["pixels"]) is broken  # the seed decides only where the PRNG stood in
    for made in (one, two):
        assert made.facts["noise_source"]["source"] == ("prng" if broken else "qrng")
        assert made.facts["noise_source"]["asked"] == "qrng"
    assert ("PRNG stands in" in caplog.text) is broken
    assert main(["replay", "one.png"], registry=registry()) == 0
    assert main(["plan", *TOY, "--weights", weights], registry=registry()) == 0
    assert len(anu.seen) == asked


def test_no_fallback_refuses_and_another_word_too(anu, monkeypatch, tmp_path, capsys):
    anu.broken = True
    argv = ["generate", *TOY, "--untrained", "--n", "2", "--out", "x.png"]
    monkeypatch.setenv("QIMG_NOISE_SOURCE", "qrng:no-fallback")
    assert main(argv, registry=registry()) != 0
    assert "qrng" in capsys.readouterr().err
    monkeypatch.setenv("QIMG_NOISE_SOURCE", "qrng:always")
    assert main(argv, registry=registry()) != 0
    assert "qrng:no-fallback" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
    assert not (tmp_path / "runs").exists()  # nothing ran, nothing was written


def test_a_fallback_is_said_on_stderr(anu, tmp_path):
    anu.broken = True
    program = f"""
import sys
from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.testing.toy import ToyPlugin
from qimg_gan import qrng
found = Registry(discover=False)
found.register(ToyPlugin(), "toy")
found.register(qrng, "qrng")
sys.exit(main(["generate", *{TOY!r}, "--untrained", "--n", "2", "--out", "x.png"], registry=found))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "could not be had, the PRNG stands in" in done.stderr


@pytest.mark.parametrize(("answer", "source"), [(None, "qrng"), (says(success=False), "prng")])
def test_strings_of_a_prior_come_from_the_service_and_travel_with_the_weights(answer, source):
    service = Service(answer)
    m = PriorGan(Session(None, seed=1), PRIOR)
    m.prior.numbers = numbers(service)
    images = m.sample(2, seed=4)
    prior = images.record["model"]["prior"]
    assert (prior["asked"], prior["source"]) == ("qrng", source)
    assert (prior["reason"] is None) == (source == "qrng")
    drawn = np.frombuffer(m.session.ledger.get(prior["bytes"]), np.uint8)
    np.testing.assert_array_equal(m.prior.pool, np.unpackbits(drawn.reshape(100, 2), axis=1)[:, :10])
    other, unasked = PriorGan(Session(None, seed=2), PRIOR), Service()
    other.prior.numbers = numbers(unasked)
    other.load(m.state())
    again = other.sample(2, seed=4)
    assert again.digest == images.digest
    assert again.quantum is False
    assert not unasked.asked
