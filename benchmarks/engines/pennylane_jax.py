"""PennyLane's default.qubit under jax.jit (imports pennylane, jax)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import pennylane as qml

from benchmarks.engines.jax_base import JaxEngine
from benchmarks.engines.pennylane_tape import tape

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Task


class DefaultQubit(JaxEngine):
    """One broadcast call, backprop, the whole step jitted; generators by vmap."""

    packages = ("pennylane", "jax", "jaxlib")

    def prepare(self, task: Task, arrays: Arrays) -> Step:
        device = qml.device("default.qubit", wires=task.wires)
        node = qml.QNode(tape(task), device, interface="jax", diff_method="backprop")

        def one(x: Any, w: Any, h: Any) -> Any:
            out = node(x, w) if h is None else node(x, w, h)
            if task.reading != "postselected":
                return jnp.stack(out, -1)
            out = out[:, : 2 ** (task.wires - 1)]
            return out / out.sum(1, keepdims=True)

        def run(x: Any, w: Any, h: Any) -> Any:
            if task.generators == 1:
                return one(x, w, h)
            values = jax.vmap(one, in_axes=(None, 0, None))(x, w, h)
            return values.reshape(-1, values.shape[-1])

        return self.step(task, arrays, run)
