"""Pictures of the states a circuit reaches: Bloch ball, Q-sphere, principal components (matplotlib when drawn)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.circuit import Circuit
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.measurement import LocalStates, State
from qimg_metrics.bootstrap import generator
from qimg_metrics.circuit.states import measured, opened, random_states, random_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from qimg_core.session import Session

_BLUE, _GREY = "#2b5fa8", "#9aa5b5"


def bloch(
    circuit: Circuit,
    out: str | Path,
    *,
    wire: int = 0,
    samples: int = 500,
    seed: int = 0,
    session: Session | None = None,
) -> Path:
    """Draw one wire's reduced states in the Bloch ball, at random parameters.

    Points on the surface are pure: that wire is not entangled. The centre is the maximally mixed state.

    Args:
        circuit: of unitary gates.
        out: the PNG file.
        wire: whose state.
        samples: random sets of parameters.
        seed: of them.
        session: where the circuit runs; None simulates it in a session of its own.

    Returns:
        The file that was written.

    Raises:
        ConfigurationError: no such wire, or matplotlib is missing.
    """
    figure = _figure(5.2, 5.2)
    points = bloch_vectors(circuit, wire=wire, samples=samples, seed=seed, session=session)
    axes = _sphere(figure)
    colour = np.linalg.norm(points, axis=1)
    dots = axes.scatter(*points.T, c=colour, cmap="viridis", vmin=0.0, vmax=1.0, s=8)
    for words, place in (("|0⟩", (0, 0, 1.25)), ("|1⟩", (0, 0, -1.3)), ("x", (1.25, 0, 0)), ("y", (0, 1.25, 0))):
        axes.text(*place, words, ha="center")
    figure.colorbar(dots, ax=axes, shrink=0.6, label="length of the Bloch vector (1: pure)")
    axes.set_title(f"wire {wire} of {circuit.n_wires}, {samples} random parameter sets")
    return _saved(figure, out)


def bloch_vectors(
    circuit: Circuit, *, wire: int = 0, samples: int = 500, seed: int = 0, session: Session | None = None
) -> NDArray[np.float64]:
    """(samples, 3): <X>, <Y>, <Z> of one wire at random parameters.

    Raises:
        ConfigurationError: no such wire.
    """
    if not 0 <= wire < circuit.n_wires:
        raise ConfigurationError(f"wire {wire} is not among the circuit's {circuit.n_wires}")
    values = random_values(circuit, samples, seed=seed, name="bloch")
    with opened(session, seed) as running:
        parts = measured(circuit, values, LocalStates(((wire,),)), session=running, label="bloch")
        return np.concatenate([part[:, 1:] for part in parts])


def qsphere(
    circuit: Circuit,
    out: str | Path,
    *,
    values: Sequence[float] | None = None,
    seed: int = 0,
    session: Session | None = None,
) -> Path:
    """Draw one state on the Q-sphere: a dot for each basis state, its area the probability, its colour the phase.

    Args:
        circuit: of unitary gates.
        out: the PNG file.
        values: one number for each of ``circuit.parameters``; None draws them.
        seed: of the draw.
        session: where the circuit runs; None simulates it in a session of its own.

    Raises:
        ConfigurationError: the wrong number of values, or matplotlib is missing.
    """
    if values is None:
        row = random_values(circuit, 2, seed=seed, name="qsphere")[:1]
    else:
        row = np.asarray(values, dtype=np.float64).reshape(1, -1)
    if row.shape[1] != len(circuit.parameters):
        raise ConfigurationError(f"wanted {len(circuit.parameters)} values, one a parameter, got {row.shape[1]}")
    figure = _figure(5.4, 5.2)
    with opened(session, seed) as running:
        state = np.concatenate(list(measured(circuit, row, State(), session=running, label="qsphere")))[0]
    places, probabilities, phases = qsphere_points(state)
    axes = _sphere(figure)
    seen = probabilities > 1e-6
    dots = axes.scatter(
        *places[seen].T, s=400 * probabilities[seen], c=phases[seen], cmap="hsv", vmin=-np.pi, vmax=np.pi
    )
    n = circuit.n_wires
    for i in np.flatnonzero(probabilities >= max(1e-3, np.sort(probabilities)[-16:][0])):
        axes.plot(*np.stack([np.zeros(3), places[i]]).T, color=_GREY, linewidth=0.8)
        axes.text(*(1.22 * places[i]), f"|{i:0{n}b}⟩", ha="center", fontsize=8)
    bar = figure.colorbar(dots, ax=axes, shrink=0.6, ticks=[-np.pi, 0, np.pi], label="phase")
    bar.ax.set_yticklabels(["-π", "0", "π"])
    axes.set_title(f"one state of {n} wires")
    return _saved(figure, out)


def qsphere_points(
    state: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Where each basis state stands on the unit sphere, its probability, its phase relative to the likeliest.

    The height falls with the number of ones, from 1 for |0...0> to -1 for |1...1>; states with as many ones
    stand around a circle in numerical order.

    Args:
        state: (2**n,) amplitudes, wire 0 most significant.

    Returns:
        Places (2**n, 3), probabilities (2**n,), phases (2**n,) in (-pi, pi].
    """
    n = len(state).bit_length() - 1
    ones = np.array([int(i).bit_count() for i in range(len(state))])
    places = np.zeros((len(state), 3))
    for weight in range(n + 1):
        members = np.flatnonzero(ones == weight)
        turn = 2 * np.pi * np.arange(len(members)) / len(members)
        height = 1 - 2 * weight / n
        radius = np.sqrt(max(0.0, 1 - height**2))
        places[members] = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.full(len(turn), height)], axis=1)
    probabilities = np.abs(state) ** 2
    phases = np.angle(state * np.conj(state[int(probabilities.argmax())]))
    return places, probabilities, phases


def pca_states(
    circuits: Circuit | Mapping[str, Circuit],
    out: str | Path,
    *,
    samples: int = 300,
    seed: int = 0,
    session: Session | None = None,
) -> Path:
    """Draw the states of one circuit or several on their two first principal components, over Haar-random states.

    Args:
        circuits: one, or several by name, on the same number of wires.
        out: the PNG file.
        samples: random parameter sets of each.
        seed: of them.
        session: where the circuits run; None simulates them in a session of its own.

    Raises:
        ConfigurationError: none, different numbers of wires, or matplotlib is missing.
    """
    named = {"circuit": circuits} if isinstance(circuits, Circuit) else dict(circuits)
    if len({c.n_wires for c in named.values()}) != 1:
        raise ConfigurationError("wanted one circuit or more, all on the same number of wires")
    figure = _figure(6.4, 5.2)
    n = next(iter(named.values())).n_wires
    rng = generator(seed, "pca_haar")
    haar = rng.normal(size=(samples, 2**n)) + 1j * rng.normal(size=(samples, 2**n))
    groups = [haar / np.linalg.norm(haar, axis=1, keepdims=True)]
    for circuit in named.values():
        batches = random_states(circuit, samples, seed=seed, name="pca_states", session=session)
        groups.append(np.concatenate(list(batches)))
    places, shares = principal_components(np.concatenate(groups))
    axes = figure.add_subplot()
    for k, name in enumerate(("Haar-random", *named)):
        part = places[k * samples : (k + 1) * samples]
        colour = {"color": _GREY, "alpha": 0.4} if k == 0 else {"alpha": 0.8}
        axes.scatter(*part[:, :2].T, s=9, label=name, **colour)
    axes.set_xlabel(f"component 1 ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"component 2 ({shares[1]:.0%})")
    axes.legend()
    return _saved(figure, out)


def principal_components(states: NDArray[Any], components: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal components of pure states as density matrices, in the Hilbert-Schmidt geometry.

    Found from the fidelities alone (the Gram matrix of |psi><psi|), so a global phase makes no difference.

    Args:
        states: (rows, 2**n), of norm 1.
        components: how many.

    Returns:
        Coordinates (rows, components), and each component's share of the variance.

    Raises:
        DataError: fewer than three states.
    """
    rows = len(states)
    if rows < 3:
        raise DataError(f"wanted three states or more, got {rows}")
    gram = np.abs(states @ states.conj().T) ** 2
    centred = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    values, vectors = np.linalg.eigh(centred)
    order = np.argsort(values)[::-1][:components]
    kept = np.maximum(values[order], 0.0)
    total = max(float(np.maximum(values, 0.0).sum()), 1e-300)
    return vectors[:, order] * np.sqrt(kept), kept / total


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as cause:
        raise ConfigurationError(
            f"pictures need matplotlib ({cause})", hint="pip install 'qimg-metrics[pictures]'"
        ) from cause
    return Figure(figsize=(width, height), layout="constrained")


def _sphere(figure: Any) -> Any:
    """Axes with a unit sphere of thin lines, without a frame."""
    axes = figure.add_subplot(projection="3d")
    turn = np.linspace(0, 2 * np.pi, 73)
    zero = np.zeros_like(turn)
    for x, y, z in (
        (np.cos(turn), np.sin(turn), zero),
        (np.cos(turn), zero, np.sin(turn)),
        (zero, np.cos(turn), np.sin(turn)),
    ):
        axes.plot(x, y, z, color=_GREY, linewidth=0.7)
    for axis in np.eye(3):
        axes.plot(*np.stack([-axis, axis]).T, color=_GREY, linewidth=0.5)
    axes.set_box_aspect((1, 1, 1), zoom=1.3)
    axes.set_axis_off()
    return axes


def _saved(figure: Any, out: str | Path) -> Path:
    """Write the PNG whole or not at all."""
    import io

    from qimg_core.storage import write_atomic

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    path = Path(out)
    write_atomic(path, buffer.getvalue())
    return path
