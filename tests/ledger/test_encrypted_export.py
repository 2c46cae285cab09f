"""Encrypted exports: the documented format, opened without our code; each change is found."""

from __future__ import annotations

import io
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger import MemoryLedger, bundle, encrypted, encrypted_bundle
from qimg_core.secret import Secret

PASSWORD = Secret("a password")
CHUNK = 65_536


@pytest.fixture(autouse=True, scope="module")
def _cheap():
    patch = pytest.MonkeyPatch()
    patch.setattr(encrypted, "_LOG_N", 10)
    patch.setattr(encrypted, "_P", 1)
    yield
    patch.undo()


def sealed(data):
    target = io.BytesIO()
    encrypted.encrypt(io.BytesIO(data), target, PASSWORD)
    return target.getvalue()


def opened(data, password=PASSWORD):
    target = io.BytesIO()
    encrypted.decrypt(io.BytesIO(data), target, password)
    return target.getvalue()


def by_the_book(data, password):
    """The format as the module's text says it, from the primitives."""
    assert data[:17] == b"qimg.encrypted/1\n"
    derived = Scrypt(salt=data[20:36], length=64, n=1 << data[17], r=data[18], p=data[19]).derive(password)
    header = data[:75]
    assert header[43:] == derived[32:]
    plain, rest, number = b"", data[75:], 0
    while True:
        chunk, rest = rest[: CHUNK + 16], rest[CHUNK + 16 :]
        nonce = header[36:43] + struct.pack(">I", number) + bytes([not rest])
        plain += AESGCM(derived[:32]).decrypt(nonce, chunk, header)
        number += 1
        if not rest:
            return plain


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17])
def test_every_size_round_trips_and_is_what_the_text_says(size):
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    made = sealed(data)
    assert len(made) == 75 + size + 16 * max(1, -(-size // CHUNK))
    assert opened(made) == data == by_the_book(made, b"a password")
    assert made != sealed(data)


@pytest.fixture(scope="module")
def three():
    data = bytes(range(256)) * (CHUNK * 3 // 256)
    return data, sealed(data)


def test_chunks_cannot_be_dropped_moved_or_added(three):
    data, made = three
    head, size = made[:75], CHUNK + 16
    a, b, c = (made[75 + i * size : 75 + (i + 1) * size] for i in range(3))
    assert opened(head + a + b + c) == data
    other = sealed(data)
    for spoilt in (a + b, a, b"", b + a + c, a + c, a + b + c + c, a + b + c + b"x", a + b + c[:-1], a + a + b + c):
        with pytest.raises(LedgerCorrupt, match="changed or cut off in chunk"):
            opened(head + spoilt)
    with pytest.raises(LedgerCorrupt):
        opened(head + other[75 : 75 + size] + b + c)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 75 + 120), bit=st.integers(0, 7))
def test_no_changed_bit_goes_unnoticed(at, bit):
    made = bytearray(sealed(bytes(105)))
    made[at] ^= 1 << bit
    with pytest.raises(LedgerError):
        opened(bytes(made))


def test_the_wrong_password_is_told_from_damage(three):
    with pytest.raises(LedgerError, match="password does not open") as raised:
        opened(three[1], Secret("another"))
    assert not isinstance(raised.value, LedgerCorrupt)
    assert "another" not in str(raised.value)


@pytest.mark.parametrize("numbers", [(30, 8, 1), (10, 255, 1), (10, 8, 200), (0, 8, 1), (10, 8, 0)])
def test_a_file_does_not_choose_how_much_memory_its_reader_takes(three, numbers):
    made = bytearray(three[1])
    made[17:20] = bytes(numbers)
    with pytest.raises(LedgerCorrupt, match="scrypt parameters"):
        opened(bytes(made))


def test_a_bundle_is_exported_and_checked_and_leaves_nothing_plain(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with MemoryLedger("example.org/log") as ledger:
        ledger.append("note", facts={"artefacts": {"a": ledger.put(b"something worth hiding")}})
        path = encrypted_bundle.export(ledger, tmp_path / "out" / "b.qimg", PASSWORD)
        vkeys = ledger.history.text.encode()
        with pytest.raises(ConfigurationError, match="exists already"):
            encrypted_bundle.export(ledger, path, PASSWORD)
    assert encrypted.is_encrypted(path)
    assert b"worth hiding" not in path.read_bytes()
    assert b"example.org" not in path.read_bytes()
    assert encrypted_bundle.check(path, PASSWORD, vkeys=vkeys).ok
    with encrypted_bundle.opened(path, PASSWORD) as plain:
        assert plain.parent.stat().st_mode & 0o777 == 0o700
        assert bundle.check(plain, vkeys=vkeys).ok
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["b.qimg"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LedgerCorrupt):
        encrypted_bundle.check(path, PASSWORD)
    assert not any((tmp_path / "tmp").iterdir())
