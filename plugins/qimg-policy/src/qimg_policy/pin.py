"""Which policy decides for a ledger: the newest entry ``policy.pinned``, and its trusted keys (imports bundle, keys).

The pin is in the log, so whoever changes it leaves an entry. It holds the whole bundle: the policy that decided can be
read and run again from the ledger alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError
from qimg_policy.bundle import Bundle, from_canonical
from qimg_policy.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

KIND = "policy.pinned"
SCHEMA = "qimg.policy-pin/1"


@frozen(kw_only=True)
class Pin:
    """What a ledger says about its policy.

    Args:
        entry: number of the pin's entry.
        bundle: as it was pinned.
        trusted: keys that may sign bundles for this ledger.
        truth: a file or https URL that holds the digest of the policy that should run; empty for none.
    """

    entry: int
    bundle: Bundle = field(repr=False)
    trusted: tuple[PublicKey, ...]
    truth: str = ""


def read_pin(ledger: Ledger) -> Pin | None:
    """The newest pin, or None.

    Raises:
        LedgerCorrupt: its artefact is damaged.
    """
    newest = None
    for entry in ledger.entries(kind=KIND):
        newest = entry
    if newest is None:
        return None
    named = newest.artefacts
    signature = ledger.get(named["signature"]) if "signature" in named else None
    return Pin(
        entry=newest.index,
        bundle=from_canonical(ledger.get(named["bundle"]), signature),
        trusted=tuple(PublicKey.parse(line) for line in newest.facts["trusted"]),
        truth=newest.facts["truth"],
    )


def check_pinnable(bundle: Bundle, trusted: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """Who of the trusted signed a bundle that may be pinned.

    Raises:
        ConfigurationError: it is malformed, its signature does not hold, or it demands one that is not there.
    """
    bundle.check()
    if bundle.settings.engine.kind == "cedar":
        bundle.check_policies()
    signers = bundle.signed_by(trusted)
    if bundle.settings.signature_required and not signers:
        raise ConfigurationError(
            f"the bundle {bundle.name} demands a signature, and no trusted key has signed it",
            hint="qimg policy sign FOLDER --key NAME.key.pem, then qimg policy use FOLDER --trust NAME.pub",
        )
    return signers


def check_truth(where: str) -> None:
    """Refuse a source of truth that would put a password on record.

    Raises:
        ConfigurationError
    """
    if "://" in where and ("@" in where or "?" in where or not where.startswith(("http://", "https://"))):
        raise ConfigurationError(
            "--truth goes on record: wanted a file, or a http or https URL without a name, a password or a query",
            hint="--truth https://HOST/policy.digest",
        )


def write_pin(ledger: Ledger, bundle: Bundle, trusted: Iterable[PublicKey], truth: str = "") -> Entry:
    """Pin a bundle: from now on it decides for this ledger, and another one is refused.

    Where a policy that demands signatures is pinned already, its trusted keys stay in force: the new bundle has to be
    signed by one of them.

    Raises:
        ConfigurationError: the bundle is malformed, or not signed as it, or the policy in force, demands.
        LedgerError, StorageError.
    """
    check_truth(truth)
    old, keys = read_pin(ledger), tuple(trusted)
    signers = check_pinnable(bundle, keys)
    if old is not None and old.bundle.settings.signature_required and not bundle.signed_by(old.trusted):
        raise ConfigurationError(
            f"entry {old.entry} pins {old.bundle.name}, which only a bundle signed by one of its keys replaces",
            hint=f"keys: {', '.join(k.name for k in old.trusted)}",
        )
    artefacts = {"bundle": ledger.put(bundle.canonical)}
    if bundle.signature is not None:
        artefacts["signature"] = ledger.put(bundle.signature)
    facts = {
        "schema": SCHEMA,
        "name": bundle.name,
        "profile": bundle.settings.profile,
        "bundle": bundle.digest,
        "replaces": None if old is None else old.bundle.digest,
        "trusted": [str(k) for k in keys],
        "signed_by": [k.id for k in signers],
        "truth": truth,
        "artefacts": artefacts,
    }
    return ledger.append(KIND, facts=facts)
