"""The part that the arms of a model exchange (imports qimg_core, qimg_circuits, torch).

A circuit between two linear maps, and what stands in for it in the other arms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve
from torch import nn

from qimg_circuits.ansatzes.strongly_entangling import StronglyEntangling
from qimg_circuits.encoders.dense_angle import DenseAngleEncoder
from qimg_circuits.encoders.reupload import ReuploadEncoder
from qimg_core.circuit import Circuit
from qimg_core.circuit.compose import interleave
from qimg_core.encoder import Encoder
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm
from qimg_core.torch_layer import QuantumLayer
from qimg_diffusion import readouts

if TYPE_CHECKING:
    from qimg_core.observable import Observable
    from qimg_core.session import Session


class ArmMap(nn.Module):
    """(rows, n_in) -> (rows, n_out).

    Attributes:
        quantum: the layer that runs on a device; None in classical arms.
    """

    quantum: QuantumLayer | None


class QuantumMap(ArmMap):
    """Linear map to angles, circuit, linear map of what was measured.

    Args:
        session: runs the circuit.
        n_in: length of a row.
        n_out: length of its image.
        encoder: takes the angles.
        circuit: the whole circuit.
        observable: read-out.
        initial: (circuit.n_weights,).
        seed: of encoder's and observable's own parameters.
        bounded: angles are pi tanh(linear map), so that they cannot wind up; else the map itself.
        frozen: the circuit's weights are not trained.
        fixed_observable: the observable's entries are not trained.
        label: names the circuit in the record.
    """

    def __init__(
        self,
        session: Session,
        *,
        n_in: int,
        n_out: int,
        encoder: Encoder,
        circuit: Circuit,
        observable: Observable,
        initial: Any,
        seed: int,
        bounded: bool,
        frozen: bool,
        fixed_observable: bool = False,
        label: str = "velocity",
    ) -> None:
        super().__init__()
        self.bounded = bounded
        self.read_in = nn.Linear(n_in, encoder.n_features)
        self.quantum = QuantumLayer(
            session,
            encoder,
            circuit,
            observable,
            initial=initial,
            seed=seed,
            label=label,
            frozen=frozen,
            fixed_observable=fixed_observable,
        )
        self.read_out = nn.Linear(observable.n_features, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, n_in) -> (rows, n_out)."""
        angles = self.read_in(x)
        if self.bounded:
            angles = math.pi * torch.tanh(angles)
        assert self.quantum is not None
        out: torch.Tensor = self.read_out(self.quantum(angles))
        return out


class ClassicalMap(ArmMap):
    """The twin: a perceptron with exactly as many trainable numbers as it is told to have.

    The widest hidden layers that fit; what is left over goes into a direct path from the first
    inputs and a gain on the first outputs.

    Args:
        n_in: length of a row.
        n_out: length of its image.
        parameters: how many trainable numbers.
        hidden: 1 or 2 hidden layers of tanh.

    Raises:
        ConfigurationError: too few parameters for a hidden layer of one.
    """

    quantum = None

    def __init__(self, n_in: int, n_out: int, *, parameters: int, hidden: int = 1) -> None:
        super().__init__()

        def size(h: int) -> int:
            return h * (n_in + 1) + (hidden - 1) * h * (h + 1) + (h + 1) * n_out

        width = 1
        while size(width + 1) <= parameters:
            width += 1
        left = parameters - size(width)
        if left < 0:
            raise ConfigurationError(
                f"a twin from {n_in} to {n_out} has {size(1)} parameters or more, not {parameters}"
            )
        layers: list[nn.Module] = [nn.Linear(n_in, width), nn.Tanh()]
        for _ in range(hidden - 1):
            layers += [nn.Linear(width, width), nn.Tanh()]
        self.perceptron = nn.Sequential(*layers)
        self.read_out = nn.Linear(width, n_out)
        self.direct = nn.Parameter(torch.zeros(n_out, min(left // n_out, n_in)))
        self.gain = nn.Parameter(torch.zeros(min(left - self.direct.numel(), n_out)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, n_in) -> (rows, n_out)."""
        out: torch.Tensor = self.read_out(self.perceptron(x)) + x[:, : self.direct.shape[1]] @ self.direct.T
        gain = torch.cat([1 + self.gain, self.gain.new_ones(out.shape[1] - len(self.gain))])
        return out * gain


class LinearMap(ArmMap):
    """What is left of the latent flow without its circuit: one linear map."""

    quantum = None

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, n_in) -> (rows, n_out)."""
        out: torch.Tensor = self.linear(x)
        return out


def count(module: nn.Module) -> int:
    """Trainable numbers of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class LayeredAngles(Encoder):
    """Dense angles (RZ RY) uploaded once in each layer, every layer its own: the features are the angles.

    Args:
        n_wires: two angles each.
        layers: how often.
    """

    def __init__(self, n_wires: int, layers: int) -> None:
        self.n_wires, self.layers = n_wires, layers
        self.upload = DenseAngleEncoder(n_wires)

    @property
    def circuit(self) -> Circuit:
        """The uploads alone."""
        return self.weave_layers([Circuit(self.n_wires)] * self.layers)

    def weave_layers(self, blocks: list[Circuit]) -> Circuit:
        """Upload, ``blocks[0]``, upload, ``blocks[1]``, ..."""
        return interleave(self.upload.circuit, blocks, self.layers, share_inputs=False)

    @property
    def n_features(self) -> int:
        """Two angles a wire and layer."""
        return 2 * self.n_wires * self.layers

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, n_features), layer by layer, as they are."""
        return batch


def without_entanglers(circuit: Circuit) -> Circuit:
    """The same circuit and parameters, only gates on one wire."""
    return evolve(circuit, gates=tuple(g for g in circuit.gates if len(g.wires) == 1))


def reuploading(
    n_wires: int,
    layers: int,
    windows: list[tuple[tuple[int, ...], int]],
    *,
    shared: bool,
    seed: int,
    readout: str = "pairs",
    neighbours: int = 2,
) -> tuple[Encoder, Circuit, Any, Observable]:
    """The circuit of both models: upload, RZ RY RZ on every wire and a CX ring, ``layers`` times.

    Args:
        n_wires: 2 or more.
        layers: how often.
        windows: wires and number of trained matrices on them, beside those that ``readout`` adds.
        shared: every layer uploads the same angles, by its own trained scale and bias; else its own.
        seed: of the weights' initial values.
        readout: ``pairs``, ``sliding``, ``global`` or ``diagonal``, see `qimg_diffusion.readouts.readout`.
        neighbours: wires of a sliding window.

    Returns:
        Encoder, circuit, initial weights, observable.
    """
    ansatz = StronglyEntangling(n_wires, layers)
    blocks = [ansatz.layer(i) for i in range(layers)]
    upload = DenseAngleEncoder(n_wires)
    encoder = ReuploadEncoder(upload, layers) if shared else LayeredAngles(n_wires, layers)
    observable = readouts.readout(readout, n_wires, windows, neighbours=neighbours)
    return encoder, encoder.weave_layers(blocks), ansatz.initial(seed), observable


def latent_map(session: Session, config: Any, n_in: int, n_out: int, *, label: str) -> ArmMap:
    """The map of an arm in a latent space, from the numbers that torch draws next.

    Args:
        session: runs the circuit.
        config: has arm, wires, layers, observables (matrices on all wires), readout and neighbours.
        n_in: length of a row.
        n_out: length of its image.
        label: names the circuit in the record.

    Returns:
        The circuit between linear maps; for the twin a perceptron of as many trained numbers; for the bypass one
        linear map.
    """
    c = config
    if c.arm is Arm.BYPASS:
        return LinearMap(n_in, n_out)
    windows = [(tuple(range(c.wires)), c.observables)] if c.observables else []
    seed = session.seed_for("init")
    encoder, circuit, initial, observable = reuploading(
        c.wires, c.layers, windows, shared=False, seed=seed, readout=c.readout, neighbours=c.neighbours
    )
    layer = QuantumMap(
        session,
        n_in=n_in,
        n_out=n_out,
        encoder=encoder,
        circuit=without_entanglers(circuit) if c.arm is Arm.SEPARABLE else circuit,
        observable=observable,
        initial=initial,
        seed=session.seed_for("init", "observable"),
        bounded=False,
        frozen=c.arm is Arm.FROZEN,
        label=label,
    )
    return ClassicalMap(n_in, n_out, parameters=count(layer), hidden=2) if c.arm is Arm.TWIN else layer
