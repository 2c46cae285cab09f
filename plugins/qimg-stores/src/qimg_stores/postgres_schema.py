"""The tables of a ledger in PostgreSQL, and the roles that may use them (imports nothing).

Constraints and triggers hold whoever writes: an entry's leaf is the hash of its body, entries have no gaps,
checkpoints only grow, nothing is changed or deleted. The owner can drop them: the writers' role must not be it.
"""

from __future__ import annotations

FORMAT = 1
TABLE_NAMES = ("meta", "entry", "retry", "checkpoint", "artefact", "artefact_part")

TABLES = (
    "CREATE TABLE meta(name text PRIMARY KEY, value text NOT NULL)",
    """CREATE TABLE entry(
        idx bigint PRIMARY KEY CHECK (idx >= 0),
        run text, kind text NOT NULL, time text NOT NULL,
        body bytea NOT NULL CHECK (length(body) <= 65535),
        leaf bytea NOT NULL,
        CONSTRAINT entry_leaf_is_hash CHECK (leaf = sha256('\\x00'::bytea || body)))""",
    "ALTER TABLE entry ALTER COLUMN body SET STORAGE EXTERNAL",
    "CREATE INDEX entry_run ON entry(run, idx) WHERE run IS NOT NULL",
    "CREATE INDEX entry_kind ON entry(kind, idx)",
    "CREATE TABLE retry(key text PRIMARY KEY, idx bigint NOT NULL)",
    """CREATE TABLE checkpoint(
        size bigint PRIMARY KEY CHECK (size >= 0),
        root bytea NOT NULL CHECK (length(root) = 32),
        note bytea NOT NULL)""",
    """CREATE TABLE artefact(
        digest bytea PRIMARY KEY CHECK (length(digest) = 32),
        bytes bigint NOT NULL CHECK (bytes >= 0),
        parts integer NOT NULL CHECK (parts >= 0))""",
    """CREATE TABLE artefact_part(
        digest bytea NOT NULL REFERENCES artefact(digest),
        part integer NOT NULL CHECK (part >= 0),
        data bytea NOT NULL,
        PRIMARY KEY (digest, part))""",
    "ALTER TABLE artefact_part ALTER COLUMN data SET STORAGE EXTERNAL",
)

FUNCTIONS = (
    """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the ledger is append-only: no % of %', TG_OP, TG_TABLE_NAME; END $$""",
    """CREATE FUNCTION entries_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE lowest bigint; highest bigint; many bigint; before bigint;
    BEGIN
        SELECT min(idx), max(idx), count(*) INTO lowest, highest, many FROM added;
        IF many = 0 THEN RETURN NULL; END IF;
        EXECUTE format('SELECT coalesce(max(idx), -1) FROM %I.entry WHERE idx < $1', TG_TABLE_SCHEMA)
            INTO before USING lowest;
        IF lowest <> before + 1 OR highest <> lowest + many - 1 THEN
            RAISE EXCEPTION 'entries have no gaps: % to % after %', lowest, highest, before;
        END IF;
        RETURN NULL;
    END $$""",
    """CREATE FUNCTION checkpoint_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE largest bigint; have bigint;
    BEGIN
        EXECUTE format('SELECT coalesce(max(size), -1) FROM %I.checkpoint', TG_TABLE_SCHEMA) INTO largest;
        EXECUTE format('SELECT coalesce(max(idx), -1) + 1 FROM %I.entry', TG_TABLE_SCHEMA) INTO have;
        IF NEW.size <= largest OR NEW.size > have THEN
            RAISE EXCEPTION 'checkpoints only grow: % after %, over % entries', NEW.size, largest, have;
        END IF;
        RETURN NEW;
    END $$""",
    """CREATE FUNCTION part_belongs() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE wanted integer;
    BEGIN
        EXECUTE format('SELECT parts FROM %I.artefact WHERE digest = $1', TG_TABLE_SCHEMA)
            INTO wanted USING NEW.digest;
        IF wanted IS NULL OR NEW.part >= wanted THEN
            RAISE EXCEPTION 'the artefact has no part %', NEW.part;
        END IF;
        RETURN NEW;
    END $$""",
)

TRIGGERS = {
    **{
        f"{table}_append_only": (
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        )
        for table in TABLE_NAMES
    },
    "entry_in_order": (
        "CREATE TRIGGER entry_in_order AFTER INSERT ON entry REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION entries_in_order()"
    ),
    "checkpoint_in_order": (
        "CREATE TRIGGER checkpoint_in_order BEFORE INSERT ON checkpoint "
        "FOR EACH ROW EXECUTE FUNCTION checkpoint_in_order()"
    ),
    "part_belongs": (
        "CREATE TRIGGER part_belongs BEFORE INSERT ON artefact_part FOR EACH ROW EXECUTE FUNCTION part_belongs()"
    ),
}


def role_script(schema: str, writer: str, reader: str) -> str:
    """SQL that makes a role that may only add to a ledger, and one that may only read it.

    Args:
        schema: of the ledger; a plain lower-case name.
        writer: name of the writers' group role.
        reader: name of the readers' group role.

    Run it as the owner of the schema with the right to make roles; give people and programs their own logins and
    make them members.
    """
    tables = ", ".join(f"{schema}.{name}" for name in TABLE_NAMES if name != "meta")
    return f"""-- roles of the ledger in the schema {schema}; who owns the schema must not be who writes
CREATE ROLE "{writer}" NOLOGIN;
CREATE ROLE "{reader}" NOLOGIN;
REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
GRANT USAGE ON SCHEMA {schema} TO "{writer}", "{reader}";
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO "{writer}", "{reader}";
GRANT INSERT ON {tables} TO "{writer}";
-- then, for each program: CREATE ROLE name LOGIN IN ROLE "{writer}";  its password: \\password name
"""
