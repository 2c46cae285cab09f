"""``qimg plugin new``: a package to begin with, that passes its own tests (imports errors)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SKIPPED = {"__pycache__", ".pytest_cache", ".ruff_cache"}


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(["backend"]), default="backend", show_default=True, help="What it supplies.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder in which the package's own folder is made; the current one by default.",
)
@json_option
def new(name: str, kind: str, into: Path) -> None:
    """Begin a plugin: a package with an entry point, a small working device, and its tests.

    NAME is the component's name: lower case letters and numbers, with hyphens. The package is called qimg-NAME.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r}: wanted lower case letters and numbers with hyphens, such as my-device")
    target = into / f"qimg-{name}"
    if target.exists() and any(target.iterdir()):
        raise ConfigurationError(f"{target} is there already, and not empty")
    written = list(copied(template(kind), target, name))
    test = next(f for f in written if f.endswith("_conformance.py"))
    lines = [
        f"{target}: {len(written)} files",
        f"  pip install -e {target}",
        f"  python -m pytest {target}/{test}",
        f"  qimg plugin test {name}",
    ]
    emit({"folder": str(target), "name": name, "kind": kind, "files": written}, lines)


def template(kind: str) -> Path:
    """The folder that is copied: in the installed package, or in a checkout.

    Raises:
        ConfigurationError: it is in neither.
    """
    import qimg_core

    package = Path(qimg_core.__file__).parent
    for folder in (package / "_template" / kind, package.parent / "plugins" / "_template" / kind):
        if folder.is_dir():
            return folder
    raise ConfigurationError(
        f"this installation has no template for a {kind}", hint="take plugins/_template of a checkout"
    )


def copied(source: Path, target: Path, name: str) -> Iterator[str]:
    """Copy the template with its name replaced; yields the files, relative to ``target``."""
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.is_dir() or _SKIPPED & set(inside.parts):
            continue
        to = target / named(str(inside), name)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(named(path.read_text(encoding="utf-8"), name), encoding="utf-8")
        yield str(to.relative_to(target))


def named(text: str, name: str) -> str:
    """The template's name, in its three spellings, as the new one."""
    snake, camel = name.replace("-", "_"), "".join(part.capitalize() for part in name.split("-"))
    text = text.replace("qimg_toucan", f"qimg_{snake}").replace("test_toucan", f"test_{snake}")
    return text.replace("Toucan", camel).replace("toucan", name)
