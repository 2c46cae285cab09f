"""A checker of content credentials in a PNG that shares no code with the SDK: JUMBF, CBOR, COSE by hand.

ISO 19566-5 (JUMBF boxes), RFC 8949 (CBOR), RFC 9052 (COSE_Sign1), C2PA Technical Specification 2.x (claim, hashed URIs,
`c2pa.hash.data`). Only the `cryptography` package is used, for ECDSA and certificates.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


@frozen
class Tag:
    number: int
    value: Any


def decode(data: bytes) -> Any:
    """One CBOR item that fills the data."""
    value, end = _item(data, 0)
    if end != len(data):
        raise ValueError("bytes behind the item")
    return value


def _item(data: bytes, at: int) -> tuple[Any, int]:
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7 and low in (20, 21, 22, 23):
        return {20: False, 21: True}.get(low), at
    if low >= 24:
        size = {24: 1, 25: 2, 26: 4, 27: 8}[low]
        count, at = int.from_bytes(data[at : at + size], "big"), at + size
    else:
        count = low
    if major in (0, 1):
        return (count if major == 0 else -1 - count), at
    if major in (2, 3):
        part = data[at : at + count]
        if len(part) != count:
            raise ValueError("truncated")
        return (part if major == 2 else part.decode()), at + count
    if major == 4:
        items = []
        for _ in range(count):
            value, at = _item(data, at)
            items.append(value)
        return items, at
    if major == 5:
        pairs = {}
        for _ in range(count):
            key, at = _item(data, at)
            pairs[key], at = _item(data, at)
        return pairs, at
    if major == 6:
        value, at = _item(data, at)
        return Tag(count, value), at
    raise ValueError(f"major type {major} with {low}")


def encode(value: Any) -> bytes:
    """Texts, byte strings and lists of them: what a Sig_structure holds."""
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(encode(v) for v in value)
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    return _head(2, len(value)) + bytes(value)


def _head(major: int, count: int) -> bytes:
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if count < 24:
            return bytes([major << 5 | count])
        if count < 1 << 8 * size:
            return bytes([major << 5 | low]) + count.to_bytes(size, "big")
    raise ValueError("too long")


@frozen
class Box:
    """``inside``: the content without the 8 bytes of length and type, as hashed URIs cover it."""

    label: str
    inside: bytes
    children: tuple[Box, ...]
    content: bytes

    def find(self, path: str) -> Box:
        """A box by its labels."""
        box = self
        for label in path.split("/"):
            box = next(child for child in box.children if child.label == label)
        return box


def boxes(data: bytes) -> list[tuple[str, bytes]]:
    """Type and content of each box."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            raise ValueError("a box that does not fit")
        found.append((kind.decode(), data[at + 8 : at + size]))
        at += size
    return found


def jumbf(inside: bytes) -> Box:
    """A superbox from its content."""
    (kind, description), *rest = boxes(inside)
    if kind != "jumd" or not description[16] & 2:
        raise ValueError("a superbox without label")
    label = description[17 : description.index(b"\0", 17)].decode()
    children = tuple(jumbf(body) for name, body in rest if name == "jumb")
    content = b"".join(body for name, body in rest if name in ("cbor", "json"))
    return Box(label, inside, children, content)


def store_of(png: bytes) -> tuple[Box, int, int]:
    """The manifest store, and where its chunk begins and how long it is."""
    at = 8
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == b"caBX":
            ((kind, inside),) = boxes(png[at + 8 : at + 8 + size])
            if kind != "jumb":
                raise ValueError("no JUMBF")
            return jumbf(inside), at, size + 12
        at += size + 12
    raise ValueError("no content credentials")


def check(png: bytes, root: bytes, store: Box | None = None) -> dict[str, Any]:
    """Verify everything and return the assertions by label.

    Raises:
        ValueError: something does not hold; the text says what.
        InvalidSignature: a signature or certificate does not hold.
    """
    if store is None:
        store, _, _ = store_of(png)
    manifest = store.children[-1]
    claim_box, signature = manifest.find("c2pa.claim.v2"), manifest.find("c2pa.signature")
    _signed(claim_box.content, decode(signature.content), root)
    claim = decode(claim_box.content)
    found = {}
    for kind in ("created_assertions", "gathered_assertions"):
        for link in claim.get(kind, []):
            path = link["url"].removeprefix("self#jumbf=")
            box = manifest.find(path.split(f"{manifest.label}/")[-1])
            if link.get("alg", claim.get("alg", "sha256")) != "sha256":
                raise ValueError("another hash")
            if hashlib.sha256(box.inside).digest() != link["hash"]:
                raise ValueError(f"the assertion {box.label} is not the signed one")
            found[box.label] = decode(box.content)
    listed = {box.label for box in manifest.find("c2pa.assertions").children}
    if listed != set(found):
        raise ValueError(f"assertions that nobody signed: {listed ^ set(found)}")
    _covers(png, found["c2pa.hash.data"])
    return found


def _covers(png: bytes, binding: dict[str, Any]) -> None:
    digest, at = hashlib.sha256(), 0
    for hole in binding.get("exclusions", []):
        digest.update(png[at : hole["start"]])
        at = hole["start"] + hole["length"]
    digest.update(png[at:])
    if digest.digest() != binding["hash"]:
        raise ValueError("the picture is not the signed one")


def _signed(claim: bytes, cose: Any, root_pem: bytes) -> None:
    if not isinstance(cose, Tag) or cose.number != 18:
        raise ValueError("no COSE_Sign1")
    protected, unprotected, payload, signature = cose.value
    header = decode(protected)
    if header[1] != -7 or payload is not None:  # ES256; the claim itself is detached
        raise ValueError("not ES256")
    chain = header.get(33) or unprotected.get("x5chain")
    leaf = x509.load_der_x509_certificate(chain[0])
    root = x509.load_pem_x509_certificate(root_pem)
    leaf.verify_directly_issued_by(root)
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(encode_dss_signature(r, s), encode(["Signature1", protected, b"", claim]), ec.ECDSA(hashes.SHA256()))
