"""What qimg-ibm supplies (imports nothing heavy)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """One name for three kinds of device; only ``ibm:ibm_...`` leaves this process and costs."""
    return [
        BackendSpec(
            name="ibm",
            target="qimg_ibm.devices:open_device",
            summary="IBM Quantum (ibm:ibm_fez), its devices simulated offline (ibm:fake_guadalupe), Aer (ibm:aer)",
            requires=("qiskit>=2.3,<3", "qiskit-ibm-runtime>=0.50,<0.53", "qiskit-aer>=0.17,<0.19"),
            remote=True,
            metered=True,
            devices="aer (as the bare name), a device that the SDK simulates (fake_guadalupe), or a real one (ibm_fez)",
        )
    ]
