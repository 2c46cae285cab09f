"""What the conformance kit needs to try the driver on the fake (imports qimg_core.testing)."""

from __future__ import annotations

from qimg_core.testing.conformance import CANARY, Options, Provider
from qimg_ionq.backend import IonQBackend
from qimg_ionq.testing.server import FakeIonQ

REASON = "the ions were warm"


def options(device: str = "") -> Options:
    """For ``qimg plugin test ionq:DEVICE --fake qimg_ionq.testing:options``.

    Args:
        device: as after ``ionq:``; empty for the ideal simulator.
    """
    device = device or "simulator"
    return Options(
        server=Provider(
            start=lambda: FakeIonQ(key=CANARY),
            connect=lambda fake: IonQBackend(device, url=fake.base, timeouts=(1.0, 1.0)),
            jobs=lambda fake: len(fake.jobs),
            fail=lambda fake: fake.fail_next(REASON),
            busy=lambda fake, polls: fake.keep_next_waiting(polls),
            failure=REASON,
        ),
        quick=True,
        noisy=device != "simulator",
        secrets=("QIMG_IONQ_API_KEY",),
    )
