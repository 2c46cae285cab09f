"""What a witness answers, sentence by sentence of C2SP tlog-witness."""

from __future__ import annotations

import base64
import hashlib
import threading

import pytest

from qimg_anchors.heads import Heads, make_heads
from qimg_anchors.request import MOST_HASHES, read_request, read_size, write_request
from qimg_anchors.witness import Witness, read_logs
from qimg_core.errors import LedgerBusy, LedgerCorrupt, LedgerError, StorageError
from qimg_core.ledger.cosignature import Cosigner, verify_note
from qimg_core.ledger.merkle import EMPTY_ROOT
from qimg_core.ledger.note import Checkpoint, Signer, VerifierKey, split_note

ORIGIN = "example.org/log"
NOW = 1_790_000_000
SPEC_REQUEST = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()  # noqa: E501 - as the specification shows it


def status(answer):
    return int(answer.status)


def test_the_example_of_the_specification_is_read_and_written():
    asked = read_request(SPEC_REQUEST)
    assert (asked.old, len(asked.proof), asked.head.size, asked.head.origin) == (
        20852014,
        4,
        20852163,
        "example.com/behind-the-sofa",
    )
    assert asked.proof[0] == base64.b64decode("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=")
    assert len(asked.lines) == 2
    assert write_request(asked.old, asked.proof, asked.note) == SPEC_REQUEST


def test_a_first_head_and_those_that_extend_it_are_cosigned(log, witness):
    old = 0
    for size in (1, 2, 7, 8, 20, 20):
        answer = witness.add_checkpoint(log.request(old, size))
        assert status(answer) == 200
        lines = answer.body.decode().splitlines(keepends=True)
        assert len(lines) == 2
        assert all(line.startswith("— witness.example/w1 ") and line.endswith("\n") for line in lines)
        text = split_note(log.note(size))[0]
        head, signed = verify_note(text + b"\n" + answer.body, witness._cosigner.keys)
        assert (head.size, [line.time for line in signed]) == (size, [NOW, NOW])
        old = size


def test_a_wrong_old_size_is_answered_by_409_and_the_size(log, witness):
    for old in (1, 5):
        answer = witness.add_checkpoint(log.request(old, 5))
        assert (status(answer), answer.body, answer.content_type) == (409, b"0\n", "text/x.tlog.size")
    assert status(witness.add_checkpoint(log.request(0, 5))) == 200
    for old in (0, 4, 6, 7):
        answer = witness.add_checkpoint(log.request(old, 7))
        assert (status(answer), answer.body, answer.content_type) == (409, b"5\n", "text/x.tlog.size")
    answer = witness.add_checkpoint(log.request(3, 4))  # a smaller head: the size says why
    assert (status(answer), answer.body) == (409, b"5\n")


def test_an_unknown_origin_is_404_even_where_its_signature_is_wrong(witness):
    other = Signer.generate("example.org/other")
    note = other.sign_checkpoint(Checkpoint("example.org/other", 3, EMPTY_ROOT), 1)
    assert status(witness.add_checkpoint(write_request(0, (), note))) == 404
    assert status(witness.add_checkpoint(write_request(0, (), note.replace(b"\n3\n", b"\n4\n")))) == 404


def test_no_signature_by_a_trusted_key_is_403(log, witness):
    stranger = Signer.generate(ORIGIN)
    note = stranger.sign_checkpoint(Checkpoint(ORIGIN, 3, log.tree.root(3)), 1)
    assert status(witness.add_checkpoint(write_request(0, (), note))) == 403
    # signatures of strangers beside a trusted one are ignored
    both = log.note(3) + note.split(b"\n\n")[1]
    assert status(witness.add_checkpoint(write_request(0, (), both))) == 200


def test_a_trusted_keys_signature_that_is_wrong_is_403(log, witness):
    for k in range(2):  # one right signature beside it does not help
        note = log.note(3)
        line = split_note(note)[1][k]
        good = base64.b64encode(line.key_id + line.signature)
        wrong = base64.b64encode(line.key_id + line.signature[:-1] + bytes([line.signature[-1] ^ 1]))
        assert status(witness.add_checkpoint(write_request(0, (), note.replace(good, wrong)))) == 403
    assert witness.held == {ORIGIN: None}


def test_one_trusted_key_is_enough(log, make_witness):
    for k, key in enumerate(log.signer.keys):
        witness = make_witness(f"witness.example/one{k}", keys=(key,))
        assert status(witness.add_checkpoint(log.request(0, 4))) == 200


def test_an_old_size_larger_than_the_head_is_400(log, witness):
    assert status(witness.add_checkpoint(write_request(5, (), log.note(4)))) == 400


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: b"",
        lambda body: b"old 0\n",
        lambda body: body.replace(b"old 3", b"old 03"),
        lambda body: body.replace(b"old 3", b"old  3"),
        lambda body: body.replace(b"old 3", b"old -3"),
        lambda body: body.replace(b"old 3", b"old +3"),
        lambda body: body.replace(b"old 3", b"old 3\r"),
        lambda body: body.replace(b"old 3", b"size 3"),
        lambda body: body.replace(b"old 3\n", b"old 3\nAAAA\n"),
        lambda body: body.replace(b"old 3\n", b"old 3\n?\n"),
        lambda body: body.replace(b"old 3\n", b"old 3\n\xff\n"),
        lambda body: body.replace(b"old 3\n", b"old 3\n" + base64.b64encode(bytes(32)) * (MOST_HASHES + 1)),
        lambda body: body.replace(b"old 3\n", b"old 3\n" + (base64.b64encode(bytes(32)) + b"\n") * (MOST_HASHES + 1)),
        lambda body: body[:-1],
        lambda body: body.replace(b"\n7\n", b"\n07\n"),
        lambda body: body.replace(b"example.org/log\n", b"\n", 1),
        lambda body: body.replace("\u2014".encode(), b"-"),
    ],
)
def test_what_is_no_request_is_400(log, witness, spoil):
    body = log.request(3, 7)
    assert spoil(body) != body
    assert status(witness.add_checkpoint(spoil(body))) == 400


def test_a_proof_that_does_not_hold_is_422(log, forked, witness):
    assert status(witness.add_checkpoint(log.request(0, 5))) == 200
    good = log.tree.consistency(5, 9)
    for proof in ((), good[:-1], (*good, bytes(32)), good[::-1], (bytes(32), *good[1:])):
        assert status(witness.add_checkpoint(write_request(5, proof, log.note(9)))) == 422
    assert status(witness.add_checkpoint(forked.request(5, 9))) == 422
    assert witness.held[ORIGIN].head.size == 5
    assert status(witness.add_checkpoint(log.request(5, 9))) == 200


def test_the_same_size_with_another_root_is_422(log, forked, witness):
    """409 in older editions of the specification; 422 since July 2026."""
    assert status(witness.add_checkpoint(log.request(0, 5))) == 200
    assert status(witness.add_checkpoint(forked.request(5, 5))) == 422
    assert status(witness.add_checkpoint(write_request(5, (bytes(32),), log.note(5)))) == 422
    assert status(witness.add_checkpoint(log.request(5, 5))) == 200


def test_from_nothing_the_proof_is_empty(log, witness):
    assert status(witness.add_checkpoint(write_request(0, (bytes(32),), log.note(5)))) == 422
    assert status(witness.add_checkpoint(write_request(0, (), log.note(5)))) == 200


def test_an_empty_log_has_one_root(log, witness):
    wrong = log.signer.sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), 1)
    assert status(witness.add_checkpoint(write_request(0, (), wrong))) == 422
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT
    assert status(witness.add_checkpoint(log.request(0, 0))) == 200
    assert status(witness.add_checkpoint(log.request(0, 0))) == 200
    assert status(witness.add_checkpoint(log.request(0, 6))) == 200  # size zero was cosigned: from nothing again


def test_the_newest_head_is_shown_with_both_signatures(log, witness):
    shown = hashlib.sha256(ORIGIN.encode()).hexdigest()
    assert status(witness.checkpoint(shown)) == 404
    witness.add_checkpoint(log.request(0, 5))
    witness.add_checkpoint(log.request(5, 9))
    answer = witness.checkpoint(shown)
    assert status(answer) == 200
    head, signed = verify_note(answer.body, [*log.signer.keys, *witness._cosigner.keys])
    assert (head, len(signed)) == (Checkpoint(ORIGIN, 9, log.tree.root(9)), 4)
    assert status(witness.checkpoint("0" * 64)) == 404


def test_a_head_with_extension_lines_is_cosigned(log, make_witness):
    key = log.signer.keys[0]
    witness = make_witness(keys=(key,))
    text = Checkpoint(ORIGIN, 5, log.tree.root(5)).text + b"an extension\n"
    line = base64.b64encode(key.id + log.signer.ed25519.sign(text)).decode()
    note = text + f"\n— {ORIGIN} {line}\n".encode()
    answer = witness.add_checkpoint(write_request(0, (), note))
    assert status(answer) == 200
    assert len(verify_note(text + b"\n" + answer.body, witness._cosigner.keys)[1]) == 2


# Memory


def test_what_was_cosigned_is_remembered_by_the_next_process(log, forked, make_witness):
    assert status(make_witness().add_checkpoint(log.request(0, 5))) == 200
    again = make_witness()
    assert status(again.add_checkpoint(forked.request(0, 6))) == 409
    assert status(again.add_checkpoint(forked.request(5, 6))) == 422
    assert status(again.add_checkpoint(log.request(5, 6))) == 200


def test_nothing_is_cosigned_that_cannot_be_remembered(log, forked, make_witness, monkeypatch):
    witness = make_witness()
    witness.add_checkpoint(log.request(0, 5))

    def full(*_, **__):
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("qimg_anchors.heads.write_atomic", full)
        with pytest.raises(StorageError):
            witness.add_checkpoint(log.request(5, 9))
    assert witness.held[ORIGIN].head.size == 5
    assert status(witness.add_checkpoint(log.request(5, 8))) == 200


def test_the_head_is_on_disk_before_the_answer(log, make_witness, monkeypatch):
    witness = make_witness()
    order = []
    write = witness._heads.write
    monkeypatch.setattr(witness._heads, "write", lambda held: (write(held), order.append(held.head.size)))
    assert status(witness.add_checkpoint(log.request(0, 5))) == 200
    assert order == [5]
    assert make_witness().held[ORIGIN].head.size == 5


def test_a_memory_that_is_missing_is_not_taken_for_an_empty_one(tmp_path):
    cosigner = Cosigner.generate("witness.example/w")
    with pytest.raises(LedgerError, match="missing.*\n.*would cosign another history"):
        Heads(tmp_path / "gone", cosigner.keys)
    make_heads(tmp_path / "m", cosigner.keys)
    with pytest.raises(LedgerError, match="other keys"):
        Heads(tmp_path / "m", Cosigner.generate("witness.example/w").keys)
    with pytest.raises(LedgerError, match="already"):
        make_heads(tmp_path / "m", cosigner.keys)


def test_a_memory_has_one_process(tmp_path):
    cosigner = Cosigner.generate("witness.example/w")
    make_heads(tmp_path / "m", cosigner.keys)
    first = Heads(tmp_path / "m", cosigner.keys)
    with pytest.raises(LedgerBusy, match="another process"):
        Heads(tmp_path / "m", cosigner.keys)
    first.close()
    Heads(tmp_path / "m", cosigner.keys).close()


def test_a_changed_memory_is_refused(log, make_witness, tmp_path):
    make_witness().add_checkpoint(log.request(0, 5))
    path = tmp_path / "witness.example-w1" / hashlib.sha256(ORIGIN.encode()).hexdigest() / "checkpoint"
    good = path.read_bytes()
    ours = b"\n".join(line for line in good.split(b"\n") if b"witness.example" not in line)
    for bad in (good.replace(b"\n5\n", b"\n4\n"), b"", ours, log.note(3)):
        path.write_bytes(bad)
        with pytest.raises(LedgerCorrupt, match="is damaged"):
            make_witness()
    path.write_bytes(good)
    assert make_witness().held[ORIGIN].head.size == 5


def test_heads_of_one_log_are_judged_one_after_the_other(log, forked, make_witness):
    """The race of the specification: two right requests from the same size at once; one is cosigned."""
    for _ in range(5):
        witness = make_witness(f"witness.example/race{_}")
        witness.add_checkpoint(log.request(0, 3))
        ready = threading.Barrier(8)
        bodies = [(log if k % 2 else forked).request(3, 4 + k) for k in range(8)]
        answers = []

        def ask(body, witness=witness, ready=ready, answers=answers):
            ready.wait()
            answers.append(witness.add_checkpoint(body))

        threads = [threading.Thread(target=ask, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status(answer) for answer in answers) == [200] + [409] * 7


# The file of logs


def test_the_file_of_a_ledger_is_a_file_of_logs(log):
    old, new = Signer.generate(ORIGIN), log.signer
    text = "".join(f"{key}\n" for key in new.keys)
    assert read_logs(text.encode(), "f") == {ORIGIN: new.keys}
    policy = f"# comment\n\nlog {new.keys[0]} https://log.example/\n  log {new.keys[1]}\n"
    assert read_logs(policy.encode(), "f") == {ORIGIN: new.keys}
    rotated = "".join(f"{key}\n" for key in old.keys) + "from 12\n" + text + f"revoked {old.keys[0].id.hex()} from 12\n"
    assert read_logs(rotated.encode(), "f") == {ORIGIN: new.keys}


@pytest.mark.parametrize("line", ["nonsense", "log a b c", "from 3", "\xff"])
def test_what_is_no_file_of_logs_is_refused(line):
    with pytest.raises(LedgerCorrupt, match="line 1" if line != "\xff" else "UTF-8"):
        read_logs(line.encode("latin-1") + b"\n", "f")


def test_a_witness_key_is_no_log_key():
    with pytest.raises(LedgerCorrupt, match="a witness's, not a log's"):
        read_logs(f"{Cosigner.generate('x').keys[0]}\n".encode(), "f")


# The body of a 409


@pytest.mark.parametrize(
    ("content_type", "body", "size"),
    [
        ("text/x.tlog.size", b"0\n", 0),
        ("text/x.tlog.size; charset=utf-8", b"50\n", 50),
        ("text/plain", b"50\n", None),
        ("text/x.tlog.size", b"50", None),
        ("text/x.tlog.size", b"", None),
        ("text/x.tlog.size", b"050\n", None),
        ("text/x.tlog.size", b"-1\n", None),
        ("text/x.tlog.size", b"5\n5\n", None),
        ("text/x.tlog.size", b"9" * 30 + b"\n", None),
    ],
)
def test_the_size_in_a_409(content_type, body, size):
    assert read_size(content_type, body) == size


def test_a_checkpoint_of_a_public_log_and_witness(tmp_path, monkeypatch):
    """The request of litewitness's own test of an ML-DSA-44 log, where the vector is at hand."""
    import os
    import re
    from pathlib import Path

    path = Path(os.environ.get("QIMG_DATA") or "/nowhere") / "vectors" / "tlog" / "mldsa.txt"
    if not path.exists():
        pytest.skip("no litewitness vectors in QIMG_DATA/vectors/tlog")
    text = path.read_text()
    key = VerifierKey.parse(re.search(r"-key (example\.com/mldsa-log\+\S+)", text)[1])
    body = re.search(r"add-checkpoint\n```\n(.*?)```", text, re.DOTALL)[1].encode()
    cosigner = Cosigner.generate("example.com/witness")
    make_heads(tmp_path / "m", cosigner.keys)
    heads = Heads(tmp_path / "m", cosigner.keys)
    answer = Witness(cosigner, {"example.com/mldsa-log": (key,)}, heads, lambda: NOW).add_checkpoint(body)
    heads.close()
    assert status(answer) == 200
