"""``qimg manifest``: the group, and making, signing, checking, showing a manifest (imports the modules beside)."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.admission_words import Consent, Purpose, Sensitivity
from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option, parse_stated
from qimg_core.cli.output import emit, fields, short
from qimg_core.cli.runs import check_file
from qimg_core.cli.sources import open_data
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger.opening import has_ledger, open_ledger
from qimg_core.ledger.vault import Vault
from qimg_core.storage import storage_error, write_atomic
from qimg_data import command_data, command_people
from qimg_data.building import (
    data_path,
    described,
    hash_files,
    manifest_path,
    read_manifest,
    signature_path,
    split_facts,
    write_manifest,
)
from qimg_data.checking import CODES, check_manifest
from qimg_data.croissant import to_croissant
from qimg_data.manifest import TEXTS, from_fields
from qimg_data.rules import Rules, pin_rules, read_rules, rules_of
from qimg_data.signing import sign as sign_manifest
from qimg_data.subjects import read_subjects, tags
from qimg_data.zones import InputClass
from qimg_policy.keys import load_key, load_public

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.cli.app import App
    from qimg_data.manifest import Manifest

_PATH = click.Path(path_type=Path)
_manifest_option = click.option(
    "--manifest", "named", type=_PATH, metavar="FILE.json", help="Where it does not lie beside the data."
)


@click.group()
def manifest() -> None:
    """Describe, sign and check datasets; tokens, opt-out, suspects.

    DATA is a path, or a dataset's name. Keys are made by `qimg policy key NAME`.
    """


@manifest.command()
@json_option
def template() -> None:
    """What to fill in for `qimg manifest new`, as TOML."""
    kinds = {"consent": Consent, "purposes": Purpose, "sensitivity": Sensitivity, "inputs": InputClass}
    words = {name: [str(word) for word in kind] for name, kind in kinds.items()}
    lines = [
        'name = ""',
        'version = "1"',
        'description = ""',
        'source = ""                 # who or what it is from',
        'source_url = ""',
        'source_state = "clean"      # or tainted',
        'collected = ""              # how',
        'licence = ""                # SPDX, e.g. CC-BY-4.0',
        f'consent = ""                # {", ".join(words["consent"])}',
        'consent_obtained = ""       # YYYY-MM-DD',
        'consent_evidence = ""       # digest or reference of the forms; no names',
        f"purposes = []               # {', '.join(words['purposes'])}",
        'annotation = ""             # how labels came to be',
        "annotators = 0",
        'agreement = ""              # e.g. krippendorff 0.81, from: qimg manifest agreement',
        'retention_until = ""        # YYYY-MM-DD, the last day of use',
        'retention_reason = ""',
        f'sensitivity = ""            # {", ".join(words["sensitivity"])}',
        f'inputs = ""                 # {", ".join(words["inputs"])}',
        "derived_from = []           # digests of datasets",
        "[texts]                     # for people, and for the Croissant export",
        *(f'{name} = ""' for name in TEXTS),
    ]
    emit({"toml": "\n".join(lines) + "\n", "words": words}, lines)


@manifest.command()
@click.argument("data")
@click.option("--about", type=_PATH, required=True, metavar="FILE.toml", help="See `qimg manifest template`.")
@click.option("--subjects", type=_PATH, metavar="FILE.csv", help="Columns file and subject: whose pictures these are.")
@click.option("--out", type=_PATH, metavar="FILE.json", help="Beside the data by default.")
@ledger_option
@json_option
@click.pass_obj
def new(app: App, data: str, about: Path, subjects: Path | None, out: Path | None, ledger: str) -> None:
    """Make a dataset's manifest: hash every file, digest the images, add what you say about them.

    People are named by keyed hashes only; their keys lie beside the ledger.
    """
    where = out or manifest_path(data)
    if where is None:
        raise ConfigurationError(f"{data} has no folder here", hint="name the manifest: --out FILE.json")
    check_file(where, ".json")
    if where.exists():
        raise ConfigurationError(f"{where} exists already", hint="remove it, and its signature, to make another")
    given = _about(about)
    path = data_path(data)
    files = {} if path is None else hash_files(path, leave_out=(where, signature_path(where)))
    people = {} if subjects is None else read_subjects(subjects)
    if strangers := sorted({f for names in people.values() for f in names} - set(files)):
        raise DataError(f"{subjects}: {strangers[0]!r} is no file of the data")
    given |= {"created": str(dt.datetime.now(dt.UTC).date()), "files": files, "splits": _splits(app, data)}
    made = from_fields(given)  # refused before a key is made
    if people:
        with open_ledger(ledger, app.registry) as log:
            made = from_fields({**given, "subjects": tags(Vault.of(log, create=True), people)})
    write_manifest(where, made)
    lines = [
        f"{where}: {len(files):,} files, {short(made.digest)}",
        f"  next: qimg manifest sign {data} --key NAME.key.pem",
    ]
    emit(
        {"manifest": str(where), "digest": made.digest, "files": len(files), "subjects": len(people)},
        lines,
    )


def _about(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(path.read_text())
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    for name in ("files", "splits", "subjects", "created"):
        if name in given:
            raise ConfigurationError(f"{path}: {name} is found by this command", hint="leave it out")
    return {**given, "texts": {k: v for k, v in given.get("texts", {}).items() if v}}


def _splits(app: App, data: str) -> dict[str, Any]:
    found = {"train": split_facts(open_data(app, data))}
    try:
        found["test"] = split_facts(open_data(app, data, split="test"))
    except DataError:  # data that come without a split are all train
        return found
    return {k: v for k, v in found.items() if k == "train" or v != found["train"]}


def located(data: str, named: Path | None) -> Path:
    """The manifest of some data, which may be named itself.

    Raises:
        ConfigurationError: there is none.
    """
    path = named or (Path(data) if data.endswith(".json") else manifest_path(data))
    if path is None:
        raise ConfigurationError(f"{data} has no folder here", hint="name the manifest: --manifest FILE.json")
    return path


@manifest.command()
@click.argument("data")
@_manifest_option
@click.option(
    "--key", "keys", type=_PATH, multiple=True, required=True, metavar="FILE", help="NAME.key.pem; repeatable."
)
@json_option
def sign(data: str, named: Path | None, keys: Sequence[Path]) -> None:
    """Sign a manifest: an in-toto statement in a DSSE envelope, beside it."""
    path = located(data, named)
    found, signing = read_manifest(path), [load_key(k) for k in keys]
    where = sign_manifest(path, found, signing)
    names = ", ".join(k.name for k in signing)
    document = {"signature": str(where), "digest": found.digest, "signed_by": [k.public.id for k in signing]}
    emit(document, [f"{where}: {short(found.digest)}, signed by {names}"])


@manifest.command()
@click.argument("data")
@_manifest_option
@click.option("--rules", "rules_file", type=_PATH, metavar="FILE.toml", help="In place of the ledger's.")
@click.option("--trust", type=_PATH, multiple=True, metavar="FILE", help="NAME.pub of who may sign; repeatable.")
@click.option("--stated", multiple=True, metavar="KEY=VALUE", help="As a training would state it: purpose=research.")
@ledger_option
@json_option
@click.pass_obj
def check(
    app: App,
    data: str,
    named: Path | None,
    rules_file: Path | None,
    trust: Sequence[Path],
    stated: Sequence[str],
    ledger: str,
) -> int:
    """Check a manifest as a training would; exit code 1 where it would be refused, with each rule.

    Where DATA is a manifest itself, its files are checked and its images are not opened.
    """
    path, keys = located(data, named), tuple(load_public(p) for p in trust)
    said = parse_stated(stated)
    log = _existing(app, ledger)
    try:
        if rules_file is not None:
            rules = read_rules(rules_file, keys)
        else:
            pinned = Rules() if log is None else rules_of(log)[0]
            rules = pinned if not keys else Rules(**{**pinned.to_json(), "trusted": [str(k) for k in keys]})
        alone = data.endswith(".json")
        images, files = (None, described(path)) if alone else (open_data(app, data), data_path(data))
        found = check_manifest(path, files, rules, images=images, stated=said, ledger=log)
    finally:
        if log is not None:
            log.close()
    rows = [
        {"code": f.code, "reason": f.reason, "satisfy": f.satisfy, "demands": CODES[f.code]} for f in found.findings
    ]
    lines = [line for r in rows for line in (f"{r['code']}: {r['reason']}", f"  to satisfy it: {r['satisfy']}")]
    digest = None if found.manifest is None else found.manifest.digest
    lines.append(f"{path}: {found.state}" + ("" if digest is None else f", {short(digest)}"))
    emit({"manifest": digest, "state": found.state, "signed_by": list(found.signed_by), "findings": rows}, lines)
    return ExitCode.FAILED if rows else ExitCode.OK


def _existing(app: App, ledger: str) -> Any:
    if not has_ledger(ledger):
        return None
    return open_ledger(ledger, app.registry, create=False, read_only=True)


@manifest.command()
@click.argument("data")
@_manifest_option
@json_option
def show(data: str, named: Path | None) -> None:
    """What a manifest says; files and subjects are counted, `--json` has them all."""
    found = read_manifest(located(data, named))
    emit({"digest": found.digest, **found.to_json()}, [found.name, *fields(_pairs(found))])


def _pairs(found: Manifest) -> list[tuple[str, str]]:
    document = found.to_json()
    counted = {"files": f"{len(found.files):,}", "subjects": f"{len(found.subjects):,}" if found.subjects else ""}
    splits = ", ".join(f"{k}: {v['n']:,} of {v['digest'][:19]}" for k, v in found.splits.items())
    texts = [(k.replace("_", " "), v) for k, v in found.texts.items()]
    plain = [
        (k.replace("_", " "), ", ".join(v) if isinstance(v, list) else str(v or ""))
        for k, v in document.items()
        if k not in ("schema", "name", "files", "subjects", "splits", "texts")
    ]
    return [("digest", found.digest), ("images", splits), *counted.items(), *plain, *texts]


@manifest.command()
@click.argument("data")
@_manifest_option
@click.option("--out", type=_PATH, required=True, metavar="FILE.json", help="Where to write the JSON-LD.")
@click.option("--without-names", is_flag=True, help="Leave out the files: their names may be personal.")
@json_option
def croissant(data: str, named: Path | None, out: Path, without_names: bool) -> None:
    """Export as Croissant JSON-LD with the responsible-AI fields."""
    check_file(out, ".json")
    found = read_manifest(located(data, named))
    document = to_croissant(found, names=not without_names)
    write_atomic(out, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
    emit({"out": str(out), "manifest": found.digest}, [f"{out}: {found.name}, {len(document['distribution']):,} files"])


@manifest.command()
@click.argument("rules", type=_PATH)
@click.option("--trust", type=_PATH, multiple=True, metavar="FILE", help="NAME.pub of who may sign; repeatable.")
@ledger_option
@json_option
@click.pass_obj
def use(app: App, rules: Path, trust: Sequence[Path], ledger: str) -> None:
    """Pin data rules (TOML) in a ledger: from now on every training of it is checked against them."""
    found = read_rules(rules, tuple(load_public(p) for p in trust))
    with open_ledger(ledger, app.registry) as log:
        entry = pin_rules(log, found)
        log.checkpoint()
    emit(
        {"entry": entry.index, "digest": found.digest, "rules": found.to_json()},
        [f"{ledger}: entry {entry.index} pins data rules {short(found.digest)}"],
    )


for _command in (*command_people.COMMANDS, *command_data.COMMANDS):
    manifest.add_command(_command)
