"""What the conformance kit needs to try the service's driver on the fake (imports qimg_core.testing)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qimg_core.testing.conformance import CANARY, Options, Provider
from qimg_ibm.remote import IBMBackend
from qimg_ibm.testing.fake_ibm import FakeIBM

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

REASON = "the cryostat is warm"


class _Reachable(FakeIBM):
    """The fake, with the process's environment pointing at it while it runs."""

    def __enter__(self) -> Self:
        super().__enter__()
        found = {k: v for k, v in self.environment().items() if k != "QIMG_IBM_TOKEN"}  # the kit plants that one
        self._before = {name: os.environ.get(name) for name in found}
        os.environ.update(found)
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        super().__exit__(t, e, tb)


def options(device: str = "") -> Options:
    """For ``qimg plugin test ibm:ibm_manila --fake qimg_ibm.testing:options``.

    Args:
        device: as after ``ibm:``; one that the fake service has.
    """
    name = device or "ibm_manila"
    return Options(
        server=Provider(
            start=lambda: _Reachable(key=CANARY),
            connect=lambda _: IBMBackend(name, timeout=3.0),
            jobs=lambda fake: len(fake.jobs),
            fail=lambda fake: setattr(fake, "fails", REASON),
            busy=lambda fake, questions: setattr(fake, "polls", questions),
            failure="cryostat",
            hangs=True,
        ),
        quick=True,
        secrets=("QIMG_IBM_TOKEN",),
    )
