"""C21: derivatives that a device claims are those of its numbers (floor 8; imports the bench; torch by name only)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.backend import LocalBackend
from qimg_core.capabilities import GradientMethod, MeasurementKind
from qimg_core.circuit.pauli import pauli
from qimg_core.measurement import Expectation
from qimg_core.routing import plan_for
from qimg_core.testing.conformance.case import NotApplicable, Undecided, case
from qimg_core.testing.conformance.circuits import spread
from qimg_core.testing.conformance.dense import expected
from qimg_core.testing.conformance.device.parameters import affine

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

STEP, TOLERANCE = 1e-5, 1e-7
"""Central differences of the exact numbers are right to about STEP**2."""


def _request(bench: Bench, *, by_row: bool) -> ExecutionRequest:
    bench.needs(MeasurementKind.EXPECTATION)
    bench.needs_wires(3)
    rng = bench.rng("gradient", by_row)
    weights = spread(rng, 2, 2) if by_row else spread(rng, 1, 2)[0]
    measurement = Expectation([pauli("Z0"), pauli("X1 Z2", -1.5), pauli("Y2")])
    return bench.request(affine(), measurement, spread(rng, 2, 2), weights)


def differences(request: ExecutionRequest, cotangent: Any) -> tuple[Any, Any]:
    """Derivatives of sum(cotangent * result) by inputs and weights, from exact numbers."""
    import numpy as np

    def slope(field: str) -> Any:
        values = getattr(request, field)
        out = np.zeros(values.shape)
        for index in np.ndindex(*values.shape):
            step = np.zeros(values.shape)
            step[index] = STEP
            up, down = (expected(evolve(request, **{field: values + s * step})) for s in (1, -1))
            out[index] = ((up - down) * cotangent).sum() / (2 * STEP)
        return out

    return slope("inputs"), slope("weights")


def _cotangent(bench: Bench, request: ExecutionRequest) -> Any:
    return bench.rng("cotangent").normal(size=(request.rows, request.measurement.width))


@case("C21.adjoint", "adjoint derivatives by inputs and weights, shared and affine")
def _adjoint(bench: Bench, checks: Checks) -> None:
    if GradientMethod.ADJOINT not in bench.caps.gradients:
        raise NotApplicable("the device does not claim adjoint gradients; C13.gradients shows that it refuses them")
    with bench.site() as site:
        for by_row in (False, True):
            request = _request(bench, by_row=by_row)
            cotangent = _cotangent(bench, request)
            plan = bench.plan(site.driver, request)
            got = site.driver.vjp(plan.lowered, cotangent)
            for what, a, b in zip(("inputs", "weights"), got, differences(request, cotangent), strict=True):
                checks.near(f"by {what}, weights {'by row' if by_row else 'shared'}", a, b, TOLERANCE)


@case("C21.backprop", "torch tensors in, tensors of the same graph out, with the right derivatives")
def _backprop(bench: Bench, checks: Checks) -> None:
    if GradientMethod.BACKPROP not in bench.caps.gradients:
        raise NotApplicable("the device does not claim gradients through torch")
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise Undecided("torch is not installed") from error
    with bench.site() as site:
        driver = site.driver
        if not isinstance(driver, LocalBackend):
            raise Undecided("only devices in this process can be differentiated through")
        for by_row in (False, True):
            request = _request(bench, by_row=by_row)
            cotangent = _cotangent(bench, request)
            x, w = (torch.tensor(a, requires_grad=True) for a in (request.inputs, request.weights))
            plan = plan_for(driver, evolve(request, inputs=x, weights=w))
            data = driver.run(plan.lowered).data
            checks.near("the numbers", data.detach().numpy(), expected(request), bench.options.tolerance)
            (data * torch.tensor(cotangent)).sum().backward()
            for what, a, b in zip(("inputs", "weights"), (x, w), differences(request, cotangent), strict=True):
                where = f"by {what}, weights {'by row' if by_row else 'shared'}"
                checks.that(where, a.grad is not None, "no derivative arrived")
                checks.near(where, b * 0 if a.grad is None else a.grad.numpy(), b, TOLERANCE)


CASES = (_adjoint, _backprop)
