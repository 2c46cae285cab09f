"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from qimg_core.hooks import AnsatzSpec, EncoderSpec, ObservableSpec, hookimpl

_ENCODERS = {
    "basis": ("basis:BasisEncoder", "one bit a wire"),
    "amplitude": ("amplitude:AmplitudeEncoder", "2**n real or complex numbers as the amplitudes of n wires"),
    "angle": ("angle:AngleEncoder", "one number a wire, as the angle of RX, RY or RZ"),
    "phase": ("phase:PhaseEncoder", "one number a wire, as the phase of |1> in a superposition"),
    "dense-angle": ("dense_angle:DenseAngleEncoder", "two numbers a wire, as magnitude and phase"),
    "reupload": ("reupload:ReuploadEncoder", "another encoder several times, scaled and shifted by trained numbers"),
}
_ANSATZES = {
    "hardware-efficient": ("hardware_efficient:HardwareEfficient", "rotations on every wire, CX or CZ along the wires"),
    "strongly-entangling": (
        "strongly_entangling:StronglyEntangling",
        "RZ RY RZ on every wire, CX rings",
    ),
    "two-qubit": ("two_qubit:TwoQubit", "any two-qubit gate: 15 weights, 3 CX (Vatan and Williams)"),
    "convolution": ("convolution:Convolution", "the two-qubit block on neighbouring wires"),
    "cluster-mixing": ("cluster_mixing:ClusterMixing", "H, a chain of CZ, RX: the 1D cluster state, mixed"),
    "ry-cz": ("ry_cz:RYCZ", "RY on every wire and a chain of CZ, for patch generators"),
    "alternating": ("alternating:Alternating", "layers of several ansatzes in turn"),
    "hadamard-test": ("hadamard_test:HadamardTest", "an ancilla that reads Re<psi|U|psi>"),
}
_OBSERVABLES = {
    "pauli-strings": ("pauli_strings:PauliStrings", "expectation values of products of Paulis"),
    "probabilities": ("probabilities:ProbabilityReadout", "probabilities of the outcomes of some wires"),
    "adaptive-non-local": ("adaptive:AdaptiveNonLocal", "trained Hermitian matrices on windows of wires"),
}


@hookimpl
def qimg_encoders() -> list[EncoderSpec]:
    """Encoders by name."""
    return [EncoderSpec(name=n, target=f"qimg_circuits.encoders.{t}", summary=s) for n, (t, s) in _ENCODERS.items()]


@hookimpl
def qimg_ansatzes() -> list[AnsatzSpec]:
    """Ansatzes by name."""
    return [AnsatzSpec(name=n, target=f"qimg_circuits.ansatzes.{t}", summary=s) for n, (t, s) in _ANSATZES.items()]


@hookimpl
def qimg_observables() -> list[ObservableSpec]:
    """Observables by name."""
    specs = _OBSERVABLES.items()
    return [ObservableSpec(name=n, target=f"qimg_circuits.observables.{t}", summary=s) for n, (t, s) in specs]
