"""OPA's REST protocol against a loopback stub; whatever it answers, only the agreed proof allows."""

import http.server
import json
import socket
import threading

import httpx
import pytest
from attrs import evolve

from qimg_policy.bundle import shipped_bundle
from qimg_policy.cases import BASES
from qimg_policy.kernel import decide
from qimg_policy.opa import OpaEngine
from qimg_policy.settings import EngineSettings

GOOD = {"allow": True, "controls": ["reach", "price"], "deny": {}, "errors": [], "obligations": []}
REMOTE = {**BASES["remote"], "sensitivity": "public"}


class Stub(http.server.BaseHTTPRequestHandler):
    """Answers every POST with ``server.answer`` (status, bytes) and keeps what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Content-Type"], json.loads(body)))
        status, data = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    found.asked = []
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def settings(port, **changes):
    found = shipped_bundle("solo").settings
    return evolve(found, engine=EngineSettings(kind="opa", url=f"http://127.0.0.1:{port}", **changes))


def ask(server, facts=REMOTE, **changes):
    s = settings(server.server_port, **changes)
    engine = OpaEngine(s)
    try:
        return decide(engine, s, facts)
    finally:
        engine.close()


def says(result, **more):
    return 200, json.dumps({"result": result, **more}).encode()


def test_the_question_is_as_documented_and_a_proven_allow_allows(server):
    provenance = {"version": "1.8.0", "bundles": {"main": {"revision": "r7"}}}
    server.answer = says(GOOD, provenance=provenance, decision_id="x")
    ruling = ask(server, revision="r7")
    assert ruling.allowed
    assert (ruling.engine, ruling.engine_version, ruling.revision) == ("opa", "opa 1.8.0", "r7")
    ((path, kind, body),) = server.asked
    assert path == "/v1/data/qimg/admission?strict-builtin-errors=true&provenance=true"
    assert kind == "application/json"
    assert body["input"]["provider"] == "ibm"
    assert body["input"]["cost_micro"] == 1_000_000


def test_an_unknown_cost_is_absent_from_the_input(server):
    server.answer = says(GOOD)
    ask(server, {**REMOTE, "cost_micro": None})
    assert "cost_micro" not in server.asked[0][2]["input"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((200, b"{}"), "E_UNDEFINED"),
        (says(True), "E_UNDEFINED"),
        (says(None), "E_UNDEFINED"),
        (says([GOOD]), "E_UNDEFINED"),
        (says({}), "E_UNDEFINED"),
        (says({**GOOD, "allow": "true"}), "E_UNDEFINED"),
        (says({**GOOD, "allow": 1}), "E_UNDEFINED"),
        (says({**GOOD, "controls": "reach price"}), "E_UNDEFINED"),
        (says({**GOOD, "controls": {"reach": "pass"}}), "E_UNDEFINED"),
        (says({**GOOD, "controls": ["reach", "price", 1]}), "E_UNDEFINED"),
        (says({**GOOD, "controls": ["reach", "price\u200b"]}), "E_UNDEFINED"),
        (says({**GOOD, "deny": ["x"]}), "E_UNDEFINED"),
        (says({**GOOD, "deny": {"x": None}}), "E_UNDEFINED"),
        (says({**GOOD, "obligations": ["everything"]}), "E_UNDEFINED"),
        (says({**GOOD, "alow": False}), "E_UNDEFINED"),
        (says({**GOOD, "allow": False}), "E_NOT_PERMITTED"),
        (says({**GOOD, "controls": []}), "E_NO_EVIDENCE"),
        (says({"allow": True}), "E_NO_EVIDENCE"),
        (says({**GOOD, "deny": {"embargo": "not there"}}), "E_FORBIDDEN"),
        (says({**GOOD, "errors": ["div by zero"]}), "E_ERRORS"),
        ((500, b'{"code": "internal_error", "message": "eval_builtin_error"}'), "E_ENGINE"),
        ((404, b"{}"), "E_ENGINE"),
        ((302, b""), "E_ENGINE"),
        ((200, b"not json"), "E_ENGINE"),
        ((200, b"[" * 100_000), "E_ENGINE"),
        ((200, b" " * 1_000_001), "E_ENGINE"),
        (says(GOOD, provenance=7), "E_DRIFT"),
        (says(GOOD, provenance={"bundles": {"main": {"revision": "r8"}}}), "E_DRIFT"),
        (says(GOOD, provenance={"bundles": {"main": {"revision": "r7"}, "more": {}}}), "E_DRIFT"),
        (says(GOOD, provenance={"bundles": {"main": {"revision": "r7"}, "more": {"revision": ""}}}), "E_DRIFT"),
        (says(GOOD, provenance={"bundles": {"main": {"revision": "r7"}, "more": 1}}), "E_DRIFT"),
    ],
)
def test_every_other_answer_denies_with_a_code(answer, code, server):
    server.answer = answer
    ruling = ask(server, revision="r7" if code == "E_DRIFT" else "")
    assert ruling.verdict == "deny"
    assert {f.code for f in ruling.findings} == {code}
    assert len(server.asked) == 1  # no retry


@pytest.mark.parametrize("facts", [{}, {**REMOTE, "sensitivity": "PUBLIC"}, {**REMOTE, "shots": 2**63}, None])
def test_a_malformed_input_is_refused_without_asking(facts, server):
    server.answer = says(GOOD)
    assert [f.code for f in ask(server, facts).findings] == ["E_INPUT"]
    assert server.asked == []


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_server_that_is_down_refuses_what_leaves_and_lets_harmless_work_go_on():
    s = settings(free_port())
    engine = OpaEngine(s)
    assert [f.code for f in decide(engine, s, REMOTE).findings] == ["E_UNREACHABLE"]
    here = decide(engine, s, BASES["local"])
    assert here.allowed
    assert [f.code for f in here.findings] == ["I_LOCAL_WHEN_DOWN"]
    strict = evolve(s, local_when_down=False)
    assert not decide(engine, strict, BASES["local"]).allowed
    engine.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ReadTimeout("slow"), "E_TIMEOUT"),
        (httpx.ConnectTimeout("slow"), "E_UNREACHABLE"),
        (httpx.RemoteProtocolError("cut"), "E_UNREACHABLE"),
        (ValueError("odd"), "E_ENGINE"),
    ],
)
def test_a_slow_or_broken_server_refuses(error, code):
    def fail(request):
        raise error

    s = settings(1)
    engine = OpaEngine(s, httpx.Client(transport=httpx.MockTransport(fail)))
    ruling = decide(engine, s, REMOTE)
    assert ruling.verdict == "deny"
    assert [f.code for f in ruling.findings] == [code]


def test_the_timeouts_are_half_a_second_to_connect_and_two_to_read():
    engine = OpaEngine(settings(1))
    assert (engine._client.timeout.connect, engine._client.timeout.read) == (0.5, 2.0)
    engine.close()
