"""`PostgresLedger`: a ledger in PostgreSQL, for many writers (imports store, address, schema, session).

Writers take turns under an advisory lock of the database. In its turn a writer first reads what others have added,
then writes its entries in one transaction. The lock only makes turns orderly: if it is lost (the server was restarted),
primary key and triggers still refuse whatever does not continue the log.

Keys lie in a folder, as those of a ledger on disk (`qimg_core.ledger.keys`), together with the newest head that this
folder's writers have signed: a database that was put back to an older state is refused.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, LedgerBusy, LedgerCorrupt, LedgerError, QimgError
from qimg_core.ledger import keys, rotation
from qimg_core.ledger.base import Problem
from qimg_core.ledger.history import REVOKED, ROTATED, KeyHistory, compare_entries
from qimg_stores.postgres_address import Address
from qimg_stores.postgres_schema import FORMAT, TRIGGERS
from qimg_stores.postgres_session import connect, lock_key, translated
from qimg_stores.postgres_store import LAST, PostgresStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qimg_core.ledger.base import Sealed
    from qimg_core.ledger.entry import Draft, Entry, Prepared
    from qimg_core.ledger.merkle import Frontier

_PAGE = 20000
_KEY_ENTRIES = (ROTATED, REVOKED)


class PostgresLedger(PostgresStore):
    """A ledger in a schema of a database. Open one with `open`; `qimg_stores.postgres_making.make` makes one."""

    _read_once = False

    @classmethod
    def open(cls, uri: str | Address, *, read_only: bool = False) -> PostgresLedger:
        """Open a ledger that is there.

        Args:
            uri: see `qimg_stores.postgres_address`.
            read_only: take no turns and sign nothing; also by ``read_only=true`` in the URI.

        Raises:
            ConfigurationError: malformed, no ledger there, or no folder with keys to write with.
            LedgerCorrupt: it contradicts its keys or its last signed head.
            LedgerError: keys are missing, or it was made by a newer version.
            StorageError: the database cannot be used.
        """
        address = Address.parse(uri) if isinstance(uri, str) else uri
        read_only = read_only or address.read_only
        if address.folder is None and not read_only:
            raise ConfigurationError(
                f"to write {address.where}, name the folder that holds its keys",
                hint="add folder=FOLDER to the URI, or read_only=true to look only",
            )
        db = connect(address)
        try:
            with translated(address):
                meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
            if meta.get("format") != str(FORMAT):
                raise LedgerError(
                    f"{address.where} has ledger format {meta.get('format')}, this version reads {FORMAT}",
                    hint="pip install --upgrade qimg-stores",
                )
            if address.folder is None:
                history, signer = KeyHistory.parse(meta["keys"]), None
            else:
                history = keys.load_history(address.folder)
                signer = None if read_only else keys.load(address.folder)
            if meta["keys"] != "".join(f"{key}\n" for key in history.periods[0].keys):
                raise LedgerCorrupt(
                    f"{address.where} is the log {meta['origin']} with other keys than those in {address.folder}",
                    hint=f"name the folder with the {keys.FOLDER}/{keys.PUBLIC} that was made with it",
                )
            ledger = cls(address, db, history, signer)
            if signer is not None:
                ledger.resume()
        except BaseException:
            db.close()
            raise
        return ledger

    def resume(self) -> None:
        """Read the log's hashes; refuse a log that contradicts what was signed, and keys that are not in force.

        A change of keys that was begun with this folder and cut off is finished. Done by `open`.

        Raises:
            LedgerBusy: another process changed the keys meanwhile.
            LedgerCorrupt: the log contradicts a signed head.
            LedgerError: the keys in the folder are not those in force.
        """
        folder = self.address.folder
        assert folder is not None
        with self.exclusive():
            self._compare_pinned()
            if keys.load_history(folder).text != self.history.text:
                raise LedgerBusy(f"the keys of {self.origin} were changed meanwhile", hint="open it again")
            rotation.finish(self, folder)
            rotations, revocations = self.entries(kind=ROTATED), self.entries(kind=REVOKED)
            problems, begun = compare_entries(self.history, rotations, revocations, len(self))
            said = [f"{where}: {what}" for where, what, _ in problems] + begun
            if said:
                raise LedgerError(
                    f"the keys in {folder} are not those in force in {self.address.where}: {said[0]}",
                    hint=f"copy {keys.FOLDER}/ from the writer that changed them",
                )

    def _compare_pinned(self) -> None:
        pinned, have = self._pinned_head(), self._frontier.size
        if pinned is None or pinned.size == 0:
            return
        if pinned.size > have or self.inclusion(pinned.size - 1, pinned.size).root != pinned.root:
            raise LedgerCorrupt(
                f"the log of {have:,} entries in {self.address.where} contradicts the head over {pinned.size:,} "
                "that was signed here: the database was put back or changed",
                hint="qimg verify URI",
                checkpoint=pinned.size,
            )

    # Turns

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While the block runs, no other writer, in any process, appends or signs."""
        with self._mutex:
            self._writing()
            if self._turns == 0:
                self._begin_turn()
            self._turns += 1
            try:
                yield
            finally:
                self._turns -= 1
                if self._turns == 0:
                    self._end_turn()

    def _begin_turn(self) -> None:
        self._query("SELECT pg_advisory_lock(%s)", (lock_key(self.address.schema),))
        try:
            self._catch_up()
        except BaseException:
            self._end_turn()
            raise

    def _end_turn(self) -> None:
        if not self._db.closed:  # with the connection the lock has gone too
            with self.session() as db:
                db.execute("SELECT pg_advisory_unlock(%s)", (lock_key(self.address.schema),))

    def _catch_up(self) -> None:
        """What other writers have added: the frontier grows, and each new signed head must fit it."""
        ((have, signed),) = self._query(
            "SELECT (SELECT coalesce(max(idx), -1) + 1 FROM entry), (SELECT coalesce(max(size), -1) FROM checkpoint)"
        )
        if self._read_once and (have, signed) == (self._frontier.size, self._heads_seen):
            return
        frontier = self._frontier.copy()
        heads = dict(self._query("SELECT size, root FROM checkpoint WHERE size > %s", (self._heads_seen,)))
        _compare(frontier, heads)
        while True:
            page = self._query(
                "SELECT idx, leaf, kind FROM entry WHERE idx >= %s ORDER BY idx LIMIT %s", (frontier.size, _PAGE)
            )
            for index, leaf, kind in page:
                if index != frontier.size:
                    raise LedgerCorrupt(f"entry {frontier.size} is missing in {self.address.where}")
                if kind in _KEY_ENTRIES and self._read_once:
                    raise LedgerError(
                        f"another writer changed the keys of {self.origin} (entry {index})",
                        hint="open the ledger again, with the new keys in its folder",
                    )
                if self._tree is not None and self._tree.size == index:
                    self._tree.append(leaf)
                frontier.append(leaf)
                _compare(frontier, heads)
            if len(page) < _PAGE:
                break
        if heads:
            raise LedgerCorrupt(f"a head over {min(heads):,} entries was signed, and there are {frontier.size:,}")
        if (have, signed) < (frontier.size, self._heads_seen) or have != frontier.size:
            raise LedgerCorrupt(f"the log in {self.address.where} has {have:,} entries and had {frontier.size:,}")
        self._frontier, self._heads_seen, self._read_once = frontier, signed, True

    def extend(self, drafts: Iterable[Draft]) -> tuple[Entry, ...]:
        """Write several entries in one commit: all of them or none. See `Ledger.extend`."""
        with self.exclusive():
            return super().extend(drafts)

    def _seal_all(self, calls: Sequence[tuple[Prepared, ...]]) -> list[Sealed | Exception]:
        with self.exclusive():
            return super()._seal_all(calls)

    def checkpoint(self) -> bytes:
        """The signed note of the current head. See `Ledger.checkpoint`."""
        with self.exclusive():
            return super().checkpoint()

    def oddities(self) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
        """What only a ledger in a database can have: a database that was put back, triggers that were dropped."""
        problems: list[Problem] = []
        notes: list[str] = []
        try:
            pinned = self._pinned_head()
        except QimgError as error:
            problems.append(Problem(f"{keys.FOLDER}/{LAST}", error.message))
        else:
            known = {(head.size, head.root) for head in self.heads()}
            if pinned is not None and (pinned.size, pinned.root) not in known:
                what = f"checkpoint {pinned.size} was signed and is not in the database: it was put back"
                problems.append(Problem(f"{keys.FOLDER}/{LAST}", what))
        if self.folder is None:
            notes.append("the keys are those that the database names: give folder=FOLDER with keys that you trust")
        found = {
            name
            for (name,) in self._query(
                "SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = %s AND NOT tgisinternal AND tgenabled <> 'D'",
                (self.address.schema,),
            )
        }
        lost = sorted(set(TRIGGERS) - found)
        if lost:
            notes.append(f"append-only triggers are missing or disabled: {', '.join(lost)}")
        return tuple(problems), tuple(notes)


def _compare(frontier: Frontier, heads: dict[int, bytes]) -> None:
    root = heads.pop(frontier.size, None)
    if root is not None and root != frontier.root():
        raise LedgerCorrupt(
            f"the log contradicts the head over {frontier.size:,} entries that was signed", hint="qimg verify URI"
        )
