"""Encoders: classical numbers to the inputs of a fixed circuit. One idea a file."""

from qimg_circuits.encoders.amplitude import AmplitudeEncoder
from qimg_circuits.encoders.angle import AngleEncoder
from qimg_circuits.encoders.basis import BasisEncoder
from qimg_circuits.encoders.dense_angle import DenseAngleEncoder
from qimg_circuits.encoders.phase import PhaseEncoder
from qimg_circuits.encoders.reupload import ReuploadEncoder, reuploading

__all__ = [
    "AmplitudeEncoder",
    "AngleEncoder",
    "BasisEncoder",
    "DenseAngleEncoder",
    "PhaseEncoder",
    "ReuploadEncoder",
    "reuploading",
]
