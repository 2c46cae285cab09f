"""What the conformance kit needs to try the cloud driver on the fake (imports qimg_core.testing)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qimg_braket.cloud import CloudBackend
from qimg_braket.testing.server import FakeBraket
from qimg_core.testing.conformance import Options, Provider

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

REASON = "the qubits were cold"
SECRET = "AWS_SECRET_ACCESS_KEY"


class _Reachable(FakeBraket):
    """The fake, with the process's environment pointing at it while it runs."""

    def __enter__(self) -> Self:
        super().__enter__()
        found = {k: v for k, v in self.environment().items() if k != SECRET}  # the kit plants that one
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
    """For ``qimg plugin test braket:forte-1 --fake qimg_braket.testing:options``.

    Args:
        device: as after ``braket:``; one that the fake has.
    """
    name = device or "forte-1"

    def connect(fake: FakeBraket) -> CloudBackend:
        made = CloudBackend(name, read_timeout=1.0)
        made.open()
        return made

    return Options(
        server=Provider(
            start=_Reachable,
            connect=connect,
            jobs=lambda fake: len({task["tags"]["qimg-key"] for task in fake.tasks.values()}),
            fail=lambda fake: setattr(fake, "failure", REASON),
            busy=lambda fake, polls: setattr(fake, "polls", polls),
            failure="cold",
            hangs=True,
        ),
        quick=True,
        secrets=(SECRET,),
    )
