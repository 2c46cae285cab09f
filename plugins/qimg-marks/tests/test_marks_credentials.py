"""Content credentials: trusted under our authority, stamped, without network; what another reader says of them."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from qimg_core import png
from qimg_core.errors import AuthenticationError, BackendUnavailable, ConfigurationError
from qimg_core.secret import Secret
from qimg_marks.credentials import authority
from qimg_marks.credentials.manifest import SoftBinding
from qimg_marks.credentials.reading import read
from qimg_marks.credentials.signing import GROWTH, sign
from qimg_marks.picture import read_picture
from qimg_marks.record import Aigc, MarkingRecord, Place

RESOURCES = Path(__file__).parent / "resources"
LEAF = "ab" * 32

pytest.importorskip("c2pa", reason="c2pa-python is not installed")


def _checker() -> Any:
    spec = importlib.util.spec_from_file_location("check_c2pa", RESOURCES / "check_c2pa.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checker() -> Any:
    return _checker()


@pytest.fixture
def record() -> MarkingRecord:
    place = Place(log="example.org/log", run="run-1", entry=3, leaf=LEAF, pixels="sha256:" + "0" * 64)
    return MarkingRecord(
        provider="Example Org",
        system="hybrid-unet",
        version="1.2",
        time="2026-11-21T09:30:00Z",
        unique_id=LEAF,
        quantum="simulated",
        place=place,
        aigc=Aigc(producer="EX-1", produce_id="7"),
    )


def _small(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 12, 1), dtype=np.uint8)
    return png.encode(pixels, {"qimg:run": "run-1"})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [28, 64, 256])
def test_trusted_with_a_trusted_time_stamp(
    kind: str, size: int, marks: Path, tsa: tuple[str, bytes], picture: Any, record: MarkingRecord
) -> None:
    ours, before = authority.load(marks), read_picture(picture(kind, size))
    signed = sign(before, record, ours, tsa=tsa[0], sidecar="never")
    after = read_picture(signed.data)
    found = read(after, anchors=ours.root + tsa[1].decode())
    assert (found.state, found.time_trusted, found.problems) == ("trusted", True, ())
    assert found.signer == "Example Org"
    assert found.time
    assert found.source_types == ("trainedAlgorithmicMedia",)
    assert np.array_equal(after.pixels, before.pixels)
    # without the roots: it holds, and nobody is known
    alone = read(after)
    assert (alone.state, alone.time_trusted) == ("valid", False)
    # without the time stamp's root alone
    half = read(after, anchors=ours.root)
    assert (half.state, half.time_trusted) == ("trusted", False)


def test_says_what_the_record_says(marks: Path, picture: Any, record: MarkingRecord) -> None:
    signed = sign(read_picture(picture("PNG", 64)), record, authority.load(marks), sidecar="never", label="AI")
    found = read(read_picture(signed.data))
    assert found.record is not None
    assert found.record["place"]["leaf"] == LEAF
    assert found.record["quantum"] == "simulated"
    assert found.record["aigc"]["ContentProducer"] == "EX-1"
    assert found.record["unique_id"] == LEAF


def test_a_watermark_needs_its_soft_binding_and_has_it(marks: Path, picture: Any, record: MarkingRecord) -> None:
    bindings = [
        SoftBinding(alg="org.qimg.phash.v1", value="0f" * 8),
        SoftBinding(alg="org.qimg.ss.v1", value="aa", watermark=True),
    ]
    signed = sign(read_picture(picture()), record, authority.load(marks), bindings=bindings, sidecar="never")
    found = read(read_picture(signed.data), anchors=authority.load(marks).root)
    assert found.state == "trusted"
    assert found.bindings == {"org.qimg.phash.v1": "0f" * 8, "org.qimg.ss.v1": "aa"}


def test_small_pictures_get_a_sidecar_and_large_ones_do_not(marks: Path, picture: Any, record: MarkingRecord) -> None:
    ours = authority.load(marks)
    small, large = read_picture(_small()), read_picture(picture("PNG", 256))
    beside, inside = sign(small, record, ours), sign(large, record, ours)
    assert beside.sidecar
    assert beside.data == small.data
    assert not inside.sidecar
    assert len(inside.data) <= GROWTH * len(large.data)
    assert read(read_picture(small.data, beside=beside.manifest), anchors=ours.root).state == "trusted"
    assert read(read_picture(_small(1), beside=beside.manifest), anchors=ours.root).state == "invalid"
    assert not sign(small, record, ours, sidecar="never").sidecar
    assert sign(large, record, ours, sidecar="always").data == large.data


def test_overhead_without_a_time_stamp_stays_below_six_kilobytes(
    marks: Path, picture: Any, record: MarkingRecord
) -> None:
    before = read_picture(picture("PNG", 64))
    assert len(sign(before, record, authority.load(marks), sidecar="never").data) - len(before.data) < 6000


def test_no_thumbnail_and_no_address_inside(marks: Path, picture: Any, record: MarkingRecord) -> None:
    signed = sign(read_picture(picture("PNG", 64)), record, authority.load(marks), sidecar="never")
    assert b"thumbnail" not in signed.manifest
    assert b"http" not in signed.manifest.replace(b"http://cv.iptc.org/", b"")


def test_old_credentials_stay_inside(marks: Path, picture: Any, record: MarkingRecord) -> None:
    ours = authority.load(marks)
    first = read_picture(sign(read_picture(picture()), record, ours, sidecar="never").data)
    second = sign(first, record, ours, parent=first, sidecar="never")
    assert read(read_picture(second.data), anchors=ours.root).state == "trusted"
    assert second.manifest.count(b"c2pa.claim.v2") >= 2
    assert b"c2pa.opened" in second.manifest


def test_no_stamp_is_an_error_and_not_a_picture_without(marks: Path, picture: Any, record: MarkingRecord) -> None:
    with pytest.raises(BackendUnavailable, match="127.0.0.1:9"):
        sign(read_picture(picture()), record, authority.load(marks), tsa="http://127.0.0.1:9/")
    with pytest.raises(ConfigurationError, match="http"):
        sign(read_picture(picture()), record, authority.load(marks), tsa="ftp://example.org")


def test_another_implementation_verifies_it(marks: Path, picture: Any, record: MarkingRecord, checker: Any) -> None:
    """JUMBF, CBOR, COSE and hashes read by code of this test, with nothing of the SDK."""
    ours = authority.load(marks)
    signed = sign(read_picture(picture("PNG", 64)), record, ours, sidecar="never")
    found = checker.check(signed.data, ours.root.encode())
    assert found["org.qimg.provenance"]["place"]["leaf"] == LEAF
    first = found["c2pa.actions.v2"]["actions"][0]
    assert first["action"] == "c2pa.created"
    assert first["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    with pytest.raises(ValueError, match="picture"):
        checker.check(signed.data[:-20] + bytes([signed.data[-20] ^ 1]) + signed.data[-19:], ours.root.encode())
    with pytest.raises(ValueError, match=r"org\.qimg\.provenance"):
        checker.check(signed.data.replace(b"simulated", b"hardware_"), ours.root.encode())


def test_another_root_is_not_trusted_by_either(
    marks: Path, tmp_path: Path, picture: Any, record: MarkingRecord, checker: Any
) -> None:
    authority.create(tmp_path, "Example Org")  # the same name, another key
    theirs = authority.load(tmp_path)
    signed = sign(read_picture(picture()), record, theirs, sidecar="never")
    assert read(read_picture(signed.data), anchors=authority.load(marks).root).state == "valid"
    with pytest.raises((InvalidSignature, ValueError)):
        checker.check(signed.data, authority.load(marks).root.encode())


def _module_folder() -> Path:
    found = os.environ.get("QIMG_NODE_MODULES", "")
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder = Path(found) if found else Path("/nonexistent")
    if not (folder / "node_modules" / "@contentauth" / "c2pa-wasm").is_dir():
        pytest.skip("QIMG_NODE_MODULES names no folder with npm's @contentauth/c2pa-wasm (npm install it there)")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_read_back_by_the_npm_reader(
    kind: str, marks: Path, tsa: tuple[str, bytes], picture: Any, record: MarkingRecord, tmp_path: Path
) -> None:
    folder, ours = _module_folder(), authority.load(marks)
    signed = sign(read_picture(picture(kind, 64)), record, ours, tsa=tsa[0], sidecar="never")
    (tmp_path / "roots.pem").write_bytes(ours.root.encode() + tsa[1])
    (tmp_path / "picture").write_bytes(signed.data)
    mime = read_picture(signed.data).mime

    def run(*more: str) -> dict[str, Any]:
        command = ["node", str(RESOURCES / "read_c2pa.mjs"), str(folder), mime, str(tmp_path / "picture"), *more]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    found = run(str(tmp_path / "roots.pem"))
    assert found["state"] == "Trusted"
    active = found["store"]["manifests"][found["store"]["active_manifest"]]
    data = {a["label"]: a["data"] for a in active["assertions"]}
    assert data["org.qimg.provenance"]["place"]["leaf"] == LEAF
    codes = [item["code"] for item in found["store"]["validation_results"]["activeManifest"]["success"]]
    assert "timeStamp.trusted" in codes
    assert run()["state"] == "Valid"
    changed = bytearray(signed.data)
    changed[-30] ^= 1
    (tmp_path / "picture").write_bytes(bytes(changed))
    assert run(str(tmp_path / "roots.pem")).get("state") not in ("Trusted", "Valid")


_OFFLINE = """
import sys
from pathlib import Path
from qimg_marks.credentials import authority
from qimg_marks.credentials.reading import read
from qimg_marks.credentials.signing import sign
from qimg_marks.picture import open_picture, read_picture
from qimg_marks.record import MarkingRecord
import socket
try:
    socket.create_connection(("127.0.0.1", 9), 0.1)
except OSError as error:
    assert error.errno == 101 or "unreachable" in str(error).lower(), error  # not even loopback is up
record = MarkingRecord(provider="O", system="s", version="1", time="2026-11-21T09:30:00Z", unique_id="u")
ours = authority.load(Path(sys.argv[1]))
signed = sign(open_picture(sys.argv[2]), record, ours, sidecar="never")
print(read(read_picture(signed.data), anchors=ours.root).state)
"""


def test_signs_and_reads_where_there_is_no_network(marks: Path, picture: Any, tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here (unshare -rn)")
    (tmp_path / "p.png").write_bytes(picture())
    command = ["unshare", "-rn", sys.executable, "-c", _OFFLINE, str(marks), str(tmp_path / "p.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "trusted", done.stderr


def test_certificates_follow_the_profile(marks: Path) -> None:
    """C2PA Technical Specification, "X.509 certificates", read with cryptography's own verifier of chains."""
    leaf, root = x509.load_pem_x509_certificates((marks / "ca" / "chain.pem").read_bytes())
    leaf.verify_directly_issued_by(root)
    uses = {oid.dotted_string for oid in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value}
    assert uses == {"1.3.6.1.5.5.7.3.4", "1.3.6.1.4.1.62558.2.1"}
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert leaf.subject != leaf.issuer
    for name in ("root.key.pem", "signer.key.pem"):
        assert (marks / "ca" / name).stat().st_mode & 0o777 == 0o600


def test_openssl_accepts_the_chain(marks: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    place = marks / "ca"
    command = [
        "openssl",
        "verify",
        "-CAfile",
        str(place / "root.pem"),
        "-purpose",
        "smimesign",
        str(place / "chain.pem"),
    ]
    assert "OK" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_encrypted_keys_open_with_their_password_only(tmp_path: Path, picture: Any, record: MarkingRecord) -> None:
    authority.create(tmp_path, "Example Org", password=Secret("correct horse"))
    for name in ("root.key.pem", "signer.key.pem"):
        assert b"ENCRYPTED PRIVATE KEY" in (tmp_path / "ca" / name).read_bytes()
    with pytest.raises(AuthenticationError, match="encrypted"):
        authority.load(tmp_path)
    with pytest.raises(AuthenticationError, match="does not open") as refused:
        authority.load(tmp_path, password=Secret("wrong horse"))
    assert "wrong horse" not in str(refused.value)
    ours = authority.load(tmp_path, password=Secret("correct horse"))
    assert read(read_picture(sign(read_picture(picture()), record, ours).data), anchors=ours.root).state == "trusted"


def test_a_new_signing_certificate_under_the_same_root(tmp_path: Path) -> None:
    authority.create(tmp_path, "Example Org")
    before = authority.load(tmp_path)
    authority.renew(tmp_path)
    after = authority.load(tmp_path)
    assert (before.root, before.chain == after.chain) == (after.root, False)
    with pytest.raises(ConfigurationError, match="there is an authority"):
        authority.create(tmp_path, "Other Org")


def test_resaving_takes_the_credentials_out_and_reading_says_so(
    marks: Path, picture: Any, record: MarkingRecord
) -> None:
    from PIL import Image

    signed = sign(read_picture(picture()), record, authority.load(marks), sidecar="never")
    out = io.BytesIO()
    Image.open(io.BytesIO(signed.data)).save(out, "PNG")
    assert read(read_picture(out.getvalue())).state == "absent"
