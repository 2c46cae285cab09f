"""Check an exported qimg bundle. One file, standard library only, Python 3.10 or newer.

    python3 verify.py BUNDLE [--vkeys FILE] [--json]
    python3 verify.py NAME.tlog-proof --vkeys FILE [--entry FILE] [--json]

BUNDLE is a folder or a .zip. Checked: the hash of every file, the form and hash of every entry, the
Merkle roots of all signed heads, inclusion and consistency proofs, artefacts, and, for a .zip,
each byte between the files. Signatures are checked where the package `cryptography` is installed;
where it is not, the signature bytes of manifest.sig are the only ones that nothing covers, and who signed is unknown.

Run a copy of this file that you got from somebody you trust, not the one in the bundle. The keys in
a bundle show that it agrees with itself; give --vkeys with the log's key file, obtained elsewhere,
to know whose it is. Exit status: 0 all right, 1 something is wrong, 2 not a bundle or wrong usage.

Formats: RFC 6962 (tree), RFC 8785 (entries), C2SP signed-note, tlog-checkpoint and tlog-cosignature.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import struct
import sys
import tempfile
import zipfile
import zlib
from itertools import pairwise
from typing import IO, Any

BUNDLE = "qimg.bundle/1"
ENTRY = "qimg.entry/1"
ENTRIES, LEAVES, KEYS = "entries.jsonl", "leaves.txt", "log.vkeys"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
PROOF = "c2sp.org/tlog-proof@v1"
INCLUSION, CONSISTENCY = "proofs/inclusion.json", "proofs/consistency.json"
MOST = 100
NAMES = {1: ("Ed25519", 64), 6: ("ML-DSA-44", 8 + 2420)}
Key = tuple[str, bytes, int, bytes]  # name, key id, C2SP signature type, public key
Period = tuple[int, list[Key], list[str]]  # from which size on, the pair of keys, the same as text
ROTATED = "keys.rotated"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
DAMAGED = (
    OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, RuntimeError, NotImplementedError,
    OverflowError, MemoryError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


class NotABundle(Exception):
    """The path is no bundle at all."""


class Report:
    """What was found. `problems` are (where, what); `first_bad` is the index of the first bad entry."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.first_bad: int | None = None
        self.count = 0
        self.hashes: dict[str, str] = {}  # of every file, as it is
        self.rotations: dict[int, Any] = {}  # size of the hand-over head: facts of the entry
        self.entries = self.artefacts = self.checkpoints = self.signatures = self.unchecked = 0

    def bad(self, where: str, what: str, entry: int | None = None) -> None:
        """Note a problem, and the entry it touches."""
        self.count += 1
        if len(self.problems) < MOST:
            self.problems.append((where, what))
        if entry is not None and (self.first_bad is None or entry < self.first_bad):
            self.first_bad = entry


# ---- the tree (RFC 6962 section 2.1, RFC 9162 section 2.1)


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def leaf_hash(body: bytes) -> bytes:
    """The Merkle leaf hash of an entry."""
    return sha256(b"\x00" + body)


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return sha256(b"\x01" + left + right)


def push(edge: list[bytes], size: int, leaf: bytes) -> None:
    """Add a leaf to the right edge of a tree of a size."""
    while size & 1:
        leaf, size = node(edge.pop(), leaf), size >> 1
    edge.append(leaf)


def root_of(edge: list[bytes]) -> bytes:
    """The root, from the right edge."""
    if not edge:
        return sha256(b"")
    root = edge[-1]
    for left in reversed(edge[:-1]):
        root = node(left, root)
    return root


def climb(at: int, last: int, proof: list[bytes], first: bytes, second: bytes) -> tuple[bytes, bytes] | None:
    """Both hashes of a consistency proof, or for inclusion the same hash twice; None where the length is wrong."""
    for part in proof:
        if last == 0 or len(part) != 32:
            return None
        if at & 1 or at == last:
            first, second = node(part, first), node(part, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node(second, part)
        at, last = at >> 1, last >> 1
    return (first, second) if last == 0 else None


def included(index: int, size: int, leaf: bytes, proof: list[bytes], root: bytes | None) -> bool:
    """Does the leaf stand at that index of the tree with that root?"""
    found = climb(index, size - 1, proof, leaf, leaf) if 0 <= index < size and len(leaf) == 32 else None
    return found is not None and found[1] == root


def consistent(old: int, size: int, proof: list[bytes], old_root: bytes, root: bytes) -> bool:
    """Is the old tree a prefix of the other?"""
    if not 1 <= old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    return bool(proof) and climb(at, last, path[1:], path[0], path[0]) == (old_root, root)


# ---- canonical JSON without floats (RFC 8785)


def canonical(value: Any) -> bytes:
    """The RFC 8785 bytes of a document without floats."""

    def ordered(x: Any) -> Any:
        if isinstance(x, dict):
            return {k: ordered(x[k]) for k in sorted(x, key=lambda k: k.encode("utf-16-be", "surrogatepass"))}
        return [ordered(y) for y in x] if isinstance(x, list) else x

    return json.dumps(ordered(value), ensure_ascii=False, separators=(",", ":")).encode()


def read_json(data: bytes) -> Any:
    """Canonical JSON only."""

    def refuse(text: str) -> None:
        raise ValueError("a float: " + text)

    text = data.decode()
    value = json.loads(text, parse_float=refuse, parse_constant=refuse)
    if text.isascii():  # no key beyond U+FFFF: code point order is UTF-16 order
        same = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True) == text
    else:
        same = canonical(value) == data
    if not same:
        raise ValueError("not in canonical form")
    return value


# ---- notes and keys (C2SP)


def unbase64(text: str) -> bytes:
    """Canonical base64 only."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 is not in canonical form")
    return data


def read_key(line: str) -> Key:
    """One line of a key file."""
    name, key_id, encoded = line.split("+", 2)
    material = unbase64(encoded)
    if material[0] not in NAMES or sha256(name.encode() + b"\n" + material)[:4].hex() != key_id:
        raise ValueError("a key does not fit its id")
    return name, bytes.fromhex(key_id), material[0], material[1:]


def read_keys(data: bytes) -> list[Period]:
    """The pairs of keys that have signed the log, Ed25519 first, each with the size of its first head."""
    lines, periods, start = data.decode().split("\n"), list[Period](), 0
    if lines.pop() != "":
        raise ValueError("no newline at the end")
    while lines:
        if periods and re.fullmatch("revoked [0-9a-f]{8} from (0|[1-9][0-9]{0,18})", lines[0]):
            del lines[0]
            continue
        if periods:
            found = re.fullmatch("from ([1-9][0-9]{0,18})", lines.pop(0))
            if not found or int(found[1]) <= start:
                raise ValueError("a size at which keys change is expected")
            start = int(found[1])
        keys = [read_key(line) for line in lines[:2]]
        names = {key[0] for key in keys} | {key[0] for _, pair, _ in periods for key in pair}
        if [key[2] for key in keys] != [1, 6] or len(names) != 1:
            raise ValueError("one Ed25519 and one ML-DSA-44 key of one name are expected")
        periods.append((start, keys, lines[:2]))
        del lines[:2]
    if not periods:
        raise ValueError("no keys")
    return periods


def in_force(periods: list[Period], size: int) -> list[Key]:
    """Who signs a head of a size: one pair, or both where one hands over to the next."""
    ends = [later[0] for later in periods[1:]] + [size]
    return [key for period, end in zip(periods, ends, strict=True) if period[0] <= size <= end for key in period[1]]


def read_note(data: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    """(text, [(name, key id, signature)])"""
    text = data.decode()
    at = text.rindex("\n\n")
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise ValueError("not a signed note")
    lines = []
    for line in text[at + 2 : -1].split("\n"):
        dash, name, encoded = line.split(" ")
        blob = unbase64(encoded)
        if dash != "\u2014":
            raise ValueError("not a signature line")
        lines.append((name, blob[:4], blob[4:]))
    return text[: at + 1].encode(), lines


def read_checkpoint(text: bytes) -> tuple[str, int, bytes]:
    """Origin, size and root."""
    origin, size, root, rest = text.decode().split("\n")
    if rest or not re.fullmatch("0|[1-9][0-9]{0,18}", size) or len(unbase64(root)) != 32:
        raise ValueError("not a checkpoint")
    return origin, int(size), unbase64(root)


def check_signatures(
    report: Report, where: str, note: bytes, keys: list[Key], wanted: set[int], others: bool = False
) -> bytes:
    """Text of a note whose signatures hold; each type in `wanted` must be there, lines of `others` must not."""
    text, lines = read_note(note)
    if others:  # cosignatures of witnesses, which these keys say nothing about
        lines = [line for line in lines if line[:2] in {key[:2] for key in keys}]
    if [line[:2] for line in lines] != [key[:2] for key in keys if key[2] in wanted]:
        report.bad(where, "not signed by the log's keys as it should be")
    chosen = [key for key in keys if key[2] in wanted]
    for (name, _, kind, public), (_, _, signature) in zip(chosen, lines, strict=False):
        algorithm, length = NAMES[kind]
        if len(signature) != length:
            report.bad(where, f"the {algorithm} signature has the wrong length")
            continue
        message = text
        if kind == 6:
            origin, size, root = read_checkpoint(text)
            who, log = name.encode(), origin.encode()
            message = b"subtree/v1\n\x00" + bytes([len(who)]) + who + signature[:8]
            message += bytes([len(log)]) + log + struct.pack(">QQ", 0, size) + root
            signature = signature[8:]
        checked = verify_signature(kind, public, signature, message)
        if checked is None:
            report.unchecked += 1
        elif checked:
            report.signatures += 1
        else:
            report.bad(where, f"the {algorithm} signature is wrong")
    return text


def verify_signature(kind: int, public: bytes, signature: bytes, message: bytes) -> bool | None:
    """True, False, or None where this machine cannot tell."""
    try:
        from cryptography.exceptions import InvalidSignature

        if kind == 1:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

            load: Any = Ed25519PublicKey.from_public_bytes
        else:
            from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

            load = MLDSA44PublicKey.from_public_bytes
    except ImportError:
        return None
    try:
        load(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# ---- files: a folder, or a zip whose layout is fixed


class Folder:
    """The files of a bundle in a folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self.names: list[str] = []
        for base, _, files in os.walk(path):
            self.names += [os.path.relpath(os.path.join(base, f), path).replace(os.sep, "/") for f in files]

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return open(os.path.join(self.path, *name.split("/")), "rb")

    def size(self, name: str) -> int:
        """Its length in bytes."""
        return os.path.getsize(os.path.join(self.path, *name.split("/")))

    def oddities(self) -> list[str]:
        """What is wrong beside the files: nothing, in a folder."""
        return []


class Slice(io.RawIOBase):
    """A part of a file."""

    def __init__(self, path: str, start: int, size: int) -> None:
        self.file, self.left = open(path, "rb"), size  # noqa: SIM115
        self.file.seek(start)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from what is left of the part."""
        data = self.file.read(min(len(buffer), self.left))
        buffer[: len(data)] = data
        self.left -= len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        super().close()


class Zip:
    """The files of a bundle in a zip, read without its checksums: the manifest's hashes count."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.parts: dict[str, tuple[int, int]] = {}
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            for info in archive.infolist():
                file.seek(info.header_offset)
                header = file.read(30)
                start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
                self.parts[info.filename] = (start, info.file_size)
        self.names = list(self.parts)

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return io.BufferedReader(Slice(self.path, *self.parts[name]))

    def size(self, name: str) -> int:
        """Its length in bytes."""
        return self.parts[name][1]

    def oddities(self) -> list[str]:
        """The archive must be, byte for byte, what `write_zip` makes of its files."""
        with tempfile.TemporaryFile() as again, open(self.path, "rb") as given:
            write_zip(again, self)
            again.seek(0)
            while True:
                a, b = again.read(1 << 20), given.read(1 << 20)
                if a != b:
                    return ["bytes between or around the files differ from the fixed layout"]
                if not a:
                    return []


Files = Folder | Zip


def write_zip(target: IO[bytes], files: Files) -> None:
    """A zip of fixed layout: names sorted, nothing compressed, no times."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files.names):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr, info.file_size = 3, 0o100644 << 16, files.size(name)
            with archive.open(info, "w") as out, files.open(name) as data:
                while chunk := data.read(1 << 20):
                    out.write(chunk)


def read(files: Files, name: str) -> bytes:
    """The whole content of a file."""
    with files.open(name) as file:
        return file.read()


# ---- the checks


def verify(path: str, vkeys: bytes | None = None) -> Report:
    """Check a bundle.

    Args:
        path: a folder or a .zip.
        vkeys: content of a trusted key file, bytes; else the bundle's own keys are used.

    Raises:
        NotABundle: there is no such folder or file, or no manifest in it.
    """
    report = Report()
    ours = False
    if os.path.isdir(path):
        files: Files = Folder(path)
    elif not os.path.isfile(path):
        raise NotABundle(f"no such folder or file: {path}")
    else:
        with open(path, "rb") as file:
            start = file.read(65536)
        ours = any(mark in start for mark in (b"A bundle of the qimg log", b"artefacts/sha256/", ENTRY.encode()))
        if not start.startswith(b"PK") and not ours:
            raise NotABundle(f"neither a folder nor a zip: {path}")
        try:
            files = Zip(path)
        except DAMAGED as error:
            report.bad("archive", f"the zip is damaged: {error}")
            return report
    if not ours and not {MANIFEST, SIGNATURE, ENTRIES, LEAVES} & set(files.names):
        raise NotABundle(f"no qimg bundle: {path}")

    def step(where: str, check: Any, *args: Any) -> Any:
        try:
            return check(*args)
        except DAMAGED as error:
            report.bad(where, f"damaged: {type(error).__name__}: {error}")
            return None

    for oddity in step("archive", files.oddities) or ():
        report.bad("archive", oddity)
    own, periods = step(KEYS, check_keys, report, files, vkeys) or ([], [])
    keys = own[-1][1] if own else []
    damaged: set[str] = set()  # files that are not as listed: what disagrees with them is not to blame
    step(SIGNATURE, check_manifest_signature, report, files, keys, damaged)
    manifest = step(MANIFEST, check_manifest, report, files, keys) or {"files": {}, "complete": None}
    step("files", check_files, report, files, manifest, damaged)
    heads: dict[int, bytes] = {}
    for name in sorted(n for n in files.names if n.startswith("checkpoints/")):
        step(name, check_checkpoint, report, files, name, periods, heads)
    if not heads:
        report.bad("checkpoints", "no signed head of the log")
    step(CONSISTENCY, check_consistency, report, files, heads)
    step(ENTRIES, check_entries, report, files, manifest, heads, damaged)
    step(KEYS, check_rotations, report, own, heads)
    if report.unchecked:
        report.notes.append(
            f"{report.unchecked} signatures NOT checked: they need the Python package cryptography (48 or newer). "
            "A change of the signature bytes in manifest.sig would go unnoticed, and who signed is unknown"
        )
    if vkeys is None:
        report.notes.append("the keys are the bundle's own; give --vkeys FILE to know whose log this is")
    return report


def verify_proof(data: bytes, vkeys: bytes, body: bytes | None = None) -> Report:
    """Check a C2SP tlog-proof: an entry, or what has its leaf hash, stands under a head signed by these keys.

    Args:
        data: the proof file.
        vkeys: content of a trusted key file.
        body: the entry's bytes; else the leaf hash in the proof's `extra` line is taken.
    """
    report = Report()
    try:
        head, _, note = data.partition(b"\n\n")
        lines = head.decode("ascii").split("\n")
        if lines.pop(0) != PROOF:
            raise ValueError(f"the first line is not {PROOF}")
        extra = unbase64(lines.pop(0)[6:]) if lines[0].startswith("extra ") else b""
        index = re.fullmatch("index (0|[1-9][0-9]{0,18})", lines[0])
        if not index:
            raise ValueError("no index line")
        at, path = int(index[1]), [unbase64(line) for line in lines[1:]]
        origin, size, root = read_checkpoint(read_note(note)[0])
        keys = in_force(read_keys(vkeys), size)
        check_signatures(report, f"checkpoint {size}", note, keys, {1, 6}, others=True)
        if origin != keys[0][0]:
            report.bad(f"checkpoint {size}", f"of the log {origin}, the keys are of {keys[0][0]}")
        leaf = extra if body is None else leaf_hash(body)
        if not included(at, size, leaf, path, root):
            report.bad(f"entry {at}", f"not shown to be entry {at} of the {size} that were signed", at)
        report.checkpoints, report.entries = 1, 1
        what = f"an entry with the leaf hash {leaf.hex()}" if body is None else "this entry"
        report.notes.append(f"shown: {what} is entry {at} of the log {origin}")
        if report.unchecked:
            report.notes.append(f"{report.unchecked} signatures NOT checked: they need the Python package cryptography")
    except DAMAGED as error:
        report.bad("proof", f"damaged: {type(error).__name__}: {error}")
    return report


def check_keys(report: Report, files: Files, vkeys: bytes | None) -> tuple[list[Period], list[Period]]:
    """The bundle's keys, and those that heads are checked with: trusted ones where given, or what they became."""
    data = read(files, KEYS)
    own = read_keys(data)
    gone = [line for line in data.decode().splitlines() if line.startswith("revoked ")]
    report.notes += [f"{KEYS}: {line}: what it signed from there on counts under later heads only" for line in gone]
    if vkeys is None:
        return own, own
    trusted = read_keys(vkeys)
    if not (data.startswith(vkeys) or vkeys.startswith(data)):
        report.bad(KEYS, "not the trusted keys: this bundle is of another log, or was signed by somebody else")
    return own, own if data.startswith(vkeys) else trusted


def check_rotations(report: Report, own: list[Period], heads: dict[int, bytes]) -> None:
    """Each change of keys is an entry of the log, under a head that both pairs signed."""
    for (_, _, old), (start, _, new) in pairwise(own):
        if start not in heads:
            report.bad(KEYS, f"no head of size {start} hands over to the keys in force from there on")
        if report.rotations.get(start) != {"old": old, "new": new, "size": start}:
            report.bad(KEYS, f"no entry hands over to the keys in force from size {start}")


def check_manifest_signature(report: Report, files: Files, keys: list[Key], damaged: set[str]) -> None:
    """The manifest is the one that was signed."""
    text = check_signatures(report, SIGNATURE, read(files, SIGNATURE), keys, {1})
    digest = "sha256:" + hashlib.sha256(read(files, MANIFEST)).hexdigest()
    if text != f"{BUNDLE}\n{keys[0][0] if keys else ''}\n{digest}\n".encode():
        report.bad(MANIFEST, f"{MANIFEST} is not the file that {SIGNATURE} was made for")
        damaged.add(MANIFEST)


def check_manifest(report: Report, files: Files, keys: list[Key]) -> dict[str, Any]:
    """The manifest has the right form."""
    manifest: dict[str, Any] = read_json(read(files, MANIFEST))
    if sorted(manifest) != ["complete", "entries", "files", "origin", "runs", "schema", "size"]:
        raise ValueError("wrong fields")
    if manifest["schema"] != BUNDLE:
        raise ValueError(f"schema {manifest['schema']!r}, this program reads {BUNDLE!r}")
    if keys and manifest["origin"] != keys[0][0]:
        report.bad(MANIFEST, f"of the log {manifest['origin']}, the keys are of {keys[0][0]}")
    return manifest


def check_files(report: Report, files: Files, manifest: dict[str, Any], damaged: set[str]) -> None:
    """Every file is the one listed, and no other is there."""
    listed = manifest["files"]
    for name in sorted(set(files.names) - {MANIFEST, SIGNATURE}):
        hasher = hashlib.sha256()
        with files.open(name) as file:
            while chunk := file.read(1 << 20):
                hasher.update(chunk)
        report.hashes[name] = hasher.hexdigest()
        if listed and name not in listed:
            report.bad(name, "not listed in the manifest")
        elif listed and {"bytes": files.size(name), "sha256": report.hashes[name]} != listed[name]:
            report.bad(name, "not the file that the manifest lists")
            damaged.add(name)
    for name in sorted(set(listed) - set(files.names)):
        report.bad(name, "missing")
        damaged.add(name)


def check_checkpoint(report: Report, files: Files, name: str, periods: list[Period], heads: dict[int, bytes]) -> None:
    """One signed head: form, name, both signatures by the keys in force at its size."""
    note = read(files, name)
    origin, size, root = read_checkpoint(read_note(note)[0])
    keys = in_force(periods, size)
    check_signatures(report, name, note, keys, {1, 6})
    report.checkpoints += 1
    if name != f"checkpoints/{size}.note" or (keys and origin != keys[0][0]):
        report.bad(name, f"holds checkpoint {size} of the log {origin}")
    heads[size] = root


def check_consistency(report: Report, files: Files, heads: dict[int, bytes]) -> None:
    """Each head is a prefix of the next."""
    sizes = sorted(size for size in heads if size)
    proofs = read_json(read(files, CONSISTENCY))
    if [(p["old"], p["size"]) for p in proofs] != list(pairwise(sizes)):
        report.bad(CONSISTENCY, "does not connect the checkpoints one after the other")
    for proof in proofs:
        old, size = proof["old"], proof["size"]
        hashes = [unbase64(h) for h in proof["hashes"]]
        if old not in heads or size not in heads or not consistent(old, size, hashes, heads[old], heads[size]):
            report.bad(CONSISTENCY, f"checkpoint {old} is not shown to be a prefix of checkpoint {size}")


def check_entries(
    report: Report, files: Files, manifest: dict[str, Any], heads: dict[int, bytes], damaged: set[str]
) -> None:
    """Every entry, against its leaf hash and the signed roots."""
    complete, head = manifest["complete"], max(heads, default=0)
    proofs: dict[int, list[bytes]] = {}
    if complete is False:
        if f"checkpoints/{manifest.get('size')}.note" in damaged or head != manifest.get("size"):
            damaged.add(INCLUSION)  # a proof leads to a head that is not there: the entries are not to blame
        given = read_json(read(files, INCLUSION))
        proofs = {p["index"]: [unbase64(h) for h in p["hashes"]] for p in given["proofs"]}
        if given["size"] != head:
            report.bad(INCLUSION, f"proofs for the size {given['size']}, the newest checkpoint is {head}")
    edge: list[bytes] = []
    trusted, previous, whole = 0, -1, True
    with files.open(ENTRIES) as bodies, files.open(LEAVES) as leaves:
        while True:
            line, wanted = bodies.readline(), leaves.readline()
            if not line and not wanted:
                break
            count = report.entries
            try:
                number, hexed = wanted.decode().removesuffix("\n").split(" ")
                index, leaf = int(number), bytes.fromhex(hexed)
                if wanted != f"{index} {leaf.hex()}\n".encode() or index <= previous:
                    raise ValueError("spelling or order")
            except ValueError as error:
                report.bad(LEAVES, f"line {count + 1} is damaged: {error}")
                if not line:
                    break
                index, leaf = previous + 1, b""
            body = line.removesuffix(b"\n")
            found = leaf_hash(body)
            if found != leaf or not line.endswith(b"\n"):
                whole = False
                if leaf and (ENTRIES in damaged or LEAVES not in damaged):
                    report.bad(f"entry {index}", "its bytes are not those that were recorded", index)
            else:
                check_entry(report, manifest, index, body, damaged)
            if complete is False and not included(index, head, found, proofs.get(index, []), heads.get(head)):
                blame = index if whole and INCLUSION not in damaged and LEAVES not in damaged else None
                report.bad(f"entry {index}", "not shown to be in the signed log", blame)
            if complete:
                if whole and index != count:
                    report.bad(f"entry {count}", "missing", count)
                    whole = False
                push(edge, count, found)
                if count + 1 in heads and whole:
                    if heads[count + 1] == root_of(edge):
                        trusted = count + 1
                    elif f"checkpoints/{count + 1}.note" not in damaged:
                        what = f"entries {trusted} to {count} are not those that were signed"
                        report.bad(f"checkpoints/{count + 1}.note", what, trusted)
            report.entries, previous = count + 1, index
    if report.entries != manifest.get("entries", report.entries):
        report.bad(ENTRIES, f"{report.entries} entries, the manifest says {manifest['entries']}")
    if head != manifest.get("size", head) or (complete and report.entries != head):
        report.bad("checkpoints", f"the newest is {head}; {report.entries} entries, log size {manifest.get('size')}")


def check_entry(report: Report, manifest: dict[str, Any], index: int, body: bytes, damaged: set[str]) -> None:
    """Form of one entry, and its artefacts."""
    where = f"entry {index}"
    try:
        entry = read_json(body)
        if entry["schema"] != ENTRY or entry["index"] != index:
            raise ValueError(f"schema {entry['schema']!r}, index {entry['index']!r}")
        named = entry["facts"].get("artefacts", {})
        runs = manifest.get("runs")
    except DAMAGED as error:
        report.bad(where, f"malformed: {error}", index)
        return
    if entry["kind"] == ROTATED:
        report.rotations[index + 1] = entry["facts"]
    elif runs is not None and entry["run"] not in runs:
        report.bad(where, f"of run {entry['run']}, which was not selected", None if MANIFEST in damaged else index)
    for name, digest in named.items():
        if not DIGEST.fullmatch(digest):
            report.bad(where, f"the artefact {name} has a malformed digest", index)
            continue
        path = f"artefacts/sha256/{digest[7:9]}/{digest[7:]}"
        if report.hashes.get(path) != digest[7:]:
            report.bad(f"artefact {digest}", f"missing or changed (named by entry {index})", index)
        else:
            report.artefacts += 1


def summary(report: Report) -> str:
    """The report as text."""
    lines = [f"{where}: {what}" for where, what in report.problems]
    if report.count > len(report.problems):
        lines.append(f"and {report.count - len(report.problems)} more problems")
    if report.first_bad is not None:
        lines.append(f"first bad entry: {report.first_bad}")
    lines += [f"note: {note}" for note in report.notes]
    lines.append(
        f"{'FAIL' if report.count else 'PASS'}: {report.entries} entries, {report.artefacts} artefacts, "
        f"{report.checkpoints} checkpoints, {report.signatures} signatures checked, {report.unchecked} unchecked"
    )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """The command. Returns the exit status."""
    as_json = "--json" in arguments
    rest = [a for a in arguments if a != "--json"]
    try:
        given: dict[str, bytes] = {}
        for option in ("--vkeys", "--entry"):
            if option in rest:
                at = rest.index(option)
                with open(rest[at + 1], "rb") as file:
                    given[option] = file.read()
                del rest[at : at + 2]
        if len(rest) != 1 or rest[0].startswith("-"):
            raise NotABundle("usage: verify.py BUNDLE [--vkeys FILE] [--json]")
        if rest[0].endswith(".tlog-proof"):
            if "--vkeys" not in given:
                raise NotABundle("usage: verify.py NAME.tlog-proof --vkeys FILE [--entry FILE] [--json]")
            with open(rest[0], "rb") as file:
                report = verify_proof(file.read(65536), given["--vkeys"], given.get("--entry"))
        else:
            report = verify(rest[0], given.get("--vkeys"))
    except (NotABundle, OSError, IndexError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    shown = {name: value for name, value in vars(report).items() if name not in ("hashes", "rotations")}
    shown["verdict"] = "fail" if report.count else "pass"
    text = json.dumps(shown) if as_json else summary(report)
    sys.stdout.write(text + "\n")
    return 1 if report.count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
