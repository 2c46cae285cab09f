"""Data re-uploading: the same data several times, scaled and shifted by trained numbers (imports qimg_core)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import frozen

from qimg_circuits.arrays import at_least, check_batch, check_parameters
from qimg_circuits.encoders.base import StandardEncoder
from qimg_core.circuit import Circuit
from qimg_core.circuit.compose import interleave, repeat
from qimg_core.circuit.gates import GateName
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.ansatz import Ansatz
    from qimg_core.encoder import Encoder
    from qimg_core.execution import FloatArray


@runtime_checkable
class Layered(Protocol):
    """An ansatz that can be taken apart into its layers."""

    @property
    def layers(self) -> int: ...

    def layer(self, index: int) -> Circuit:
        """Layer ``index``, with the weights of that layer alone."""
        ...


@frozen
class ReuploadEncoder(StandardEncoder):
    """Uploads x in each layer l as ``encoder(S_l * x + B_l)`` (Perez-Salinas et al. 2020, arXiv:1907.02085).

    Used alone, `circuit` runs the uploads one after the other. To train, put ansatz layers between
    them with `weave`: the inputs keep their number and order, so `features` serves both.

    Trained parameters, when ``trainable``: (layers, 2, n_features) flattened, S_l then B_l.

    Args:
        encoder: what is repeated; it must not prepare a state, nor train parameters of its own.
        layers: how often.
        trainable: train S and B; otherwise every layer reads the same inputs.
        spread: standard deviation of `initial` around S = 1 and B = 0.
    """

    encoder: Encoder
    layers: int
    trainable: bool = True
    spread: float = 0.1

    def __attrs_post_init__(self) -> None:
        at_least(self.layers, 1, "layers")
        if any(g.name is GateName.PREPARE for g in self.encoder.circuit.gates):
            raise ConfigurationError("prepare starts from |0...0>: an amplitude encoder cannot be re-uploaded")
        if self.encoder.n_parameters:
            raise ConfigurationError("the re-uploaded encoder must have no trained parameters of its own")

    @cached_property
    def circuit(self) -> Circuit:
        if not self.trainable:
            return repeat(self.encoder.circuit, self.layers, tied=True)
        return self.weave_layers([Circuit(self.encoder.circuit.n_wires)] * self.layers)

    def weave(self, ansatz: Ansatz) -> Circuit:
        """Upload, ansatz layer, upload, ansatz layer, ...; the weights in the ansatz's own order.

        Args:
            ansatz: with ``layers`` and ``layer(l)``. Its number of layers is a multiple of this
                encoder's; each upload is followed by an equal share.

        Raises:
            ConfigurationError: an ansatz without layers, or a number that does not divide.
        """
        if not isinstance(ansatz, Layered):
            raise ConfigurationError(
                f"{type(ansatz).__name__} has no layers to weave: use reuploading(encoder, ansatz, n)"
            )
        share, rest = divmod(ansatz.layers, self.layers)
        if rest or not share:
            raise ConfigurationError(f"cannot share {ansatz.layers} ansatz layers among {self.layers} uploads")
        blocks = []
        for upload in range(self.layers):
            block = ansatz.layer(upload * share)
            for index in range(upload * share + 1, (upload + 1) * share):
                block = block.then(ansatz.layer(index))
            blocks.append(block)
        return self.weave_layers(blocks)

    def weave_layers(self, blocks: list[Circuit]) -> Circuit:
        """Upload, ``blocks[0]``, upload, ``blocks[1]``, ...: one block for each upload."""
        return interleave(self.encoder.circuit, blocks, self.layers, share_inputs=not self.trainable)

    @property
    def n_features(self) -> int:
        return self.encoder.n_features

    @property
    def n_parameters(self) -> int:
        return self.layers * 2 * self.n_features if self.trainable else 0

    def initial(self, seed: int) -> FloatArray:
        """S normal around 1 and B normal around 0, both with standard deviation ``spread`` (PCG64)."""
        import numpy as np

        if not self.trainable:
            return np.zeros(0)
        noise = np.random.Generator(np.random.PCG64(seed)).normal(size=(self.layers, 2, self.n_features))
        return np.asarray((noise * self.spread + [[1.0], [0.0]]).ravel())

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, n_features) -> (rows, layers * inputs of the encoder), layer by layer."""
        check_batch(batch, self.n_features, "re-uploading")
        if not self.trainable:
            return self.encoder.features(batch)
        check_parameters(parameters, self.n_parameters, "re-uploading")
        scale_bias = parameters.reshape(self.layers, 2, self.n_features)
        moved = batch[:, None, :] * scale_bias[None, :, 0] + scale_bias[None, :, 1]
        rows = batch.shape[0]
        encoded = self.encoder.features(moved.reshape(rows * self.layers, self.n_features))
        return encoded.reshape(rows, self.layers * self.encoder.circuit.n_inputs)

    @property
    def normalisation_loss(self) -> float:
        """That of the encoder."""
        return self.encoder.normalisation_loss


def reuploading(
    encoder: Encoder, ansatz: Ansatz, layers: int, *, trainable: bool = True
) -> tuple[ReuploadEncoder, Circuit]:
    """The re-uploading encoder and the circuit that it feeds: (encode, ansatz) ``layers`` times.

    Args:
        encoder: uploads the data.
        ansatz: one layer; each of its copies has weights of its own, ``layers * ansatz.circuit.n_weights`` in all.
        layers: how often.
        trainable: train scale and bias of each upload.
    """
    uploads = ReuploadEncoder(encoder, layers, trainable)
    return uploads, uploads.weave_layers([ansatz.circuit] * layers)
