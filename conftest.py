"""For every test: the network is denied, and the Python examples of the documentation run too (Sybil)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def loops_are_closed() -> Iterator[None]:
    """The Braket SDK asks for this thread's event loop and leaves it open: its warning would hit some later test."""
    yield
    loop = getattr(getattr(asyncio.get_event_loop_policy(), "_local", None), "_loop", None)
    if loop is not None and not loop.is_running():
        asyncio.set_event_loop(None)
        loop.close()


class Denied(AssertionError):
    """Something tried to leave this machine."""


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """A connection that leaves this machine is a failure."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise Denied(f"the SDK sends nothing by default, but connected to {address}")
        real(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign, assignment]
    yield
    socket.socket.connect = real  # type: ignore[method-assign]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A page is one namespace: its examples run in one process, in their order (with ``-n``)."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    return LoadFileScheduling(config, log)


def _shipped(generator: str, weights: str = "mnist") -> bool:
    """Whether trained weights lie beside the generator."""
    from qimg_core.generation import weights_path
    from qimg_core.session import Session

    with Session(None) as session:
        return weights_path(session, generator, weights).exists()


def _setup(namespace: dict[str, Any]) -> None:
    """Run the examples of a page in an empty folder of its own."""
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
    namespace.update(_stack=stack, shipped=_shipped)


def _teardown(namespace: dict[str, Any]) -> None:
    """Go back and clean up."""
    namespace["_stack"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    path=str(Path(__file__).parent),
    patterns=["README.md", "docs/*.md", "docs/*/*.md", "docs/*/*/*.md", "plugins/*/README.md"],
    excludes=["docs/_build/**"],
    setup=_setup,
    teardown=_teardown,
    fixtures=["no_network"],
).pytest()
