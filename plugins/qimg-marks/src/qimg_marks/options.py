"""Options that the commands of marks share (imports click)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qimg_core.credentials import credential_from_environment
from qimg_core.errors import ConfigurationError
from qimg_marks.credentials.authority import PASSWORD
from qimg_marks.folder import DEFAULT, VARIABLE

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_core.secret import Secret

F = TypeVar("F", bound=Callable[..., Any])


def marks_option(command: F) -> F:
    """``--marks``, the folder of authority and keys."""
    return click.option(
        "--marks",
        "folder",
        default=DEFAULT,
        show_default=True,
        envvar=VARIABLE,
        metavar="FOLDER",
        help=f"Authority, trusted roots, keys. Also from {VARIABLE}.",
    )(command)


def password(*, needed: bool = False) -> Secret | None:
    """The password of the keys, from the environment.

    Raises:
        AuthenticationError: needed, and not set.
    """
    import os

    if not needed and not any(PASSWORD + end in os.environ for end in ("", "_FILE", "_COMMAND")):
        return None
    hint = f"export {PASSWORD}=..., or {PASSWORD}_FILE"
    return credential_from_environment([PASSWORD], purpose="password of the marks' keys", hint=hint).secret()


def ledger_or_none(app: App, where: str, *, write: bool) -> Ledger | None:
    """The ledger; None where it was not asked for and is not there.

    Raises:
        ConfigurationError: one was asked for and is not there.
    """
    from click.core import ParameterSource

    from qimg_core.cli.runs import existing_ledger

    try:
        return existing_ledger(app, where, write=write)
    except ConfigurationError:
        if click.get_current_context().get_parameter_source("ledger") is not ParameterSource.DEFAULT:
            raise
        return None
