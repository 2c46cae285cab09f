"""``qimg witness``: keys, server and memory of a witness (imports click and the core's output)."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit, say, table
from qimg_core.errors import ConfigurationError
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from qimg_core.ledger.note import VerifierKey

_key = click.option("--key", required=True, metavar="FILE", help="The witness's key file; its memory is FILE.heads.")
_logs = click.option("--logs", required=True, metavar="FILE", help="The logs' public keys, a vkey a line.")


@click.group()
def witness() -> None:
    """Be a witness: remember the heads of other people's logs, and cosign them (C2SP tlog-witness)."""


@witness.command()
@_key
@click.option("--new", metavar="NAME", help="Make keys for a new witness, e.g. witness.example/w1.")
@json_option
def keys(key: str, new: str | None) -> None:
    """Print the public keys of a witness, for the policies of those who trust it; --new makes them."""
    from qimg_anchors.keys import create, load

    found = create(Path(key), new) if new is not None else load(Path(key))
    listed = [{"type": f"0x{k.kind:02x}", "vkey": str(k)} for k in found.keys]
    emit({"witness": found.name, "keys": listed}, [str(k) for k in found.keys])


@witness.command()
@_logs
@_key
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8477, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@json_option
def serve(logs: str, key: str, host: str, port: int) -> ExitCode:
    """Serve until Ctrl-C: POST /add-checkpoint, GET /HASH/checkpoint. TLS is the matter of a proxy in front."""
    from qimg_anchors.heads import Heads
    from qimg_anchors.keys import heads_of, load
    from qimg_anchors.server import WitnessServer
    from qimg_anchors.witness import Witness

    known, cosigner = _read_logs(logs), load(Path(key))
    if not known:
        raise ConfigurationError(f"{logs} names no log", hint="give it the vkeys of a ledger's keys/log.vkeys")
    heads = Heads(heads_of(Path(key)), cosigner.keys)
    try:
        server = WitnessServer(Witness(cosigner, known, heads), host, port)
        _log_to_stderr()
        emit(
            {"witness": cosigner.name, "url": server.url, "logs": sorted(known)},
            [f"{cosigner.name} cosigns {len(known)} logs on {server.url}"],
        )
        sys.stdout.flush()
        _until_signal(server.serve_forever, server.stop)
        server.close()
    finally:
        heads.close()
    return ExitCode.OK


@witness.command()
@_logs
@_key
@json_option
def log(logs: str, key: str) -> None:
    """The logs of a witness, and the newest head of each that it cosigned."""
    from qimg_anchors.heads import Heads
    from qimg_anchors.keys import heads_of, load

    cosigner = load(Path(key))
    heads = Heads(heads_of(Path(key)), cosigner.keys, locked=False)
    listed: list[dict[str, Any]] = []
    for origin in sorted(_read_logs(logs)):
        held = heads.read(origin)
        head = None if held is None else held.head
        listed.append(
            {
                "log": origin,
                "size": None if head is None else head.size,
                "root": None if head is None else head.root.hex(),
            }
        )
    rows = [[one["log"], "never" if one["size"] is None else f"{one['size']:,}", one["root"] or ""] for one in listed]
    emit({"witness": cosigner.name, "logs": listed}, table(["LOG", "SIZE", "ROOT"], rows))


def _read_logs(logs: str) -> dict[str, tuple[VerifierKey, ...]]:
    from qimg_anchors.witness import read_logs

    try:
        return read_logs(Path(logs).read_bytes(), logs)
    except FileNotFoundError as error:
        raise ConfigurationError(f"no file {logs}", hint="a vkey a line: keys/log.vkeys of each ledger") from error
    except OSError as error:
        raise storage_error(error, "read", logs) from error


def _log_to_stderr() -> None:
    """One line a request: what was asked and answered, no addresses."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(self.format(record))

    found = logging.getLogger("qimg.witness")
    found.setLevel(logging.INFO)
    found.propagate = False
    found.handlers = [Lines()]


def _until_signal(serve: Any, stop: Any) -> None:
    """Serve until Ctrl-C or SIGTERM; both are a good end."""
    with contextlib.suppress(ValueError):  # not the main thread: the caller stops it
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop, daemon=True).start())
    with contextlib.suppress(KeyboardInterrupt):
        serve()
