"""What the kit does not know: numbers by hand, and the way through the core."""

from __future__ import annotations

import numpy as np
import pytest
from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Registry, Session, pauli

import qimg_toucan.plugin


@pytest.fixture
def registry() -> Registry:
    found = Registry(discover=False)
    found.register(qimg_toucan.plugin, "toucan")
    return found


def test_a_rotation_on_the_road(registry: Registry) -> None:
    b = CircuitBuilder(2)
    circuit = b.ry(0, b.input("x")).cx(0, 1).build()
    x = np.linspace(0.1, 1.3, 3)[:, None]
    request = ExecutionRequest(
        circuit=circuit, inputs=x, weights=np.zeros(0), measurement=Expectation([pauli("Z1"), pauli("Z0 Z1")])
    )
    with Session(None, seed=1, backend="toucan", registry=registry) as session:
        result = session.execute(request)
    np.testing.assert_allclose(result.data, np.hstack([np.cos(x), np.ones_like(x)]), atol=1e-12)
    assert result.record.ran_backend == "toucan"
    assert session.ledger.verify().ok
