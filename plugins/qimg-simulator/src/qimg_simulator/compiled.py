"""A circuit without noise in compiled kernels, where a plugin brings them (imports torch; the kernels when asked).

`qimg-kernels` is found through the entry point group ``qimg_simulator.kernels``. It runs the same plan and gives the
same numbers to rounding; without it everything is computed in torch.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qimg_core.errors import PluginLoadError
from qimg_simulator import readout
from qimg_simulator.reading import Anything, Distribution, Reading, Signed
from qimg_simulator.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import NotImplementedType

    from qimg_simulator.plan import Plan

GROUP = "qimg_simulator.kernels"


class Kernel(Protocol):
    """A plan made ready by a plugin. All results are differentiable once in inputs and weights."""

    @classmethod
    def supports(cls, plan: Plan, like: Tensor) -> bool:
        """Whether it can run a plan on tensors such as ``like``."""
        ...

    def __init__(self, plan: Plan, like: Tensor) -> None: ...

    def state(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Amplitudes (2**n, rows)."""
        ...

    def squares(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """|amplitude|**2 (2**n, rows)."""
        ...

    def signed(self, inputs: Tensor, weights: Tensor, masks: tuple[int, ...]) -> Tensor:
        """(rows, len(masks)): sum_i (-1)**popcount(i & mask) |amplitude i|**2."""
        ...

    def windows(
        self, inputs: Tensor, weights: Tensor, windows: tuple[tuple[int, ...], ...], matrices: Sequence[Tensor]
    ) -> Tensor | NotImplementedType:
        """(rows, sum K): `windows.Windows`, differentiable in the matrices too; `NotImplemented` to read the state."""
        ...


@cache
def kernels() -> tuple[type[Kernel], str] | None:
    """The installed kernels and their name and version; None where there are none.

    Raises:
        PluginLoadError: they are installed and broken.
    """
    for point in entry_points(group=GROUP):
        try:
            found: type[Kernel] = point.load()
            level = import_module(point.module.partition(".")[0]).level()
        except Exception as cause:
            raise PluginLoadError(f"kernels {point.value} failed to load: {cause!r}") from cause
        name = f"{point.dist.name} {point.dist.version}" if point.dist else point.module
        return found, f"{name}, instruction level {level}"
    return None


class CompiledProgram:
    """A plan in a kernel, asked like a `pure.PureProgram`.

    Args:
        kernel: of the plugin.
        plan: a compiled circuit.
        like: any tensor of the real dtype.
    """

    def __init__(self, kernel: type[Kernel], plan: Plan, like: Tensor) -> None:
        self.plan = plan
        self.like = torch.empty(0, dtype=like.dtype)
        self.kernel = kernel(plan, self.like)
        self._readings: dict[object, Reading] = {}

    def run(
        self, key: object, make: Callable[[], Reading], inputs: Tensor, weights: Tensor, matrices: Sequence[Tensor] = ()
    ) -> Tensor:
        """See `pure.PureProgram.run`; weights for groups of rows come row by row here."""
        if torch.is_autocast_enabled("cpu"):  # precision is the request's
            with torch.autocast("cpu", enabled=False):
                return self._run(key, make, inputs, weights, matrices)
        return self._run(key, make, inputs, weights, matrices)

    def _run(
        self, key: object, make: Callable[[], Reading], inputs: Tensor, weights: Tensor, matrices: Sequence[Tensor]
    ) -> Tensor:
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = make()
            reading.shorten(())
        if isinstance(reading, Signed):
            values = self.kernel.signed(inputs, weights, tuple(reading.masks))
            return values if reading.plain else values * reading.scale
        if isinstance(reading, Distribution):
            squares = self.kernel.squares(inputs, weights)
            return squares.t() if reading.plain else readout.marginal(squares, reading.wires)
        if isinstance(reading, Windows):
            found = self.kernel.windows(inputs, weights, reading.windows, matrices)
            if isinstance(found, Tensor):
                return found
        psi = self.kernel.state(inputs, weights)
        if isinstance(reading, Anything):
            return reading.function(psi)
        if torch.is_grad_enabled() and any(t.requires_grad for t in (psi, *matrices)):
            out: Tensor = _Read.apply(reading, psi, *matrices)  # type: ignore[no-untyped-call]
            return out
        return reading.evaluate(psi[None], matrices)[0][0]


class _Read(torch.autograd.Function):
    """A reading alone, of a state that torch differentiates further."""

    @staticmethod
    def forward(ctx: Any, reading: Reading, psi: Tensor, *matrices: Tensor) -> Tensor:
        values, tape = reading.evaluate(psi[None], matrices)
        ctx.reading, ctx.tape = reading, tape
        ctx.save_for_backward(psi, *matrices)
        return values[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        psi = ctx.saved_tensors[0]  # refuses what was changed in place since
        lam, for_matrices = ctx.reading.pull(psi[None], ctx.tape, g[None], any(ctx.needs_input_grad[2:]))
        return (None, lam[0], *for_matrices)
