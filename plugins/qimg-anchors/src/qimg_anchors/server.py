"""A witness on HTTP: two paths over the standard library's server (imports witness).

For one witness of some logs: a thread a connection, bodies up to 256 KiB, 30 seconds a read, plain HTTP on the
loopback interface unless told otherwise. TLS, more than a few dozen connections at once and limits of rate are
the matter of a reverse proxy in front of it.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from qimg_anchors.witness import Answer
from qimg_core.errors import ConfigurationError, QimgError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from qimg_anchors.witness import Witness

LONGEST = 256 * 1024
_SHOWN = re.compile(r"/([0-9a-f]{64})/checkpoint")

log = logging.getLogger("qimg.witness")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nobody's fault here; the base class would print who it was."""
        log.debug("a connection broke")


class _Server6(_Server):
    address_family = socket.AF_INET6


class WitnessServer:
    """Serves a witness. As a context manager it runs in a thread of its own.

    Args:
        witness: what decides.
        host: address to listen on.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: the address cannot be had.
    """

    def __init__(self, witness: Witness, host: str = "127.0.0.1", port: int = 0) -> None:
        class Handler(_Handler):
            asked = witness

        server = _Server6 if ":" in host else _Server
        try:
            self._http = server((host, port), Handler)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """``http://HOST:PORT``: submission prefix and monitoring prefix."""
        host, port = self._http.server_address[:2]
        shown = host.decode() if isinstance(host, (bytes, bytearray)) else str(host)
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    def serve_forever(self) -> None:
        """Serve in this thread until `stop` is called from another, or a signal ends it."""
        self._http.serve_forever(0.2)

    def stop(self) -> None:
        """End `serve_forever`. Never from the thread that serves."""
        self._http.shutdown()

    def close(self) -> None:
        """Close the socket."""
        self._http.server_close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        self._thread.join()
        self.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection; ``asked`` is the witness."""

    asked: Witness
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "qimg-witness", ""
    disable_nagle_algorithm = True  # headers and body are two writes: else every answer waits for an ACK
    timeout = 30

    def do_POST(self) -> None:
        """``add-checkpoint``."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not re.fullmatch(r"[0-9]{1,9}", length):
            self._end(HTTPStatus.LENGTH_REQUIRED)
        elif int(length) > LONGEST:
            self._end(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self.close_connection = True  # it broke on the way: nobody is there to be answered
            elif self.path == "/add-checkpoint":
                self._answer(self._judged(body))
            else:
                self._answer(_plain(HTTPStatus.NOT_FOUND))

    def do_GET(self) -> None:
        """The newest head of a log."""
        shown = _SHOWN.fullmatch(self.path)
        if shown:
            self._answer(self.asked.checkpoint(shown[1]))
        else:
            self._answer(
                _plain(HTTPStatus.METHOD_NOT_ALLOWED if self.path == "/add-checkpoint" else HTTPStatus.NOT_FOUND)
            )

    def _judged(self, body: bytes) -> Answer:
        try:
            return self.asked.add_checkpoint(body)
        except QimgError as error:  # it could not be remembered, so it is not cosigned
            log.error("%s", error.message)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        except Exception:
            log.exception("add-checkpoint failed")
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _end(self, status: HTTPStatus) -> None:
        """Answer without having read the body, so the connection cannot go on."""
        self.close_connection = True
        self._answer(_plain(status))

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        log.info("%s %s %d %s", self.command, self.path[:100], answer.status, answer.about)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """The base class's own lines, with addresses, are not kept."""


def _plain(status: HTTPStatus) -> Answer:
    return Answer(status, f"{status.phrase}\n".encode())
