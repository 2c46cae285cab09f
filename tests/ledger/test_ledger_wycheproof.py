"""The signature checks that notes rest on, against Wycheproof's vectors."""

from __future__ import annotations

import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey, MLDSA65PublicKey

from qimg_core.ledger.standalone import verify as standalone

FILES = [
    ("ed25519_test.json", Ed25519PublicKey, 151, 1),
    ("mldsa_44_verify_test.json", MLDSA44PublicKey, 180, 6),
    ("mldsa_65_verify_test.json", MLDSA65PublicKey, 210, None),
]


def holds(key, public, signature, message, **context):
    try:
        key.from_public_bytes(public).verify(signature, message, **context)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize(("name", "key", "count", "kind"), FILES, ids=["Ed25519", "ML-DSA-44", "ML-DSA-65"])
def test_public_vectors(vectors, name, key, count, kind):
    seen = 0
    for group in json.loads((vectors / "wycheproof" / name).read_bytes())["testGroups"]:
        public = group["publicKey"]
        public = bytes.fromhex(public if isinstance(public, str) else public["pk"])
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            wanted = case["result"] == "valid"
            context = {"context": bytes.fromhex(case["ctx"])} if "ctx" in case else {}
            assert holds(key, public, signature, message, **context) is wanted, case["tcId"]
            if kind is not None and not context:  # the stand-alone verifier's own road to the same check
                assert standalone.verify_signature(kind, public, signature, message) is wanted, case["tcId"]
            seen += 1
    assert seen == count
