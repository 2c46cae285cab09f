"""Where a secret comes from: a variable, a file, a program, a function (floor 1; imports errors, secret).

A source names its place and never its value; an error never holds what a file, a program or a function gave.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
import stat
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import AuthenticationError
from qimg_core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LARGEST = 64 * 1024
"""Bytes of a secret; a longer file or output is not one."""

_PRINTABLE = re.compile(r"[\x21-\x7e][\x20-\x7e]*")


@frozen
class Issued:
    """A secret as its source gave it.

    Args:
        secret: the text.
        expires_at: None where the source does not say.
        kept: it may be used again until it expires; else the source is asked at each use.
    """

    secret: Secret
    expires_at: dt.datetime | None = None
    kept: bool = False


class Source(ABC):
    """Where a secret comes from. `where` names the place, never the value."""

    @abstractmethod
    def issue(self) -> Issued:
        """Get it now.

        Raises:
            AuthenticationError: it cannot be had.
        """

    @property
    @abstractmethod
    def where(self) -> str:
        """The place, in words."""


@frozen
class FromEnvironment(Source):
    """An environment variable, read at each use."""

    name: str

    def issue(self) -> Issued:
        value = os.environ.get(self.name, "")
        if not value.strip():
            raise AuthenticationError(f"wanted a secret in the environment variable {self.name}, which is not set")
        return Issued(_clean(value, self.where))

    @property
    def where(self) -> str:
        return f"the environment variable {self.name}"


@frozen
class FromFile(Source):
    """A file that only its owner may read, read at each use, so that a rotated secret is seen."""

    path: Path = field(converter=Path)

    def issue(self) -> Issued:
        try:
            with open(self.path, "rb") as file:
                about = os.fstat(file.fileno())  # of the opened file: nobody can swap it between check and use
                if not stat.S_ISREG(about.st_mode):
                    raise AuthenticationError(f"{self.where}: wanted a regular file")
                if os.name == "posix" and about.st_mode & 0o077:
                    raise AuthenticationError(
                        f"{self.where} can be read or written by others (mode {stat.S_IMODE(about.st_mode):03o})",
                        hint=f"chmod 600 {shlex.quote(str(self.path))}",
                    )
                data = file.read(LARGEST + 1)
        except OSError as cause:
            raise AuthenticationError(f"{self.where} cannot be read: {cause.strerror}") from cause
        return Issued(_clean(_decoded(data, self.where), self.where))

    @property
    def where(self) -> str:
        return f"the file {self.path}"


def _words(argv: Sequence[str] | str) -> tuple[str, ...]:
    return tuple(shlex.split(argv)) if isinstance(argv, str) else tuple(argv)


@frozen
class FromCommand(Source):
    """A program that prints the secret: a password manager, a cloud's login tool. Run without a shell.

    Args:
        argv: program and arguments, or one line that is split as a shell would, without expanding anything.
        timeout: seconds.

    The first line of its output is the secret. A second line, where there is one, says when it expires
    (ISO 8601 with an offset, or seconds since 1970); without it the secret is used until a provider refuses it.
    """

    argv: tuple[str, ...] = field(converter=_words, repr=False)  # arguments may be private
    timeout: float = 30.0

    def issue(self) -> Issued:
        if not self.argv:
            raise AuthenticationError("wanted a program that prints the secret, got an empty command")
        try:
            done = subprocess.run(
                self.argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            # the cause holds what the program had printed: it is not passed on
            raise AuthenticationError(f"{self.where} did not end within {self.timeout:g} s") from None
        except OSError as cause:
            raise AuthenticationError(f"{self.where} cannot be run: {cause.strerror}") from None
        if done.returncode != 0:
            raise AuthenticationError(f"{self.where} ended with status {done.returncode}", hint="run it by hand")
        lines = _decoded(done.stdout, self.where).strip().splitlines()
        if len(lines) not in (1, 2):
            raise AuthenticationError(
                f"{self.where}: wanted the secret and at most one more line, its expiry; got {len(lines)} lines"
            )
        expiry = _moment(lines[1].strip(), self.where) if len(lines) == 2 else None
        return Issued(_clean(lines[0], self.where), expiry, kept=True)

    @property
    def where(self) -> str:
        return f"the command {Path(self.argv[0]).name if self.argv else '(none)'}"


@frozen
class FromCallable(Source):
    """A function that returns (secret, when it expires or None): a token service, a hardware store."""

    ask: Callable[[], tuple[str | Secret, dt.datetime | None]] = field(repr=False)
    name: str = "a function of the caller"

    def issue(self) -> Issued:
        try:
            value, expires_at = self.ask()
        except AuthenticationError:
            raise
        except (
            Exception
        ) as cause:  # the caller's code: whatever it raises, there is no secret, and its text may hold one
            raise AuthenticationError(f"{self.where} failed with {type(cause).__name__}") from None
        if expires_at is not None and expires_at.tzinfo is None:
            raise AuthenticationError(f"{self.where} returned an expiry without a time zone")
        text = value.reveal() if isinstance(value, Secret) else value
        return Issued(_clean(text, self.where), expires_at, kept=True)

    @property
    def where(self) -> str:
        return self.name


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


@frozen
class FromVariables(Source):
    """The first that is set: for each NAME in order ``NAME`` with the secret, ``NAME_FILE``, ``NAME_COMMAND``.

    Args:
        names: of environment variables.
        purpose: what it is for, for the error that lists them.
        hint: where to get one.
    """

    names: tuple[str, ...] = field(converter=_names)
    purpose: str = "secret"
    hint: str = ""

    def issue(self) -> Issued:
        found = self._source()
        if found is None:
            raise AuthenticationError(
                f"no {self.purpose}: set {' or '.join(self.names)}, or the same name with _FILE (a file that only "
                "you can read) or _COMMAND (a program that prints it)",
                hint=self.hint,
            )
        return found.issue()

    @property
    def where(self) -> str:
        found = self._source()
        return found.where if found is not None else f"the environment variable {' or '.join(self.names)}"

    def _source(self) -> Source | None:
        for name in self.names:
            if os.environ.get(name, "").strip():
                return FromEnvironment(name)
            if path := os.environ.get(f"{name}_FILE", "").strip():
                return FromFile(path)
            if command := os.environ.get(f"{name}_COMMAND", "").strip():
                return FromCommand(command)
        return None


def _decoded(data: bytes, where: str) -> str:
    if len(data) > LARGEST:
        raise AuthenticationError(f"{where}: more than {LARGEST} bytes are not a secret")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise AuthenticationError(f"{where}: wanted text, got bytes that are not UTF-8") from None


def _clean(value: str, where: str) -> Secret:
    """Without white space at its ends. Anything that could break out of a header is refused here, unseen."""
    value = value.strip()
    if not value:
        raise AuthenticationError(f"{where}: wanted a secret, it is empty")
    if not _PRINTABLE.fullmatch(value):
        raise AuthenticationError(f"{where}: wanted one line of printable ASCII, found something else in it")
    return Secret(value)


def _moment(text: str, where: str) -> dt.datetime:
    try:
        found = dt.datetime.fromtimestamp(int(text), dt.UTC) if text.isdecimal() else dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None or found.tzinfo is None:
        raise AuthenticationError(f"{where}: wanted an expiry in ISO 8601 with an offset, or in seconds since 1970")
    return found
