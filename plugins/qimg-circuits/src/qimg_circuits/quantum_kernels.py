"""Kernels from encoding circuits, their alignment with labels, and the distance they define (imports qimg_core).

An encoder maps x to a state |psi(x)> or its one-wire reduced states rho_q(x):

- fidelity kernel k(x, y) = |<psi(x)|psi(y)>|^2 (Havlicek et al. 2019, arXiv:1804.11326);
- projected kernel k(x, y) = exp(-gamma sum_q ||rho_q(x) - rho_q(y)||_F^2) (Huang et al. 2021, arXiv:2011.01938).
  With Bloch vectors r the squared Frobenius norm is |r(x) - r(y)|^2 / 2; mind that half against texts that write
  the kernel with Paulis.

All circuits go through the session. Numpy in, numpy out; torch in, torch out in the same graph where the device allows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from qimg_circuits.arrays import namespace
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.execution import ExecutionRequest, is_tensor
from qimg_core.measurement import LocalStates, Probabilities, State

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit
    from qimg_core.encoder import Encoder
    from qimg_core.execution import FloatArray
    from qimg_core.measurement import Measurement
    from qimg_core.session import Session

LABEL = "kernel"


def fidelities(a: Any, b: Any) -> Any:
    """|<a_i|b_j>|^2 of unit vectors (n, d) and (m, d) -> (n, m), numpy or torch.

    Raises:
        DataError: other shapes, or vectors of different lengths.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise DataError(f"states: wanted (n, d) and (m, d), got {tuple(a.shape)} and {tuple(b.shape)}")
    products = a.conj() @ b.T
    return products.real**2 + products.imag**2


def fidelity_kernel(
    session: Session,
    encoder: Encoder,
    x: Any,
    y: Any = None,
    *,
    parameters: Any = None,
    method: Literal["states", "overlaps"] = "states",
) -> Any:
    """(n, n_features), (m, n_features) -> (n, m) in [0, 1].

    Args:
        session: runs the circuits.
        encoder: its circuit has inputs only.
        x: a batch.
        y: another; None takes ``x`` again.
        parameters: of the encoder's features.
        method: "states" reads the state of each row once (simulators). "overlaps" runs U(x_i), then the inverse of
            U(y_j), and takes the frequency of all zeros: n m circuits (n (n - 1) / 2 without ``y``), on any device.

    Raises:
        ConfigurationError: an unknown method, or "overlaps" of an encoder that prepares amplitudes (no inverse gate).
        DataError: batches that the encoder refuses.
        CapabilityError: "states" of a device that has none, or with shots.
    """
    left = encoder.features(x, parameters)
    right = left if y is None else encoder.features(y, parameters)
    if method == "states":
        if session.noise_model is not None:
            raise ConfigurationError("with noise an encoding is no pure state", hint="use method='overlaps'")
        a = _run(session, encoder.circuit, left, State())
        return fidelities(a, a if y is None else _run(session, encoder.circuit, right, State()))
    if method != "overlaps":
        raise ConfigurationError(f"method: wanted 'states' or 'overlaps', got {method!r}")
    return _overlaps(session, encoder.circuit, left, None if y is None else right)


def projected_kernel(
    session: Session, encoder: Encoder, x: Any, y: Any = None, *, gamma: float = 1.0, parameters: Any = None
) -> Any:
    """(n, n_features), (m, n_features) -> (n, m) in (0, 1]. Arguments as in `fidelity_kernel`.

    Args:
        session: runs the circuits; with shots the reduced states are estimates.
        encoder: its circuit has inputs only.
        x: a batch.
        y: another; None takes ``x`` again.
        gamma: width, positive.
        parameters: of the encoder's features.

    Raises:
        ConfigurationError: gamma not positive.
        DataError: batches that the encoder refuses.
    """
    if not (gamma > 0 and math.isfinite(gamma)):
        raise ConfigurationError(f"gamma: wanted a positive number, got {gamma}")
    a = _bloch(session, encoder, encoder.features(x, parameters))
    b = a if y is None else _bloch(session, encoder, encoder.features(y, parameters))
    distance = ((a[:, None] - b[None]) ** 2).sum(-1) / 2
    return namespace(distance).exp(-gamma * distance)


def target_kernel(labels: Any) -> FloatArray:
    """The kernel that labels would want, float64 (n, n): 1 within a class, -1 / (classes - 1) between two.

    Raises:
        DataError: fewer than two classes.
    """
    import numpy as np

    given = np.asarray(labels)
    classes = len(np.unique(given))
    if given.ndim != 1 or classes < 2:
        raise DataError(f"labels: wanted (n,) of two classes or more, got shape {given.shape} of {classes}")
    return np.where(given[:, None] == given[None], 1.0, -1.0 / (classes - 1))


def alignment(kernel: Any, target: Any, *, centred: bool = True) -> Any:
    """<K, T>_F / (||K||_F ||T||_F), in [-1, 1]; 1 where the kernel is the target up to a factor.

    Args:
        kernel: (n, n).
        target: (n, n), such as `target_kernel`.
        centred: take both to H K H with H = 1 - 11^T / n first (Cortes et al. 2012, arXiv:1203.0550); otherwise the
            alignment of Cristianini et al. 2001.

    Raises:
        DataError: other shapes, or a kernel that is zero (centred: constant).
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or tuple(target.shape) != tuple(kernel.shape):
        raise DataError(f"wanted two (n, n) kernels, got {tuple(kernel.shape)} and {tuple(target.shape)}")
    if is_tensor(kernel) and not is_tensor(target):
        target = kernel.new_tensor(target)
    if centred:
        kernel, target = _centred(kernel), _centred(target)
    norm = ((kernel * kernel).sum() * (target * target).sum()) ** 0.5
    if not float(norm) > 0:
        raise DataError("a kernel that is constant aligns with nothing" if centred else "a kernel of zeros")
    return (kernel * target).sum() / norm


def squared_mmd(
    xx: Any, xy: Any, yy: Any, *, unbiased: bool = False, x_weights: Any = None, y_weights: Any = None, group: int = 1
) -> Any:
    """Squared maximum mean discrepancy from kernel matrices (Gretton et al., JMLR 13, 2012).

    Args:
        xx: (n, n) within the first sample.
        xy: (n, m) between them.
        yy: (m, m) within the second.
        unbiased: leave out the pairs of a row with itself: 0 on average for equal distributions, may be negative.
        x_weights: (n,) of sum 1; None for 1 / n.
        y_weights: (m,) of sum 1; None for 1 / m.
        group: so many consecutive rows of x are branches of one draw, their weights adding up to one draw's;
            ``unbiased`` leaves out all pairs within a draw.

    Raises:
        DataError: shapes that do not fit, or too few rows for ``unbiased``.
    """
    n, m = xy.shape
    if tuple(xx.shape) != (n, n) or tuple(yy.shape) != (m, m) or n % group:
        raise DataError(
            f"wanted kernels (n, n), (n, m), (m, m), n a multiple of {group}; got "
            f"{tuple(xx.shape)}, {(n, m)}, {tuple(yy.shape)}"
        )
    if unbiased and min(n // group, m) < 2:
        raise DataError(f"unbiased: wanted two draws or more on each side, got {n // group} and {m}")
    p = xy[:, 0] * 0 + 1 / n if x_weights is None else x_weights
    q = xy[0] * 0 + 1 / m if y_weights is None else y_weights
    return _within(xx, p, group, unbiased) + _within(yy, q, 1, unbiased) - 2 * p @ xy @ q


def _within(kernel: Any, p: Any, group: int, unbiased: bool) -> Any:
    whole = p @ kernel @ p
    if not unbiased:
        return whole
    draws = len(p) // group
    pairs = (kernel * p[:, None] * p[None]).reshape(draws, group, draws, group)
    each = p.reshape(draws, group).sum(1)
    own = sum(pairs[:, k].diagonal(0, 0, 1).sum() for k in range(group))
    return (whole - own) / (1 - (each * each).sum())


def _centred(kernel: Any) -> Any:
    return kernel - kernel.mean(0)[None] - kernel.mean(1)[:, None] + kernel.mean()


def _bloch(session: Session, encoder: Encoder, features: Any) -> Any:
    """Bloch vectors of all wires, (rows, 3 wires)."""
    n = encoder.circuit.n_wires
    data = _run(session, encoder.circuit, features, local_states(n))
    return data.reshape(len(data), n, 4)[:, :, 1:].reshape(len(data), 3 * n)


def local_states(n_wires: int) -> LocalStates:
    """What the projected kernel measures: every wire's own state."""
    return LocalStates(tuple((w,) for w in range(n_wires)))


def pair_circuit(circuit: Circuit) -> Circuit:
    """U(x), then the inverse of U(y): the chance of all zeros is the overlap. Inputs of x first, then those of y.

    Raises:
        ConfigurationError: the circuit prepares amplitudes, which has no inverse gate.
    """
    there = circuit.renamed("x.", roles=("input",))
    return there.then(circuit.inverse().renamed("y.", roles=("input",)))


def _overlaps(session: Session, circuit: Circuit, left: Any, right: Any) -> Any:
    xp, symmetric = namespace(left), right is None
    right = left if symmetric else right
    n, m = len(left), len(right)
    pairs = [(i, j) for i in range(n) for j in range(m) if not symmetric or i < j]
    both = pair_circuit(circuit)
    out = xp.ones_like(left[:, :1] @ right[:, :1].T)
    if not pairs:
        return out
    i, j = ([p[k] for p in pairs] for k in (0, 1))
    inputs = xp.concatenate([left[i], right[j]], 1)
    zeros = _run(session, both, inputs, Probabilities(tuple(range(circuit.n_wires))))[:, 0]
    if not symmetric:
        return zeros.reshape(n, m)
    out = out * 1
    out[i, j] = zeros
    out[j, i] = zeros
    return out


def kernel_request(session: Session, circuit: Circuit, inputs: Any, measurement: Measurement) -> ExecutionRequest:
    """A request of a kernel; its seed comes from the numbers, so that equal kernels are equal."""
    xp = namespace(inputs)
    request = ExecutionRequest(
        circuit=circuit,
        inputs=inputs,
        weights=xp.zeros(0, dtype=inputs.dtype),
        measurement=measurement,
        shots=session.shots,
        noise=session.noise_model,
    )
    if session.shots is not None:
        from attrs import evolve

        request = evolve(request, seed=session.seed_for(LABEL, request.inputs_digest, circuit.digest))
    return request


def _run(session: Session, circuit: Circuit, inputs: Any, measurement: Measurement) -> Any:
    """The numbers of one request through the session."""
    from qimg_core.capabilities import GradientMethod

    gradient = GradientMethod.BACKPROP if is_tensor(inputs) else None
    request = kernel_request(session, circuit, inputs, measurement)
    return session.execute(request, gradient=gradient, label=LABEL).data
