"""Settings of the kit, and the fake provider it may be given (floor 8; imports attrs)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable  # noqa: TC003
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from qimg_core.backend import Backend

CANARY = "qimg-canary-5f0c1d7e9b"
"""What stands in the place of a secret while the kit runs."""


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


@frozen(kw_only=True)
class Provider:
    """A fake provider, for the crash points and faults of a remote driver.

    Args:
        start: a new provider, as a context manager that has ``faults``: a `qimg_core.testing.server.FakeServer`,
            or something like it.
        connect: a new driver of that provider, as a new process would make it; with time-outs of a second
            or so where ``hangs`` is given, and with `CANARY` as its key.
        jobs: how many jobs the provider has, whoever made them.
        fail: (optional) makes the next job end as failed, with a reason.
        busy: (optional) lets the next job wait for so many questions before it is done.
        failure: a word of the reason that ``fail`` gives; the driver has to pass it on.
        hangs: the driver gives up soon, so that faults that never answer can be tried.
    """

    start: Callable[[], Any]
    connect: Callable[[Any], Backend]
    jobs: Callable[[Any], int]
    fail: Callable[[Any], None] | None = None
    busy: Callable[[Any, int], None] | None = None
    failure: str = ""
    hangs: bool = False


@frozen(kw_only=True)
class Options:
    """Settings of the kit.

    Args:
        shots: of each row where the device samples; a prime, so that made-up frequencies show.
        tolerance: absolute, for exact numbers.
        alpha: chance that a right device fails any statistical test of one run of the kit.
        seed: of circuits, angles and the kit's own draws.
        quick: fewer rows, states and faults.
        noisy: the device disturbs circuits by itself (hardware, or an imitation of it): results are compared with
            ``band``, and with every other order of the wires; kind "qpu" implies it.
        band: total variation distance from the ideal distribution that a noisy device may have.
        widest: the claim of ``max_wires`` is tried up to so many wires.
        max_cost: the kit may spend so much in the provider's unit; jobs beyond it are not sent.
        allow_unknown_cost: send jobs although the device publishes no price.
        server: a fake provider; its jobs cost nothing.
        secrets: environment variables that hold the driver's credentials. With a fake provider, and for
            devices in this process, they hold a canary while the kit runs; else their own values are looked for.
        sleep: waits between questions; replaced by nothing with a fake provider.
        polls: questions for one job before the kit gives up.
        skip: ids of cases, or groups such as "C9", that are left out; the report says so.
    """

    shots: int = 2003
    tolerance: float = 1e-9
    alpha: float = 1e-3
    seed: int = 20_190_711
    quick: bool = False
    noisy: bool = False
    band: float = 0.25
    widest: int = 12
    max_cost: Decimal = field(default=Decimal(0), converter=Decimal)
    allow_unknown_cost: bool = False
    server: Provider | None = None
    secrets: tuple[str, ...] = field(default=(), converter=_names)
    sleep: Callable[[float], None] = time.sleep
    polls: int = 2_000
    skip: tuple[str, ...] = field(default=(), converter=_names)

    def to_json(self) -> dict[str, Any]:
        """The settings that decide verdicts."""
        return {
            "shots": self.shots,
            "tolerance": self.tolerance,
            "alpha": self.alpha,
            "seed": self.seed,
            "quick": self.quick,
            "noisy": self.noisy,
            "band": self.band,
            "widest": self.widest,
            "max_cost": str(self.max_cost),
            "fake_provider": self.server is not None,
            "secrets": list(self.secrets),
            "skip": list(self.skip),
        }

    def wanted(self, case: str) -> bool:
        """Whether a case is not left out."""
        return case not in self.skip and case.partition(".")[0] not in self.skip


class PlantedSecrets:
    """While the ``with`` block runs, the driver's credentials are canaries, or their own values are known.

    Args:
        names: environment variables.
        plant: put the canary there; else what they hold is left alone and only looked for.
    """

    def __init__(self, names: tuple[str, ...], *, plant: bool) -> None:
        self.names, self.plant = names, plant
        self.values: tuple[str, ...] = ()
        self._old: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        if self.plant:
            self._old = {name: os.environ.get(name) for name in self.names}
            os.environ.update(dict.fromkeys(self.names, CANARY))
            self.values = (CANARY,)
        else:
            self.values = tuple(v for name in self.names if (v := os.environ.get(name)))
        return self

    def __exit__(self, *error: object) -> None:
        for name, value in self._old.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


__all__ = ["CANARY", "Options", "PlantedSecrets", "Provider"]
