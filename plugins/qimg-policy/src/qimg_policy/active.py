"""The policy that is in force for a log, and whether it may be trusted (imports bundle, pin, ruling).

``QIMG_POLICY`` names the running bundle: a folder, or a shipped one. The log's pin says which one it should be. Without
``QIMG_POLICY`` the pinned bundle itself runs. Without either there is no policy.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, QimgError
from qimg_policy.bundle import Bundle, find_bundle
from qimg_policy.pin import Pin, read_pin
from qimg_policy.ruling import Finding

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_policy.keys import PublicKey

VARIABLE = "QIMG_POLICY"


@frozen(kw_only=True)
class Active:
    """A policy in force.

    Args:
        bundle: that runs; None where it cannot be read.
        agreed: the bundle whose settings hold where the running one cannot be used: the pinned one, else the running.
        pin: of the log.
        signers: trusted keys that signed the running bundle.
        findings: why it may not be used; empty where it may.
    """

    bundle: Bundle | None = field(repr=False)
    agreed: Bundle | None = field(repr=False)
    pin: Pin | None
    signers: tuple[PublicKey, ...] = ()
    findings: tuple[Finding, ...] = ()


def active(ledger: Ledger) -> Active | None:
    """The policy of a log; None where neither its pin nor the environment names one."""
    named, pin = os.environ.get(VARIABLE, "").strip(), read_pin(ledger)
    if not named and pin is None:
        return None
    findings: list[Finding] = []
    bundle = None if pin is None else pin.bundle
    if named:
        try:
            bundle = find_bundle(named)
            bundle.check()
        except QimgError as error:
            bundle = None
            findings.append(Finding(code="E_BUNDLE", reason=error.message, satisfy=error.hint))
    agreed = pin.bundle if pin is not None else bundle
    signers: tuple[PublicKey, ...] = ()
    if bundle is not None:
        signers, wrong = _signatures(bundle, agreed, () if pin is None else pin.trusted)
        findings += wrong + _drift(bundle, pin)
    return Active(bundle=bundle, agreed=agreed, pin=pin, signers=signers, findings=tuple(findings))


def _signatures(
    bundle: Bundle, agreed: Bundle | None, trusted: tuple[PublicKey, ...]
) -> tuple[tuple[PublicKey, ...], list[Finding]]:
    demanded = bundle.settings.signature_required or (agreed is not None and agreed.settings.signature_required)
    try:
        signers = bundle.signed_by(trusted)
    except ConfigurationError as error:
        return (), [Finding(code="E_SIGNATURE", reason=error.message, satisfy=error.hint)]
    if signers or not demanded:
        return signers, []
    satisfy = "qimg policy sign FOLDER --key NAME.key.pem, then qimg policy use FOLDER --trust NAME.pub"
    return (), [Finding(code="E_SIGNATURE", satisfy=satisfy)]


def _drift(bundle: Bundle, pin: Pin | None) -> list[Finding]:
    """Is it the pinned one, and the one that the source of truth names?"""
    if pin is None:
        if not bundle.settings.pin_required:
            return []
        return [Finding(code="E_DRIFT", reason="this ledger pins no policy", satisfy="qimg policy use FOLDER")]
    found = []
    if bundle.digest != pin.bundle.digest:
        pinned = pin.bundle
        reason = f"{bundle.name} {bundle.digest[:19]} runs, entry {pin.entry} pins {pinned.name} {pinned.digest[:19]}"
        satisfy = "qimg policy diff shows what differs; qimg policy use pins another one"
        found.append(Finding(code="E_DRIFT", reason=reason, satisfy=satisfy))
    if pin.truth:
        found += _truth(bundle, pin.truth)
    return found


def _truth(bundle: Bundle, where: str) -> list[Finding]:
    try:
        text = _fetch(where) if where.startswith(("http://", "https://")) else Path(where).read_text()
    except Exception as error:  # whatever keeps the truth from being known
        reason = f"the source of truth cannot be read: {type(error).__name__}"
        return [Finding(code="E_UNREACHABLE", reason=reason, satisfy=f"make {where} readable again")]
    if text.split()[:1] == [bundle.digest]:
        return []
    reason = f"{bundle.digest[:19]} runs, the source of truth names {text.split()[:1] or 'nothing'}"
    return [Finding(code="E_DRIFT", reason=reason, satisfy=f"use the policy that {where} names")]


def _fetch(url: str) -> str:
    import httpx

    with httpx.Client(timeout=httpx.Timeout(2.0, connect=0.5), follow_redirects=False) as client:
        return client.get(url).raise_for_status().text[:1000]
