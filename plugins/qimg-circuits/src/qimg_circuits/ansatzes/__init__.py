"""Ansatzes: the trained parts of circuits. One idea a file."""

from qimg_circuits.ansatzes.alternating import Alternating
from qimg_circuits.ansatzes.base import LayeredAnsatz, ring_or_chain
from qimg_circuits.ansatzes.cluster_mixing import ClusterMixing
from qimg_circuits.ansatzes.convolution import Convolution
from qimg_circuits.ansatzes.hadamard_test import HadamardTest, hadamard_test
from qimg_circuits.ansatzes.hardware_efficient import HardwareEfficient
from qimg_circuits.ansatzes.ry_cz import RYCZ
from qimg_circuits.ansatzes.strongly_entangling import StronglyEntangling
from qimg_circuits.ansatzes.two_qubit import TwoQubit, canonical_block, general_block

__all__ = [
    "RYCZ",
    "Alternating",
    "ClusterMixing",
    "Convolution",
    "HadamardTest",
    "HardwareEfficient",
    "LayeredAnsatz",
    "StronglyEntangling",
    "TwoQubit",
    "canonical_block",
    "general_block",
    "hadamard_test",
    "ring_or_chain",
]
