"""What an archive gives back for a head, and reading it again (imports canonical, outside, kept)."""

from __future__ import annotations

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger import canonical
from qimg_core.ledger.outside import Receipt
from qimg_core.storage import sha256_digest
from qimg_stores.kept import RECEIPT_SCHEMA, Kept, Pinned, kept_name, load

SAID = {
    "worm": "write once, proved by a self-test",
    "not-worm": "NOT write once",
    "unproven": "write once by its own word, not proved",
    "tamper-resistant": "tamper-resistant, not write once",
}


def make_receipt(name: str, place: str, kept: Kept, pinned: Pinned) -> Receipt:
    """The receipt of a keep.

    Args:
        name: of the archive in the ledger's settings.
        place: of its shelf, for the record.
        kept: the document.
        pinned: where the document lies.
    """
    evidence = canonical.dumps(
        {"document": kept.to_bytes().decode(), "pinned": pinned.to_json(), "schema": RECEIPT_SCHEMA}
    )
    untils = [item.until for item in (*kept.objects, pinned) if item.until is not None]
    until = min(untils) if len(untils) == len(kept.objects) + 1 else None
    lasting = "without a date" if until is None else f"until {until}"
    return Receipt(
        memory=name,
        kind="archive",
        size=kept.size,
        root=kept.root,
        evidence=evidence,
        facts={
            "where": place,
            "capability": kept.capability,
            "modes": sorted({item.mode for item in kept.objects}),
            "until": until,
            "objects": len(kept.objects),
            "bytes": sum(item.bytes for item in kept.objects),
            "document": {"name": pinned.name, "version": pinned.version, "digest": pinned.digest},
            "said": f"{SAID[kept.capability]}; {len(kept.objects)} objects kept {lasting}",
        },
    )


def read_evidence(evidence: bytes) -> tuple[Kept, Pinned]:
    """The document of a keep and where it lies, from a receipt.

    Raises:
        LedgerCorrupt: malformed, or the two do not fit.
    """
    document = load(evidence, RECEIPT_SCHEMA)
    if not isinstance(document.get("document"), str):
        raise LedgerCorrupt("the receipt of an archive is malformed")
    kept, pinned = Kept.parse(document["document"].encode()), Pinned.parse(document.get("pinned"))
    if pinned.digest != sha256_digest(kept.to_bytes()) or pinned.name != kept_name(kept):
        raise LedgerCorrupt("the receipt of an archive names another document than it shows")
    return kept, pinned
