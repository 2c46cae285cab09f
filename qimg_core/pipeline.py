"""`Pipeline`: classical, quantum, classical as one recorded run (floor 7; imports session and below).

For work that is no image generator: features of an image set, kernels, a circuit in front of a classical
model. The same road as everything else, with the digests of what went in and came out in one entry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import DataError
from qimg_core.execution import ExecutionRequest, array_digest

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Circuit
    from qimg_core.encoder import Encoder
    from qimg_core.execution import ExecutionRecord
    from qimg_core.ledger.entry import Entry
    from qimg_core.observable import Observable
    from qimg_core.session import Session

Step = Callable[[Any], Any]


def _same(batch: Any) -> Any:
    return batch


@frozen(kw_only=True, eq=False)
class Output:
    """What a pipeline made: ``data`` (rows, ...), the execution's record and the entry of the run."""

    data: Any
    record: ExecutionRecord
    entry: Entry


@frozen(kw_only=True, eq=False)
class Pipeline:
    """Three steps that are run and recorded as one.

    Args:
        encoder: takes the prepared batch to circuit inputs.
        circuit: the encoder's circuit with whatever follows it.
        observable: what is measured and how it becomes features.
        weights: (circuit.n_weights,) numpy.
        prepare: classical step before, (rows, ...) -> (rows, encoder.n_features).
        finish: classical step after, (rows, observable.n_features) -> anything.
        name: for the record.
        encoder_parameters, observable_parameters: where these train any.
    """

    encoder: Encoder
    circuit: Circuit
    observable: Observable
    weights: Any
    prepare: Step = field(default=_same)
    finish: Step = field(default=_same)
    name: str = "pipeline"
    encoder_parameters: Any = None
    observable_parameters: Any = None

    def run(self, session: Session, batch: Any) -> Output:
        """Run a numpy batch through all three steps in one session.

        Raises:
            DataError: an empty batch, NaN, or a shape that the encoder does not take.
        """
        import numpy as np

        batch = np.asarray(batch, dtype=float)
        if batch.ndim < 2 or not len(batch):
            raise DataError(f"wanted a batch (rows, ...) of one row or more, got shape {batch.shape}")
        if not np.isfinite(batch).all():
            raise DataError("the batch holds NaN or infinite values")
        prepared = self.prepare(batch)
        request = ExecutionRequest(
            circuit=self.circuit,
            inputs=self.encoder.features(prepared, self.encoder_parameters),
            weights=np.asarray(self.weights, dtype=float),
            measurement=self.observable.measurement,
            shots=session.shots,
            seed=None if session.shots is None else session.seed_for(self.name, "shots"),
            noise=session.noise_model,
            mitigation=session.mitigation,
        )
        result = session.execute(request, label=self.name)
        features = self.observable.reduce(result.data, self.observable_parameters)
        data = self.finish(features)
        session.flush()
        facts = {
            "name": self.name,
            "rows": len(batch),
            "batch": array_digest(batch),
            "prepared": array_digest(np.asarray(prepared)),
            "features": array_digest(np.asarray(features)),
            "request": request.digest,
            "circuit": self.circuit.digest,
            "steps": [_name(self.prepare), _name(self.finish)],
        }
        entry = session.record("pipeline.run", facts)
        return Output(data=data, record=result.record, entry=entry)


def _name(step: Step) -> str:
    return f"{getattr(step, '__module__', '?')}.{getattr(step, '__qualname__', type(step).__name__)}"
