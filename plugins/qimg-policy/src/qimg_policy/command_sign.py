"""``qimg policy key | sign | use | show``: keys, signatures and the ledger's pin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields
from qimg_core.cli.runs import existing_ledger
from qimg_core.ledger.opening import open_ledger
from qimg_core.storage import write_atomic
from qimg_policy.active import active
from qimg_policy.bundle import SIGNATURE, find_bundle, read_bundle
from qimg_policy.keys import load_key, load_public, make_key
from qimg_policy.pin import check_pinnable, check_truth, write_pin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.cli.app import App

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("name")
@click.option("--out", "folder", type=_PATH, default=".", show_default=True, metavar="FOLDER", help="Where to put it.")
@json_option
def key(name: str, folder: Path) -> None:
    """Make an Ed25519 key for a person or role; the name goes into records, so name the role."""
    private, public = make_key(name, folder)
    found = load_public(public)
    lines = [f"{private} (keep it secret), {public}", f"  {found}"]
    emit({"private": str(private), "public": str(public), "key": str(found), "id": found.id}, lines)


@click.command()
@click.argument("folder", type=_PATH)
@click.option(
    "--key", "keys", type=_PATH, multiple=True, required=True, metavar="FILE", help="NAME.key.pem; repeatable."
)
@json_option
def sign(folder: Path, keys: Sequence[Path]) -> None:
    """Sign a bundle: an in-toto statement about its digest, in bundle.dsse.json."""
    bundle = read_bundle(folder)
    bundle.check()
    signing = [load_key(path) for path in keys]
    write_atomic(folder / SIGNATURE, bundle.signed(signing))
    names = [k.name for k in signing]
    emit(
        {"bundle": bundle.name, "digest": bundle.digest, "signed_by": [k.public.id for k in signing]},
        [f"{folder / SIGNATURE}: {bundle.name}, {bundle.digest}, signed by {', '.join(names)}"],
    )


@click.command()
@click.argument("bundle")
@click.option("--trust", type=_PATH, multiple=True, metavar="FILE", help="NAME.pub of who may sign; repeatable.")
@click.option("--truth", default="", metavar="FILE|URL", help="Where the digest of the policy that should run is kept.")
@ledger_option
@json_option
@click.pass_obj
def use(app: App, bundle: str, trust: Sequence[Path], truth: str, ledger: str) -> None:
    """Pin a bundle in a ledger: from now on it decides there, and a changed one is refused."""
    found = find_bundle(bundle)
    keys = [load_public(path) for path in trust]
    check_truth(truth)  # before a ledger is made
    signers = check_pinnable(found, keys)
    with open_ledger(ledger, app.registry) as log:
        entry = write_pin(log, found, keys, truth)
        log.checkpoint()
    signed = ", ".join(k.name for k in signers) or "nobody"
    document = {
        "entry": entry.index,
        "bundle": found.name,
        "digest": found.digest,
        "signed_by": entry.facts["signed_by"],
    }
    emit(document, [f"{ledger}: entry {entry.index} pins {found.name}, {found.digest}, signed by {signed}"])


@click.command()
@ledger_option
@json_option
@click.pass_obj
def show(app: App, ledger: str) -> int:
    """Which policy decides for a ledger, and whether it may; exit code 1 where it may not."""
    with existing_ledger(app, ledger) as log:
        found = active(log)
    if found is None:
        emit({"policy": None}, ["no policy: qimg policy use BUNDLE pins one, QIMG_POLICY=BUNDLE names one"])
        return ExitCode.OK
    bundle = found.bundle or found.agreed
    signers = [k.name for k in found.signers]
    problems = [str(f) for f in found.findings]
    document = {
        "policy": None if bundle is None else bundle.name,
        "environment": None if bundle is None else str(bundle.settings.environment),
        "digest": None if bundle is None else bundle.digest,
        "server": "" if bundle is None else bundle.settings.engine.url,
        "revision": "" if bundle is None else bundle.settings.engine.revision,
        "pinned": None if found.pin is None else found.pin.entry,
        "truth": "" if found.pin is None else found.pin.truth,
        "signed_by": signers,
        "problems": problems,
    }
    pairs = [(k, ", ".join(v) if isinstance(v, list) else str(v)) for k, v in document.items() if v not in (None, "")]
    emit(document, fields(pairs))
    return ExitCode.FAILED if problems else ExitCode.OK


COMMANDS = (key, sign, use, show)
