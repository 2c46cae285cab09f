"""Metrics of circuits: how much of the state space they reach, how they entangle, whether they train (numpy, scipy)."""

from qimg_metrics.circuit.entanglement import haar_meyer_wallach, meyer_wallach, meyer_wallach_of
from qimg_metrics.circuit.estimate import CircuitEstimate
from qimg_metrics.circuit.expressibility import expressibility, haar_floor
from qimg_metrics.circuit.gradients import gradient_variance, two_design_variance
from qimg_metrics.circuit.pictures import bloch, pca_states, qsphere

__all__ = [
    "CircuitEstimate",
    "bloch",
    "expressibility",
    "gradient_variance",
    "haar_floor",
    "haar_meyer_wallach",
    "meyer_wallach",
    "meyer_wallach_of",
    "pca_states",
    "qsphere",
    "two_design_variance",
]
