"""``qimg surrogate``: fit a classical stand-in from recorded proposals, and look at one (imports qimg_core's CLI)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields, short
from qimg_core.cli.runs import check_file, existing_ledger
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_classical.surrogate import Surrogate
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger

FITTED = "surrogate.fitted"


@click.group()
def surrogate() -> None:
    """Fit a classical stand-in for a circuit from recorded proposals, and look at one.

    What a surrogate computes is never called quantum: its records say surrogate, with its measured error.
    """


@surrogate.command()
@ledger_option
@click.option("--circuit", default="auto", show_default=True, metavar="DIGEST", help="Of which circuit.")
@click.option("--measurement", metavar="DIGEST", help="Where proposals of several measurements were kept.")
@click.option("--weights", metavar="DIGEST", help="Where proposals of several weights were kept.")
@click.option("--noise", metavar="DIGEST", help="Of which noise model; none for proposals without one.")
@click.option("--backend", metavar="NAME", help="Of which device.")
@click.option(
    "--kind",
    type=click.Choice(["auto", "fourier", "features"]),
    default="auto",
    show_default=True,
    help="Fourier series of the circuit's own frequencies, or random features.",
)
@click.option("--max-features", default=1000, show_default=True, type=click.IntRange(2), help="Most terms of the sum.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of split, features and interval.")
@click.option("--out", required=True, metavar="FILE.safetensors", help="The surrogate; must not exist.")
@json_option
@click.pass_obj
def fit(
    app: App,
    ledger: str,
    circuit: str,
    measurement: str | None,
    weights: str | None,
    noise: str | None,
    backend: str | None,
    kind: Any,
    max_features: int,
    seed: int,
    out: str,
) -> None:
    """Fit a surrogate from the proposals of a ledger, and measure its error on held-out ones.

    A surrogate is of one circuit, measurement, weights, noise model and device; a beginning of a digest is enough.
    """
    from qimg_core.storage import write_atomic

    path = Path(out)
    if path.exists():
        raise ConfigurationError(f"{out} exists already", hint="choose another --out")
    check_file(path, ".safetensors")
    given = {"measurement": measurement, "weights": weights, "noise": noise, "backend": backend}
    wanted = {name: value for name, value in given.items() if value is not None}
    if circuit != "auto":
        wanted["circuit"] = circuit
    with existing_ledger(app, ledger, write=True) as log:
        made, blob, run, entry = _fitted(app, log, wanted, kind, max_features, seed)
    write_atomic(path, blob)
    document = {"out": out, "run": run, "entry": entry, "ledger": ledger, **_document(made)}
    emit(document, [f"{out}: run {run}, entry {entry}", *_lines(made)])


def _fitted(
    app: App, log: Ledger, wanted: dict[str, str], kind: Any, max_features: int, seed: int
) -> tuple[Surrogate, bytes, str, int]:
    from attrs import asdict

    from qimg_classical.fitting import fit as fit_surrogate
    from qimg_classical.surrogate_file import from_bytes, to_bytes
    from qimg_classical.training_set import choose, table
    from qimg_core.proposals import Proposals
    from qimg_core.session import Session

    with Session(log, seed=seed, backend="classical", activity="train", registry=app.registry) as session:
        training = table(choose(Proposals(log), wanted), log.origin)
        blob = to_bytes(fit_surrogate(training, kind=kind, seed=seed, max_features=max_features))
        made = from_bytes(blob)
        how = {k: v for k, v in made.facts["fit"].items() if k != "tried"}  # type: ignore[union-attr, index]
        source = {k: v for k, v in made.facts["source"].items() if k != "proposals"}  # type: ignore[union-attr, index]
        facts = {
            "schema": "qimg.surrogate/1",
            "function": asdict(made.function),
            "error": made.error.to_json(),
            "fit": how,
            "source": {**source, "proposals": len(training.sources)},
            "artefacts": {"surrogate": session.put(blob)},
        }
        entry = session.record(FITTED, facts)
        return made, blob, session.run, entry.index


@surrogate.command()
@click.argument("file", metavar="FILE.safetensors")
@click.option("--ledger", metavar="FOLDER", help="Also look the file and its proposals up in this record.")
@json_option
@click.pass_obj
def show(app: App, file: str, ledger: str | None) -> int:
    """What a surrogate stands in for, its error, and what it was fitted from.

    With --ledger: exit code 1 where the record does not hold just this file and the proposals that it names.
    """
    from qimg_classical.surrogate_file import load

    found = load(file)
    document, lines, code = _document(found), [file, *_lines(found)], ExitCode.OK
    if ledger is not None:
        with existing_ledger(app, ledger) as log:
            entry, problems = _looked_up(log, found)
        document |= {"ledger": ledger, "entry": entry, "problems": problems}
        lines += [f"  in the record: entry {entry}" if entry is not None else "  not in the record", *problems]
        code = ExitCode.FAILED if problems else ExitCode.OK
    emit(document, lines)
    return code


def _looked_up(log: Ledger, found: Surrogate) -> tuple[int | None, list[str]]:
    """The entry that vouches for the file, and everything that the record says otherwise."""
    from qimg_core.errors import LedgerError

    problems = []
    entries = (e.index for e in log.entries(kind=FITTED) if e.artefacts.get("surrogate") == found.digest)
    entry = next(entries, None)
    if entry is None:
        problems.append(f"no entry {FITTED} holds a file of the digest {found.digest}")
    source: Any = found.facts["source"]
    if source["log"] != log.origin:
        return entry, [*problems, f"it was fitted from the log {source['log']}, this one is {log.origin}"]
    for index, digest in source["proposals"]:
        try:
            same = log.entry(index).digest == digest
        except LedgerError as error:
            problems.append(f"proposal {index}: {error.message}")
            continue
        if not same:
            problems.append(f"proposal {index} has another digest than the one that was learned from")
    return entry, problems


def _document(found: Surrogate) -> dict[str, Any]:
    from attrs import asdict

    return {
        "digest": found.digest,
        "function": asdict(found.function),
        "wires": found.wires,
        "error": found.error.to_json(),
        **found.facts,
    }


def _lines(found: Surrogate) -> list[str]:
    f: Any = found.function
    how: Any = found.facts["fit"]
    source: Any = found.facts["source"]
    kind = f"{how['kind']}, {how['features']} terms"
    if how["kind"] == "fourier":
        kind += f", degree {how['degree']}" + (", the whole spectrum of the circuit" if how["complete"] else "")
    shots = ", ".join("exact" if s is None else f"{s} shots" for s in source["shots"])
    worst = int(found.by_output.rmse.argmax())
    return fields(
        [
            ("stands in for", f"circuit {short(f.circuit)} with weights {short(f.weights)} on {f.backend}"),
            ("measures", f"{found.measurement.kind}, {found.measurement.width} numbers a row"),
            ("noise", "" if f.noise is None else short(f.noise)),
            ("kind", kind),
            ("error", str(found.error)),
            ("worst output", f"number {worst}: RMSE {found.by_output.rmse[worst]:.3g}"),
            ("fitted from", f"{len(source['proposals'])} proposals, {source['distinct']} distinct inputs, {shots}"),
            ("digest", found.digest),
        ]
    )
