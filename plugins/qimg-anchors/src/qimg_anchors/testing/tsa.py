"""`LocalTSA`: a time-stamping authority of ``openssl ts`` on a loopback port (standard library; needs openssl).

For tests and examples only: its keys are made anew each time, and lie unprotected in the folder.
"""

from __future__ import annotations

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

POLICY = "1.2.3.4.1"
_CONFIGURATION = f"""
[tsa]
default_tsa = here
[here]
serial = ./serial
crypto_device = builtin
signer_digest = sha256
default_policy = {POLICY}
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[req]
distinguished_name = dn
[dn]
"""
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class LocalTSA:
    """An authority with a root of its own; runs while the ``with`` block does.

    Args:
        folder: an existing folder for its keys and certificates.

    Attributes:
        url: where it answers ``POST``.
        roots: PEM file with its root certificate.
        answer: set it to change what goes back: takes and gives the DER of a reply.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.roots = folder / "root.pem"
        (folder / "tsa.cnf").write_text(_CONFIGURATION)
        (folder / "serial").write_text("01")
        root = ("-keyout", "root.key", "-out", "root.pem", "-days", "3650", "-subj", "/CN=qimg test root")
        self._openssl("req", "-config", "tsa.cnf", "-x509", *_EC, *root, "-extensions", "root")
        leaf = ("-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=qimg test TSA")
        self._openssl("req", "-config", "tsa.cnf", *_EC, *leaf)
        signed = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out", "tsa.pem", "-days", "3650")
        self._openssl("x509", "-req", "-in", "tsa.csr", *signed, "-extfile", "tsa.cnf", "-extensions", "leaf")
        self._turn = threading.Lock()
        self.answer: Any = lambda reply: reply

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/tsa"

    def stamp(self, query: bytes) -> bytes:
        """The reply to a time-stamp query, both DER."""
        with self._turn:
            (self._folder / "query.tsq").write_bytes(query)
            signing = ("-queryfile", "query.tsq", "-inkey", "tsa.key", "-signer", "tsa.pem", "-out", "reply.tsr")
            self._openssl("ts", "-reply", "-config", "tsa.cnf", *signing)
            return (self._folder / "reply.tsr").read_bytes()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(("openssl", *arguments), cwd=self._folder, check=True, capture_output=True)

    def __enter__(self) -> Self:
        tsa = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                reply = tsa.answer(tsa.stamp(query))
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
