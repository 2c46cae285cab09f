"""A witness over HTTP on a loopback port: limits, keep-alive, durability, the command."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest

from qimg_anchors.keys import create, heads_of, load
from qimg_anchors.server import LONGEST
from qimg_core.cli import main
from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError, StorageError
from qimg_core.ledger.cosignature import verify_note

ORIGIN = "example.org/log"
SHOWN = hashlib.sha256(ORIGIN.encode()).hexdigest()


@pytest.fixture
def served(log, serving):
    (one,) = serving(log.signer.keys, 1)
    return one


def connect(url):
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)


def ask(connection, method, path, body=None, headers=None):
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read()


def test_the_road_of_a_head_on_one_connection(log, served):
    connection = connect(served.url)
    assert ask(connection, "GET", f"/{SHOWN}/checkpoint")[0] == 404
    status, content_type, lines = ask(connection, "POST", "/add-checkpoint", log.request(0, 5))
    assert (status, lines.count(b"\n")) == (200, 2)
    socket_before = connection.sock
    status, content_type, body = ask(connection, "POST", "/add-checkpoint", log.request(0, 6))
    assert (status, content_type, body) == (409, "text/x.tlog.size", b"5\n")
    assert ask(connection, "POST", "/add-checkpoint", log.request(5, 6))[0] == 200
    status, _, note = ask(connection, "GET", f"/{SHOWN}/checkpoint")
    assert status == 200
    assert verify_note(note, [*log.signer.keys, *served.cosigner.keys])[0].size == 6
    assert connection.sock is socket_before  # kept alive
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/add-checkpoint", 405),
        ("POST", "/other", 404),
        ("GET", f"/{SHOWN.upper()}/checkpoint", 404),
        ("GET", f"/{SHOWN}/../witness", 404),
        ("GET", f"/{SHOWN}/checkpoint?x=1", 404),
        ("PUT", "/add-checkpoint", 501),
        ("POST", "/add-checkpoint", 400),
    ],
)
def test_other_requests(served, method, path, status):
    connection = connect(served.url)
    assert ask(connection, method, path, b"nonsense" if method != "GET" else None)[0] == status
    connection.close()


def test_bodies_have_a_length_and_a_limit(served):
    for headers, status in (
        ({"Content-Length": str(LONGEST + 1)}, 413),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": "x"}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
        ({}, 411),
    ):
        connection = connect(served.url)
        connection.putrequest("POST", "/add-checkpoint")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (status, "close")
        connection.close()


def test_a_request_that_breaks_off_changes_nothing(log, served):
    url = urlsplit(served.url)
    body = log.request(0, 5)
    with socket.create_connection((url.hostname, url.port)) as raw:
        raw.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:-1])
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(10) == b""
    assert served.witness.held == {ORIGIN: None}


def test_a_disk_that_is_full_is_500_and_nothing_is_cosigned(log, served, monkeypatch):
    connection = connect(served.url)
    with monkeypatch.context() as broken:

        def full(*_, **__):
            raise StorageError("the disk is full")

        broken.setattr("qimg_anchors.heads.write_atomic", full)
        assert ask(connection, "POST", "/add-checkpoint", log.request(0, 5)) == (
            500,
            "text/plain; charset=utf-8",
            b"Internal Server Error\n",
        )
    assert ask(connection, "POST", "/add-checkpoint", log.request(0, 5))[0] == 200
    connection.close()


def test_many_at_once_one_is_cosigned(log, forked, served):
    bodies = [(log if k % 2 else forked).request(0, 4 + k) for k in range(8)]
    statuses = []

    def one(body):
        connection = connect(served.url)
        statuses.append(ask(connection, "POST", "/add-checkpoint", body)[0])
        connection.close()

    threads = [threading.Thread(target=one, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 7


# Keys


def test_keys_on_disk(tmp_path):
    path = tmp_path / "deep" / "w.key"
    made = create(path, "witness.example/w1")
    assert load(path).keys == made.keys
    assert path.stat().st_mode & 0o777 == 0o600
    assert (heads_of(path) / "witness").read_text() == "".join(f"{key}\n" for key in made.keys)
    with pytest.raises(LedgerError, match="exists already"):
        create(path, "witness.example/w1")
    path.chmod(0o644)
    with pytest.raises(LedgerError, match="can be read by others"):
        load(path)
    path.chmod(0o600)
    good = path.read_text()
    for bad in ("", good.replace("witness key 1", "witness key 2"), good[: len(good) // 2], "\xff"):
        path.write_bytes(bad.encode("latin-1"))
        with pytest.raises(LedgerCorrupt, match="no key file"):
            load(path)
    with pytest.raises(ConfigurationError, match="no key file"):
        load(tmp_path / "gone")


def test_a_name_that_is_none_leaves_nothing_behind(tmp_path):
    with pytest.raises(ConfigurationError):
        create(tmp_path / "w.key", "two words")
    assert list(tmp_path.iterdir()) == []


# The command


@pytest.fixture
def qimg(capsys):
    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return int(code), capsys.readouterr()

    return call


def test_keys_and_log_commands(log, tmp_path, qimg):
    key, logs = tmp_path / "w.key", tmp_path / "logs"
    logs.write_text("".join(f"{k}\n" for k in log.signer.keys))
    code, shown = qimg("witness", "keys", "--key", key, "--new", "witness.example/w1", "--json")
    assert code == 0
    vkeys = [one["vkey"] for one in json.loads(shown.out)["keys"]]
    assert vkeys == [str(k) for k in load(key).keys]
    assert qimg("witness", "keys", "--key", key)[1].out.split() == vkeys
    code, shown = qimg("witness", "log", "--key", key, "--logs", logs, "--json")
    assert json.loads(shown.out)["logs"] == [{"log": ORIGIN, "size": None, "root": None}]
    assert qimg("witness", "keys", "--key", tmp_path / "gone")[0] == 2
    assert qimg("witness", "log", "--key", key, "--logs", tmp_path / "gone")[0] == 2
    (tmp_path / "empty").write_text("")
    assert qimg("witness", "serve", "--key", key, "--logs", tmp_path / "empty")[0] == 2


class Process:
    """``qimg witness serve`` in a process of its own."""

    def __init__(self, key, logs):
        env = {**os.environ, "QIMG_PLUGINS": "anchors"}
        words = [sys.executable, "-m", "qimg_core", "witness", "serve", "--key", key, "--logs", logs, "--port", "0"]
        self.process = subprocess.Popen(
            [*map(str, words), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        text = ""
        while not text.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            text += line
        self.url = json.loads(text)["url"]

    def end(self, how):
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


def test_what_was_answered_survives_kill_9_and_the_next_process_goes_on(log, forked, tmp_path):
    key, logs = tmp_path / "w.key", tmp_path / "logs"
    create(key, "witness.example/w1")
    logs.write_text(f"{log.signer.keys[1]}\n")
    first = Process(key, logs)
    connection = connect(first.url)
    size = 0
    for new in (3, 7, 12):
        assert ask(connection, "POST", "/add-checkpoint", log.request(size, new))[0] == 200
        size = new
    connection.close()
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    second = Process(key, logs)
    connection = connect(second.url)
    assert ask(connection, "POST", "/add-checkpoint", forked.request(0, 14))[::2] == (409, b"12\n")
    assert ask(connection, "POST", "/add-checkpoint", forked.request(12, 14))[0] == 422
    assert ask(connection, "POST", "/add-checkpoint", log.request(12, 14))[0] == 200
    connection.close()
    code, said = second.end(signal.SIGTERM)
    assert code == 0
    assert f"POST /add-checkpoint 422 {ORIGIN} 14" in said
    assert "127.0.0.1" not in said.replace(second.url, "")
