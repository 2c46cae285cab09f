"""``qimg trace``: from a thing to what made it, and to what it made (imports tracing)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from qimg_core.cli.evidence import match_picture, prove
from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import coloured, emit
from qimg_core.cli.runs import check_file, existing_ledger
from qimg_core.cli.subject import find_run, subject
from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.cli.evidence import Proof
    from qimg_core.ledger.base import Ledger
    from qimg_core.trace_graph import Graph


@click.command()
@click.argument("what", metavar="FILE.png|WEIGHTS|RUN|ENTRY|DIGEST")
@click.option("--back", "way", flag_value="back", default=True, help="What it came from (the default).")
@click.option("--forward", "way", flag_value="forward", help="What came of it.")
@click.option("--both", "way", flag_value="both", help="Both.")
@click.option("--out", metavar="FILE.svg|.dot|.json", help="Write the graph, too.")
@ledger_option
@json_option
@click.pass_obj
def trace(app: App, what: str, way: Literal["back", "forward", "both"], out: str | None, ledger: str) -> ExitCode:
    """Walk the record from a thing to what it came from, or to what came of it.

    WHAT is a picture, a weights file, a run, an entry's index, or the digest of weights, data, a circuit, noise, pixels
    or a device's state; also device:NAME and code:COMMIT. What is missing is shown with its reason. Exit code 3
    where no signed head covers the entry yet, 1 where its proof or the pixels do not hold.
    """
    from qimg_core.trace_graph import NodeKind
    from qimg_core.tracing import trace as walk

    if out is not None:
        check_file(Path(out), Path(out).suffix if Path(out).suffix in _WRITERS else ".svg")
    with existing_ledger(app, ledger) as log:
        start, index = _start(log, what, ledger)
        graph = walk(log, start, back=way != "forward", forward=way != "back", index=index)
        entries = graph.nodes[graph.starts[0]].entries
        proof = prove(log, log.entry(entries[0])) if entries else None
        kept = _kept(log, entries[0]) if entries else []
    gaps = [node.to_json() for node in graph.of_kind(NodeKind.GAP)]
    document: dict[str, Any] = {**graph.to_json(), "direction": way, "gaps": len(gaps), "out": out}
    document["proof"] = None if proof is None else proof.to_json()
    document["kept_outside"] = kept
    if out is not None:
        _write(graph, Path(out))
    outside = [
        f"  head of {k['size']} entries kept by the {k['kind']} {k['memory']} (entry {k['entry']})" for k in kept
    ]
    emit(document, [*_lines(graph, way, proof), *outside, *([f"written: {out}"] if out is not None else [])])
    return ExitCode.OK if proof is None else verdict_code(proof.verdict)


def _start(ledger: Ledger, what: str, where: str) -> tuple[str, int | None]:
    """The node's id, and which of its images."""
    from qimg_core.tracing import starting_point

    if what.isdecimal() or ":" in what:
        return starting_point(ledger, what), None
    found = subject(what)
    if found.kind == "run":
        return f"run:{find_run(ledger, what, where)}", None
    assert found.path is not None
    if found.kind == "weights":
        from qimg_core.weights import load_weights

        return f"weights:{load_weights(found.path).digest}", None
    from qimg_core.images import read_images

    images, text = read_images(found.path)
    match = match_picture(ledger, images, text)
    if match.verdict is not Verdict.PASS:
        for entry in ledger.entries(kind="images.marked"):  # a marked copy has other pixels, and its own entry
            if entry.facts["after"]["pixels"] == images.digest:
                return f"mark:{entry.index}", None
    if match.entry is None or match.verdict is not Verdict.PASS:
        wrong = LedgerError if match.verdict is Verdict.FAIL else ConfigurationError
        raise wrong(f"{what}: {match.reason}", hint=f"qimg inspect {what} --ledger {where}")
    alone = len(images) == 1 and match.entry.facts["n"] > 1 and text.get("qimg:index", "").isdecimal()
    return f"images:{match.entry.index}", int(text["qimg:index"]) if alone else None


def _kept(ledger: Ledger, index: int) -> list[dict[str, Any]]:
    """Outside memories that keep a head over an entry, by their first receipt; `qimg verify` checks the evidence."""
    found: dict[str, dict[str, Any]] = {}
    for entry in ledger.entries(kind="checkpoint.kept", start=index):
        facts = entry.facts
        if int(facts["size"]) > index:
            item = {"memory": facts["memory"], "kind": facts["kind"], "size": int(facts["size"]), "entry": entry.index}
            found.setdefault(str(facts["memory"]), item)
    return list(found.values())


def _lines(graph: Graph, way: str, proof: Proof | None) -> list[str]:
    from qimg_core.trace_drawing import tree

    lines: list[str] = []
    if way != "forward":
        lines += tree(graph)
    if way != "back":
        lines += ["what came of it:", *tree(graph, forward=True)] if way == "both" else tree(graph, forward=True)
    if proof is not None:
        lines.append(f"{coloured(proof.verdict)}: {proof.reason}")
    return lines


def _json(graph: Graph) -> str:
    import json

    return json.dumps(graph.to_json(), indent=2, ensure_ascii=False) + "\n"


def _drawn(name: str) -> Any:
    def draw(graph: Graph) -> str:
        from qimg_core import trace_drawing

        drawn: str = getattr(trace_drawing, name)(graph)
        return drawn

    return draw


_WRITERS = {".svg": _drawn("svg"), ".dot": _drawn("dot"), ".json": _json}


def _write(graph: Graph, path: Path) -> None:
    from qimg_core.storage import ensure_folder, write_atomic

    ensure_folder(path.parent)
    write_atomic(path, _WRITERS[path.suffix](graph).encode())
