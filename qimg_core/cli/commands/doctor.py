"""``qimg doctor``: is this installation able to work? (imports plugins, ledger; optional packages when checked)"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import frozen

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit
from qimg_core.errors import QimgError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.cli.app import App

OPTIONAL = ("torch", "scikit-learn", "matplotlib", "pennylane", "qiskit")
_MARK = {"ok": "green", "note": "yellow", "bad": "red"}


@frozen
class Finding:
    """One check: ``state`` is ok, note (works, but know this) or bad."""

    what: str
    state: str
    detail: str


@click.command()
@ledger_option
@json_option
@click.pass_obj
def doctor(app: App, ledger: str) -> ExitCode:
    """Check this installation.

    Python, plugins, keys and signatures, the ledger's folder, threads, optional packages. Sends nothing. Exit code
    1 where something has to be mended.
    """
    found = [*_python(), *_plugins(app), *_signatures(), *_ledger(app, ledger), *_torch(), *_packages(), *_data()]
    bad = [f for f in found if f.state == "bad"]
    width = max(len(f.what) for f in found)
    lines = [f"{click.style(f.state.ljust(4), fg=_MARK[f.state])}  {f.what.ljust(width)}  {f.detail}" for f in found]
    verdict = "all is well" if not bad else f"{len(bad)} to mend: {', '.join(f.what for f in bad)}"
    document = {"ok": not bad, "findings": [{"what": f.what, "state": f.state, "detail": f.detail} for f in found]}
    emit(document, [*lines, verdict])
    return ExitCode.FAILED if bad else ExitCode.OK


def _python() -> Iterator[Finding]:
    from qimg_core import __version__

    state = "ok" if sys.version_info >= (3, 11) else "bad"
    yield Finding(
        "python", state, f"{platform.python_version()} ({platform.system()} {platform.machine()}); 3.11 or newer"
    )
    yield Finding("qimg-core", "ok", __version__)


def _plugins(app: App) -> Iterator[Finding]:
    from qimg_core.plugins import KINDS, check_requirements

    registry = app.registry
    for kind in KINDS:
        try:
            specs = registry.specs(kind)
        except QimgError as error:
            yield Finding(f"{kind}s", "bad", error.message)
            continue
        for spec in specs.values():
            try:
                check_requirements(spec)
            except QimgError as error:
                yield Finding(f"{kind} {spec.name}", "note", f"{error.message}; {error.hint}")
    for status in registry.status:
        name = f"plugin {status.name}"
        if status.error is None:
            yield Finding(name, "ok", f"{status.distribution} {status.version}")
        else:
            yield Finding(name, "bad", f"{status.error.message}; {status.error.hint}")
    if not registry.specs("backend"):
        yield Finding("devices", "bad", "no plugin supplies a backend; pip install qimg-simulator")


def _signatures() -> Iterator[Finding]:
    from qimg_core.ledger.memory import MemoryLedger

    try:
        with MemoryLedger() as log:
            log.append("doctor.checked", facts={})
            log.checkpoint()
            ok = log.verify().ok
    except (QimgError, ImportError) as error:
        yield Finding("signatures", "bad", f"{error}; pip install 'cryptography>=48'")
        return
    detail = f"Ed25519 and ML-DSA-44 by cryptography {_version('cryptography')}"
    yield Finding("signatures", "ok" if ok else "bad", detail)


def _ledger(app: App, where: str) -> Iterator[Finding]:
    from qimg_core.cli.runs import check_folder, existing_ledger
    from qimg_core.ledger.opening import has_ledger

    try:
        if not has_ledger(where):
            check_folder(Path(where))
            yield Finding("ledger", "ok", f"{where} can be made here")
            return
        with existing_ledger(app, where, write=True) as log:
            yield Finding("ledger", "ok", f"{where}: {len(log)} entries of {log.origin}; can be written")
    except QimgError as error:
        yield Finding("ledger", "bad", f"{error.message}; {error.hint}")


def _torch() -> Iterator[Finding]:
    try:
        import importlib

        torch = importlib.import_module("torch")
    except ImportError as error:
        yield Finding("torch", "note", f"not usable ({error}); the simulator and the generators need it")
        return
    cuda = torch.version.cuda
    build = f"CUDA {cuda}, {'a GPU is here' if torch.cuda.is_available() else 'no GPU here'}" if cuda else "for CPUs"
    yield Finding("torch", "ok", f"{torch.__version__}, built {build}")
    threads, cores = torch.get_num_threads(), os.cpu_count()
    detail = f"torch uses {threads} of {cores} cores (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')})"
    yield Finding("threads", "ok", f"{detail}; the number is in the record, as it can change the last bit")


def _packages() -> Iterator[Finding]:
    for name in OPTIONAL[1:]:
        found = _version(name)
        yield Finding(name, "ok" if found else "note", found or "not installed; optional")


def _data() -> Iterator[Finding]:
    from qimg_core.datasets.official import MNIST

    try:
        folder = MNIST.located()
    except QimgError as error:
        yield Finding("mnist", "bad", f"{error.message}; {error.hint}")
        return
    yield Finding("mnist", "ok" if folder else "note", str(folder or "not here; training needs: qimg data get mnist"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
