"""Every Python example in the documentation runs with the tests (Sybil)."""

from __future__ import annotations

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser


def setup(namespace: dict[str, object]) -> None:
    """Run the examples of a page in an empty folder of its own."""
    import os
    import tempfile

    namespace["_back"] = os.getcwd()
    folder = tempfile.TemporaryDirectory()
    namespace["_folder"] = folder
    os.chdir(folder.name)


def teardown(namespace: dict[str, object]) -> None:
    """Go back and clean up."""
    import os

    os.chdir(str(namespace["_back"]))
    namespace["_folder"].cleanup()  # type: ignore[attr-defined]


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    setup=setup,
    teardown=teardown,
).pytest()
