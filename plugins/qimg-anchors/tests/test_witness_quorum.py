"""Asking witnesses: quorum, 409 and 422, silent and lying witnesses, split views."""

from __future__ import annotations

import base64

import httpx
import pytest

from qimg_anchors.quorum import WitnessQuorum
from qimg_anchors.request import origin_hash, read_request, write_request
from qimg_anchors.witness import Witness
from qimg_core.errors import ConfigurationError, LedgerCorrupt, OutsideMemoryError
from qimg_core.ledger import MemoryLedger
from qimg_core.ledger.cosignature import Cosigner, verify_note
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.remembered import ask_memories
from qimg_core.ledger.witness_policy import parse_policy

ORIGIN = "example.org/log"


class Answers(httpx.BaseTransport):
    """Plays hosts ``w1``, ``w2``, ...: each a witness in this process, or a function of the request."""

    def __init__(self, hosts):
        self.hosts, self.seen = hosts, []

    def handle_request(self, request):
        host, body = request.url.host, request.read()
        self.seen.append((host, request.method, body))
        player = self.hosts[host]
        if callable(player):
            status, headers, content = player(request)
            return httpx.Response(status, headers=headers, content=content)
        if request.method == "POST":
            assert request.url.path == "/prefix/add-checkpoint"
            found = player.add_checkpoint(body)
        else:
            found = player.checkpoint(request.url.path.split("/")[2])
        return httpx.Response(int(found.status), headers={"Content-Type": found.content_type}, content=found.body)

    def posts(self, host):
        return [read_request(body) for seen, method, body in self.seen if (seen, method) == (host, "POST")]


class Ledger(MemoryLedger):
    """A ledger in memory whose proofs and keys are those of a `Log` of the tests."""

    def __init__(self, log, size):
        super().__init__(ORIGIN)
        self.log, self.size = log, size

    @property
    def keys(self):
        return self.log.signer.keys

    @property
    def history(self):
        return KeyHistory.of(self.log.signer.keys)

    def __len__(self):
        return self.size

    def consistency(self, old, size=None):
        return self.log.tree.consistency(old, self.size if size is None else size)

    def inclusion(self, index, size=None):
        from qimg_core.ledger import Inclusion

        tree, size = self.log.tree, self.size if size is None else size
        tree._within(size if size <= self.size else tree.size + 1)
        return Inclusion(
            index=index, size=size, leaf=tree.leaf(index), proof=tree.inclusion(index, size), root=tree.root(size)
        )


class Remembering:
    """A witness's memory in this process, for many short lives."""

    def read(self, origin):
        return None

    def write(self, held):
        pass


def keys_of(witness):
    return witness._cosigner.keys


@pytest.fixture
def three(make_witness):
    return [make_witness(f"witness.example/w{k}") for k in (1, 2, 3)]


@pytest.fixture
def quorum(tmp_path, three):
    """Makes the memory; hosts may be replaced by functions."""

    def make(need=2, **hosts):
        played = Answers({**{f"w{k}": witness for k, witness in enumerate(three, 1)}, **hosts})
        lines = "".join(f"witness w{k} {keys_of(w)[k % 2]} https://w{k}/prefix/\n" for k, w in enumerate(three, 1))
        (tmp_path / "policy").write_text(f"{lines}group g {need} w1 w2 w3\nquorum g\n")
        return WitnessQuorum("witnesses", "policy", tmp_path, transport=played), played

    return make


def down(request):
    raise httpx.ConnectError("refused", request=request)


def slow(request):
    raise httpx.ReadTimeout("slow", request=request)


def test_all_three_cosign_and_the_receipt_holds(log, three, quorum):
    memory, _ = quorum()
    note = log.note(5)
    receipt = memory.keep(Ledger(log, 5), note)
    assert (receipt.size, receipt.root) == (5, log.tree.root(5))
    assert [line["witness"] for line in receipt.facts["cosigned"]] == ["w1", "w2", "w3"]
    assert memory.check(receipt, note) == ()
    assert memory.describe(receipt) == "3 of 3 witnesses (w1, w2, w3); wanted 2 of (w1, w2, w3)"
    head, signed = verify_note(receipt.evidence, [key for witness in three for key in keys_of(witness)])
    assert (head.size, len(signed)) == (5, 3)  # one line of each: by the key that the policy names


@pytest.mark.parametrize(
    "silent", [down, slow, lambda r: (500, {}, b"x"), lambda r: (200, {}, b"\xe2"), lambda r: (200, {}, b"")]
)
def test_two_of_three_is_a_quorum_and_one_is_none(log, quorum, silent):
    memory, _ = quorum(w2=silent)
    receipt = memory.keep(Ledger(log, 5), log.note(5))
    assert [line["witness"] for line in receipt.facts["cosigned"]] == ["w1", "w3"]
    assert [line["witness"] for line in receipt.facts["refused"]] == ["w2"]
    assert memory.check(receipt, log.note(5)) != () or receipt.evidence.count(b"witness.example") == 2
    memory, _ = quorum(w2=silent, w3=silent)
    with pytest.raises(OutsideMemoryError, match=r"wanted cosignatures of 2 of \(w1, w2, w3\), got w1; w2: .*w3: "):
        memory.keep(Ledger(log, 6), log.note(6))


def test_after_a_409_it_asks_once_more_with_the_right_proof(log, three, quorum):
    three[0].add_checkpoint(log.request(0, 4))
    memory, played = quorum(need=3)
    memory.keep(Ledger(log, 9), log.note(9))
    first, second = played.posts("w1")
    assert (first.old, first.proof) == (0, ())
    assert (second.old, second.proof) == (4, log.tree.consistency(4, 9))
    assert len(played.posts("w2")) == 1


def test_a_head_that_was_cosigned_already_is_cosigned_again(log, quorum):
    memory, played = quorum()
    memory.keep(Ledger(log, 9), log.note(9))
    memory.keep(Ledger(log, 9), log.note(9))
    assert [(asked.old, len(asked.proof)) for asked in played.posts("w1")] == [(0, 0), (0, 0), (9, 0)]


def test_the_last_receipt_says_where_to_begin(three, quorum):
    ledger = MemoryLedger(ORIGIN)
    w1, w2, _ = (Witness(witness._cosigner, {ORIGIN: ledger.keys}, Remembering()) for witness in three)
    memory, played = quorum(w1=w1, w2=w2, w3=down)
    for _ in range(2):
        ledger.append("x", facts={})
        receipt = memory.keep(ledger, ledger.checkpoint())
        assert [line["witness"] for line in receipt.facts["cosigned"]] == ["w1", "w2"]
        from qimg_core.ledger.receipts import kept_facts

        ledger.append("checkpoint.kept", facts=kept_facts(ledger, receipt))
    assert [asked.old for asked in played.posts("w1")] == [0, 1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda r: (409, {"Content-Type": "text/plain"}, b"4\n"), "409 without the size"),
        (lambda r: (409, {"Content-Type": "text/x.tlog.size"}, b"4"), "409 without the size"),
        (lambda r: (409, {"Content-Type": "text/x.tlog.size"}, b"0\n"), "409 without the size"),
        (lambda r: (409, {"Content-Type": "text/x.tlog.size"}, b"4\n"), "409 twice"),
        (lambda r: (404, {}, b""), r"does not know this log \(404\): give its operator the file"),
        (lambda r: (403, {}, b""), r"does not trust the keys that signed this head \(403\)"),
        (lambda r: (422, {}, b"") if r.method == "POST" else (404, {}, b""), r"refused \(422\)"),
        (lambda r: (429, {}, b""), "answered 429"),
        (lambda r: (302, {"Location": "https://elsewhere/"}, b""), "answered 302"),
        (lambda r: (200, {}, b"x" * 300_000), "longer than"),
        (down, r"cannot be reached \(ConnectError\)"),
        (slow, r"cannot be reached \(ReadTimeout\)"),
    ],
)
def test_each_failure_is_told_plainly_and_asked_no_third_time(log, quorum, answer, reason):
    memory, played = quorum(need=3, w2=answer)
    with pytest.raises(OutsideMemoryError, match=f"w2: .*{reason}"):
        memory.keep(Ledger(log, 9), log.note(9))
    assert len([1 for host, method, _ in played.seen if (host, method) == ("w2", "POST")]) <= 2


def test_cosignatures_that_do_not_hold_do_not_count(log, quorum, three):
    stranger = Cosigner.generate("witness.example/w2")
    text = split_note(log.note(9))[0]
    other = split_note(log.note(8))[0]

    def spoilt(lines):
        first = split_note(text + b"\n" + lines)[1][0]
        good, wrong = first.signature, first.signature[:-1] + bytes([first.signature[-1] ^ 1])
        return lines.replace(*(base64.b64encode(first.key_id + signature) for signature in (good, wrong)))

    real = three[1]._cosigner
    for lines, reason in (
        (stranger.cosign(text, 1), "no signature by the key in the policy"),
        (real.cosign(other, 1), "does not hold"),
        (spoilt(real.cosign(text, 1)), "does not hold"),
    ):
        memory, _ = quorum(need=3, w2=lambda request, lines=lines: (200, {}, lines))
        with pytest.raises(OutsideMemoryError, match=f"w2: .*{reason}"):
            memory.keep(Ledger(log, 9), log.note(9))


def test_a_rolled_back_log_is_told_so_with_proof(log, three, quorum):
    for witness in three:
        witness.add_checkpoint(log.request(0, 12))
    memory, _ = quorum()
    with pytest.raises(LedgerCorrupt, match=r"rollback: it holds a head over 12.*signed by this log's own key"):
        memory.keep(Ledger(log, 7), log.note(7))


def test_a_forked_log_is_told_so_with_proof(log, forked, three, quorum):
    for witness in three:
        witness.add_checkpoint(forked.request(0, 6))
    memory, _ = quorum()
    with pytest.raises(LedgerCorrupt, match=r"fork: the first 6 entries.*signed by this log's own key"):
        memory.keep(Ledger(log, 9), log.note(9))


def test_a_witness_that_lies_about_a_fork_proves_nothing(log, quorum, three):
    """It answers 422 and shows a head that it made up: no signature of the log, so it does not count."""
    made_up = Checkpoint(ORIGIN, 4, bytes(32)).text
    shown = made_up + b"\n" + three[1]._cosigner.cosign(made_up, 1)
    memory, _ = quorum(w2=lambda r: (422, {}, b"") if r.method == "POST" else (200, {}, shown))
    receipt = memory.keep(Ledger(log, 9), log.note(9))
    assert [line["witness"] for line in receipt.facts["refused"]] == ["w2"]


def test_a_receipt_with_other_evidence_is_found(log, quorum):
    memory, _ = quorum()
    import attrs

    receipt = memory.keep(Ledger(log, 9), log.note(9))
    text, _, lines = receipt.evidence.partition(b"\n\n")
    one = lines.split(b"\n")[0] + b"\n"
    other = split_note(log.note(8))[0] + b"\n" + lines
    facts = {**receipt.facts, "cosigned": receipt.facts["cosigned"][:1]}
    for wrong, reason in (
        (attrs.evolve(receipt, evidence=b"x"), "not a signed note"),
        (attrs.evolve(receipt, evidence=text + b"\n\n" + one), "other cosignatures"),
        (attrs.evolve(receipt, evidence=text + b"\n\n" + one, facts=facts), "wanted cosignatures of 2 of"),
        (attrs.evolve(receipt, evidence=other), "is wrong"),
        (attrs.evolve(receipt, facts={"cosigned": []}), "other cosignatures"),
        (attrs.evolve(receipt, size=8), "another head"),
    ):
        (problem,) = memory.check(wrong, log.note(9))
        assert reason in problem.what
    assert "another head" in memory.check(receipt, log.note(8))[0].what


# Asked later


def test_the_newest_head_is_the_largest_that_one_of_them_shows(log, three, quorum):
    memory, _ = quorum()
    assert memory.newest(ORIGIN) is None
    for witness, size in zip(three, (4, 9, 7), strict=True):
        witness.add_checkpoint(log.request(0, size))
    assert memory.newest(ORIGIN) == Checkpoint(ORIGIN, 9, log.tree.root(9))
    assert len(memory.held(ORIGIN)) == 3


def test_silence_counts_where_the_silent_could_have_made_a_quorum(log, three, quorum):
    three[0].add_checkpoint(log.request(0, 4))
    memory, _ = quorum(w3=down)
    assert memory.newest(ORIGIN).size == 4  # w3 alone makes no quorum
    memory, _ = quorum(w2=down, w3=slow)
    with pytest.raises(OutsideMemoryError, match=r"too few witnesses answer: w2: .*; w3: "):
        memory.newest(ORIGIN)
    memory, _ = quorum(need=1, w3=down)
    with pytest.raises(OutsideMemoryError):
        memory.newest(ORIGIN)


def test_one_witness_that_holds_another_history_is_heard_among_silent_ones(log, forked, three, quorum):
    three[0].add_checkpoint(forked.request(0, 6))
    memory, _ = quorum(w2=down, w3=down)
    found = ask_memories(Ledger(log, 9), [memory])
    assert "fork" in found.problems[0].what
    assert "signed by this log's own key" in found.problems[0].what
    assert len(found.unsure) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda note: note.replace(b"\n4\n", b"\n5\n"),
        lambda note: b"\n".join(line for line in note.split(b"\n") if b"witness.example" not in line) + b"\n",
        lambda note: b"nonsense",
    ],
)
def test_what_a_witness_shows_must_be_cosigned_by_it(log, three, quorum, spoil):
    three[0].add_checkpoint(log.request(0, 4))
    note = three[0].checkpoint(origin_hash(ORIGIN)).body
    memory, _ = quorum(need=1, w1=lambda request: (200, {}, spoil(note)))
    with pytest.raises(OutsideMemoryError, match="w1: shows a head"):
        memory.newest(ORIGIN)


# Split views


@pytest.mark.parametrize("trials", [25, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_split_view_is_refused_in_every_trial(log, rng, trials):
    """Two histories, one key, and an attacker who asks any witness anything in any order: only one gets a quorum."""
    both = 0
    for trial in range(trials):
        at = rng.randrange(0, 12)
        histories = [log, log.fork(at, 20, rng.randbytes(4))]
        cosigners = [Cosigner.generate(f"witness.example/w{k}") for k in range(3)]
        witnesses = [Witness(cosigner, {ORIGIN: log.signer.keys}, Remembering()) for cosigner in cosigners]
        lines = "".join(f"witness w{k} {keys_of(w)[rng.randrange(2)]}\n" for k, w in enumerate(witnesses))
        policy = parse_policy(f"{lines}group g 2 w0 w1 w2\nquorum g\n".encode())
        got = {}
        for _ in range(12):
            side, k = rng.randrange(2), rng.randrange(3)
            held = witnesses[k].held[ORIGIN]
            size = rng.randrange(at + 1, 21)
            known = 0 if held is None or rng.random() < 0.2 else held.head.size
            proof_of = histories[side if rng.random() < 0.7 else 1 - side]
            proof = proof_of.tree.consistency(known, size) if 0 < known < size else ()

            answer = witnesses[k].add_checkpoint(write_request(known, proof, histories[side].note(size)))
            if int(answer.status) == 200:
                got.setdefault((side, size), set()).add(f"w{k}")
        # a verifier takes a head with a quorum; two heads that contradict each other must not both have one
        quorums = [head for head, names in got.items() if policy.satisfied(names)]
        sides = {side for side, _ in quorums}
        assert len(sides) <= 1, f"trial {trial}: {got}"
        cosigned = {name: {side for (side, _), names in got.items() if name in names} for name in ("w0", "w1", "w2")}
        assert all(len(sides) <= 1 for sides in cosigned.values()), f"trial {trial}: {cosigned}"
        both += len({side for side, _ in got}) == 2
    assert both > trials // 4  # often enough each side found some witness, and never a quorum each


# Construction


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("quorum none\n", "demands no witness"),
        ("witness w1 KEY\nquorum w1\n", "cannot make the quorum"),
        ("witness w1 KEY ftp://w/\nquorum w1\n", "wanted a URL"),
        ("witness w1 KEY https://user:secret@w/\nquorum w1\n", "wanted a URL"),
        ("witness w1 KEY https://w/?q=1\nquorum w1\n", "wanted a URL"),
        ("nonsense\n", "line 1"),
    ],
)
def test_a_policy_that_nobody_can_be_asked_by_is_refused(tmp_path, text, reason):
    (tmp_path / "p").write_text(text.replace("KEY", str(Cosigner.generate("w").keys[1])))
    with pytest.raises(ConfigurationError, match=reason) as caught:
        WitnessQuorum("n", "p", tmp_path)
    assert "secret" not in str(caught.value)


def test_other_settings_are_checked(tmp_path):
    (tmp_path / "p").write_text(f"witness w1 {Cosigner.generate('w').keys[1]} https://w/\nquorum w1\n")
    with pytest.raises(ConfigurationError, match="no policy file"):
        WitnessQuorum("n", "gone", tmp_path)
    for timeout in (0, -1, "5", True, 1e9):
        with pytest.raises(ConfigurationError, match="timeout"):
            WitnessQuorum("n", "p", tmp_path, timeout=timeout)
    with pytest.raises(ConfigurationError, match="no witness 'w2'"):
        WitnessQuorum("n", "p", tmp_path, monitoring={"w2": "https://x/"})
    WitnessQuorum("n", "p", tmp_path, monitoring={"w1": "https://x/"}).close()
