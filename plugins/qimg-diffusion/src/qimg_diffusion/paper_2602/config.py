"""`PaperConfig`: the released settings, and a name for every difference of paper and code (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.generator import Arm, arm_field

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 16
"""Images are SIZE x SIZE."""
DIMENSION = SIZE * SIZE
"""Amplitudes of an image's state: eight qubits."""


def _one_of(*names: str) -> Callable[[Any, Any, str], None]:
    def check(_: Any, attribute: Any, value: str) -> None:
        if value not in names:
            raise UnknownName(attribute.name, value, names)

    return check


def _between(low: float, high: float) -> Callable[[Any, Any, float], None]:
    def check(_: Any, attribute: Any, value: float) -> None:
        if not low <= value <= high:
            raise ConfigurationError(f"{attribute.name}: wanted a number from {low} to {high}, got {value}")

    return check


@frozen(kw_only=True)
class PaperConfig:
    """Settings of ``hybrid-unet-2602.03405``. The defaults are the released code's.

    Args:
        arm: see `qimg_core.generator.Arm`.
        forward: "code": complex Gaussian DDPM on the amplitudes, target the posterior mean. "paper": the
            depolarising channel rho_t = a_t rho_0 + (1 - a_t) I/d (eq. 9-10), target rho_{t-1}. The paper
            wants a_T -> 0 and states no schedule; the released one has a_T = 0.91, so set for example
            ``beta_first=0.1, beta_last=0.9`` with it (a_T = 0.0007).
        loss: "infidelity" (published), "mse" or "trace-distance".
        middle: what block two hands to block three. "released": the code adds both halves of the ancilla
            after its last Hadamard, (psi + U psi)/2 + (psi - U psi)/2 = psi, so U2 reaches the output
            through <Z> of the ancilla alone. "projected": the ancilla found in |0>, psi + U psi.
        activation: apply LeakyReLU(0.01) to real and imaginary parts of that state and normalise again.
            Released; no device can do it.
        preprocessing: "released": L2-normalise at the source's size, then resize bilinearly without
            antialiasing (the norm is no longer 1). "resize-first": area average, then normalise.
        rescale: how |amplitude| becomes pixels, image by image: "minmax" (released) or "max".
        images: how many images of the source are learned, drawn once by seed; 0 for all.
        classes: of the labels.
        timesteps: T.
        beta_first: of the linear schedule with T + 1 values, of which the last is not used (released).
        beta_last: of the same.
        qubits: of the bottleneck: 2, 4 or 6.
        reps: layers in each of the three blocks.
        batch: images in a step; each is used at all T times.
        rate: of Adam.
        rate_factor: the rate is multiplied by it every ``rate_epochs`` epochs.
        rate_epochs: see ``rate_factor``.
        spread: standard deviation of the initial angles and observables.
        sample_batch: images sampled at a time.
    """

    arm: Arm = arm_field()
    forward: str = field(default="code", validator=_one_of("code", "paper"))
    loss: str = field(default="infidelity", validator=_one_of("infidelity", "mse", "trace-distance"))
    middle: str = field(default="released", validator=_one_of("released", "projected"))
    activation: bool = True
    preprocessing: str = field(default="released", validator=_one_of("released", "resize-first"))
    rescale: str = field(default="minmax", validator=_one_of("minmax", "max"))
    images: int = field(default=8096, validator=_between(0, 10**9))
    classes: int = field(default=10, validator=_between(1, 10_000))
    timesteps: int = field(default=10, validator=_between(1, 10_000))
    beta_first: float = field(default=1e-4, validator=_between(1e-9, 1 - 1e-9))
    beta_last: float = field(default=0.02, validator=_between(1e-9, 1 - 1e-9))
    qubits: int = field(default=4, validator=_between(2, 6))
    reps: int = field(default=10, validator=_between(1, 1000))
    batch: int = field(default=32, validator=_between(1, 10**6))
    rate: float = field(default=1e-3, validator=_between(1e-9, 1))
    rate_factor: float = field(default=0.97, validator=_between(1e-9, 1))
    rate_epochs: int = field(default=10, validator=_between(1, 10**9))
    spread: float = field(default=0.1, validator=_between(0, 100))
    sample_batch: int = field(default=500, validator=_between(1, 10**6))

    def __attrs_post_init__(self) -> None:
        if self.qubits % 2:
            raise ConfigurationError(f"qubits: the ring of pairs wants an even number, got {self.qubits}")
        if 0 < self.images < self.batch:
            raise ConfigurationError(f"images: {self.images} are fewer than the {self.batch} of a batch")

    @property
    def angles(self) -> int:
        """Angles of one (time, class): three blocks of ``reps`` layers."""
        return 3 * self.reps * 4 * self.qubits  # a pair for each wire of the ring (3 angles), and one RX

    @property
    def observables(self) -> int:
        """K, the number of trained Hermitians: qubits squared."""
        return self.qubits**2
