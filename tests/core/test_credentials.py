"""Secrets are shown by nothing, are renewed in time, and files that others can read are refused."""

import base64
import copy
import datetime as dt
import json
import logging
import pickle
import stat
import sys
import traceback

import attrs
import pytest

from qimg_core.credentials import (
    Credential,
    FromCallable,
    FromCommand,
    FromEnvironment,
    FromFile,
    Secret,
    credential_from_environment,
    redact,
)
from qimg_core.errors import AuthenticationError

CANARY = "sk-Canary+71/u=="
MOMENT = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def prints(*lines):
    return (sys.executable, "-c", "import sys; print(*sys.argv[1:], sep='\\n')", *lines)


class Clock:
    def __init__(self):
        self.now = MOMENT

    def __call__(self):
        return self.now


@attrs.frozen
class Holder:
    secret: Secret


def test_nothing_shows_a_secret():
    secret = Secret(CANARY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", f"{secret!r}{secret}"]
    shown += [repr([secret]), repr({"k": secret}), repr(Holder(secret)), str(vars(Holder)), repr(dir(secret))]
    shown.append(repr(copy.deepcopy({"k": secret})))
    assert secret.reveal() == CANARY
    assert [text for text in shown if CANARY in text] == []
    for write in (json.dumps, pickle.dumps):
        with pytest.raises(TypeError) as refusal:
            write(secret)
        assert CANARY not in str(refusal.value)
    assert not hasattr(secret, "__dict__")


def test_secrets_are_compared_and_not_hashed():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("ä") == Secret("ä")
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_a_secret_is_taken_out_of_a_text_in_every_form_that_it_may_have():
    encoded = base64.b64encode(CANARY.encode()).decode()
    percent = CANARY.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    text = f"key={CANARY}; {encoded}; ?k={percent}; {json.dumps(CANARY)}; plain"
    out = redact(text, [Secret(CANARY), Secret("")])
    assert out == 'key=***; ***; ?k=***; "***"; plain'


def test_the_longer_of_two_secrets_goes_first():
    assert redact("abcd abc", [Secret("abc"), Secret("abcd")]) == "*** ***"


def test_a_variable_is_read_at_each_use(monkeypatch):
    credential = Credential(FromEnvironment("MY_KEY"), purpose="key", scopes=["read"])
    monkeypatch.setenv("MY_KEY", f"  {CANARY}\n")
    first = credential.secret()
    assert first.reveal() == CANARY
    assert credential.renewed(first) is None
    monkeypatch.setenv("MY_KEY", "other")
    assert credential.secret().reveal() == "other"
    assert credential.renewed(first).reveal() == "other"
    assert repr(credential) == "<key from the environment variable MY_KEY, for read>"
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(AuthenticationError, match="MY_KEY"):
        credential.secret()


@pytest.mark.parametrize("value", ["two\nlines", "tab\there", "nul\0", "snow\u2603", " "])
def test_what_could_break_out_of_a_header_is_refused_unseen(monkeypatch, value):
    with pytest.raises(AuthenticationError) as refusal:
        Credential(FromCallable(lambda: (value, None)), purpose="key").secret()
    assert value.strip() == "" or value not in str(refusal.value)


def test_a_file_is_read_only_if_nobody_else_can_read_it(tmp_path):
    path = tmp_path / "key"
    path.write_text(CANARY + "\n")
    for mode in (0o640, 0o604, 0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(AuthenticationError, match=f"mode {mode:o}") as refusal:
            FromFile(path).issue()
        assert "chmod 600" in str(refusal.value)
        assert CANARY not in str(refusal.value)
    path.chmod(0o600)
    assert FromFile(path).issue().secret.reveal() == CANARY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    credential = Credential(FromFile(path), purpose="key")
    old = credential.secret()
    path.write_text("rotated")
    assert credential.secret().reveal() == "rotated"
    assert credential.renewed(old).reveal() == "rotated"


def test_a_file_that_is_not_one(tmp_path):
    with pytest.raises(AuthenticationError, match="No such file"):
        FromFile(tmp_path / "none").issue()
    with pytest.raises(AuthenticationError):
        FromFile(tmp_path).issue()
    empty = tmp_path / "empty"
    empty.write_text("")
    empty.chmod(0o600)
    with pytest.raises(AuthenticationError, match="empty"):
        FromFile(empty).issue()
    empty.write_bytes(b"\xff\xfe")
    with pytest.raises(AuthenticationError, match="UTF-8"):
        FromFile(empty).issue()
    empty.write_bytes(b"x" * 70_000)
    with pytest.raises(AuthenticationError, match="65536"):
        FromFile(empty).issue()


def test_a_command_is_run_without_a_shell(tmp_path):
    path = tmp_path / "touched"
    line = f"{sys.executable} -c 'import sys; print(sys.argv[1])' '$(touch {path});`touch {path}`'"
    assert FromCommand(line).issue().secret.reveal() == f"$(touch {path});`touch {path}`"
    assert not path.exists()


def test_a_command_is_asked_again_when_its_secret_is_about_to_expire(tmp_path):
    counter, clock = tmp_path / "n", Clock()
    program = (
        "import pathlib, sys; p = pathlib.Path(sys.argv[1]); n = int(p.read_text()) + 1 if p.exists() else 1; "
        "p.write_text(str(n)); print(f'key-{n}'); print(f'2026-05-01T1{n + 2}:00:00+00:00')"
    )
    source = FromCommand((sys.executable, "-c", program, str(counter)))
    credential = Credential(source, purpose="key", margin=60, clock=clock)
    assert [credential.secret().reveal() for _ in range(3)] == ["key-1"] * 3
    clock.now = MOMENT + dt.timedelta(minutes=58, seconds=59)
    assert credential.secret().reveal() == "key-1"
    clock.now = MOMENT + dt.timedelta(minutes=59)
    assert credential.secret().reveal() == "key-2"
    assert counter.read_text() == "2"


def test_a_command_without_an_expiry_is_asked_again_only_when_a_provider_refuses(tmp_path):
    answers = iter(["one", "two", "two"])
    credential = Credential(FromCallable(lambda: (next(answers), None)), purpose="key")
    first = credential.secret()
    assert credential.secret() == first
    second = credential.renewed(first)
    assert second.reveal() == "two"
    assert credential.renewed(first) == second  # another thread was refused with the old one: not asked again
    assert credential.renewed(second) is None


def test_a_command_that_fails_says_so_without_what_it_printed():
    for argv in (
        (sys.executable, "-c", f"import sys; print('{CANARY}'); print('{CANARY}', file=sys.stderr); sys.exit(3)"),
        prints(CANARY, CANARY, CANARY),
        prints(CANARY, f"not a date {CANARY}"),
        prints(CANARY, "2026-05-01T12:00:00"),
        ("/nowhere/program", CANARY),
    ):
        credential = Credential(FromCommand(argv), purpose="key")
        with pytest.raises(AuthenticationError) as refusal:
            credential.secret()
        text = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value.facts)
        assert CANARY not in text
    with pytest.raises(AuthenticationError, match="did not end within"):
        FromCommand((sys.executable, "-c", "import time; time.sleep(60)"), timeout=0.2).issue()
    assert "status 3" in str(_failure((sys.executable, "-c", "raise SystemExit(3)")))


def _failure(argv):
    with pytest.raises(AuthenticationError) as refusal:
        FromCommand(argv).issue()
    return refusal.value


def test_an_expiry_in_seconds():
    issued = FromCommand(prints("k", "1777636800")).issue()
    assert issued.expires_at == MOMENT


def test_a_function_of_the_caller_that_fails_or_gives_an_old_secret():
    def fails():
        raise RuntimeError(f"token service said {CANARY}")

    with pytest.raises(AuthenticationError) as refusal:
        Credential(FromCallable(fails), purpose="key").secret()
    assert CANARY not in "".join(traceback.format_exception(refusal.value))
    old = FromCallable(lambda: (CANARY, MOMENT), name="the vault")
    with pytest.raises(AuthenticationError, match="the vault expired at 2026-05-01T12:00:00") as refusal:
        Credential(old, purpose="key", clock=Clock()).secret()
    assert CANARY not in "".join(traceback.format_exception(refusal.value))
    with pytest.raises(AuthenticationError, match="time zone"):
        Credential(FromCallable(lambda: (CANARY, MOMENT.replace(tzinfo=None))), purpose="key").secret()


def test_a_secret_of_the_caller_may_come_as_one():
    credential = Credential(FromCallable(lambda: (Secret(CANARY), None)), purpose="key")
    assert credential.secret() == Secret(CANARY)
    with pytest.raises(TypeError):
        pickle.dumps(credential)


def test_the_first_variable_that_is_set_decides(monkeypatch, tmp_path):
    path = tmp_path / "key"
    path.write_text("from-file")
    path.chmod(0o600)
    for name in ("A_KEY", "A_KEY_FILE", "A_KEY_COMMAND", "B_KEY", "B_KEY_FILE", "B_KEY_COMMAND"):
        monkeypatch.delenv(name, raising=False)

    def found():
        return credential_from_environment(["A_KEY", "B_KEY"], purpose="test key", hint="ask the vendor").secret()

    with pytest.raises(AuthenticationError, match=r"no test key: set A_KEY or B_KEY") as refusal:
        found()
    assert "ask the vendor" in str(refusal.value)
    monkeypatch.setenv("B_KEY", "plain-b")
    assert found().reveal() == "plain-b"
    monkeypatch.setenv("A_KEY_COMMAND", f"{sys.executable} -c 'print(\"from-command\")'")
    assert found().reveal() == "from-command"
    monkeypatch.setenv("A_KEY_FILE", str(path))
    assert found().reveal() == "from-file"
    monkeypatch.setenv("A_KEY", "plain-a")
    assert found().reveal() == "plain-a"


def test_nothing_is_logged(caplog, monkeypatch):
    monkeypatch.setenv("MY_KEY", CANARY)
    with caplog.at_level(logging.DEBUG):
        Credential(FromEnvironment("MY_KEY"), purpose="key").secret()
        logging.getLogger("x").warning("%s %r", Secret(CANARY), {"k": Secret(CANARY)})
    assert CANARY not in caplog.text
    assert "***" in caplog.text
