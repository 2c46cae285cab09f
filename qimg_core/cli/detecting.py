"""What plugins find in a picture of any origin: marks, and what each proves (imports evidence, runs; hooks).

The core itself knows a picture by its pixels and its ledger. Everything else comes by the hook `qimg_detect`;
a detector that breaks is one line that says so, and takes nothing down.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.cli.evidence import Match, prove
from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.output import coloured, emit, fields
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError, DataError, QimgError
from qimg_core.hooks import Evidence
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger

log = logging.getLogger("qimg")


def is_foreign(what: str) -> bool:
    """Is it a picture that the core does not read itself: JPEG, WebP, or a PNG of another kind?"""
    from qimg_core import png

    path = Path(what)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith(png.SIGNATURE):
        try:
            return png.read(path)[0].shape[2] in (2, 4)
        except DataError as error:
            return "16-bit" in error.message or "interlaced" in error.message
    return start.startswith(b"\xff\xd8\xff") or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def foreign(app: App, what: str, where: str) -> ExitCode:
    """`qimg inspect` of such a picture."""
    path = Path(what)
    if not app.registry.hooks.hook.qimg_detect.get_hookimpls():
        raise ConfigurationError(f"{what}: no plugin here reads this picture", hint="pip install qimg-marks")
    try:
        ledger = existing_ledger(app, where)
    except ConfigurationError:
        evidence = detected(app, path, None, {})
    else:
        with ledger:
            evidence = detected(app, path, ledger, {})
    verdict, reason = judged(Verdict.INCONCLUSIVE, "it carries no mark that proves anything here", evidence)
    document = {"file": what, "evidence": evidence_json(evidence), "verdict": verdict.value, "reason": reason}
    emit(document, [f"{what}: a picture of any origin", *evidence_lines(evidence), f"{coloured(verdict)}: {reason}"])
    return verdict_code(verdict)


def detected(app: App, path: Path, ledger: Ledger | None, text: Mapping[str, str]) -> tuple[Evidence, ...]:
    """What every plugin finds; what rests on an entry has that entry's place in the log proved."""
    found: list[Evidence] = []
    for impl in app.registry.hooks.hook.qimg_detect.get_hookimpls():
        given = {"path": path, "ledger": ledger, "context": {"names": dict(text)}}
        try:
            answer: Any = impl.function(*[given[name] for name in impl.argnames])
            found += answer
        except Exception as error:  # one detector must not hide the others
            words = error.message if isinstance(error, QimgError) else f"{type(error).__name__}: {error}"
            if not isinstance(error, QimgError):
                log.exception("qimg_detect of %s failed", impl.plugin_name)
            layer = f"the detector of {impl.plugin_name}"
            found.append(Evidence(layer=layer, verdict=Verdict.INCONCLUSIVE, found=f"could not answer: {words}"))
    return tuple(e if ledger is None else _proved(ledger, e) for e in found)


def _proved(ledger: Ledger, evidence: Evidence) -> Evidence:
    if evidence.entry is None or evidence.verdict is not Verdict.PASS:
        return evidence
    proof = prove(ledger, ledger.entry(evidence.entry))
    if proof.verdict is Verdict.PASS:
        return evidence
    return evolve(evidence, verdict=proof.verdict, found=f"{evidence.found}; but {proof.reason}")


def recorded_change(match: Match, evidence: Sequence[Evidence]) -> Match:
    """A picture whose pixels a recorded mark changed is that of its entry."""
    if match.entry is None or match.verdict is not Verdict.FAIL:
        return match
    for e in evidence:
        if e.verdict is Verdict.PASS and e.made_by == match.entry.index:
            reason = f"run {match.entry.run} made them; a mark changed the pixels, as entry {e.entry} records"
            return Match(verdict=Verdict.PASS, entry=match.entry, reason=reason)
    return match


def judged(verdict: Verdict, reason: str, evidence: Sequence[Evidence]) -> tuple[Verdict, str]:
    """One verdict where no entry describes the picture: what fails counts first, then what holds."""
    if verdict is Verdict.FAIL:
        return verdict, reason
    for wanted in (Verdict.FAIL, Verdict.PASS):
        for e in evidence:
            if e.verdict is wanted:
                return wanted, f"{e.layer}: {e.found}"
    return verdict, reason


def evidence_lines(evidence: Sequence[Evidence]) -> list[str]:
    """For people: what was found, what it proves, what it does not."""
    lines: list[str] = []
    for e in evidence:
        mark = "not there" if e.verdict is Verdict.NOT_APPLICABLE else coloured(e.verdict)
        lines.append(f"  {e.layer} [{mark}]: {e.found}")
        lines += fields([("proves", e.proves), ("does not prove", e.proves_not)], indent=4)
    return lines


def evidence_json(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    """For ``--json``."""
    return [
        {
            "layer": e.layer,
            "verdict": e.verdict.value,
            "found": e.found,
            "proves": e.proves,
            "proves_not": e.proves_not,
            "entry": e.entry,
            "facts": dict(e.facts),
        }
        for e in evidence
    ]
