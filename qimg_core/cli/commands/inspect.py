"""``qimg inspect``: who, what and how, and the proof (imports evidence, subject, summary)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.detecting import (
    detected,
    evidence_json,
    evidence_lines,
    foreign,
    is_foreign,
    judged,
    recorded_change,
)
from qimg_core.cli.evidence import Proof, match_picture, prove
from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import coloured, emit, fields, short
from qimg_core.cli.runs import existing_ledger
from qimg_core.cli.subject import Subject, find_run, subject
from qimg_core.cli.summary import images_lines, images_summary, parameter_words, training_facts
from qimg_core.errors import ConfigurationError
from qimg_core.hooks import Evidence
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry


@click.command()
@click.argument("what", metavar="PICTURE|WEIGHTS|RUN")
@ledger_option
@json_option
@click.pass_obj
def inspect(app: App, what: str, ledger: str) -> ExitCode:
    """Show what made a picture, weights or a run, and prove it.

    Of pictures of any origin (PNG, and what plugins read), it says which marks they carry. Exit code 1 where the
    pixels or weights are not those recorded, a mark does not hold or the picture was taken down; 3 where nothing can
    tell.
    """
    if is_foreign(what):
        return foreign(app, what, ledger)
    found = subject(what)
    if found.kind == "run":
        with existing_ledger(app, ledger) as log:
            return _run(log, find_run(log, found.name, ledger))
    try:
        log = existing_ledger(app, ledger)
    except ConfigurationError as error:  # the file still says something of itself
        return _alone(app, found, error.message)
    with log:
        return _picture(app, log, found) if found.kind == "picture" else _weights(log, found)


def _picture(app: App, ledger: Ledger, found: Subject) -> ExitCode:
    from qimg_core.images import read_images

    assert found.path is not None
    images, text = read_images(found.path)
    evidence = detected(app, found.path, ledger, text)
    match = recorded_change(match_picture(ledger, images, text), evidence)
    document: dict[str, Any] = {
        "file": found.name,
        "n": len(images),
        "pixels": images.digest,
        "says": text,
        "pixels_match": None if match.entry is None else match.verdict is Verdict.PASS,
        "match": {"verdict": match.verdict.value, "reason": match.reason},
        "evidence": evidence_json(evidence),
    }
    lines = [f"{found.name}: {len(images)} image(s) of {images.shape[0]}x{images.shape[1]}{_named(match.entry)}"]
    if match.entry is None:
        verdict, reason = judged(match.verdict, match.reason, evidence)
        document["verdict"] = verdict.value
        shown = [*lines, *fields(_said(text)), *evidence_lines(evidence), f"{coloured(verdict)}: {reason}"]
        emit(document, shown)
        return verdict_code(verdict)
    summary = images_summary(ledger, match.entry)
    proof = prove(ledger, match.entry)
    broken = [e for e in evidence if e.verdict is Verdict.FAIL]
    verdict = _worst(match.verdict, proof.verdict, *(e.verdict for e in broken))
    document |= {"run": match.entry.run, "made": summary, "proof": proof.to_json(), "verdict": verdict.value}
    agree = "equal to the record" if match.verdict is Verdict.PASS else "NOT those of the record"
    if any(e.made_by == match.entry.index for e in evidence):
        agree = "as a recorded mark left them"
    pairs = [("pixels", f"{agree}: {short(images.digest)}"), *images_lines(summary), *_proved(proof)]
    reason = match.reason or (f"run {match.entry.run} made these pixels" if verdict is Verdict.PASS else proof.reason)
    if broken and match.verdict is not Verdict.FAIL:
        reason = f"{broken[0].layer}: {broken[0].found}"
    emit(document, [*lines, *fields(pairs), *evidence_lines(evidence), f"{coloured(verdict)}: {reason}"])
    return verdict_code(verdict)


def _weights(ledger: Ledger, found: Subject) -> ExitCode:
    from qimg_core.weights import load_weights

    assert found.path is not None
    weights = load_weights(found.path)
    run = weights.facts.get("run")
    entry = next((e for e in ledger.entries(kind="weights.saved") if e.facts["digest"] == weights.digest), None)
    proof = None if entry is None else prove(ledger, entry)
    if proof is not None:
        verdict, reason = proof.verdict, f"run {run} saved these weights; {proof.reason}"
    elif any(True for _ in ledger.entries(run=str(run), kind="weights.saved")):
        verdict, reason = Verdict.FAIL, f"the file is not the one that run {run} saved: another digest"
    else:
        verdict, reason = Verdict.INCONCLUSIVE, f"this ledger holds no training of run {run}"
    document, pairs = _weights_said(found, weights)
    document |= {"verdict": verdict.value, "reason": reason, "proof": None if proof is None else proof.to_json()}
    proved = [] if proof is None else _proved(proof)
    head = f"{found.name}: {weights.format}" + (_named(entry) or f", run {run}")
    emit(document, [head, *fields([*pairs, *proved]), f"{coloured(verdict)}: {reason}"])
    return verdict_code(verdict)


def _run(ledger: Ledger, run: str) -> ExitCode:
    entries = list(ledger.entries(run=run))
    opening = entries[0].facts
    kinds: dict[str, int] = {}
    for entry in entries:
        kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
    proof = prove(ledger, entries[-1])
    made = [images_summary(ledger, e) for e in entries if e.kind == "images.made" and opening["activity"] != "train"]
    saved = [e for e in entries if e.kind == "weights.saved"]
    finished = entries[-1].facts if entries[-1].kind == "run.finished" else None
    status = "did not end (killed, or running)" if finished is None else finished["status"]
    pairs = [
        ("activity", f"{opening['activity']}, {status}"),
        ("began", entries[0].time),
        ("seed", opening["seed"]),
        ("device", opening["backend"]),
        ("entries", ", ".join(f"{count} {kind}" for kind, count in kinds.items())),
    ]
    for summary in made:
        pairs += [("", ""), *images_lines(summary)]
    for entry in saved:
        pairs.append(
            ("weights", f"{entry.facts['file']} {short(entry.facts['digest'])}, {entry.facts['steps']:,} steps")
        )
    document = {
        "run": run,
        "status": status,
        "activity": opening["activity"],
        "seed": opening["seed"],
        "began": entries[0].time,
        "kinds": kinds,
        "entries": [e.index for e in entries],
        "made": made,
        "weights": [{"file": e.facts["file"], "digest": e.facts["digest"]} for e in saved],
        "proof": proof.to_json(),
        "verdict": proof.verdict.value,
    }
    reason = f"{coloured(proof.verdict)}: run {run}: {proof.reason}"
    emit(document, [f"run {run} of the log {ledger.origin}", *fields([*pairs, *_proved(proof)]), reason])
    return verdict_code(proof.verdict)


def _alone(app: App, found: Subject, reason: str) -> ExitCode:
    """What a file says of itself, where no ledger can confirm it."""
    from qimg_core.images import read_images
    from qimg_core.weights import load_weights

    assert found.path is not None
    verdict, evidence = Verdict.INCONCLUSIVE, tuple[Evidence, ...]()
    if found.kind == "picture":
        images, text = read_images(found.path)
        document: dict[str, Any] = {"file": found.name, "n": len(images), "pixels": images.digest, "says": text}
        pairs = _said(text)
        if text.get("qimg:pixels") not in (None, images.digest):
            verdict, reason = Verdict.FAIL, "the pixels are not those that the file says it holds"
        evidence = detected(app, found.path, None, text)
        verdict, reason = judged(verdict, reason, evidence)
        document["evidence"] = evidence_json(evidence)
    else:
        document, pairs = _weights_said(found, load_weights(found.path))
    document |= {"verdict": verdict.value, "reason": reason}
    head = f"{found.name} says of itself (nothing proves it here):"
    emit(document, [head, *fields(pairs), *evidence_lines(evidence), f"{coloured(verdict)}: {reason}"])
    return verdict_code(verdict)


def _weights_said(found: Subject, weights: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    facts = training_facts(dict(weights.facts))
    numbers = sum(int(a.size) for a in weights.arrays.values())
    data = facts["data"] if isinstance(facts["data"], dict) else {"name": "a state", "digest": str(facts["data"])}
    document = {
        "file": found.name,
        "format": weights.format,
        "digest": weights.digest,
        "numbers": numbers,
        "config": weights.facts.get("config"),
        **facts,
    }
    pairs = [
        ("digest", weights.digest),
        ("model", f"{facts['generator']}, arm {facts['arm']}" if facts["generator"] else "an unfinished training"),
        ("numbers", f"{numbers:,} in {len(weights.arrays)} arrays"),
        ("of them", parameter_words(facts["parameters"])),
        ("learned", f"{data.get('name')} {short(data.get('digest', ''))}, {facts['steps']} steps"),
        ("run", str(facts["run"])),
        ("seed", str(facts["seed"])),
    ]
    return document, pairs


def _said(text: dict[str, str]) -> list[tuple[str, str]]:
    return [(name.removeprefix("qimg:"), value) for name, value in text.items()]


def _named(entry: Entry | None) -> str:
    return "" if entry is None else f", run {entry.run}, entry {entry.index}"


def _proved(proof: Proof) -> list[tuple[str, str]]:
    signed = f"{' and '.join(proof.algorithms)}, verified" if proof.algorithms else "no"
    return [("signed", signed), ("in the log", proof.reason)]


def _worst(*verdicts: Verdict) -> Verdict:
    order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
    return min(verdicts, key=order.index)
