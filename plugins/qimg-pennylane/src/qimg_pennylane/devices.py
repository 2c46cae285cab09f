"""Which PennyLane devices there are and what each can do (imports qimg_core, PennyLane).

PennyLane's own capability documents do not say what matters here (whether a device is local and free, how wide
it goes, whether a seed is honoured), so the known devices stand in a table. A device that is not in it, or whose
class comes from elsewhere, gets the least claims: shots only, no seed, unknown cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pennylane as qml
from attrs import evolve, frozen

from qimg_core.capabilities import Billing, Capabilities, DeviceKind, GradientMethod, MeasurementKind
from qimg_core.circuit.gates import UNITARY, GateName
from qimg_core.errors import ConfigurationError, PluginIncompatible, PluginLoadError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "lightning.qubit"


@frozen(kw_only=True)
class DeviceFacts:
    """What is known of one device.

    Args:
        name: as PennyLane names it.
        kind: what it is.
        local: it computes in this process, for nothing.
        max_wires: most wires of a circuit.
        gates: that it takes.
        state: it returns amplitudes, or density matrices (then noise can be simulated), or neither.
        analytic: it returns exact numbers.
        distributions: it returns probabilities.
        samples: it takes shots.
        seeded: it is made with ``seed=``, and the same seed gives the same samples.
        broadcasts: one circuit may hold a batch of angles.
        adjoint: it differentiates by the adjoint method.
    """

    name: str
    kind: DeviceKind = DeviceKind.SIMULATOR
    local: bool = False
    max_wires: int = 30
    gates: frozenset[GateName] = UNITARY | {GateName.PREPARE}
    state: Literal["amplitudes", "density"] | None = None
    analytic: bool = False
    distributions: bool = True
    samples: bool = True
    seeded: bool = False
    broadcasts: bool = False
    adjoint: bool = False

    @property
    def noise(self) -> bool:
        return self.state == "density"

    def capabilities(self) -> Capabilities:
        """As a promise to the core. Amplitudes need a pure state, so a density-matrix device gives no `State`."""
        kinds = {MeasurementKind.EXPECTATION, MeasurementKind.LOCAL_STATES}
        if self.distributions:
            kinds.add(MeasurementKind.PROBABILITIES)
        if self.samples:
            kinds.add(MeasurementKind.SAMPLES)
        if self.state == "amplitudes":
            kinds.add(MeasurementKind.STATE)
        return Capabilities(
            kind=self.kind,
            max_wires=self.max_wires,
            gates=self.gates,
            measurements=frozenset(kinds),
            gradients=frozenset({GradientMethod.ADJOINT} if self.adjoint else ()),
            analytic=self.analytic,
            shots=(1, None) if self.samples else None,
            max_window=6 if self.state else 4,
            noise=self.noise,
            seeded=self.seeded,
            remote=not self.local,
            billing=Billing.FREE if self.local else Billing.UNKNOWN,
        )


_SIMULATOR = DeviceFacts(name="", local=True, state="amplitudes", analytic=True, seeded=True)
_LIGHTNING = evolve(_SIMULATOR, adjoint=True, max_wires=26)
G = GateName
_CLIFFORD = frozenset({G.H, G.X, G.Y, G.Z, G.S, G.SDG, G.CX, G.CZ, G.SWAP})

# name -> the package that a class of this name must come from, and the facts
_KNOWN: dict[str, tuple[str, DeviceFacts]] = {
    "lightning.qubit": ("pennylane_lightning", _LIGHTNING),
    "lightning.kokkos": ("pennylane_lightning", _LIGHTNING),
    "lightning.gpu": ("pennylane_lightning", _LIGHTNING),
    "default.qubit": ("pennylane", evolve(_SIMULATOR, adjoint=True, broadcasts=True, max_wires=22)),
    "default.mixed": ("pennylane", evolve(_SIMULATOR, state="density", broadcasts=True, max_wires=10)),
    "reference.qubit": ("pennylane", evolve(_SIMULATOR, max_wires=8)),
    # its exact distributions are wrong in PennyLane 0.45.1: of |001> + |111> it gives |001> alone
    "default.clifford": (
        "pennylane",
        evolve(_SIMULATOR, state=None, gates=_CLIFFORD, distributions=False, max_wires=100),
    ),
    "default.tensor": (
        "pennylane",
        evolve(_SIMULATOR, state=None, gates=UNITARY, distributions=False, samples=False, seeded=False, max_wires=60),
    ),
}

_REFUSED = {
    "null.qubit": "computes nothing: its results are zeros",
    "default.gaussian": "has no qubits",
    "default.qutrit": "has no qubits",
    "default.qutrit.mixed": "has no qubits",
}

# hardware that says so by its name; every other unknown device is not called hardware
_HARDWARE = frozenset({"ionq.qpu", "rigetti.qpu", "honeywell.hqs"})


def facts_of(device: str) -> DeviceFacts:
    """What is known of an installed device; ``""`` is `DEFAULT`.

    Raises:
        UnknownName: not installed; the nearest is offered.
        ConfigurationError: installed, and of no use here.
        PluginLoadError: its package cannot be imported.
    """
    name = device or DEFAULT
    if name in _REFUSED:
        raise ConfigurationError(f"pennylane:{name} {_REFUSED[name]}", hint="try pennylane:default.qubit")
    installed: dict[str, Any] = qml.plugin_devices
    if name not in installed:
        usable = [n for n in installed if n not in _REFUSED]
        hint = "install the PennyLane plugin that supplies it; `qml.about()` lists the installed devices"
        raise UnknownName("PennyLane device", name, usable, hint=hint)
    try:
        found = installed[name].load()
    except Exception as cause:  # a device's package may fail in any way
        raise PluginLoadError(f"PennyLane device {name!r} failed to import: {cause!r}") from cause
    package, facts = _KNOWN.get(name, ("", None))
    if facts is not None and found.__module__.partition(".")[0] == package:
        return evolve(facts, name=name)
    return DeviceFacts(name=name, kind=DeviceKind.QPU if name in _HARDWARE else DeviceKind.SIMULATOR)


def make_device(facts: DeviceFacts, wires: int, *, seed: int | None, options: Mapping[str, Any]) -> Any:
    """A new device object with ``wires`` wires; a seeded device without a seed draws from the system's entropy.

    Raises:
        PluginIncompatible: it needs a package that is not installed.
        ConfigurationError: it cannot be made with these wires and options.
    """
    seeding = {"seed": seed} if facts.seeded else {}
    try:
        return qml.device(facts.name, wires=wires, **seeding, **options)
    except ImportError as cause:
        text = without_secrets(str(cause), options)
        raise PluginIncompatible(f"PennyLane device {facts.name!r} needs a package: {text}") from cause
    except Exception as cause:  # the device's own code; nothing was sent yet
        text = without_secrets(f"{type(cause).__name__}: {cause}", options)
        raise ConfigurationError(
            f"PennyLane device {facts.name!r} cannot be made with {wires} wires: {text}"
        ) from cause


def without_secrets(text: str, options: Mapping[str, Any]) -> str:
    """A message without the options' texts, which may be keys."""
    for value in options.values():
        if isinstance(value, str) and value:
            text = text.replace(value, "...")
    return text
