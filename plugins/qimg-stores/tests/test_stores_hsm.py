"""A log whose Ed25519 key is in a token (SoftHSM), from the command line; and what is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from qimg_core.cli import main
from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.ledger import SQLiteLedger, keys
from qimg_core.ledger.signing import SigningKey, open_signing_key
from qimg_stores.hsm import MODULE, Address, open_signer

LIBRARY = "/usr/lib/softhsm/libsofthsm2.so"
LABELS = {"one": "01", "two": "02"}
URI = "pkcs11:token=logs;object=one?pin-source=env:TEST_PIN"


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """A SoftHSM token with two Ed25519 keys and a P-256 key, made by opensc's tool, an independent client."""
    pytest.importorskip("PyKCS11")
    if not (shutil.which("softhsm2-util") and shutil.which("pkcs11-tool") and Path(LIBRARY).exists()):
        pytest.skip("softhsm2 and opensc are not installed")
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)  # the library reads it once, when it is loaded
    tool = ["pkcs11-tool", "--module", LIBRARY, "--token-label", "logs", "--login", "--pin", "4321"]
    commands = [["softhsm2-util", "--init-token", "--free", "--label", "logs", "--pin", "4321", "--so-pin", "87654321"]]
    commands += [
        [*tool, "--keypairgen", "--key-type", "EC:edwards25519", "--label", k, "--id", i] for k, i in LABELS.items()
    ]
    commands += [[*tool, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "curve", "--id", "03"]]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    yield tool
    del os.environ["SOFTHSM2_CONF"]


@pytest.fixture
def device(token, monkeypatch):
    monkeypatch.setenv(MODULE, LIBRARY)
    monkeypatch.setenv("TEST_PIN", "4321")
    return token


def test_the_token_signs_and_its_public_key_is_the_one_another_client_reads(device, tmp_path):
    key = open_signer(URI)
    signature = key.sign(b"hello")
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature, b"hello")
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, b"hallo")
    read = tmp_path / "public.der"
    subprocess.run(
        [*device, "--read-object", "--type", "pubkey", "--label", "one", "-o", str(read)],
        check=True,
        capture_output=True,
    )
    assert key.public == load_pem_public_key(read.read_bytes()).public_bytes_raw()
    assert key.public != open_signer(URI.replace("one", "two")).public


def test_a_log_whose_first_key_is_in_the_token(device, tmp_path, monkeypatch, capsys):
    """Through the command: init, a run's worth of entries, verify, and a rotation to the other key of the token."""
    monkeypatch.chdir(tmp_path)
    assert main(["keys", "init", "--origin", "example.org/hsm", "--signer", URI]) == 0
    assert not (tmp_path / "runs/keys/log.ed25519.pem").exists()
    assert keys.protections(tmp_path / "runs", 1) == {"ed25519": URI, "mldsa44": "plain"}
    with SQLiteLedger.open("runs") as ledger:
        assert isinstance(ledger.signer.ed25519, SigningKey)
        ledger.append("note", facts={})
        ledger.checkpoint()
    assert main(["keys", "rotate"]) == 2  # which key comes next must be said
    assert main(["keys", "rotate", "--signer", URI.replace("one", "two")]) == 0
    assert main(["verify", "runs"]) == 0
    other = subprocess.run(  # another process, as this one is logged in
        [sys.executable, "-m", "qimg_core", "ledger", "checkpoint"],
        env={**os.environ, "TEST_PIN": "999999"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (other.returncode, "PIN_INCORRECT" in other.stderr, "999999" in other.stderr) == (1, True, False)
    monkeypatch.delenv("TEST_PIN")
    capsys.readouterr()
    assert main(["ledger", "checkpoint"]) == 1  # writing needs the token ...
    assert "no PIN" in capsys.readouterr().err
    assert main(["verify", "runs"]) == 0  # ... reading does not
    assert all("4321" not in p.read_text(errors="replace") for p in (tmp_path / "runs/keys").iterdir())


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        (URI.replace("one", "three"), "0 private keys"),
        (URI.replace("one", "curve"), "not Ed25519"),
        (URI.replace("logs", "other"), "0 tokens"),
    ],
)
def test_a_key_that_is_not_there(device, uri, what):
    with pytest.raises(LedgerError, match=what):
        open_signer(uri)


def test_a_key_by_its_id(device):
    assert open_signer("pkcs11:token=logs;id=%02?pin-source=env:TEST_PIN").public == (
        open_signer(URI.replace("one", "two")).public
    )


def test_without_a_library(device, monkeypatch):
    monkeypatch.delenv(MODULE)
    with pytest.raises(ConfigurationError, match="no PKCS #11 library"):
        open_signing_key(URI)


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:token=a",
        "pkcs11:object=a",
        "pkcs11:token=a;object=b?pin-value=1234",
        "pkcs11:token=a;object=b?module-path=/tmp/evil.so",
        "pkcs11:token=a;object=b?pin-source=command:rm",
        "pkcs11:token=a;token=b;object=c",
        "pkcs11:token=a;object=b;surprise=c",
    ],
)
def test_uris_that_are_refused(uri):
    with pytest.raises(ConfigurationError) as refused:
        Address.parse(uri)
    assert "1234" not in str(refused.value)


def test_an_unknown_scheme_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["keys", "init", "--signer", "nonsense:x"]) == 2
    assert main(["keys", "init", "--signer", "nonsense"]) == 2
    assert not list(tmp_path.glob("runs/keys/*"))
