"""Exit codes, and the one place that maps errors to them (imports errors, click)."""

from __future__ import annotations

import enum
from typing import Any

import click

from qimg_core.errors import CapabilityError, ConfigurationError, FallbackExhausted, PolicyError, QimgError
from qimg_core.verdict import Verdict


class ExitCode(enum.IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1  # a check failed, or something broke on the way
    USAGE = 2  # what was given is wrong, or no such device can do it; nothing was done
    INCONCLUSIVE = 3
    REFUSED = 4  # by a policy or a budget
    INTERRUPTED = 130


def exit_code(error: BaseException) -> ExitCode:
    """The exit code of an error."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return ExitCode.INTERRUPTED
    if isinstance(error, FallbackExhausted):
        codes = {exit_code(e) for e in error.exceptions}
        return ExitCode.REFUSED if ExitCode.REFUSED in codes else codes.pop() if len(codes) == 1 else ExitCode.FAILED
    if isinstance(error, PolicyError):
        return ExitCode.REFUSED
    if isinstance(error, (ConfigurationError, CapabilityError, click.UsageError)):
        return ExitCode.USAGE
    return ExitCode.FAILED


def verdict_code(verdict: Verdict) -> ExitCode:
    """The exit code of a check."""
    codes = {Verdict.FAIL: ExitCode.FAILED, Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE}
    return codes.get(verdict, ExitCode.OK)


def error_document(error: BaseException) -> dict[str, Any]:
    """``{"type", "message", "hint", "notes"}``; the notes name the run where one was recorded."""
    message, hint = str(error), ""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        message = "interrupted"
    elif isinstance(error, QimgError):
        message, hint = error.message, error.hint
    elif isinstance(error, FallbackExhausted):
        message = error.message + ": " + "; ".join(e.message for e in error.exceptions if isinstance(e, QimgError))
    elif isinstance(error, click.ClickException):
        message = error.format_message()
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context is not None else "qimg --help"
    elif isinstance(error, OSError):
        message = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    notes = list(getattr(error, "__notes__", []))
    return {"type": type(error).__name__, "message": message, "hint": hint, "notes": notes}
