"""Checks for code that numpy arrays and torch tensors share (imports qimg_core; torch only when given a tensor)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.execution import is_tensor

if TYPE_CHECKING:
    from collections.abc import Callable


def namespace(array: Any) -> Any:
    """The module whose functions take ``array``: numpy or torch."""
    if is_tensor(array):
        import torch

        return torch
    import numpy as np

    return np


def like(array: Any, constant: Any) -> Any:
    """``constant`` (numpy) as the same kind of array, on the same device, real dtypes kept."""
    if not is_tensor(array):
        return constant
    import torch

    return torch.as_tensor(constant, device=array.device)


def check_batch(batch: Any, n_features: int, what: str) -> Any:
    """``batch`` if it is (rows, n_features), rows >= 1, finite.

    Raises:
        DataError: it is not.
    """
    if getattr(batch, "ndim", None) != 2 or batch.shape[1] != n_features or batch.shape[0] < 1:
        shape = tuple(getattr(batch, "shape", ())) or type(batch).__name__
        raise DataError(f"{what}: wanted (rows, {n_features}) with rows >= 1, got {shape}")
    if not bool(namespace(batch).isfinite(batch).all()):
        raise DataError(f"{what}: the data must be finite; there is a NaN or an infinity")
    return batch


def check_parameters(parameters: Any, n_parameters: int, what: str) -> Any:
    """``parameters`` if it is (n_parameters,).

    Raises:
        DataError: it is not, or it is missing.
    """
    if parameters is None or tuple(parameters.shape) != (n_parameters,):
        got = None if parameters is None else tuple(parameters.shape)
        raise DataError(f"{what}: wanted ({n_parameters},) trained parameters, got {got}")
    return parameters


def at_least(count: int, least: int, what: str) -> None:
    """Refuse a number that is too small.

    Raises:
        ConfigurationError: ``count < least``.
    """
    if count < least:
        raise ConfigurationError(f"{what}: wanted {least} or more, got {count}")


def one_of(*allowed: str) -> Callable[[Any, Any, Any], None]:
    """An attrs validator: the value is one of ``allowed``, else ConfigurationError."""

    def check(instance: Any, attribute: Any, value: Any) -> None:
        if value not in allowed:
            raise ConfigurationError(f"{attribute.name}: wanted one of {', '.join(allowed)}, got {value!r}")

    return check
