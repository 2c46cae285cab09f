"""Quantum random numbers: a fake service, every way it fails, the loud fallback and what the record says of it."""

import json
import logging

import httpx
import numpy as np
import pytest
from attrs import evolve
from scipy import stats

from qimg_core.credentials import Credential, FromCallable
from qimg_core.errors import AuthenticationError, BackendUnavailable, ConfigurationError, ProtocolError, RateLimited
from qimg_core.generation import initial_noise
from qimg_core.seeds import derive_seed
from qimg_core.session import Session
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


def test_images_of_attached_noise_are_linked_to_its_entry():
    config = evolve(PRIOR, control="gaussian")
    session = Session(None, seed=1)
    attach(session, numbers(Service(says(success=False))))
    images = PriorGan(session, config).sample(2, seed=4)
    (entry,) = session.ledger.entries(kind="noise.drawn")
    noise = normal_of(np.frombuffer(session.ledger.get(entry.facts["artefacts"]["bytes"]), np.uint8)).reshape(2, 2, 10)
    again = PriorGan(Session(None, seed=1), config).sample(2, noise=noise)
    assert images.digest == again.digest
    assert images.record["noise"] == again.record["noise"]


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
