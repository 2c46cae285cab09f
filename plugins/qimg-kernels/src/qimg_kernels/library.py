"""The C library, called with ctypes; which instructions it uses (imports numpy)."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAMES = {0: "base", 3: "x86-64-v3", 4: "x86-64-v4"}
VARIABLE = "QIMG_KERNELS_LEVEL"
STATE, SIGNED, SQUARES, WINDOWS = 0, 1, 2, 3

_int, _long, _pointer, _double = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p, ctypes.c_double


class Call(ctypes.Structure):
    """``call_t`` of plan.h. Strides are in elements."""

    _fields_ = [
        ("plan", _pointer),
        *((name, _long) for name in ("batch", "mode", "n_masks")),
        *((name, _pointer) for name in ("masks", "inputs", "weights", "cotangent")),
        *((name, _long) for name in ("inputs_row", "inputs_column", "weights_row", "weights_column")),
        *((name, _long) for name in ("cotangent_row", "cotangent_column")),
        *((name, _pointer) for name in ("out", "saved", "for_inputs", "for_weights")),
        ("off", _double),
        *((name, _long) for name in ("n_windows", "n_values", "reduced")),
        *((name, _pointer) for name in ("shapes", "index", "matrices", "for_matrices")),
    ]


@cache
def library() -> ctypes.CDLL:
    """The library.

    Raises:
        OSError: it is not built for this machine.
    """
    path = Path(__file__).with_name("_library.so")
    found = ctypes.CDLL(str(path))
    found.qimg_level.restype = _int
    found.qimg_new.restype = _pointer
    found.qimg_new.argtypes = [_pointer, _long, _pointer, _long]
    found.qimg_free.argtypes = [_pointer]
    found.qimg_free.restype = None
    found.qimg_saved.restype = _long
    found.qimg_saved.argtypes = [_pointer, _int, _int, _long]
    found.qimg_reduced.restype = _long
    found.qimg_reduced.argtypes = [ctypes.POINTER(Call), _int, _int]
    for function in (found.qimg_forward, found.qimg_backward):
        function.restype = _int
        function.argtypes = [ctypes.POINTER(Call), _int, _int]
    return found


def levels() -> tuple[int, ...]:
    """The levels of instructions that this processor has: 0 any, 3 AVX2 and FMA, 4 AVX-512."""
    highest = library().qimg_level()
    return tuple(level for level in NAMES if level <= highest)


def level() -> int:
    """The level that is used: the highest, or the one that the variable ``QIMG_KERNELS_LEVEL`` names.

    Raises:
        ValueError: the variable names a level that this processor does not have.
    """
    found, asked = levels(), os.environ.get(VARIABLE)
    if not asked:
        return found[-1]
    if asked not in map(str, found):
        raise ValueError(f"{VARIABLE}: wanted one of {', '.join(map(str, found))} on this processor, got {asked!r}")
    return int(asked)


class Handle:
    """A plan inside the library, freed with this object."""

    def __init__(self, ints: npt.NDArray[np.int32], reals: npt.NDArray[np.float64]) -> None:
        self._library = library()
        self.pointer: int | None = self._library.qimg_new(ints.ctypes.data, len(ints), reals.ctypes.data, len(reals))
        if not self.pointer:
            raise MemoryError("the kernel could not read its tables, or has no memory for them")

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self._library.qimg_free(self.pointer)
            self.pointer = None
