"""Observables: what is measured, and the (possibly trained) read-out. One idea a file."""

from qimg_circuits.observables.adaptive import AdaptiveNonLocal, combined
from qimg_circuits.observables.pauli_strings import PauliStrings
from qimg_circuits.observables.probabilities import ProbabilityReadout

__all__ = ["AdaptiveNonLocal", "PauliStrings", "ProbabilityReadout", "combined"]
