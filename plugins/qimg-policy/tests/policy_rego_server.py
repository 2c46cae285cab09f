"""OPA's REST Data API on loopback, deciding by real Rego: rego-cpp (regopy) evaluates the modules.

As OPA's REST API reference documents it (openpolicyagent.org/docs/rest-api, "Get a Document (with Input)"): an
undefined document answers 200 without ``result``; an error of the evaluation answers 500; sets are arrays in JSON.
"""

import contextlib
import http.server
import json
import socket
import threading
from importlib.metadata import version

from regopy import Interpreter, RegoError


class _Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.evaluate(self.path, body["input"])
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class RegoServer(http.server.ThreadingHTTPServer):
    """Serves one module; ``asked`` counts questions."""

    daemon_threads = True

    def __init__(self, module, revision="", address=("127.0.0.1", 0)):
        super().__init__(address, _Api)
        self.revision, self.asked, self._open = revision, 0, []
        self._rego, self._lock, self._compiled = Interpreter(), threading.Lock(), {}
        self._rego.add_module("module.rego", module)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request, address):
        self._open.append(request)
        super().process_request(request, address)

    def hang_up(self):
        """Close what clients keep open, as a server that ends does."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def evaluate(self, path, given):
        """Status and answer."""
        name, _, query = path.partition("?")
        bundles = {"bundle.tar.gz": {"revision": self.revision}} if self.revision else {}
        provenance = {"version": f"rego-cpp {version('regopy')}", "bundles": bundles}
        answer = {"provenance": provenance} if "provenance=true" in query else {}
        with self._lock:
            self.asked += 1
            try:
                found = self.value(name.removeprefix("/v1/data/"), given)
            except RegoError as error:
                return 500, {"code": "internal_error", "message": str(error)[:200]}
        return 200, {**answer, **found}

    def value(self, path, given):
        """``{"result": ...}``, or ``{}`` where the document is undefined."""
        if path not in self._compiled:
            self._compiled[path] = self._rego.build("data." + path.replace("/", "."))
        self._rego.set_input(given)
        text = str(self._rego.query_bundle(self._compiled[path]))
        return {} if text == "undefined" else {"result": json.loads(text)["expressions"][0]}


@contextlib.contextmanager
def serving(module, revision="", address=("127.0.0.1", 0)):
    """A running server."""
    server = RegoServer(module, revision, address)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.hang_up()
