"""The data of a training are judged before anything is computed (floor 7; imports admission, errors)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.admission import STATED, Decision
from qimg_core.admission_words import UNSTATED
from qimg_core.errors import AdmissionDenied, ConfigurationError, QimgError

if TYPE_CHECKING:
    from os import PathLike

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session

log = logging.getLogger("qimg")


def check_data(
    session: Session,
    images: ImageSource,
    data: str | PathLike[str] | None = None,
    manifest: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """Ask the plugins about the data of a training; what they say is recorded, a refusal included.

    Args:
        session: of the training. What a plugin knows of the data joins its context, so that policies see it.
        images: what is to be learned.
        data: the name or path that they were opened by.
        manifest: the manifest that was named.

    Returns:
        facts for the training's record: ``manifest``, ``licence`` and ``checked`` (an entry), where there are any.

    Raises:
        AdmissionDenied: a plugin refuses; an entry ``data.refused`` says why.
        ConfigurationError: a manifest was named and no installed plugin checks manifests.
    """
    given = {
        "data": None if data is None else str(data),
        "manifest": None if manifest is None else str(manifest),
        "ledger": lambda: session.ledger,
    }
    found: list[Decision] = []
    for impl in session.registry.hooks.hook.qimg_check_data.get_hookimpls():
        arguments = {"images": images, "context": session.context, "given": given}
        name = impl.plugin_name
        try:
            answer = impl.function(*[arguments[a] for a in impl.argnames])
        except QimgError as error:
            answer = Decision(verdict="deny", policy=name, reasons=(error.message,), hint=error.hint)
        except Exception as error:  # a check that breaks refuses; what broke is in the record and the log
            log.exception("qimg_check_data of %s failed", name)
            answer = Decision(verdict="deny", policy=name, reasons=(f"the check failed: {type(error).__name__}",))
        if answer is None:
            continue
        if not isinstance(answer, Decision):
            reason = f"the check answered with a {type(answer).__name__}, wanted a Decision"
            answer = Decision(verdict="deny", policy=name, reasons=(reason,))
        found.append(answer)
    refused = [d for d in found if d.verdict != "allow"]
    if refused:
        reasons = "; ".join(f"{d.policy}: {', '.join(d.reasons) or d.verdict}" for d in refused)
        facts = {"data": {"name": images.name, "digest": images.digest, "n": images.n}, "reasons": reasons}
        session.record("data.refused", {**facts, "decisions": [dict(d.record) for d in refused]})
        hint = "\n  ".join(d.hint for d in refused if d.hint)
        raise AdmissionDenied(f"refused before anything was computed: {reasons}", hint=hint, reasons=reasons)
    if manifest is not None and not found:
        raise ConfigurationError("no installed plugin checks manifests", hint="pip install qimg-data")
    kept: dict[str, Any] = {}
    for decision in found:
        record = dict(decision.record)
        stated = {k: v for k, v in record.get("stated", {}).items() if k in STATED and v != UNSTATED}
        session.context = evolve(session.context, **stated)
        if record:
            stored = {name: session.put(content) for name, content in decision.artefacts.items()}
            entry = session.record("data.checked", {**record, "artefacts": stored})
            kept |= {k: record[k] for k in ("manifest", "licence") if record.get(k)}
            kept["checked"] = entry.index
    return kept
