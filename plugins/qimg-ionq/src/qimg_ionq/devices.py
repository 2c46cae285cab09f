"""Which of IonQ's devices is meant, and what it promises (imports the core's capabilities)."""

from __future__ import annotations

import re

from attrs import evolve, frozen

from qimg_core.capabilities import Billing, Capabilities, DeviceKind, Idempotency, MeasurementKind
from qimg_core.errors import UnknownName
from qimg_ionq.circuits import NAMES

MAX_SHOTS = 1_000_000
MIN_DEBIASED_SHOTS = 500
"""Fewest shots with which IonQ accepts debiasing."""

SIMULATOR_WIRES = 29
NOISE_WIRES = {"harmony": 11, "harmony-1": 11, "harmony-2": 11, "aria-1": 25, "aria-2": 25}
"""Qubits of the machines whose noise is imitated, where they are fewer than the simulator's."""

QPU_WIRES = {"qpu.forte-1": 36, "qpu.forte-enterprise-1": 36}
"""As published in October 2026; other machines are asked for theirs when first used."""

_COUNTED = frozenset(
    {
        MeasurementKind.EXPECTATION,
        MeasurementKind.LOCAL_STATES,
        MeasurementKind.PROBABILITIES,
        MeasurementKind.SAMPLES,
    }
)


@frozen(kw_only=True)
class Device:
    """One way to run a circuit at IonQ.

    Args:
        name: in qimg, such as ``ionq:simulator:aria-1``.
        target: IonQ's ``backend``.
        noise: model of the simulator, ``ideal`` for exact probabilities; None for a QPU.
        debiasing: IonQ's error mitigation, said in every request; None for a simulator.
        wires: qubits; None where the machine has to be asked.
    """

    name: str
    target: str
    noise: str | None = None
    debiasing: bool | None = None
    wires: int | None = None

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read what stands after ``ionq:``; nothing means the ideal simulator.

        Raises:
            UnknownName: it is none of the forms.
        """
        name = f"ionq:{text}" if text else "ionq"
        head, _, tail = (text or "simulator").partition(":")
        if head == "simulator" and re.fullmatch(r"[a-z0-9-]*", tail) and not text.endswith(":"):
            model = tail or "ideal"
            wires = min(SIMULATOR_WIRES, NOISE_WIRES.get(model, SIMULATOR_WIRES))
            return cls(name=name, target=head, noise=model, wires=wires)
        if re.fullmatch(r"qpu\.[a-z0-9-]+", head) and tail in ("", "debiasing") and not text.endswith(":"):
            return cls(name=name, target=head, debiasing=bool(tail), wires=QPU_WIRES.get(head))
        known = [
            "simulator",
            "simulator:aria-1",
            "simulator:forte-1",
            *QPU_WIRES,
            *(f"{q}:debiasing" for q in QPU_WIRES),
        ]
        raise UnknownName("IonQ device", text, known, hint="simulator:MODEL, qpu.NAME or qpu.NAME:debiasing")

    @property
    def ideal(self) -> bool:
        """It returns exact probabilities; shots, where they are asked, are drawn here."""
        return self.noise == "ideal"

    def capabilities(self, wires: int) -> Capabilities:
        """What it promises, with so many qubits."""
        base = Capabilities(
            kind=DeviceKind.QPU,
            max_wires=wires,
            gates=frozenset(NAMES),
            measurements=_COUNTED,
            analytic=False,
            shots=(1, MAX_SHOTS),
            remote=True,
            cancellable=True,
            resumable=True,
            idempotency=Idempotency.TAG,
            calibrated=True,
            billing=Billing.METERED,
        )
        if self.noise is not None:
            simulator = evolve(base, kind=DeviceKind.SIMULATOR, max_window=6, calibrated=False, billing=Billing.FREE)
            # a noise model's own seed is sent, but nothing says that it gives the same counts again
            return evolve(simulator, analytic=True, shots=(1, None), seeded=True) if self.ideal else simulator
        if self.debiasing:  # averages over rewritten circuits: frequencies, of which no shot is left
            return evolve(
                base, shots=(MIN_DEBIASED_SHOTS, MAX_SHOTS), measurements=_COUNTED - {MeasurementKind.SAMPLES}
            )
        return base
