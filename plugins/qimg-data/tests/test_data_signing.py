"""The envelope of a manifest is what another implementation of DSSE takes, and the clock cannot be set back."""

import base64
import datetime as dt
import json

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import SQLiteLedger
from qimg_data.building import hash_files, signature_path, write_manifest
from qimg_data.checking import check_manifest
from qimg_data.manifest import from_fields
from qimg_data.rules import Rules, pin_rules, read_rules, rules_of
from qimg_data.signing import PREDICATE, sign, signers
from qimg_policy.keys import SigningKey

KEY, OTHER = SigningKey("officer", bytes(range(32))), SigningKey("stranger", bytes(32))
FIELDS = {
    "name": "two",
    "created": "2026-01-01",
    "source": "a camera",
    "licence": "CC0-1.0",
    "consent": "not_needed",
    "purposes": ["research"],
    "sensitivity": "public",
    "inputs": "public",
}


@pytest.fixture
def signed(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    made = from_fields({**FIELDS, "files": hash_files(folder)})
    path = folder / "qimg.manifest.json"
    write_manifest(path, made)
    sign(path, made, [KEY, OTHER])
    return folder, path, made


def test_another_implementation_verifies_the_envelope_and_finds_the_manifest_in_it(signed):
    _, path, made = signed
    envelope = Envelope.from_dict(json.loads(signature_path(path).read_text()))
    key = SSlibKey(KEY.public.id, "ed25519", "ed25519", {"public": KEY.public.raw.hex()})
    assert set(envelope.verify([key], 1)) == {KEY.public.id}
    statement = json.loads(envelope.payload)
    assert statement["predicateType"] == PREDICATE
    assert statement["subject"][0]["digest"]["sha256"] == made.digest.removeprefix("sha256:")


def test_only_trusted_keys_count_and_every_changed_byte_of_the_payload_is_noticed(signed):
    _, path, made = signed
    assert signers(path, made, [KEY.public]) == (KEY.public,)
    assert signers(path, made, []) == ()
    where = signature_path(path)
    document = json.loads(where.read_text())
    payload = base64.b64decode(document["payload"])
    for i in range(0, len(payload), 7):
        changed = payload[:i] + bytes([payload[i] ^ 1]) + payload[i + 1 :]
        where.write_text(json.dumps({**document, "payload": base64.b64encode(changed).decode()}))
        with pytest.raises(ConfigurationError):
            signers(path, made, [KEY.public])


def check(folder, path, **more):
    return check_manifest(path, folder, Rules(trusted=[str(KEY.public)], signature_required=True), **more)


def test_retention_ends_with_the_day_and_a_clock_set_back_does_not_prolong_it(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    made = from_fields({**FIELDS, "retention_until": "2026-03-01"})
    path = folder / "qimg.manifest.json"
    write_manifest(path, made)
    codes = {}
    for text in ("2025-12-31T23:59:59", "2026-03-01T23:59:59", "2026-03-02T00:00:00"):
        now = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        codes[text[:10]] = [f.code for f in check_manifest(path, folder, Rules(), now=now).findings]
    assert codes == {"2025-12-31": ["D_CLOCK"], "2026-03-01": [], "2026-03-02": ["D_RETENTION"]}
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        ledger.append("note", facts={})  # now, which is after the retention; the clock then goes back
        early = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
        today = dt.datetime.fromisoformat(ledger.entry(0).time).date()
        found = check_manifest(path, folder, Rules(), ledger=ledger, now=early)
        assert today > dt.date(2026, 3, 1) and [f.code for f in found.findings] == ["D_RETENTION"]
        monkeypatch.setattr("qimg_core.ledger.log.utc_now", lambda: "2026-02-01T00:00:00.000000Z")
        ledger.append("note", facts={})  # what a run under that clock writes first does not hide the later time
        found = check_manifest(path, folder, Rules(), ledger=ledger, now=early)
        assert ledger.entry(1).time < "2026-03" and [f.code for f in found.findings] == ["D_RETENTION"]


def test_consent_may_grow_old(tmp_path):
    personal = {"sensitivity": "personal", "inputs": "raw_personal", "consent": "given", "consent_evidence": "form 7"}
    path = tmp_path / "qimg.manifest.json"
    for obtained, wanted in (("2026-01-01", []), ("2025-01-01", ["D_CONSENT"]), ("", ["D_CONSENT"])):
        write_manifest(path, from_fields({**FIELDS, **personal, "consent_obtained": obtained}))
        now = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
        found = check_manifest(path, tmp_path, Rules(consent_days=365), stated={"purpose": "research"}, now=now)
        assert [f.code for f in found.findings] == wanted
        path.unlink()


def test_a_state_is_verified_only_by_a_trusted_signature_and_without_findings(signed):
    folder, path, _ = signed
    assert check(folder, path).state == "verified"
    assert check_manifest(path, folder, Rules()).state == "unsigned"
    (folder / "b.png").write_bytes(b"b")
    assert check(folder, path).state == "failed"


@pytest.mark.parametrize(
    "text",
    ["licence = []", "licences = [1]", "manifest_required = 1", "consent_days = -1", 'trusted = ["x"]', "=",
     "signature_required = true", 'licences = "MIT"'],
)  # fmt: skip
def test_rules_that_are_not_right_are_refused(text, tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        read_rules(path)


def test_the_newest_pin_counts_and_names_what_it_replaces(tmp_path, monkeypatch):
    monkeypatch.delenv("QIMG_DATA_RULES", raising=False)
    one, two = Rules(manifest_required=True), Rules(tainted=["*laion*", "sha256:" + "0" * 64])
    assert (
        two.taints("LAION-5B") == "*laion*" and two.taints("sha256:" + "0" * 64) and two.taints("", "a camera") is None
    )
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        assert rules_of(ledger) == (Rules(), None)
        (tmp_path / "rules.toml").write_text("manifest_required = true\n")
        monkeypatch.setenv("QIMG_DATA_RULES", str(tmp_path / "rules.toml"))
        assert rules_of(ledger) == (one, None)
        pin_rules(ledger, two)
        assert pin_rules(ledger, one).facts["replaces"] == two.digest
        assert rules_of(ledger) == (one, 1)
