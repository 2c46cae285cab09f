"""Options that the commands of a budget share (imports pin, store)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from qimg_budget.pin import VARIABLE
from qimg_budget.store import Store
from qimg_core.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])


def budget_option(command: F) -> F:
    """``--budget FILE``, or QIMG_BUDGET; handed over as ``path``."""
    text = f"The budget's file. Also from {VARIABLE}."
    kind = click.Path(path_type=Path)
    return click.option("--budget", "path", type=kind, envvar=VARIABLE, metavar="FILE", help=text)(command)


def opened(path: Path | None) -> Store:
    """The budget that was named.

    Raises:
        ConfigurationError: none was, or there is none.
        StorageError: it cannot be used.
    """
    if path is None:
        raise ConfigurationError("no budget is named", hint=f"--budget FILE, or export {VARIABLE}=FILE")
    return Store.open(path)
