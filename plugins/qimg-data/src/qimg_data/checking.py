"""The hook ``qimg_check_data``: a manifest against files, images, rules, ledger and clock (imports the modules beside).

Every rule that refuses has a code, a reason in words and what satisfies it. Nothing is computed before. A clock that
was set back does not lengthen anything: the latest time that the ledger has seen counts.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.admission import Decision
from qimg_core.admission_words import UNSTATED, Consent, Purpose, Sensitivity
from qimg_core.errors import QimgError
from qimg_core.ledger import canonical
from qimg_core.ledger.sealing import forgotten
from qimg_data.building import compare_files, data_path, hash_files, manifest_path, read_manifest, signature_path
from qimg_data.rules import Rules, rules_of
from qimg_data.signing import signers
from qimg_data.zones import InputClass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qimg_core.admission import Context
    from qimg_core.datasets import ImageSource
    from qimg_core.ledger.base import Ledger
    from qimg_data.manifest import Manifest

SCHEMA = "qimg.data-check/1"
CODES = {
    "D_MANIFEST": "there is a usable manifest",
    "D_SIGNATURE": "a trusted key signed it",
    "D_CHANGED": "every file is as it was when the manifest was made",
    "D_MISSING": "every file of the manifest is there",
    "D_EXTRA": "no other file is there",
    "D_IMAGES": "the images are those of the manifest",
    "D_TAINTED": "the source is clean",
    "D_LICENCE": "the licence is accepted",
    "D_CONSENT": "the people whose data it is agree",
    "D_PURPOSE": "the data serve the stated purpose",
    "D_PROTOTYPE": "prototypes start on synthetic or scrubbed data",
    "D_RETENTION": "the data may still be kept",
    "D_OPTED_OUT": "nobody in the data has opted out",
    "D_STATED": "what was stated about the run agrees with the manifest",
    "D_CLOCK": "the clock is not before what was seen already",
}
"""What each rule demands."""
LOOKED_BACK = 10_000
"""At least so many entries of the ledger are read for the latest time that it has seen."""
PERSONAL = (Sensitivity.PERSONAL, Sensitivity.SPECIAL)


@frozen
class Finding:
    """A rule that refuses. The reason goes into the record, so file names stand only in what satisfies it."""

    code: str
    reason: str
    satisfy: str

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


@frozen(kw_only=True)
class Checked:
    """What was found about a manifest.

    Args:
        manifest: None where it cannot be read.
        findings: rules that refuse; empty: it may be used.
        signed_by: ids of trusted keys.
        today: the day that counted, see `latest`.
    """

    manifest: Manifest | None
    findings: tuple[Finding, ...]
    signed_by: tuple[str, ...] = ()
    today: dt.date

    @property
    def state(self) -> str:
        """``verified``, ``unsigned`` or ``failed``, as policies take it."""
        return "failed" if self.findings else "verified" if self.signed_by else "unsigned"


def latest(ledger: Ledger | None, now: dt.datetime) -> dt.datetime:
    """The clock's time, or the latest time among the ledger's last entries where that is later.

    A run under a clock that was set back has written its own entries first, so the last one alone does not show it.
    """
    if ledger is None:
        return now
    from qimg_policy.clock import latest as seen

    start = max(0, len(ledger) // LOOKED_BACK - 1) * LOOKED_BACK
    return max(now, seen(ledger, start) or now)


def check_manifest(
    path: Path,
    data: Path | None,
    rules: Rules,
    *,
    images: ImageSource | None = None,
    stated: Mapping[str, str] | None = None,
    ledger: Ledger | None = None,
    now: dt.datetime | None = None,
) -> Checked:
    """Check one manifest; never raises for what it says.

    Args:
        path: of the manifest.
        data: folder or file that its files lie in; None where the dataset is not made of files here.
        rules: in force.
        images: what would be learned; their digest, or the digest of what they were resized from, has to be a split's.
        stated: purpose, sensitivity and consent as the caller states them; ``unstated`` says nothing.
        ledger: where opted-out subjects and the time are looked up.
        now: UTC; the clock's by default.
    """
    clock = now or dt.datetime.now(dt.UTC)
    today = latest(ledger, clock).date()
    try:
        manifest = read_manifest(path)
    except QimgError as error:
        finding = Finding("D_MANIFEST", "it cannot be used", f"{error.message}; {error.hint or 'make it again'}")
        return Checked(manifest=None, findings=(finding,), today=today)
    found: list[Finding] = []
    known: tuple[str, ...] = ()
    try:
        known = tuple(k.id for k in signers(path, manifest, rules.keys))
    except QimgError as error:
        found.append(Finding("D_SIGNATURE", error.message, "qimg manifest sign MANIFEST --key NAME.key.pem"))
    else:
        if rules.signature_required and not known:
            found.append(
                Finding("D_SIGNATURE", "no trusted key signed it", "have it signed: qimg manifest sign MANIFEST")
            )
    found += _files(manifest, path, data)
    found += _images(manifest, images)
    found += _rules(manifest, rules, today)
    found += _stated(manifest, stated or {})
    found += _people(manifest, ledger)
    created = dt.date.fromisoformat(manifest.created)
    if created > today:
        found.append(Finding("D_CLOCK", f"it was made on {created}, after today, {today}", "set the clock right"))
    return Checked(manifest=manifest, findings=tuple(found), signed_by=known, today=today)


def _files(manifest: Manifest, path: Path, data: Path | None) -> Iterator[Finding]:
    if data is None:
        if manifest.files:
            yield Finding("D_MISSING", "the data's folder is not known here", "name the data by their folder or file")
        return
    try:
        differs = compare_files(manifest, hash_files(data, leave_out=(path, signature_path(path))))
    except QimgError as error:
        yield Finding("D_CHANGED", "the files cannot be checked", f"{error.message}; {error.hint}")
        return
    redo = "restore it, or look at it, then: qimg manifest new, qimg manifest sign"
    for code, paths, what in (
        ("D_CHANGED", differs.changed, "changed"),
        ("D_MISSING", differs.missing, "missing"),
        ("D_EXTRA", differs.extra, "not in the manifest"),
    ):
        if paths:
            number = "1 file is" if len(paths) == 1 else f"{len(paths):,} files are"
            yield Finding(code, f"{number} {what}", f"{paths[0]}: {redo}")


def _images(manifest: Manifest, images: ImageSource | None) -> Iterator[Finding]:
    if images is None:
        return
    digests = {images.digest, str(images.provenance.get("resized", {}).get("from", ""))}
    if not digests & {fact["digest"] for fact in manifest.splits.values()}:
        listed = ", ".join(f"{name} {fact['digest'][:19]}" for name, fact in manifest.splits.items()) or "none"
        reason = f"{images.name} has the digest {images.digest[:19]}, the manifest lists {listed}"
        yield Finding("D_IMAGES", reason, "learn the data that the manifest describes")


def _rules(manifest: Manifest, rules: Rules, today: dt.date) -> Iterator[Finding]:
    digests = [*manifest.derived_from, *(fact["digest"] for fact in manifest.splits.values())]
    pattern = rules.taints(manifest.source, manifest.source_url, *digests)
    if manifest.source_state != "clean" or pattern is not None:
        why = f"{manifest.source} meets {pattern!r}" if pattern else f"{manifest.source} is marked as tainted"
        yield Finding("D_TAINTED", why, "use data of another source")
    if manifest.licence not in rules.licences:
        accepted = ", ".join(rules.licences)
        yield Finding(
            "D_LICENCE", f"{manifest.licence} is not accepted", f"data under one of {accepted}; or: qimg manifest use"
        )
    if manifest.retention_until and today > dt.date.fromisoformat(manifest.retention_until):
        reason = f"they were to be kept until {manifest.retention_until}, today is {today}"
        yield Finding("D_RETENTION", reason, "delete them: qimg manifest expired; or sign a new manifest with a reason")
    if rules.consent_days and manifest.consent == Consent.GIVEN:
        if not manifest.consent_obtained:
            yield Finding("D_CONSENT", "it is not said when consent was obtained", "state consent_obtained")
        elif (today - dt.date.fromisoformat(manifest.consent_obtained)).days > rules.consent_days:
            reason = f"consent of {manifest.consent_obtained} is older than {rules.consent_days} days"
            yield Finding("D_CONSENT", reason, "ask again, and sign a new manifest")


def _stated(manifest: Manifest, stated: Mapping[str, str]) -> Iterator[Finding]:
    purpose = stated.get("purpose", UNSTATED)
    allowed = ", ".join(manifest.purposes) or "none"
    if purpose != UNSTATED and purpose not in manifest.purposes:
        yield Finding("D_PURPOSE", f"they serve {allowed}, not {purpose}", "other data, or consent to this purpose")
    elif purpose == UNSTATED and manifest.sensitivity not in (Sensitivity.PUBLIC, Sensitivity.SYNTHETIC):
        reason = f"{manifest.sensitivity} data are used for a stated purpose only"
        yield Finding("D_PURPOSE", reason, f"--stated purpose=..., one of {allowed}")
    if purpose == Purpose.PROTOTYPE and manifest.inputs == InputClass.RAW_PERSONAL:
        yield Finding("D_PROTOTYPE", "they are raw personal data", "--data synthetic, or a tokenised or encoded set")
    for name in ("sensitivity", "consent"):
        said, is_so = stated.get(name, UNSTATED), getattr(manifest, name)
        if said not in (UNSTATED, is_so):
            yield Finding(
                "D_STATED", f"{name}={said} was stated, the manifest says {is_so}", "leave it to the manifest"
            )


def _people(manifest: Manifest, ledger: Ledger | None) -> Iterator[Finding]:
    personal = manifest.sensitivity in PERSONAL or manifest.inputs == InputClass.RAW_PERSONAL or manifest.subjects
    consent = manifest.consent
    if consent == Consent.WITHDRAWN:
        yield Finding("D_CONSENT", "consent was withdrawn", "use other data")
    elif personal and consent != Consent.GIVEN:
        yield Finding("D_CONSENT", f"personal data, and consent is {consent}", "data of people who agreed")
    elif consent == Consent.UNSTATED:
        yield Finding("D_CONSENT", "it is not said whether consent is needed", "consent = not_needed or given, and why")
    elif personal and not manifest.consent_evidence:
        yield Finding("D_CONSENT", "nothing shows the consent", "consent_evidence: digest or reference of the forms")
    gone = sorted(set(manifest.subjects) & set(forgotten(ledger))) if ledger is not None else []
    if gone:
        paths = sum(len(manifest.subjects[tag]) for tag in gone)
        reason = f"{len(gone)} subjects opted out ({gone[0][:12]}...), {paths} files show them"
        yield Finding("D_OPTED_OUT", reason, "qimg manifest without DATA --ledger LEDGER lists the files; remove them")


def check(images: ImageSource, context: Context, given: Mapping[str, Any]) -> Decision | None:
    """Decide about the data of a training; None where no manifest is there and none is demanded.

    Args:
        images: what is to be learned.
        context: what is stated about the run.
        given: ``data``, ``manifest``, ``ledger``, see ``qimg_check_data``.
    """
    where, named = given["data"], given["manifest"]
    path = Path(named) if named is not None else manifest_path(where)
    if path is not None and named is None and not path.exists():
        path = None
    ledger = given["ledger"]()
    rules, entry = rules_of(ledger)
    if path is None:
        if not rules.manifest_required:
            return None
        lacking = Finding("D_MANIFEST", "these data have no manifest", "qimg manifest new DATA --about FILE.toml")
        return _refused((lacking,), None)
    stated = {name: getattr(context, name) for name in ("purpose", "sensitivity", "consent")}
    found = check_manifest(path, data_path(where), rules, images=images, stated=stated, ledger=ledger)
    if found.findings or found.manifest is None:
        return _refused(found.findings, found.manifest)
    return Decision(
        verdict="allow",
        policy="manifest",
        record=_facts(found, found.manifest, images, rules, entry),
        artefacts={"subjects": canonical.dumps(sorted(found.manifest.subjects))},
    )


def _refused(findings: tuple[Finding, ...], manifest: Manifest | None) -> Decision:
    record = {"schema": SCHEMA, "findings": [{"code": f.code, "demands": CODES[f.code]} for f in findings]}
    return Decision(
        verdict="deny",
        policy="manifest",
        reasons=tuple(str(f) for f in findings),
        hint="\n  ".join(f"{f.code}: {f.satisfy}" for f in findings),
        record={**record, "manifest": None if manifest is None else manifest.digest},
    )


def _facts(found: Checked, manifest: Manifest, images: ImageSource, rules: Rules, entry: int | None) -> dict[str, Any]:
    stated = {
        "manifest": found.state,
        "sensitivity": manifest.sensitivity,
        "consent": manifest.consent,
        "dataset": images.digest,
    }
    return {
        "schema": SCHEMA,
        "manifest": manifest.digest,
        "state": found.state,
        "signed_by": list(found.signed_by),
        "data": images.digest,
        "licence": manifest.licence,
        "purposes": list(manifest.purposes),
        "retention_until": manifest.retention_until or None,
        "inputs": manifest.inputs,
        "subjects": len(manifest.subjects),
        "files": len(manifest.files),
        "rules": rules.digest,
        "rules_entry": entry,
        "stated": stated,
    }
