"""A loopback HTTP server that plays a provider, with faults (floor 8; standard library only).

A provider plugin subclasses `FakeServer`, answers its routes in `handle`, and says in `stage` which
requests submit a job, ask for its state, or fetch its result; the faults strike there. A fake proves
protocol and failure handling, not that a live account works.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve, field, frozen

from qimg_core.testing.faults import Fault, Faults, Point, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

Stage = Literal["submit", "poll", "results", "other"]


@frozen
class Request:
    """What arrived. ``path`` without the query; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)


@frozen
class Response:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)
    content_type: str = "application/json"

    @classmethod
    def json(cls, document: Any, status: int = 200, **headers: str) -> Response:
        """A JSON answer; underscores in header names become hyphens."""
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return cls(status, json.dumps(document).encode(), named)


class FakeServer(ABC):
    """A provider on a loopback port, running while the ``with`` block does.

    Args:
        faults: what goes wrong; `faults` can be changed at any time.

    Attributes:
        seen: every request, in order.
        url: ``http://127.0.0.1:PORT``.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.seen: list[Seen] = []
        self.lock = threading.RLock()
        self._released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes: else every answer waits for an ACK

            def _do(self) -> None:
                server._answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _do  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @abstractmethod
    def stage(self, request: Request) -> Stage:
        """What a request is for."""

    @abstractmethod
    def handle(self, request: Request) -> Response:
        """The provider's right answer. Called under no lock; take `lock` around shared state."""

    def unknown_state(self, response: Response) -> Response:
        """The answer to a state question with a state that the documentation does not have."""
        return response

    def recalibrate(self) -> None:
        """Change the device's calibration."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._released.set()
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, http: BaseHTTPRequestHandler) -> None:
        length = int(http.headers.get("Content-Length") or 0)
        path, _, query = http.path.partition("?")
        headers = {k.lower(): v for k, v in http.headers.items()}
        request = Request(http.command, path, query, headers, http.rfile.read(length))
        self.seen.append(Seen(http.command, http.path, request.body, "authorization" in headers))
        stage = self.stage(request)
        response: Response | None = None
        fault = self.faults.take(Point.BEFORE_SEND) if stage == "submit" else None
        if fault is None:
            response = self.handle(request)
            point = {
                "submit": Point.AFTER_ACCEPT,
                "poll": Point.AFTER_ACKNOWLEDGEMENT,
                "results": Point.DURING_DOWNLOAD,
            }.get(stage)
            fault = None if point is None or response.status >= 300 else self.faults.take(point)
        if fault is not None:
            response = self._spoiled(fault, response)
        self._send(http, response)

    def _spoiled(self, fault: Fault, response: Response | None) -> Response | None:
        """The answer after a fault; None closes the connection without one."""
        if fault in (Fault.TOO_MANY, Fault.ERROR, Fault.UNAVAILABLE):
            headers = {"Retry-After": "1"} if fault is Fault.TOO_MANY else {}
            message = json.dumps({"error": fault.name.lower(), "message": f"injected {fault.value}"})
            return Response(int(fault.value), message.encode(), headers)
        if fault is Fault.HANG:
            self._released.wait(30)
            return None
        if fault is Fault.GARBAGE:
            return Response(200, b"<html>scheduled maintenance</html>", content_type="text/html")
        if fault is Fault.MISSING_FIELDS:
            return Response(200, b"{}")
        if fault is Fault.DROPPED or response is None:
            return None
        if fault is Fault.UNKNOWN_STATE:
            return self.unknown_state(response)
        if fault is Fault.PARTIAL:
            return evolve(response, body=response.body[: max(1, len(response.body) // 2)])
        self.recalibrate()
        return response

    @staticmethod
    def _send(http: BaseHTTPRequestHandler, response: Response | None) -> None:
        try:
            if response is None:
                http.close_connection = True
                http.connection.shutdown(2)
                return
            http.send_response(response.status)
            http.send_header("Content-Type", response.content_type)
            http.send_header("Content-Length", str(len(response.body)))
            for name, value in response.headers.items():
                http.send_header(name, value)
            http.end_headers()
            if http.command != "HEAD":
                http.wfile.write(response.body)
        except OSError:  # the client is gone, which is what some tests want
            http.close_connection = True
