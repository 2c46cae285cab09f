"""Where the value of each parameter of a circuit lies (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Circuit


def columns(circuit: Circuit, *, weights_by_row: bool) -> tuple[dict[int, int], dict[int, int]]:
    """Where each parameter's value lies: (parameter -> row of the by-row matrix, -> shared vector).

    The by-row matrix holds the inputs, then the weights if those differ by row.
    """
    rows = {p: i for i, p in enumerate(circuit.input_indices)}
    shared = {p: i for i, p in enumerate(circuit.weight_indices)}
    if not weights_by_row:
        return rows, shared
    return {**rows, **{p: len(rows) + i for p, i in shared.items()}}, {}
