"""What the tests of stores share: a PostgreSQL server of their own, an emulated and a real S3 server, ledgers."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from qimg_core.ledger import Draft, SQLiteLedger
from qimg_stores.local_archive import APPEND_ONLY, IMMUTABLE, change_flags

RETENTION_DAYS = 3


@pytest.fixture(scope="session")
def postgres():
    """A server on a Unix socket: `uri(schema, folder, **options)` names a ledger in it; `crash` and `start` as said."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = binaries[-1] if binaries else shutil.which("initdb")
    if not found:
        pytest.skip("no PostgreSQL server here (Debian: postgresql)")
    server = Server(Path(found).parent)
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Server:
    def __init__(self, binaries):
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="qimg-pg-"))
        self.options = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            who = pwd.getpwnam("postgres")
            os.chown(self.folder, who.pw_uid, who.pw_gid)
            self.options = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        self._run(
            "initdb", "-D", str(self.folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"
        )
        hba = self.folder / "data" / "pg_hba.conf"
        hba.write_text("local all guarded scram-sha-256\n" + hba.read_text())
        self.numbers = itertools.count()

    def _run(self, program, *words):
        done = subprocess.run(
            [self.binaries / program, *words],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self.options,
        )
        assert done.returncode == 0, done.stderr

    def start(self):
        options = f"-k {self.folder} -c listen_addresses= -c shared_buffers=16MB -c max_wal_size=64MB"
        log = self.folder / "log"
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", str(log), "-o", options, "-w", "start")

    def crash(self):
        """As a power cut: no shutdown checkpoint."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")

    def remove(self):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def uri(self, schema=None, folder=None, user="postgres", **options):
        schema = schema or f"log{next(self.numbers)}"
        words = {"host": self.folder, "schema": schema, **({"folder": folder} if folder else {}), **options}
        return f"postgresql://{user}@/postgres?" + "&".join(f"{name}={value}" for name, value in words.items())

    def connect(self, user="postgres", **options):
        import psycopg

        return psycopg.connect(host=str(self.folder), user=user, dbname="postgres", autocommit=True, **options)


@pytest.fixture
def log(tmp_path):
    """A ledger in a folder, and `grow(n)`, which adds entries with artefacts and signs."""
    with SQLiteLedger.open(tmp_path / "log", origin="example.org/log") as ledger:

        def grow(n, tag=b""):
            start = len(ledger)
            drafts = [
                Draft("step", facts={"i": i, "artefacts": {"a": ledger.put(b"%s%d" % (tag, i % 5))}})
                for i in range(start, start + n)
            ]
            ledger.extend(drafts)
            return ledger.checkpoint()

        ledger.grow = grow
        yield ledger


@pytest.fixture
def unflagged(tmp_path):
    """A folder whose files' flags are lifted at the end, so that it can be removed."""
    folder = tmp_path / "archive"
    yield folder
    for path in [folder, *folder.rglob("*")] if folder.exists() else []:
        with contextlib.suppress(OSError):
            change_flags(path, remove=IMMUTABLE | APPEND_ONLY)


@pytest.fixture
def emulated(monkeypatch):
    """A client of moto, which does not enforce Object Lock."""
    moto = pytest.importorskip("moto")
    from qimg_stores.object_lock import make_client

    for name in ("ACCESS", "SECRET"):
        monkeypatch.setenv(f"QIMG_ARCHIVE_{name}_KEY", "testing")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)  # no waiting
    with moto.mock_aws():
        yield make_client(endpoint=None, region="us-east-1", profile=None, keys=("testing", "testing"))


@pytest.fixture(scope="session")
def ceph():
    """Endpoint of a one-node Ceph RGW on loopback, in memory: a server with true Object Lock."""
    for program in ("radosgw", "ceph-mon", "ceph-osd", "ceph"):
        if not shutil.which(program):
            pytest.skip(f"no {program} here (Debian: ceph-mon ceph-osd radosgw ceph-common)")
    folder = Path(tempfile.mkdtemp(prefix="qimg-ceph-"))
    script = Path(__file__).with_name("ceph.sh")
    ports = free_ports(2)
    done = subprocess.run(
        ["bash", str(script), str(folder), *map(str, ports)], capture_output=True, text=True, check=False, timeout=180
    )
    try:
        if done.returncode:
            pytest.fail(f"radosgw did not start: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        for file in (folder / "run").glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def real(ceph, monkeypatch):
    """A client of the Ceph server."""
    from qimg_stores.object_lock import make_client

    for name in ("ACCESS", "SECRET"):
        monkeypatch.setenv(f"QIMG_ARCHIVE_{name}_KEY", "qimgqimg")
    client = make_client(endpoint=ceph, region=None, profile=None, keys=("qimgqimg", "qimgqimg"))
    yield client
    client.close()


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()
