"""`Inputs`: arrays that know what they were made of, so that nothing raw leaves the machine (imports errors, numpy).

The class of an array follows it through numpy's arithmetic, slicing, stacking and copies; of several classes the most
sensitive one holds. Only `encode` and `synthetic` lead out of a sensitive class.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.errors import DataError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable

    FloatArray = np.ndarray[Any, np.dtype[np.float64]]

LEAST = 4
"""An encoding has at most a quarter of the numbers of what it encodes."""


class InputClass(enum.StrEnum):
    """What the numbers given to a circuit are, the most sensitive first."""

    RAW_PERSONAL = "raw_personal"
    TOKENISED = "tokenised"  # direct identifiers replaced; the pictures are as they were
    ENCODED = "encoded"  # reduced by an encoder so that the original cannot simply be read off
    SYNTHETIC = "synthetic"
    PUBLIC = "public"

    @property
    def may_leave(self) -> bool:
        """May it go to a device outside of this process?"""
        return self in (InputClass.ENCODED, InputClass.SYNTHETIC, InputClass.PUBLIC)


_ORDER = list(InputClass)


def most_sensitive(*classes: InputClass | None) -> InputClass | None:
    """The most sensitive of them; None where none is known."""
    known = [c for c in classes if c is not None]
    return min(known, key=_ORDER.index) if known else None


class Inputs(np.ndarray[Any, np.dtype[Any]]):
    """A numpy array with an `InputClass`. Make it with `inputs`."""

    input_class: InputClass | None

    def __array_finalize__(self, obj: Any) -> None:
        self.input_class = getattr(obj, "input_class", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *arguments: Any, **named: Any) -> Any:
        involved = [*arguments, *named.get("out", ())]
        plain = [np.asarray(a) if isinstance(a, Inputs) else a for a in arguments]
        if "out" in named:
            named["out"] = tuple(np.asarray(a) if isinstance(a, Inputs) else a for a in named["out"])
        return _marked(getattr(ufunc, method)(*plain, **named), class_of(*involved))

    def __array_function__(self, func: Any, types: Any, arguments: Any, named: Any) -> Any:
        involved: list[Any] = []
        args, kwargs = _plain(arguments, involved), _plain(named, involved)
        return _marked(func(*args, **kwargs), class_of(*involved))

    def __reduce__(self) -> Any:
        found: Any = super().__reduce__()
        rebuild, arguments, state = found
        return rebuild, arguments, (*state, self.input_class)

    def __setstate__(self, state: Any) -> None:
        self.input_class = state[-1]
        super().__setstate__(state[:-1])


def _plain(value: Any, involved: list[Any]) -> Any:
    if isinstance(value, Inputs):
        involved.append(value)
        return np.asarray(value)
    if isinstance(value, (list, tuple)):
        items = [_plain(v, involved) for v in value]
        return items if isinstance(value, list) else tuple(items)
    return {k: _plain(v, involved) for k, v in value.items()} if isinstance(value, dict) else value


def _marked(value: Any, kind: InputClass | None) -> Any:
    if isinstance(value, tuple):
        return tuple(_marked(v, kind) for v in value)
    if isinstance(value, list):
        return [_marked(v, kind) for v in value]
    return inputs(value, kind) if isinstance(value, (np.ndarray, np.generic)) and kind is not None else value


def class_of(*arrays: Any) -> InputClass | None:
    """The most sensitive class of these values; None where none has one."""
    return most_sensitive(*(getattr(a, "input_class", None) for a in arrays))


def inputs(array: Any, kind: InputClass | str) -> Inputs:
    """An array of a class; one that has a more sensitive class keeps it.

    Args:
        array: any shape.
        kind: what the numbers are.

    Raises:
        ValueError: no such class.
    """
    found = np.asarray(array).view(Inputs)
    found.input_class = most_sensitive(InputClass(kind), class_of(array))
    return found


def encode(raw: Any, by: Callable[[FloatArray], Any]) -> Inputs:
    """Reduce raw inputs so that they may leave: the only way out of a sensitive class.

    Args:
        raw: (rows, n) of any class.
        by: (rows, n) -> (rows, m), a function of the numbers such as a trained encoder or a projection.

    Returns:
        (rows, m) of the class ``encoded``.

    Raises:
        DataError: not as many rows, or not two axes.
        PolicyError: more than a quarter as many numbers: angle encoding of every pixel is the picture itself.
    """
    plain = np.asarray(raw, dtype=np.float64)
    made = np.asarray(by(plain))
    if plain.ndim != 2 or made.ndim != 2 or len(made) != len(plain):
        raise DataError(f"encode: wanted (rows, n) -> (rows, m), got {plain.shape} -> {made.shape}")
    if made.shape[1] * LEAST > plain.shape[1]:
        raise PolicyError(
            f"encode: {plain.shape[1]} numbers a row became {made.shape[1]}, wanted at most {plain.shape[1] // LEAST}",
            hint="reduce them, e.g. by a projection; a full-size encoding can be turned back",
        )
    found = made.view(Inputs)
    found.input_class = InputClass.ENCODED
    return found


def recovered(raw: Any, encoded: Any) -> float:
    """How much of the raw numbers a linear guess gets back: R squared on the second half of the rows.

    It is fitted on the first half. 1 is everything; 0 or less is no better than the mean. A lower bound of
    what an attacker can do: a trained decoder gets more.

    Args:
        raw: (rows, n).
        encoded: (rows, m); give several times m rows.

    Raises:
        DataError: fewer than 4 rows, or another number of rows.
    """
    x, y = np.asarray(encoded, dtype=np.float64), np.asarray(raw, dtype=np.float64)
    if len(x) != len(y) or len(x) < 4:
        raise DataError(f"recovered: wanted as many rows in both, at least 4, got {len(y)} and {len(x)}")
    half = len(x) // 2
    wide = np.hstack([x, np.ones((len(x), 1))])
    solution = np.linalg.lstsq(wide[:half], y[:half], rcond=None)[0]
    left = float(((y[half:] - wide[half:] @ solution) ** 2).sum())
    return 1 - left / max(float(((y[half:] - y[:half].mean(0)) ** 2).sum()), 1e-300)
