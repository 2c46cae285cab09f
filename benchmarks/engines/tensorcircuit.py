"""TensorCircuit-NG with the jax backend: vmap over the batch, jit of the whole step (imports tensorcircuit, jax)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc

from benchmarks.engines.jax_base import JaxEngine, JaxReadout

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Task


class TensorCircuit(JaxEngine):
    """The circuit's state, read by a few lines of jax."""

    packages = ("tensorcircuit-ng", "jax", "jaxlib")

    def start(self) -> None:
        tc.set_backend("jax")
        tc.set_dtype("complex64")
        super().start()

    def circuit(self, task: Task, x: Any, w: Any) -> Any:
        """Of one row."""
        if task.amplitudes:
            c = tc.Circuit(task.wires, inputs=(x / jnp.linalg.norm(x)).astype(jnp.complex64))
        else:
            c = tc.Circuit(task.wires)
        for gate in task.gates:
            angles = [(x if kind == "x" else w)[i] for kind, i in gate.angles]
            if gate.name == "rot":  # U(theta, phi, lambda) is RZ(phi) RY(theta) RZ(lambda) up to a phase
                c.u(*gate.wires, theta=angles[1], phi=angles[2], lbd=angles[0])
            elif angles:
                getattr(c, gate.name)(*gate.wires, theta=angles[0])
            else:
                getattr(c, {"cx": "cnot"}.get(gate.name, gate.name))(*gate.wires)
        return c

    def prepare(self, task: Task, arrays: Arrays) -> Step:
        if task.shots is not None:
            return self._sampler(task, arrays)
        readout = JaxReadout(task)

        def one(x: Any, w: Any, h: Any) -> Any:
            return readout(self.circuit(task, x, w).state(), h)

        batched = jax.vmap(one, in_axes=(0, None, None))

        def run(x: Any, w: Any, h: Any) -> Any:
            if task.generators == 1:
                return batched(x, w, h)
            values = jax.vmap(batched, in_axes=(None, 0, None))(x, w, h)
            return values.reshape(-1, values.shape[-1])

        return self.step(task, arrays, run)

    def _sampler(self, task: Task, arrays: Arrays) -> Step:
        def one(x: Any, w: Any, uniform: Any) -> Any:
            # what Circuit.sample(allow_state=True) does, with the random numbers handed in
            p = jnp.abs(self.circuit(task, x, w).state()) ** 2
            return jnp.searchsorted(jnp.cumsum(p), uniform * p.sum())

        compiled = jax.jit(jax.vmap(one, in_axes=(0, None, 0)))
        rng = np.random.default_rng(1)
        shape = (task.rows, task.shots or 1)
        return lambda: {"outcomes": np.asarray(compiled(arrays["x"], arrays["w"], rng.random(shape, dtype=np.float32)))}

    def counts(self, task: Task, raw: Arrays) -> Arrays:
        size = 2**task.wires
        seen = np.minimum(raw["outcomes"], size - 1)
        return {"counts": np.stack([np.bincount(row, minlength=size) for row in seen])}
