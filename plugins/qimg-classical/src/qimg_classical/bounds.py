"""What the classical path can do: exactly under a size bound, else by its surrogate (imports qimg_core)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import field, fields, frozen

from qimg_core.capabilities import Capabilities, DeviceKind, Mismatch
from qimg_core.errors import ConfigurationError
from qimg_core.measurement import Samples, State

if TYPE_CHECKING:
    from qimg_classical.surrogate import Surrogate
    from qimg_core.execution import ExecutionRequest

MAX_WIRES = 12
VARIABLE = "QIMG_CLASSICAL_MAX_WIRES"


def exact_wires(given: int | None, most: int) -> int:
    """The size bound: as given, else from the environment, else `MAX_WIRES`.

    Args:
        given: by the caller.
        most: wires that the simulator takes.

    Raises:
        ConfigurationError: not a whole number from 0 to ``most``.
    """
    text = os.environ.get(VARIABLE, "").strip() if given is None else str(given)
    if not text:
        return min(MAX_WIRES, most)
    if not (text.isascii() and text.isdecimal() and int(text) <= most):
        raise ConfigurationError(f"{VARIABLE}: wanted a whole number of wires from 0 to {most}, got {text!r}")
    return int(text)


@frozen(kw_only=True)
class ClassicalCapabilities(Capabilities):
    """The simulator's claims under the bound; above it only what the surrogate was fitted for.

    With a surrogate the claims about the whole device are the weaker ones: its kind is ``surrogate``, and it offers
    neither gradients nor contraction, since callers ask for those before they know a request's size.

    Args:
        exact_wires: the size bound.
        noisy_wires: the same with a noise model.
        surrogate: where one is loaded.
    """

    exact_wires: int
    noisy_wires: int
    surrogate: Surrogate | None = field(default=None, eq=False, repr=False)

    def is_exact(self, request: ExecutionRequest) -> bool:
        """Whether the request is small enough to be simulated."""
        most = self.exact_wires if request.noise is None else min(self.exact_wires, self.noisy_wires)
        return request.circuit.n_wires <= most

    def check(self, request: ExecutionRequest) -> tuple[Mismatch, ...]:
        """As `Capabilities.check`, by the path that the request would take."""
        if not self.is_exact(request):
            if self.surrogate is None:
                return (Mismatch("wires", str(request.circuit.n_wires), f"{self._size(request)}; {_how(request)}"),)
            other = self.surrogate.mismatches(request)
            return (Mismatch("wires", str(request.circuit.n_wires), self._size(request)), *other) if other else ()
        found = list(super().check(request))
        if request.shots is None and isinstance(request.measurement, Samples):
            found.append(Mismatch("shots", "samples without a number of shots", "1 or more"))
        if request.shots is not None and isinstance(request.measurement, State):
            found.append(Mismatch("shots", f"a state from {request.shots} shots", "a state without shots"))
        return tuple(found)

    def _size(self, request: ExecutionRequest) -> str:
        if request.noise is None:
            return f"up to {self.exact_wires} exactly ({VARIABLE})"
        return f"up to {min(self.exact_wires, self.noisy_wires)} exactly with noise ({VARIABLE})"


def _how(request: ExecutionRequest) -> str:
    fit = f"qimg surrogate fit --circuit {request.circuit.digest} --out FILE.safetensors"
    return f"above that a surrogate: keep proposals, then `{fit}` and ask for classical:FILE.safetensors"


def capabilities_of(
    base: Capabilities, *, exact: int, noisy: int, surrogate: Surrogate | None
) -> ClassicalCapabilities:
    """The simulator's claims as those of the classical path."""
    claims = {a.name: getattr(base, a.name) for a in fields(Capabilities)}
    claims |= {"max_wires": exact if surrogate is None else max(exact, surrogate.wires)}
    if surrogate is not None:
        claims |= {"kind": DeviceKind.SURROGATE, "gradients": frozenset(), "contracts": False}
    return ClassicalCapabilities(**claims, exact_wires=exact, noisy_wires=noisy, surrogate=surrogate)
