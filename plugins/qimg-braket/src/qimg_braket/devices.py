"""Names of Braket devices, and the driver of each (imports qimg_core; the drivers inside functions).

ARNs as in https://docs.aws.amazon.com/braket/latest/developerguide/braket-devices.html; a device that is not
in the short table, or whose ARN has changed, is named by its ARN.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qimg_core.errors import UnknownName

if TYPE_CHECKING:
    from qimg_core.backend import Backend

SHORT = {
    "sv1": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
    "dm1": "arn:aws:braket:::device/quantum-simulator/amazon/dm1",
    "tn1": "arn:aws:braket:::device/quantum-simulator/amazon/tn1",
    "forte-1": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
    "forte-enterprise-1": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1",
    "garnet": "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet",
    "emerald": "arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald",
    "ankaa-3": "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3",
    "ibex-q1": "arn:aws:braket:eu-north-1::device/qpu/aqt/Ibex-Q1",
}
LOCAL = ("local", "dm", "emulator:FILE.json")
_ARN = re.compile(r"arn:aws[a-z\-]*:braket:(?P<region>[a-z0-9\-]*):[0-9]*:device/[^/]+/[^/]+/(?P<name>[^/]+)")


def open_device(device: str = "") -> Backend:
    """The driver of ``braket:DEVICE``; nothing is contacted until it is used.

    Args:
        device: "local" (or nothing), "dm", "emulator:FILE.json", a short name of `SHORT`, or an ARN.

    Raises:
        UnknownName: none of these.
        ConfigurationError: an emulator's file that is missing or cannot be emulated.
    """
    if device in ("", "local"):
        from qimg_braket.local import LocalSimulatorBackend

        return LocalSimulatorBackend()
    if device == "dm":
        from qimg_braket.local import LocalDensityMatrixBackend

        return LocalDensityMatrixBackend()
    kind, _, rest = device.partition(":")
    if kind == "emulator" and rest:
        from qimg_braket.emulator import EmulatorBackend

        return EmulatorBackend(rest)
    from qimg_braket.cloud import CloudBackend

    return CloudBackend(device)


def arn_of(device: str) -> str:
    """The ARN of a short name; an ARN stays as it is.

    Raises:
        UnknownName
    """
    if _ARN.fullmatch(device):
        return device
    found = SHORT.get(device.lower())
    if found is None:
        hint = "any other device: braket:arn:aws:braket:REGION::device/qpu/PROVIDER/NAME"
        raise UnknownName("Braket device", device, [*SHORT, *LOCAL], hint=hint)
    return found


def region_of(arn: str) -> str | None:
    """Where the device is; None for managed simulators, which are in the caller's region."""
    match = _ARN.fullmatch(arn)
    return (match["region"] or None) if match else None


def name_of(arn: str) -> str:
    """Last part of the ARN, as the device is called."""
    return arn.rpartition("/")[2]
