"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.hooks import CommandSpec, OutsideMemorySpec, hookimpl

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger


@hookimpl
def qimg_outside_memories() -> list[OutsideMemorySpec]:
    """``archive``: an S3 bucket with Object Lock, or a folder."""
    summary = "a write-once archive: an S3 bucket with Object Lock, or a tamper-resistant folder"
    return [OutsideMemorySpec(name="archive", target="qimg_stores.places:open_archive", summary=summary)]


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg archive``, ``qimg postgres``."""
    archive = "a write-once copy of a ledger: prepare, keep, audit, restore"
    postgres = "a ledger in PostgreSQL, for many writers: make it, print its roles"
    return [
        CommandSpec(name="archive", target="qimg_stores.archive_command:archive", summary=archive),
        CommandSpec(name="postgres", target="qimg_stores.postgres_command:postgres", summary=postgres),
    ]


@hookimpl
def qimg_open_ledger(uri: str, read_only: bool) -> Ledger | None:
    """``postgresql://...``"""
    if not uri.startswith("postgresql://"):
        return None
    from qimg_stores.postgres import PostgresLedger

    return PostgresLedger.open(uri, read_only=read_only)
