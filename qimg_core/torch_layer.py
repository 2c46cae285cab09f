"""`QuantumLayer`: the one place where torch meets a device (floor 7; the only core module that imports torch).

The layer builds a request and hands it to its session, in training and in sampling alike. Where the
device differentiates natively the tensors pass through. A device with an adjoint method gives values in
the forward pass and one vector-Jacobian product in the backward pass. Elsewhere values and shifts travel
as one request. Either result enters the graph as a custom function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

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
        initial: (circuit.n_weights,) where training starts; or (groups, n_weights): so many circuits of the same
            form, each for as many consecutive rows of the batch.
        seed: for the encoder's and observable's own initial parameters.
        label: names the layer in the record.
        frozen: keep the circuit's weights at ``initial``.
        fixed_observable: keep the observable's parameters at their initial values.

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
        fixed_observable: bool = False,
    ) -> None:
        super().__init__()
        self.session, self.encoder, self.circuit, self.observable = session, encoder, circuit, observable
        self.label = label
        dtype = torch.get_default_dtype()
        self.weights = torch.nn.Parameter(torch.as_tensor(initial, dtype=dtype), requires_grad=not frozen)
        self.encoder_parameters = torch.nn.Parameter(torch.as_tensor(encoder.initial(seed), dtype=dtype))
        self.observable_parameters = torch.nn.Parameter(
            torch.as_tensor(observable.initial(seed), dtype=dtype), requires_grad=not fixed_observable
        )
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
            mitigation=None if shots is None and noise is None else self.session.mitigation,
        )
        method = self.session.gradient_for(request)
        if method is GradientMethod.BACKPROP:
            return self._backprop(request)
        request = request.by_row()
        wanted = torch.is_grad_enabled()  # inside the function it is always off
        function = _Adjoint if method is GradientMethod.ADJOINT else _Shift
        data = function.apply(inputs, request.weights, self, request, wanted)  # type: ignore[no-untyped-call]
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


def _numbers(tensor: torch.Tensor) -> Any:
    """A float64 copy: an optimiser may change the tensor before the request is used again."""
    return tensor.detach().to("cpu", torch.float64, copy=True).numpy()


def _values(request: ExecutionRequest, layer: QuantumLayer, like: torch.Tensor) -> torch.Tensor:
    """The numbers alone, (rows, ...), as torch has them."""
    data = layer.session.execute(request, label=layer.label).data
    return like.new_tensor(data.reshape(len(data), -1) if data.ndim > 2 else data)


class _Adjoint(torch.autograd.Function):
    """Values forward; backward the device's own product of the loss' derivative and the Jacobian."""

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

        plain = evolve(request, inputs=_numbers(inputs), weights=_numbers(weights))
        if not (wanted and (ctx.needs_input_grad[0] or ctx.needs_input_grad[1])):
            return _values(plain, layer, inputs)
        ctx.layer, ctx.request, ctx.like = layer, plain, inputs.new_empty(0)
        result = layer.session.execute(plain, gradient=GradientMethod.ADJOINT, label=layer.label)
        return inputs.new_tensor(result.data)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layer, like = ctx.layer, ctx.like
        inputs, weights = layer.session.vjp(ctx.request, _numbers(grad), label=layer.label)
        return like.new_tensor(inputs), like.new_tensor(weights), None, None, None


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

        plain = evolve(request, inputs=_numbers(inputs), weights=_numbers(weights))
        wanted = wanted and (ctx.needs_input_grad[0] or ctx.needs_input_grad[1])
        ctx.shared = weights.ndim == 1
        if not wanted:
            return _values(plain, layer, inputs)
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
