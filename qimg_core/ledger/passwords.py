"""Passwords of keys and exports, by reference only (imports errors, secret_sources).

A reference is ``env:NAME``, ``file:PATH`` or ``command:PROGRAM ARGUMENTS``. The first two are written down in the
file that is encrypted. Where none is, or what it names is empty, the environment is asked: ``QIMG_KEYS_PASSWORD``,
``QIMG_KEYS_PASSWORD_FILE``, ``QIMG_KEYS_PASSWORD_COMMAND``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qimg_core.errors import AuthenticationError, ConfigurationError, LedgerError
from qimg_core.secret_sources import FromCommand, FromEnvironment, FromFile, FromVariables

if TYPE_CHECKING:
    from qimg_core.secret import Secret
    from qimg_core.secret_sources import Source

VARIABLE = "QIMG_KEYS_PASSWORD"


def source_of(reference: str) -> Source:
    """The place that a reference names.

    Raises:
        ConfigurationError: not a reference. The text is not repeated, as it may be a password.
    """
    kind, _, rest = reference.partition(":")
    if rest and kind == "env":
        return FromEnvironment(rest)
    if rest and kind == "file":
        return FromFile(rest)
    if rest and kind == "command":
        return FromCommand(rest)
    raise ConfigurationError(
        "a password is given by reference and never itself",
        hint="env:NAME (an environment variable), file:PATH (mode 0600), or command:PROGRAM (that prints it)",
    )


def is_recordable(reference: str) -> bool:
    """May this reference be kept beside the keys? One that runs a program may not: a folder must not bring code."""
    return reference.startswith(("env:", "file:"))


def get(source: Source, of: str) -> Secret:
    """The password.

    Raises:
        LedgerError: the source has none.
    """
    try:
        return source.issue().secret
    except AuthenticationError as error:
        raise LedgerError(f"no password for {of}: {error.message}", hint=error.hint) from error


def asked(reference: str, of: str) -> Secret:
    """The password that a reference names; raises as `source_of` and `get` do."""
    return get(source_of(reference), of)


def found(recorded: str | None, of: str) -> Secret:
    """The password for reading ``of``: what the recorded reference names, else from the standard variables.

    Raises:
        LedgerError: neither has one.
    """
    if recorded is not None and is_recordable(recorded):
        try:
            return asked(recorded, of)
        except LedgerError:
            if not any(os.environ.get(VARIABLE + end, "").strip() for end in ("", "_FILE", "_COMMAND")):
                raise
    return get(FromVariables((VARIABLE,), purpose="password in the environment"), of)


def recordable(reference: str | None) -> str:
    """The line that a file begins with to say where its password is; empty where that is not written down."""
    return f"Password: {reference}\n" if reference is not None and is_recordable(reference) else ""


def recorded_in(data: bytes) -> tuple[str | None, bytes]:
    """The reference that a file begins with, and the rest of the file."""
    if not data.startswith(b"Password: "):
        return None, data
    line, _, rest = data.partition(b"\n")
    return line.decode(errors="replace").removeprefix("Password: ").strip(), rest
