"""What the jax engines share: one jitted, batched value-and-gradient (imports jax)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.engines.base import Engine
from benchmarks.reference import window_order, z_signs

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Task


class JaxEngine(Engine):
    """numpy in, one compiled function, numpy out."""

    def start(self) -> None:
        jax.grad(lambda a: (a @ a).sum())(jnp.ones((4, 4))).block_until_ready()

    def step(self, task: Task, arrays: Arrays, run: Callable[[Any, Any, Any], Any]) -> Step:
        """The step of a function (x, w, h) -> values."""
        c = arrays["c"]
        names = ("x", "w", "h") if "h" in arrays else ("x", "w")

        def loss(*leaves: Any) -> Any:
            values = run(*leaves, *[None] * (3 - len(names)))
            return (values * c).sum(), values

        compiled = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(len(names))), has_aux=True))

        def whole() -> Arrays:
            (_, values), grads = compiled(*(arrays[k] for k in names))
            out = {k: np.asarray(g) for k, g in zip(names, grads, strict=True)}
            if "h" in out:
                out["h"] = out["h"].conj()  # jax: dL/dRe - i dL/dIm
            return {"values": np.asarray(values), **out}

        return whole


class JaxReadout:
    """Reads a task's values from the amplitudes of one row (2**n,)."""

    def __init__(self, task: Task) -> None:
        self.task = task
        n = task.wires
        self.signs = z_signs(n).T.astype(np.float32)
        self.orders = np.concatenate([window_order(w, n) for w in task.windows]) if task.windows else None

    def __call__(self, psi: Any, h: Any) -> Any:
        t = self.task
        if t.reading == "windows":
            count, size = len(t.windows), h.shape[-1]
            v = psi[self.orders].reshape(count, size, -1)
            return jnp.real(jnp.sum(v.conj() * (h @ v), (1, 2)))
        p = jnp.abs(psi) ** 2
        if t.reading == "z":
            return p @ self.signs
        if t.reading == "postselected":
            p = p[: 2 ** (t.wires - 1)]
            return p / p.sum()
        return p
