"""`QuDDPMConfig`: the settings of `QuDDPM` (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.generator import Arm, arm_field

if TYPE_CHECKING:
    from collections.abc import Callable

LOSSES = ("mmd", "mmd2", "wasserstein", "sinkhorn", "trace")
FORWARDS = ("scrambling", "depolarising")


def _one_of(*names: str) -> Callable[[Any, Any, str], None]:
    def check(_: Any, attribute: Any, value: str) -> None:
        if value not in names:
            raise UnknownName(attribute.name, value, names)

    return check


@frozen(kw_only=True)
class QuDDPMConfig:
    """Settings of ``quddpm``. The defaults are those of the published two-wire cluster but for the loss' estimator.

    Args:
        arm: see `qimg_core.generator.Arm`.
        wires: of a state, 1 to 6.
        ancillas: fresh ones at each backward step, measured at its end.
        layers: RX, RY on every wire and a chain of CZ, in each backward step.
        timesteps: T. 1 is direct transport: one circuit from Haar-random states to the data.
        forward: "scrambling": random gates of growing angles; "depolarising": rho_t = a_t rho_0 + (1 - a_t) I/d by
            pure states, a_t = cos^2(pi t / 2T): a state survives with probability a_t and is Haar-random otherwise.
        schedule: of the scrambling strength h_t, t = 1 .. T: "linear" from first to last, "quadratic" last (t / T)^2.
        first: h_1 of the linear schedule.
        last: h_T.
        loss: between the ensembles at t: "mmd" with kernel F = |<a|b>|^2, which compares mean states and nothing
            else; "mmd2" with F + F^2; "wasserstein" exact, "sinkhorn" smoothed, both of cost 1 - F; "trace" distance of
            the mean states.
        outcomes: "all" weighs every outcome of the ancillas by its probability, so that the slope knows of it;
            "sampled" draws one and differentiates along it, as published. An exact "wasserstein" wants "sampled".
        smoothing: of sinkhorn, in units of the cost.
        batch: states on each side of the loss.
        pool: backward inputs prepared for each t.
        rate: Adam's, at its highest.
        warm: each circuit begins with the angles that the one before it ended with, not with random ones.
        spread: the angles begin uniform on [-spread, spread).
        sample_batch: states made together.
    """

    arm: Arm = arm_field()
    wires: int = 2
    ancillas: int = 1
    layers: int = 6
    timesteps: int = 20
    forward: str = field(default="scrambling", validator=_one_of(*FORWARDS))
    schedule: str = field(default="linear", validator=_one_of("linear", "quadratic"))
    first: float = 0.5
    last: float = 4.0
    loss: str = field(default="mmd", validator=_one_of(*LOSSES))
    outcomes: str = field(default="all", validator=_one_of("all", "sampled"))
    smoothing: float = 0.02
    batch: int = 100
    pool: int = 1000
    rate: float = 0.03
    warm: bool = True
    spread: float = 1.0
    sample_batch: int = 500

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.wires <= 6 or not 1 <= self.ancillas <= 4:
            raise ConfigurationError(f"wanted 1 to 6 wires and 1 to 4 ancillas, got {self.wires} and {self.ancillas}")
        counts = {name: getattr(self, name) for name in ("layers", "timesteps", "sample_batch")}
        if min(counts.values()) < 1 or min(self.batch, self.pool) < 2:
            given = ", ".join(f"{k}={v}" for k, v in counts.items())
            raise ConfigurationError(
                f"wanted 1 or more of layers, timesteps and sample_batch, 2 or more of batch and pool; got {given}, "
                f"batch={self.batch}, pool={self.pool}"
            )
        if min(self.first, self.last, self.smoothing, self.rate) <= 0 or self.spread < 0:
            raise ConfigurationError("first, last, smoothing and rate are positive, spread is not negative")
        if self.loss == "wasserstein" and self.outcomes == "all":
            raise ConfigurationError(
                "the exact Wasserstein distance matches states one by one and takes no weights",
                hint="outcomes=sampled, or loss=sinkhorn",
            )

    @property
    def dimension(self) -> int:
        """Amplitudes of a state."""
        return int(2**self.wires)
