"""The tables of a ledger database (imports nothing).

Triggers stop accidents, not attackers: who can write the file can drop them. `verify` finds both.
"""

from __future__ import annotations

APPLICATION_ID = 0x716C6F67  # "qlog"
FORMAT = 1

TABLES = (
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE entry(
        idx INTEGER PRIMARY KEY CHECK(idx >= 0),
        run TEXT, kind TEXT NOT NULL, time TEXT NOT NULL,
        body BLOB NOT NULL,
        leaf BLOB NOT NULL CHECK(length(leaf) = 32)) STRICT""",
    "CREATE INDEX entry_run ON entry(run, idx) WHERE run IS NOT NULL",
    "CREATE INDEX entry_kind ON entry(kind, idx)",
    """CREATE TABLE checkpoint(
        size INTEGER PRIMARY KEY,
        root BLOB NOT NULL CHECK(length(root) = 32),
        note BLOB NOT NULL) STRICT""",
)

# Of later versions of the same format; made where missing. An older version does not look at them.
ADDED = (
    """CREATE TABLE IF NOT EXISTS retry(
        key TEXT PRIMARY KEY,
        idx INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
)


def _refuse(table: str, verb: str) -> str:
    return (
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    )


TRIGGERS = {
    **{f"{t}_no_{v.lower()}": _refuse(t, v) for t in ("entry", "checkpoint", "meta") for v in ("UPDATE", "DELETE")},
    "entry_in_order": (
        "CREATE TRIGGER IF NOT EXISTS entry_in_order BEFORE INSERT ON entry "
        "WHEN NEW.idx <> (SELECT coalesce(max(idx) + 1, 0) FROM entry) "
        "BEGIN SELECT RAISE(ABORT, 'entries have no gaps'); END"
    ),
    "checkpoint_in_order": (
        "CREATE TRIGGER IF NOT EXISTS checkpoint_in_order BEFORE INSERT ON checkpoint "
        "WHEN NEW.size <= (SELECT coalesce(max(size), -1) FROM checkpoint) "
        "BEGIN SELECT RAISE(ABORT, 'checkpoints only grow'); END"
    ),
}
