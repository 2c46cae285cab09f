"""``qimg verify`` of what stands without a ledger: a published log, a tlog-proof (imports ledger)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from qimg_core.ledger.base import Verification


def check_published(where: str, *, vkeys: str | None, entry: str | None, strict: bool) -> Verification | None:
    """Verify a published log (folder or http address) or a proof file; None where it is neither.

    Args:
        where: what the user named.
        vkeys: file of trusted keys. A proof needs it.
        entry: file with the bytes of the entry that a proof is for.
        strict: read each published entry strictly too.

    Raises:
        ConfigurationError: an option that does not fit.
        StorageError: something cannot be read.
    """
    from qimg_core.ledger.database import DATABASE
    from qimg_core.ledger.proof import SUFFIX
    from qimg_core.ledger.tile_log import CHECKPOINT, verify_published

    path = Path(where)
    keys = None if vkeys is None else read_file(vkeys)
    if path.suffix == SUFFIX and "://" not in where:
        return _proof(path, keys, None if entry is None else read_file(entry))
    if entry is not None:
        raise ConfigurationError(f"--entry is for proofs, and {where} is no {SUFFIX} file")
    local = (path / CHECKPOINT).is_file() and not (path / DATABASE).exists()
    if where.startswith(("http://", "https://")) or local:
        return verify_published(where, vkeys=keys, strict=strict)
    return None


def _proof(path: Path, keys: bytes | None, body: bytes | None) -> Verification:
    from qimg_core.ledger.base import Problem, Verification
    from qimg_core.ledger.history import KeyHistory
    from qimg_core.ledger.proof import LogProof
    from qimg_core.verdict import Verdict

    if keys is None:
        raise ConfigurationError("a proof holds no keys", hint=f"qimg verify {path} --vkeys FILE (the log's log.vkeys)")
    try:
        shown = LogProof.parse(read_file(str(path))).check(KeyHistory.parse(keys.decode()), body)
    except (LedgerCorrupt, UnicodeDecodeError) as error:
        return Verification(verdict=Verdict.FAIL, checkpoints=1, problems=(Problem(str(path), str(error)),))
    what = f"an entry with the leaf hash {shown.leaf.hex()}" if body is None else "this entry"
    head = shown.checkpoint
    notes = [f"{what} is entry {shown.index} of the log {head.origin}, under its signed head over {head.size:,}"]
    if body is None:
        notes.append("no entry was looked at; give its bytes with --entry FILE")
    if shown.revoked:
        notes.append("only keys that were revoked before this size signed it: by itself the head shows nothing")
    return Verification(
        verdict=Verdict.INCONCLUSIVE if shown.revoked else Verdict.PASS,
        entries=0 if body is None else 1,
        checkpoints=1,
        signatures=len(shown.verified),
        notes=tuple(notes),
    )


def read_file(name: str) -> bytes:
    """The bytes of a file that an option names.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise storage_error(error, "read", name) from error
