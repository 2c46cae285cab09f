"""What a plan says beforehand, beside what the same sampling then does."""

import math
from decimal import Decimal

import pytest

from qimg_core import Registry, Session
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.generator import Arm
from qimg_core.jobs.polling import Polling
from qimg_core.planning import PlanningSession, plan_sampling
from qimg_core.testing.fake_provider import FakeProvider
from qimg_core.testing.toy import ToyPlugin


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    return found


def planned(registry, n, backend, **changes):
    shots = changes.pop("shots", None)
    with PlanningSession(None, seed=1, backend=backend, registry=registry, shots=shots) as session:
        found = plan_sampling(session.generator("toy", **changes), n)
        assert not session.log.started
        return found


def test_jobs_shots_and_money_are_those_of_the_sampling(registry):
    price, fake = Decimal("0.25"), FakeProvider(max_rows=2, price=Decimal("0.25"))
    found = planned(registry, 5, FakeProvider(max_rows=2, price=price), shots=100)
    assert (found.jobs, found.workload.total_shots, found.cost.high) == (3, 500, 3 * price)
    assert found.per_image == {"rows": 1, "executions": 1, "shots": 100}
    naps = Polling(sleep=lambda seconds: None)
    with Session(None, seed=1, backend=fake, registry=registry, shots=100, polling=naps) as session:
        session.generator("toy").sample(5)
        assert len(fake.cloud.jobs) == found.jobs
        assert session.spending.cost == found.cost.high


def test_nothing_reaches_the_device(registry):
    fake = FakeProvider()
    planned(registry, 5, fake, shots=100)
    assert not fake.cloud.jobs


def test_an_unknown_price_stays_unknown(registry):
    cost = planned(registry, 2, FakeProvider(price=None), shots=10).cost
    assert cost.high is None
    assert not cost.is_free


def test_a_classical_arm_asks_for_nothing(registry):
    found = planned(registry, 4, "reference", arm=Arm.TWIN)
    assert found.first is None
    assert found.jobs == 0
    assert found.cost.is_free


def test_several_requests_cost_at_most_so_many_times_the_first(registry):
    from attrs import evolve

    fake = FakeProvider(price=Decimal(1))
    with PlanningSession(None, seed=1, backend=fake, registry=registry, shots=10) as session:
        model = session.generator("toy")
        one = model.workload(6)
        model.workload = lambda n: evolve(one, requests=3, rows=13)  # two of six rows, and a smaller one
        found = plan_sampling(model, 6)
    assert found.jobs == 3
    assert found.cost.high == 3
    assert math.isclose(float(found.cost.low), 13 / 6)


def test_bad_input(registry):
    with pytest.raises(ConfigurationError, match="wanted 1 image"):
        planned(registry, 0, "reference")
    with Session(None, backend="reference", registry=registry) as session:
        with pytest.raises(ConfigurationError, match="PlanningSession"):
            plan_sampling(session.generator("toy"), 1)
    with PlanningSession(None, backend="reference", registry=registry) as session:
        with pytest.raises(DataError):
            plan_sampling(session.generator("toy"), 1, condition=[99])
