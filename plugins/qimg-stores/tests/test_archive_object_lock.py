"""S3 servers: the matrix on an emulated and on a real one, the self-test, and what is not taken on trust."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qimg_core.errors import ConfigurationError, OutsideMemoryError
from qimg_stores.archive import Archive
from qimg_stores.object_lock import S3Shelf, make_bucket
from qimg_stores.places import named, open_archive

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "how-to" / "archive.md"


def _matrix():
    spec = importlib.util.spec_from_file_location("lock_matrix", HERE / "lock_matrix.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


matrix = _matrix()


def table(column):
    return {row[0]: row[column].strip("*") for row in matrix.MATRIX}


def test_27_steps_on_an_emulated_server(emulated):
    assert matrix.run(emulated) == table(3)


@pytest.mark.slow
def test_27_steps_on_a_real_server(real):
    assert matrix.run(real) == table(2)


def test_the_page_shows_this_table():
    if not PAGE.exists():
        pytest.skip("the pages are not here")
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in PAGE.read_text().splitlines() if "|" in line]
    assert [row for row in rows if row[0] in table(1)] == [list(row) for row in matrix.MATRIX]
    assert len(matrix.MATRIX) == 27


WRONG_ON_MOTO = {
    "shorten the retention",
    "downgrade COMPLIANCE to GOVERNANCE",
    "remove the retention",
    "suspend versioning",
}


def prepared(client, **options):
    make_bucket(client, "records")
    archive = Archive("archive", S3Shelf(client, "records", "here"), retention=timedelta(days=3), **options)
    return archive, *archive.prepare()


def test_the_client_notices_by_itself_what_an_emulated_server_allows(emulated):
    archive, capability, attempts = prepared(emulated)
    assert capability == "not-worm"
    assert {a.name for a in attempts if a.outcome == "allowed"} == WRONG_ON_MOTO
    assert archive.about()["capability"] == "not-worm"
    assert archive.shelf.troubles() == ()  # what the self-test had changed is as it was


@pytest.mark.slow
def test_a_real_server_refuses_it_all(real):
    _, capability, attempts = prepared(real)
    assert capability == "worm"
    assert {a.outcome for a in attempts} == {"refused"}


def test_governed_mode_refuses_a_server_that_is_not_worm(emulated, log):
    note = log.grow(3)
    archive, *_ = prepared(emulated)
    assert archive.keep(log, note).facts["capability"] == "not-worm"
    governed = Archive(
        "archive", archive.shelf, retention=timedelta(days=3), governed=True, accept_tamper_resistant=True
    )
    with pytest.raises(OutsideMemoryError, match=r"demands a write-once archive.*NOT write once"):
        governed.keep(log, note)
    archive.shelf.attempts = tuple
    archive.clock = lambda: datetime.now(UTC) + timedelta(minutes=1)
    assert archive.prepare() == ("unproven", ())
    with pytest.raises(OutsideMemoryError, match="by its own word, not proved"):
        governed.keep(log, note)


class Answering:
    """A client between us and the server that answers some calls otherwise."""

    def __init__(self, client, **changed):
        self.client, self.changed = client, changed

    def __getattr__(self, name):
        return self.changed.get(name, getattr(self.client, name))


def denied(*args, **kwargs):
    from botocore.exceptions import ClientError

    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "x")


def test_credentials_that_may_do_nothing_prove_nothing(emulated):
    make_bucket(emulated, "records")
    calls = ("put_object_retention", "put_bucket_versioning", "delete_object", "delete_objects")
    bound = dict.fromkeys(calls, denied)
    shelf = S3Shelf(Answering(emulated, **bound), "records")
    attempts = shelf.attempts()
    assert {a.outcome for a in attempts} == {"untried"}
    assert shelf.capability(attempts) == "unproven"
    assert shelf.capability(()) == "unproven"


def test_a_200_is_not_taken_on_trust(emulated, log):
    note = log.grow(3)
    make_bucket(emulated, "records")
    untried = S3Shelf(emulated, "records", "here")
    untried.attempts = tuple
    Archive("archive", untried, retention=timedelta(days=3)).prepare()

    def keep(**changed):
        shelf = S3Shelf(Answering(emulated, **changed), "records", "here")
        return Archive("archive", shelf, retention=timedelta(days=3)).keep(log, note)

    def without_lock(**given):
        return emulated.put_object(**{k: v for k, v in given.items() if not k.startswith("ObjectLock")})

    def shorter(**given):
        return emulated.put_object(**{**given, "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(hours=1)})

    def other_bytes(**given):
        given = {k: v for k, v in given.items() if k != "ChecksumSHA256"}
        return emulated.put_object(**{**given, "Body": given["Body"] + b"!"})

    def forgets(**given):
        return {**emulated.put_object(**given), "VersionId": "never"}

    with pytest.raises(OutsideMemoryError, match="reads back as bytes of the digest"):
        keep(put_object=other_bytes)
    with pytest.raises(OutsideMemoryError, match="reads back as nothing"):
        keep(put_object=forgets)
    with pytest.raises(OutsideMemoryError, match="keeps no versions"):
        keep(put_object=lambda **given: {})
    with pytest.raises(OutsideMemoryError, match="is stored and not protected: its lock is none|not shown"):
        keep(put_object=without_lock)
    with pytest.raises(OutsideMemoryError, match="not protected|AccessDenied|kept until"):
        keep(put_object=shorter, put_object_retention=denied)


def test_a_plain_bucket_is_no_archive(emulated):
    emulated.create_bucket(Bucket="plain")
    archive = Archive("archive", S3Shelf(emulated, "plain"), retention=timedelta(days=3))
    with pytest.raises(OutsideMemoryError, match="versioning is off.*Object Lock is not enabled"):
        archive.prepare()


def test_no_bucket_no_credentials_no_server(emulated, monkeypatch, log):
    with pytest.raises(OutsideMemoryError, match="NoSuchBucket"):
        named("s3://nowhere").prepare()
    note = log.grow(1)
    make_bucket(emulated, "records")
    with pytest.raises(OutsideMemoryError, match="not prepared") as caught:
        named("s3://records").keep(log, note)
    assert "qimg archive init" in caught.value.hint


def test_a_server_that_cannot_be_reached(log, monkeypatch):
    for name in ("ACCESS", "SECRET"):
        monkeypatch.setenv(f"QIMG_ARCHIVE_{name}_KEY", "testing")
    archive = named("s3://records?endpoint=http://127.0.0.1:9")
    archive.shelf.client.meta.config.retries["max_attempts"] = 0
    with pytest.raises(OutsideMemoryError, match="cannot list about/"):
        archive.keep(log, log.grow(1))
    archive.close()


def test_keys_come_by_reference_and_show_nowhere(emulated, monkeypatch, tmp_path, log):
    secret = "s3cr3t-key-of-nobody"
    file = tmp_path / "secret"
    file.write_text(secret)
    file.chmod(0o600)
    monkeypatch.setenv("OURS_ACCESS_KEY", "AKIDNOBODY")
    monkeypatch.setenv("OURS_SECRET_KEY_FILE", str(file))
    archive = open_archive(where="s3://records", credentials="OURS", region="us-east-1")
    assert archive.shelf.client._request_signer._credentials.secret_key == secret
    make_bucket(emulated, "records")
    archive.shelf.attempts = tuple
    archive.prepare()
    receipt = archive.keep(log, log.grow(2))
    assert secret not in f"{receipt!r} {receipt.evidence!r} {receipt.facts} {archive.shelf.where} {vars(archive)}"
    file.unlink()
    with pytest.raises(OutsideMemoryError, match="cannot be read"):
        open_archive(where="s3://records", credentials="OURS").keep(log, log.grow(1))
    with pytest.raises(ConfigurationError, match="are not set"):
        open_archive(where="s3://records", credentials="NOBODYS")
    for bad in (
        "s3://key:secret@records",
        "s3://",
        "gs://records",
        "",
        "s3://records?password=x",
        "s3://records?endpoint=ftp://x",
    ):
        with pytest.raises(ConfigurationError):
            named(bad)
    with pytest.raises(ConfigurationError, match="never a key itself|first part"):
        open_archive(where="s3://records", credentials="abc/def")
    for bad in ({"retention_days": 0}, {"retention_days": "9"}, {"flags": "yes"}, {"region": "x"}):
        with pytest.raises(ConfigurationError):
            open_archive(where=str(tmp_path), **bad)
