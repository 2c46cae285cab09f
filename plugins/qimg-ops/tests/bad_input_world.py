"""For tests: a ledger, a fake provider that counts what it is sent, keys, a policy server; loaded with `runpy`."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from attrs import evolve

import qimg_budget.plugin
import qimg_data.plugin
import qimg_policy.plugin
import qimg_rollout.plugin
from qimg_core import Registry, hookimpl
from qimg_core.cli import main
from qimg_core.hooks import BackendSpec
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import FakeProvider
from qimg_core.testing.toy import ToyPlugin
from qimg_policy.bundle import SETTINGS, shipped_bundle
from qimg_policy.keys import load_key, make_key
from qimg_policy.pin import write_pin
from qimg_policy.schema import schema_text

DEVICE = '\n[[device]]\nbackend = "fake-provider"\nprovider = "ibm"\nzone = "outside"\nregion = "eu"\napproved = true\n'
STATED = ("sensitivity=public", "export_class=not_controlled", "purpose=research")
VARIABLES = ("QIMG_POLICY", "QIMG_LEDGER", "QIMG_BUDGET", "QIMG_PROJECT", "QIMG_COST_CENTRE", "QIMG_DATA_RULES")
ABOUT = """
name = "faces"
source = "a camera"
licence = "CC-BY-4.0"
consent = "not_needed"
purposes = ["research"]
sensitivity = "public"
inputs = "public"
"""


class World:
    """A ledger ``runs``, a fake provider that counts what it is sent, keys, and the program."""

    def __init__(self, capsys, monkeypatch):
        self.fake, self.capsys, self.monkeypatch = FakeProvider(), capsys, monkeypatch
        world = self

        class Here(Registry):
            def open_backend(self, name):
                return world.fake if name == "fake-provider" else super().open_backend(name)

        class Cloud:
            @hookimpl
            def qimg_backends(self):
                target = "qimg_core.testing:FakeProvider"
                return [BackendSpec(name="fake-provider", target=target, remote=True, metered=True)]

        self.registry = Here(discover=False)
        self.registry.register(ToyPlugin(), "toy")
        self.registry.register(Cloud(), "cloud")
        for plugin in (qimg_budget.plugin, qimg_data.plugin, qimg_policy.plugin, qimg_rollout.plugin):
            self.registry.register(plugin, plugin.__name__.split(".")[0].removeprefix("qimg_"))
        make_key("officer", Path("keys"))
        make_key("stranger", Path("keys"))
        self.key, self.stated, self.order, self.more = load_key(Path("keys/officer.key.pem")), STATED, "generate", ()
        SQLiteLedger.open("runs").close()

    def qimg(self, *argv, code=0):
        """Calls the program; the document."""
        self.capsys.readouterr()
        found = int(main([*map(str, argv), "--json"], registry=self.registry))
        said = self.capsys.readouterr()
        assert code is None or found == code, said.err
        return found, json.loads(said.out)

    def run(self, *more, code=None):
        """The row's own command, on the fake provider."""
        where = ("--backend", "fake-provider", "--shots", 100, "--ledger", "runs", *more, *self.more)
        stated = [w for s in self.stated for w in ("--stated", s)]
        if self.order == "train":
            data = ("--data", "faces.npz", "--steps", 1, "--samples", 0, "--out", "w.safetensors")
            return self.qimg("train", "--generator", "toy", *data, *where, *stated, code=code)
        made = ("generate", "--generator", "toy", "--untrained", "--n", 2, "--seed", 1, "--out", "a.png")
        return self.qimg(*made, *where, *stated, code=code)

    def bundle(self, name="team", **replaced):
        """A shipped bundle that knows the fake provider."""
        found = shipped_bundle(name)
        text = found.files[SETTINGS] + DEVICE
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        found = evolve(found, files={**found.files, SETTINGS: text})
        return evolve(found, files={**found.files, "schema.cedarschema": schema_text(found.settings)})

    def pin(self, bundle=None, **replaced):
        """Pin it, signed."""
        found = bundle or self.bundle(**replaced)
        found = evolve(found, signature=found.signed([self.key]))
        with SQLiteLedger.open("runs") as log:
            write_pin(log, found, [self.key.public])
        return found

    def manifest(self):
        """A data set with a signed manifest, demanded by the ledger's rules; the order becomes a training."""
        np.savez("faces.npz", x=np.zeros((6, 2, 2, 1), np.float32), y=np.arange(6) % 3)
        Path("about.toml").write_text(ABOUT)
        self.qimg("manifest", "new", "faces.npz", "--about", "about.toml")
        self.qimg("manifest", "sign", "faces.npz", "--key", "keys/officer.key.pem")
        self.rules("signature_required = true\n")
        self.order = "train"

    def rules(self, text):
        Path("rules.toml").write_text(text)
        self.qimg("manifest", "use", "rules.toml", "--trust", "keys/officer.pub", "--ledger", "runs")

    def envelope(self, path, change):
        """Change a signed payload and leave its signature."""
        document = json.loads(Path(path).read_bytes())
        payload = base64.b64decode(document["payload"])
        changed = change(payload)
        assert changed != payload
        document["payload"] = base64.b64encode(changed).decode()
        Path(path).write_text(json.dumps(document))

    def entries(self):
        with SQLiteLedger.open("runs", read_only=True) as log:
            return list(log.entries())


@contextmanager
def answering(kind):
    """A policy server on loopback: ``wrong`` answers with something else, ``slow`` not before the end."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            if kind == "slow":
                ended.wait()
                return
            body = b'{"result": {"allow": "yes"}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
