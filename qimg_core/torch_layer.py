"""`QuantumLayer`: the one place where torch meets a device (floor 7; the only core module that imports torch).

The layer builds a request and hands it to its session, in training and in sampling alike. Where the
device differentiates natively the tensors pass through; elsewhere values and shifts travel as one
request, and their result enters the graph as a custom function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from qimg_core.capabilities import GradientMethod
from qimg_core.execution import ExecutionRequest
from qimg_core.gradients import Occurrences, by_occurrence, gather, shifted

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Circuit
    from qimg_core.encoder import Encoder
    from qimg_core.observable import Observable
    from qimg_core.session import Session


class QuantumLayer(torch.nn.Module):
    """Classical features in, classical features out, a circuit between.

    Args:
        session: runs and records every request.
        encoder: makes circuit inputs from the batch.
        circuit: the whole circuit: the encoder's inputs and the ansatz' weights.
        observable: what is measured and how it becomes features.
        initial: (circuit.n_weights,) where training starts.
        seed: for the encoder's and observable's own initial parameters.
        label: names the layer in the record.
        frozen: keep the circuit's weights at ``initial``.

    Shape: (rows, encoder.n_features) -> (rows, observable.n_features), in the batch's dtype.
    """

    def __init__(
        self,
        session: Session,
        encoder: Encoder,
        circuit: Circuit,
        observable: Observable,
        *,
        initial: Any,
        seed: int,
        label: str = "quantum",
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.session, self.encoder, self.circuit, self.observable = session, encoder, circuit, observable
        self.label = label
        dtype = torch.get_default_dtype()
        self.weights = torch.nn.Parameter(torch.as_tensor(initial, dtype=dtype), requires_grad=not frozen)
        self.encoder_parameters = torch.nn.Parameter(torch.as_tensor(encoder.initial(seed), dtype=dtype))
        self.observable_parameters = torch.nn.Parameter(torch.as_tensor(observable.initial(seed), dtype=dtype))
        self._calls = 0
        self._occurrences: Occurrences | None = None

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """(rows, encoder.n_features) -> (rows, observable.n_features)."""
        own = self.encoder_parameters if self.encoder.n_parameters else None
        inputs = self.encoder.features(batch, own)
        shots, noise = self.session.shots, self.session.noise_model
        seed = None if shots is None else self.session.seed_for(self.label, "call", self._calls)
        self._calls += 1
        request = ExecutionRequest(
            circuit=self.circuit,
            inputs=inputs,
            weights=self.weights,
            measurement=self.observable.measurement,
            shots=shots,
            seed=seed,
            noise=noise,
        )
        method = self.session.gradient_for(request)
        if method is GradientMethod.BACKPROP:
            return self._backprop(request)
        wanted = torch.is_grad_enabled()  # inside the function it is always off
        data = _Shift.apply(inputs, self.weights, self, request, wanted)  # type: ignore[no-untyped-call]
        features: torch.Tensor = self.observable.reduce(data, self._trained())
        return features

    def _trained(self) -> torch.Tensor | None:
        return self.observable_parameters if self.observable.n_parameters else None

    def _backprop(self, request: ExecutionRequest) -> torch.Tensor:
        from attrs import evolve

        readout = None
        if self.session.backend().capabilities.contracts:
            readout = self.observable.readout(self._trained())
        if readout is not None:
            request = evolve(request, readout=readout)
        result = self.session.execute(request, gradient=GradientMethod.BACKPROP, label=self.label)
        data: torch.Tensor = result.data
        if readout is None:
            data = self.observable.reduce(data, self._trained())
        return data

    def occurrences(self) -> Occurrences:
        """The circuit rewritten for the shift rule, made once."""
        if self._occurrences is None:
            self._occurrences = by_occurrence(self.circuit)
        return self._occurrences


class _Shift(torch.autograd.Function):
    """Value and shifts as one request, so a training step is one job and not two."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        weights: torch.Tensor,
        layer: QuantumLayer,
        request: ExecutionRequest,
        wanted: bool,
    ) -> torch.Tensor:
        from attrs import evolve

        def numbers(tensor: torch.Tensor) -> Any:
            return tensor.detach().cpu().double().numpy()

        plain = evolve(request, inputs=numbers(inputs), weights=numbers(weights))
        wanted = wanted and (ctx.needs_input_grad[0] or ctx.needs_input_grad[1])
        ctx.shared = weights.ndim == 1
        if not wanted:
            data = layer.session.execute(plain, label=layer.label).data
            return inputs.new_tensor(data.reshape(len(data), -1) if data.ndim > 2 else data)
        plan = layer.occurrences()
        moved = shifted(plain, plan)
        result = layer.session.execute(moved, gradient=GradientMethod.PARAMETER_SHIFT, label=layer.label)
        values, jacobian = gather(result.data, plain.rows, plan)
        c = layer.circuit
        ctx.for_inputs = inputs.new_tensor(jacobian[:, :, list(c.input_indices)])
        ctx.for_weights = inputs.new_tensor(jacobian[:, :, list(c.weight_indices)])
        return inputs.new_tensor(values)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None, None]:
        (grad,) = grads
        for_inputs = torch.einsum("rw,rwp->rp", grad, ctx.for_inputs)
        by_row = torch.einsum("rw,rwp->rp", grad, ctx.for_weights)
        return for_inputs, by_row.sum(0) if ctx.shared else by_row, None, None, None
