"""Private keys under a password: the format is read by openssl and by us, passwords stay where they are."""

from __future__ import annotations

import shutil
import subprocess
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.ledger import SQLiteLedger, keys, passwords, pkcs8
from qimg_core.ledger.keys import Protection
from qimg_core.secret import Secret

PASSWORD = "correct horse; battery's staple"


@pytest.fixture
def cheap(monkeypatch):
    """Little work for each guess: the format says how much, so that reading needs no change."""
    monkeypatch.setattr(pkcs8, "SCRYPT_N", 1024)
    monkeypatch.setattr(pkcs8, "SCRYPT_P", 1)


@pytest.fixture
def encrypted(tmp_path, monkeypatch, cheap):
    monkeypatch.setenv("LOG_PW", PASSWORD)
    made = keys.create(tmp_path / "log", "example.org/log", Protection.by("env:LOG_PW"))
    return tmp_path / "log", made


def files(folder):
    return {p.name: p.read_bytes() for p in sorted((folder / "keys").iterdir())}


def openssl(*arguments):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return subprocess.run(["openssl", *arguments], capture_output=True, check=False)


def test_openssl_opens_what_is_encrypted_here(tmp_path, monkeypatch):
    folder = tmp_path
    monkeypatch.setenv("LOG_PW", PASSWORD)
    made = keys.create(folder, "example.org/log", Protection.by("env:LOG_PW"))
    path = folder / "keys" / "log.ed25519.pem"
    good = openssl("pkey", "-in", str(path), "-passin", f"pass:{PASSWORD}", "-outform", "DER")
    assert good.returncode == 0, good.stderr
    assert good.stdout.endswith(made.ed25519.private_bytes_raw())
    assert openssl("pkey", "-in", str(path), "-passin", "pass:other", "-noout").returncode != 0
    parsed = openssl("asn1parse", "-in", str(path)).stdout
    assert b"PBES2" in parsed
    assert b"scrypt" in parsed
    assert b"aes-256-cbc" in parsed
    assert b":4000\n" in parsed  # N = 16,384


def test_what_openssl_encrypts_opens_here(tmp_path):
    made = keys.create(tmp_path, "example.org/log")
    path = tmp_path / "keys" / "log.ed25519.pem"
    done = openssl("pkcs8", "-topk8", "-scrypt", "-in", str(path), "-passout", f"pass:{PASSWORD}")
    assert done.returncode == 0, done.stderr
    path.write_bytes(done.stdout)
    assert keys.protections(tmp_path, 1) == {"ed25519": "encrypted", "mldsa44": "plain"}
    assert keys.load(tmp_path, Secret(PASSWORD)).keys == made.keys


@pytest.mark.parametrize("kind", [Ed25519PrivateKey, MLDSA44PrivateKey])
def test_both_algorithms_round_trip_and_no_two_files_are_alike(kind, cheap):
    key = kind.generate()
    pems = [pkcs8.write(key, Secret(PASSWORD)) for _ in range(2)]
    assert pems[0] != pems[1]
    for pem in pems:
        assert pkcs8.is_encrypted(pem)
        assert key.private_bytes_raw() not in pem
        read = load_pem_private_key(pem, PASSWORD.encode())
        assert read.private_bytes_raw() == key.private_bytes_raw()
        with pytest.raises(ValueError, match="password"):
            load_pem_private_key(pem, b"other")


def test_the_log_opens_with_its_password_and_not_without(encrypted, monkeypatch):
    folder, _ = encrypted
    with SQLiteLedger.open(folder) as ledger:
        ledger.append("note", facts={})
        ledger.checkpoint()
    before = files(folder)
    for value, said in (("other", "does not open"), ("", "not set")):
        monkeypatch.setenv("LOG_PW", value)
        with pytest.raises(LedgerError, match=said) as raised:
            SQLiteLedger.open(folder)
        text = "".join(traceback.format_exception(raised.value))
        assert PASSWORD not in text
        assert "env:LOG_PW" in text or "LOG_PW" in text
    assert files(folder) == before
    with SQLiteLedger.open(folder, read_only=True) as ledger:  # reading and verifying need no private key
        assert ledger.verify().ok
    monkeypatch.setenv("LOG_PW", "")
    monkeypatch.setenv(passwords.VARIABLE, PASSWORD)  # the standard variable helps where the recorded one is empty
    SQLiteLedger.open(folder).close()


def test_the_password_is_nowhere(encrypted):
    folder, _ = encrypted
    assert all(PASSWORD.encode() not in data for data in files(folder).values())
    assert PASSWORD not in repr(Protection.by("env:LOG_PW"))
    assert (folder / "keys" / "log.ed25519.pem").read_bytes().startswith(b"Password: env:LOG_PW\n-----BEGIN ENCRYPTED")


@pytest.mark.parametrize("reference", ["hunter2", "env:", "http://x/y", ""])
def test_a_password_itself_is_refused_and_not_repeated(tmp_path, reference):
    with pytest.raises(ConfigurationError, match="by reference") as raised:
        Protection.by(reference)
    assert reference in ("", "env:") or reference not in str(raised.value)


def test_a_command_is_not_written_down(tmp_path, monkeypatch, cheap):
    """A folder from elsewhere must not bring programs to run."""
    protection = Protection.by("command:printf pw-from-program")
    keys.create(tmp_path, "example.org/log", protection)
    assert all(b"printf" not in data for data in files(tmp_path).values())
    with pytest.raises(LedgerError, match="no password"):
        keys.load(tmp_path)
    monkeypatch.setenv(f"{passwords.VARIABLE}_COMMAND", "printf pw-from-program")
    keys.load(tmp_path)
    (tmp_path / "keys" / "log.ed25519.pem").write_bytes(
        b"Password: command:touch evil\n" + (tmp_path / "keys" / "log.ed25519.pem").read_bytes()
    )
    monkeypatch.chdir(tmp_path)
    keys.load(tmp_path)
    assert not (tmp_path / "evil").exists()


def test_plain_keys_are_encrypted_changed_and_decrypted(tmp_path, monkeypatch, cheap):
    made = keys.create(tmp_path, "example.org/log")
    for name in ("ONE", "TWO"):
        monkeypatch.setenv(name, name.lower())
        keys.protect(tmp_path, Protection.by(f"env:{name}"))
        assert keys.protections(tmp_path, 1) == {"ed25519": "encrypted", "mldsa44": "encrypted"}
        assert keys.load(tmp_path).keys == made.keys
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "keys").glob("*.pem")} == {0o600}
    keys.protect(tmp_path, Protection())
    assert keys.protections(tmp_path, 1) == {"ed25519": "plain", "mldsa44": "plain"}
    assert keys.load(tmp_path).keys == made.keys


def test_a_change_of_password_may_stop_between_the_files(tmp_path, monkeypatch, cheap):
    made = keys.create(tmp_path, "example.org/log")
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("TWO", "2")
    keys.protect(tmp_path, Protection.by("env:ONE"))
    first = files(tmp_path)["log.ed25519.pem"]
    keys.protect(tmp_path, Protection.by("env:TWO"))
    (tmp_path / "keys" / "log.ed25519.pem").write_bytes(first)  # as if only the second had been replaced
    assert keys.load(tmp_path).keys == made.keys
    keys.protect(tmp_path, Protection.by("env:TWO"))
    monkeypatch.delenv("ONE")
    assert keys.load(tmp_path).keys == made.keys


def test_with_a_wrong_password_nothing_is_changed(encrypted, monkeypatch):
    folder, _ = encrypted
    before = files(folder)
    monkeypatch.setenv("LOG_PW", "other")
    monkeypatch.setenv("NEW", "new")
    with pytest.raises(LedgerError, match="does not open"):
        keys.protect(folder, Protection.by("env:NEW"))
    assert files(folder) == before
