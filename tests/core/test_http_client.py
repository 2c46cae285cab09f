"""One attempt a call; every failure is one of qimg's errors; secrets are in none of them; mutual TLS."""

import datetime as dt
import http.server
import ipaddress
import json
import logging
import ssl
import threading
import traceback

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import qimg_core
from qimg_core.answer import retry_after
from qimg_core.credentials import Credential, FromCallable, Secret
from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    ConfigurationError,
    JobLost,
    ProtocolError,
    QimgError,
    RateLimited,
    ResultError,
    SubmissionRejected,
    SubmissionUncertain,
)
from qimg_core.http import RestClient
from qimg_core.tls import Tls

CANARY = "sk-canary-0123456789"


def issuing(*values):
    """A credential whose source gives these one after the other, the last for ever."""
    left = list(values)
    return Credential(FromCallable(lambda: (left.pop(0) if len(left) > 1 else left[0], None)), purpose="test key")


class Scripted:
    """A transport with an answer for each request, which it keeps as it was sent."""

    def __init__(self, *answers):
        self.answers, self.sent = list(answers), []

    def __call__(self, request):
        self.sent.append((request.method, str(request.url), dict(request.headers), request.content))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer)


def client(script, credential=None, **options):
    return RestClient(
        "https://api.example/v1",
        provider="Example",
        credential=credential or issuing(CANARY),
        transport=httpx.MockTransport(script),
        **options,
    )


def test_what_is_sent_and_nothing_else_about_this_machine():
    script = Scripted(httpx.Response(201, json={"id": "7"}), httpx.Response(200, json=[1]))
    with client(script, scheme="apiKey") as rest:
        answer = rest.post("/jobs", {"a": [1.5, "x"]})
        assert (answer.status, answer.json()) == (201, {"id": "7"})
        assert rest.get("/jobs", {"limit": 3}).json() == [1]
    method, url, headers, body = script.sent[0]
    assert (method, url, json.loads(body)) == ("POST", "https://api.example/v1/jobs", {"a": [1.5, "x"]})
    assert headers.pop("authorization") == f"apiKey {CANARY}"
    assert headers == {
        "host": "api.example",
        "accept": "application/json",
        "accept-encoding": headers["accept-encoding"],
        "connection": "keep-alive",
        "user-agent": f"qimg/{qimg_core.__version__}",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    assert script.sent[1][1] == "https://api.example/v1/jobs?limit=3"


def test_another_header_and_no_scheme():
    script = Scripted(200)
    client(script, header="X-Key", scheme="").get("/")
    assert script.sent[0][2]["x-key"] == CANARY
    assert "authorization" not in script.sent[0][2]


STATUSES = [
    (400, ProtocolError, SubmissionRejected),
    (401, AuthenticationError, AuthenticationError),
    (403, AuthenticationError, AuthenticationError),
    (404, JobLost, SubmissionRejected),
    (408, BackendUnavailable, SubmissionUncertain),
    (409, ProtocolError, SubmissionRejected),
    (413, ProtocolError, SubmissionRejected),
    (422, ProtocolError, SubmissionRejected),
    (429, RateLimited, RateLimited),
    (302, ProtocolError, SubmissionUncertain),
    (500, BackendUnavailable, SubmissionUncertain),
    (502, BackendUnavailable, SubmissionUncertain),
    (503, BackendUnavailable, SubmissionUncertain),
    (504, BackendUnavailable, SubmissionUncertain),
    (599, BackendUnavailable, SubmissionUncertain),
]


@pytest.mark.parametrize(("status", "asked", "submitted"), STATUSES)
def test_every_status_is_an_error_of_ours_after_one_attempt(status, asked, submitted):
    for error, call in (
        (asked, lambda rest: rest.get("/x", missing=JobLost)),
        (asked, lambda rest: rest.put("/x", missing=JobLost)),
        (asked, lambda rest: rest.delete("/x", missing=JobLost)),
        (submitted, lambda rest: rest.post("/x", {})),
    ):
        script = Scripted(httpx.Response(status, json={"error": "Bad", "message": "too\nmany  things"}))
        with client(script) as rest, pytest.raises(QimgError) as raised:
            call(rest)
        assert type(raised.value) is error
        assert len(script.sent) == 1
        assert "Bad: too many things" in raised.value.message
        assert raised.value.facts["status"] == status


@pytest.mark.parametrize(("status", "answered"), [(408, True), (500, True), (503, True), (502, False), (504, False)])
def test_a_gateway_that_gave_up_does_not_speak_for_the_provider(status, answered):
    with client(Scripted(status)) as rest, pytest.raises(SubmissionUncertain) as raised:
        rest.post("/x", {})
    assert raised.value.answered is answered


BREAKS = [
    (httpx.ConnectError("no route"), BackendUnavailable),
    (httpx.ConnectTimeout("slow"), BackendUnavailable),
    (httpx.PoolTimeout("busy"), BackendUnavailable),
    (httpx.ProxyError("407"), BackendUnavailable),
    (httpx.ReadTimeout("slow"), SubmissionUncertain),
    (httpx.WriteTimeout("slow"), SubmissionUncertain),
    (httpx.ReadError("reset"), SubmissionUncertain),
    (httpx.WriteError("reset"), SubmissionUncertain),
    (httpx.RemoteProtocolError("peer closed connection"), SubmissionUncertain),
    (httpx.DecodingError("not gzip"), SubmissionUncertain),
]


@pytest.mark.parametrize(("broken", "submitted"), BREAKS, ids=lambda x: getattr(x, "__name__", type(x).__name__))
def test_a_broken_connection_before_or_after_sending(broken, submitted):
    for error, call in ((BackendUnavailable, lambda r: r.get("/x")), (submitted, lambda r: r.post("/x", {}))):
        script = Scripted(broken)
        with client(script) as rest, pytest.raises(QimgError) as raised:
            call(rest)
        assert type(raised.value) is error
        assert len(script.sent) == 1
        assert raised.value.__cause__ is broken


@pytest.mark.parametrize("method", ["get", "post"])
def test_after_a_401_another_secret_is_tried_once(method):
    def call(rest):
        return rest.get("/x") if method == "get" else rest.post("/x", {"n": 1})

    script = Scripted(401, 200)
    assert call(client(script, issuing("old", "new"))).status == 200
    assert [s[2]["authorization"] for s in script.sent] == ["Bearer old", "Bearer new"]
    assert script.sent[0][3] == script.sent[1][3]
    script = Scripted(401, 401)
    with pytest.raises(AuthenticationError, match="test key from a function"):
        call(client(script, issuing("old", "new", "newer")))
    assert len(script.sent) == 2
    script = Scripted(401)
    with pytest.raises(AuthenticationError):
        call(client(script, issuing("same")))
    assert len(script.sent) == 1
    script = Scripted(403)
    with pytest.raises(AuthenticationError):
        call(client(script, issuing("old", "new")))
    assert len(script.sent) == 1


def test_a_secret_that_cannot_be_had_is_missed_before_anything_is_sent():
    def none():
        raise AuthenticationError("no key: set EXAMPLE_KEY")

    script = Scripted()
    with pytest.raises(AuthenticationError, match="EXAMPLE_KEY"):
        client(script, Credential(FromCallable(none), purpose="key")).post("/x", {})
    assert script.sent == []


NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": " 2.5 "}, 2.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "Fri, 01 May 2026 12:01:30 GMT"}, 90.0),
        ({"Retry-After": "Fri, 01 May 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers, seconds):
    assert retry_after(headers, NOW) == seconds
    dated = {**headers, "Date": "Fri, 01 May 2026 12:00:00 GMT"}
    assert retry_after(dated) == seconds
    with client(Scripted(httpx.Response(429, headers=dated))) as rest, pytest.raises(RateLimited) as raised:
        rest.post("/x", {})
    assert raised.value.retry_after == seconds


def test_answers_that_are_no_json():
    for body in (b"", b"<html>", b'{"a": ', b'"text"', b"\xff\xfe", b"[" * 100_000):
        with client(Scripted(httpx.Response(200, content=body))) as rest:
            answer = rest.get("/x")
        with pytest.raises(ProtocolError, match="wanted"):
            answer.json()
        with pytest.raises(ResultError):
            answer.json(ResultError)


def test_messages_are_bounded_and_plain():
    def message(**answer):
        with client(Scripted(httpx.Response(400, **answer))) as rest, pytest.raises(ProtocolError) as raised:
            rest.get("/x")
        return raised.value.message

    long = message(json={"message": "a" * 10_000})
    assert "a" * 300 + "..." in long
    assert len(long) < 400
    assert message(content=b"<html>oops</html>", headers={"Content-Type": "text/html"}).endswith("HTTP 400")
    assert message(content=b"not \x1b[31mthis", headers={"Content-Type": "text/plain"}).endswith("not [31mthis")
    assert message(json=["a"]).endswith("HTTP 400")
    assert message(json={"message": {"deep": 1}, "code": 17, "detail": True}).endswith("HTTP 400: 17")


def everything_about(error):
    """What a person or a program could print of an error, its causes and their requests."""
    seen, out = error, []
    while seen is not None:
        out += [repr(seen), str(seen), repr(getattr(seen, "facts", "")), repr(vars(seen))]
        request = getattr(seen, "_request", None)
        if request is not None:
            out.append(repr(list(request.headers.raw)))
        seen = seen.__cause__ or seen.__context__
    return "\n".join([*out, *traceback.format_exception(error)])


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"message": f"the key {CANARY} is not yours"}),
        httpx.Response(401, json={"message": f"key {CANARY}"}),
        httpx.Response(500, text=f"env: KEY={CANARY}"),
        httpx.ReadError("reset"),
        httpx.ConnectError("no"),
    ],
    ids=["400", "401", "500", "read", "connect"],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_secret_is_in_no_log_and_no_error(answer, method, caplog):
    script = Scripted(answer)
    rest = client(script)
    with caplog.at_level(logging.DEBUG), pytest.raises(QimgError) as raised:
        rest.get("/x", {"q": "1"}) if method == "get" else rest.post("/x", {})
    assert CANARY in script.sent[0][2]["authorization"]  # it was sent, so this test can fail
    assert CANARY not in everything_about(raised.value)
    assert CANARY not in caplog.text
    assert CANARY not in repr(rest) + repr(vars(rest))
    rest.close()


def test_the_log_has_method_path_status_and_time(caplog):
    with caplog.at_level(logging.DEBUG, logger="qimg.http"):
        with client(Scripted(200, httpx.ReadError("x"))) as rest:
            rest.get("/jobs", {"q": "private"})
            with pytest.raises(BackendUnavailable):
                rest.get("/jobs")
    lines = [r.getMessage() for r in caplog.records if r.name == "qimg.http"]
    assert [line.rsplit(" ", 2)[0] for line in lines] == ["GET /jobs 200", "GET /jobs failed"]
    assert all(line.endswith(" ms") for line in lines)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/v1",
        "ftp://api.example",
        "api.example",
        "https://",
        "https://[::1",
        f"https://user:{CANARY}@api.example",
        f"https://api.example/?key={CANARY}",
    ],
)
def test_a_url_that_would_show_secrets_is_refused(url):
    with pytest.raises(ConfigurationError) as refusal:
        RestClient(url, provider="Example")
    assert CANARY not in everything_about(refusal.value)


def test_a_proxy_with_a_password_is_not_shown():
    script = Scripted()
    rest = client(script, proxy=Secret(f"nonsense://user:{CANARY}@proxy:1"))
    with pytest.raises(ConfigurationError) as refusal:
        rest.get("/x")
    assert CANARY not in everything_about(refusal.value)
    with pytest.raises(ConfigurationError):
        client(script, proxy=f"user:{CANARY}").get("/x")


def test_a_closed_client_may_be_closed_and_used_again():
    rest = client(Scripted(200, 200))
    assert rest.get("/x").status == 200
    rest.close()
    rest.close()
    assert rest.get("/x").status == 200
    rest.close()


# -- TLS ------------------------------------------------------------------------------------------------------


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Makes certificates in a folder."""

    def __init__(self, folder, text):
        self.folder, self.name, self.key = folder, name_of(text), ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{text}.pem"
        certificate = self._sign(self.name, self.key.public_key(), True, -1, 1)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public, ca, start, end):
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=start))
            .not_valid_after(now + dt.timedelta(days=end))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(host, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def make(self, text, *, days=(-1, 1), password=None):
        """Paths of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name_of(text), key.public_key(), False, *days)
        locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        paths = self.folder / f"{text}.crt", self.folder / f"{text}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
        return paths


class Server:
    """A loopback https server that wants a certificate of its clients."""

    def __init__(self, authority, certificate, key):
        server = self
        self.served = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.served.append(self.connection.getpeercert()["subject"])
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_GET

            def log_message(self, *args):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"https://127.0.0.1:{self.http.server_address[1]}"

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture(scope="module")
def server(authority):
    found = Server(authority, *authority.make("server"))
    yield found
    found.close()


def calling(server, tls):
    return RestClient(server.url, provider="Example", credential=issuing(CANARY), tls=tls, read=5.0, connect=5.0)


def test_mutual_tls_is_accepted(server, authority):
    certificate, key = authority.make("client", password="open sesame")
    tls = Tls(ca=authority.file, certificate=certificate, key=key, key_password=Secret("open sesame"))
    with calling(server, tls) as rest:
        assert rest.get("/x").json() == {}
    assert server.served[-1] == ((("commonName", "client"),),)
    assert "open sesame" not in repr(tls)


def test_a_context_of_the_callers_own_is_used_as_it_is(server, authority):
    certificate, key = authority.make("hardware")
    context = ssl.create_default_context(cafile=authority.file)
    context.load_cert_chain(certificate, key)  # a PKCS#11 provider would do this without a file
    with calling(server, Tls(context=context)) as rest:
        assert rest.get("/x").status == 200
    assert server.served[-1] == ((("commonName", "hardware"),),)
    with pytest.raises(ConfigurationError, match="got both"):
        Tls(context=context, ca=authority.file)


def test_a_client_without_a_good_certificate_is_refused_and_nothing_is_uncertain(server, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    before = len(server.served)
    for parts in ((), authority.make("late", days=(-3, -1)), stranger.make("nobody")):
        tls = Tls(ca=authority.file, **dict(zip(("certificate", "key"), parts, strict=False)))
        for method in ("get", "post"):
            with calling(server, tls) as rest, pytest.raises(QimgError) as raised:
                rest.get("/x") if method == "get" else rest.post("/x", {})
            assert isinstance(raised.value, AuthenticationError)
            assert "certificate" in raised.value.message
            assert CANARY not in everything_about(raised.value)
    assert len(server.served) == before


def test_a_server_that_is_not_trusted_gets_nothing(server, authority, tmp_path):
    certificate, key = authority.make("careful")
    stranger = Authority(tmp_path, "stranger")
    late = Server(authority, *authority.make("late-server", days=(-3, -1)))
    try:
        for where, ca, why in ((server, stranger.file, "certificate"), (late, authority.file, "expired")):
            tls = Tls(ca=ca, certificate=certificate, key=key)
            with calling(where, tls) as rest, pytest.raises(AuthenticationError, match=why) as raised:
                rest.post("/x", {})
            assert "nothing was sent" in raised.value.message
        assert late.served == []
    finally:
        late.close()


def test_files_that_are_no_certificates(authority, tmp_path):
    certificate, key = authority.make("broken", password="right")
    with pytest.raises(ConfigurationError, match="cannot be loaded") as refusal:
        Tls(certificate=certificate, key=key, key_password=Secret(CANARY)).ssl_context()
    assert CANARY not in everything_about(refusal.value)
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        Tls(certificate=certificate, key=key).ssl_context()  # asks nobody at the terminal
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        Tls(certificate=tmp_path / "none").ssl_context()
    with pytest.raises(ConfigurationError, match="authorities"):
        Tls(ca=key).ssl_context()
    with pytest.raises(ConfigurationError, match="needs the certificate"):
        Tls(key=key)


def test_tls_from_the_environment(monkeypatch, authority):
    certificate, key = authority.make("env", password="from-env")
    for part in ("CA", "CERTIFICATE", "KEY", "KEY_PASSWORD"):
        monkeypatch.delenv(f"X_TLS_{part}", raising=False)
    assert Tls.from_environment("X") is None
    monkeypatch.setenv("X_TLS_CA", str(authority.file))
    assert Tls.from_environment("X") == Tls(ca=authority.file)
    monkeypatch.setenv("X_TLS_CERTIFICATE", str(certificate))
    monkeypatch.setenv("X_TLS_KEY", str(key))
    monkeypatch.setenv("X_TLS_KEY_PASSWORD", "from-env")
    found = Tls.from_environment("X")
    assert found.key_password == Secret("from-env")
    assert found.ssl_context().verify_mode is ssl.CERT_REQUIRED
