"""What qimg-braket supplies (imports nothing heavy)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """One driver for the local simulators, emulated devices and everything that Amazon Braket serves."""
    return [
        BackendSpec(
            name="braket",
            target="qimg_braket.devices:open_device",
            summary="Amazon Braket: local simulators and emulation for free; managed simulators and QPUs for money",
            requires=("amazon-braket-sdk>=1.120,<2",),
            remote=True,
            metered=True,
            devices=(
                "local (state vector, the default), dm (density matrix with noise), emulator:FILE.json (a QPU from its "
                "properties document), a short name such as sv1 or garnet, or a device ARN"
            ),
        )
    ]
