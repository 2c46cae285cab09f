"""Which driver a name means (imports errors; each driver where it is asked for)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import UnknownName

if TYPE_CHECKING:
    from qimg_core.backend import Backend


def open_device(device: str = "") -> Backend:
    """The driver of ``ibm:DEVICE``.

    Args:
        device: ``aer`` (or nothing: a bare name spends nothing), ``fake_...`` for a noisy simulation of a
            retired or present device from the calibration that the SDK ships, ``ibm_...`` for the service.

    Raises:
        UnknownName: something else.
        ConfigurationError: a service device without credentials.
    """
    if device in ("", "aer"):
        from qimg_ibm.aer import AerBackend

        return AerBackend()
    if device.startswith("fake_"):
        from qimg_ibm.fake import FakeDevice

        return FakeDevice(device)
    if device.startswith("ibm_"):
        from qimg_ibm.remote import IBMBackend

        return IBMBackend(device)
    raise UnknownName(
        "IBM device",
        device,
        ["aer", "fake_guadalupe", "ibm_fez"],
        hint="ibm:aer, ibm:fake_NAME for an offline device, ibm:ibm_NAME for the service",
    )
