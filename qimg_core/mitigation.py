"""Error mitigation of expectation values, as the caller chooses it (floor 2; imports errors).

This is the choice only; `qimg_core.mitigating` turns it into circuits and their combination.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.job import JSON

Extrapolation = Literal["linear", "richardson", "exponential"]
_EXTRAPOLATIONS = ("linear", "richardson", "exponential")


def _factors(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(v) for v in values)


@frozen(kw_only=True)
class Mitigation:
    """Which methods correct `Expectation` and `LocalStates` results.

    Args:
        readout: measure the confusion of each wire's read-out with two extra circuits and invert it.
        folds: odd noise factors of zero-noise extrapolation by unitary folding, 1 first, e.g. (1, 3, 5);
            empty for none (Giurgica-Tiron et al. 2020, arXiv:2005.10921).
        extrapolation: to zero noise: a line through all points, Richardson's polynomial through each of
            them, or an exponential decay to zero.
        calibration_shots: of the read-out circuits; None takes the request's shots.

    Raises:
        ConfigurationError: factors that are even, not increasing or do not begin with 1; nothing chosen.
    """

    readout: bool = False
    folds: tuple[int, ...] = field(default=(), converter=_factors)
    extrapolation: Extrapolation = "linear"
    calibration_shots: int | None = None

    def __attrs_post_init__(self) -> None:
        f = self.folds
        if f and (f[0] != 1 or len(f) < 2 or any(v % 2 == 0 for v in f) or list(f) != sorted(set(f))):
            raise ConfigurationError(f"folds: wanted increasing odd factors that begin with 1, e.g. 1/3/5, got {f}")
        if self.extrapolation not in _EXTRAPOLATIONS:
            raise ConfigurationError(
                f"extrapolation: wanted one of {', '.join(_EXTRAPOLATIONS)}, got {self.extrapolation!r}"
            )
        if not self.readout and not f:
            raise ConfigurationError("a mitigation needs a method: readout=True, or folds such as (1, 3, 5)")

    def to_json(self) -> dict[str, JSON]:
        """Without floats."""
        return {
            "readout": self.readout,
            "folds": list(self.folds),
            "extrapolation": self.extrapolation,
            "calibration_shots": self.calibration_shots,
        }


def parse_mitigation(text: str) -> Mitigation:
    """Read the command line's form: ``readout``, ``zne=1/3/5``, ``readout,zne=1/3/5:richardson``.

    Raises:
        ConfigurationError: an unknown word, or factors that `Mitigation` refuses.
    """
    readout, extrapolation = False, "linear"
    folds: tuple[int, ...] = ()
    for word in (w.strip() for w in text.split(",") if w.strip()):
        name, _, value = word.partition("=")
        if name == "readout" and not value:
            readout = True
        elif name == "zne":
            factors, _, how = (value or "1/3/5").partition(":")
            extrapolation = how or "linear"
            try:
                folds = tuple(int(f) for f in factors.split("/"))
            except ValueError as cause:
                raise ConfigurationError(f"zne wants odd factors such as zne=1/3/5, got {word!r}") from cause
        else:
            raise ConfigurationError(f"no mitigation named {name!r}; there are readout and zne=1/3/5[:richardson]")
    return Mitigation(readout=readout, folds=folds, extrapolation=extrapolation)  # type: ignore[arg-type]
