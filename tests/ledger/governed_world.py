"""A governed ledger in this process: 2 of 3 witnesses, a local archive, runs with pictures, and copies to spoil.

Needs the plugins qimg-anchors and qimg-stores.
"""

from __future__ import annotations

import random
import shutil
import types

import httpx

from qimg_anchors import heads, quorum, witness
from qimg_core import Registry, Session, png
from qimg_core.cli.evidence import match_picture
from qimg_core.cli.remembering import remember
from qimg_core.hooks import OutsideMemorySpec, hookimpl
from qimg_core.images import read_images
from qimg_core.ledger import SQLiteLedger, verify_folder
from qimg_core.ledger.bundle import check, export
from qimg_core.ledger.cosignature import Cosigner
from qimg_core.ledger.publishing import publish
from qimg_core.ledger.receipts import worth_keeping
from qimg_core.ledger.tile_log import verify_published
from qimg_core.testing.tampering import LEDGER, NOBODY, Target, rollback_database
from qimg_core.testing.tampering_copies import BUNDLE, PUBLISHED
from qimg_core.testing.toy import ToyPlugin
from qimg_core.verdict import Verdict
from qimg_stores import places
from qimg_stores import plugin as stores

ORIGIN = "example.org/records"
PLAYED = {}  # host -> witness in this process
PLACES = {"ledger": LEDGER, "bundle": BUNDLE, "published": PUBLISHED}
FOLDERS = {"ledger": "log", "bundle": "bundle", "published": "published"}


class Network(httpx.BaseTransport):
    """Carries requests to the witnesses in this process."""

    def handle_request(self, request):
        player, body = PLAYED[request.url.host], request.read()
        post = request.method == "POST"
        found = player.add_checkpoint(body) if post else player.checkpoint(request.url.path.split("/")[1])
        return httpx.Response(int(found.status), headers={"Content-Type": found.content_type}, content=found.body)


class Witnesses(quorum.WitnessQuorum):
    def __init__(self, name, policy, folder):
        super().__init__(name, policy, folder, transport=Network())


class WitnessPlugin:
    @hookimpl
    def qimg_outside_memories(self):
        return [OutsideMemorySpec(name="witnesses-here", target=f"{__name__}:Witnesses")]


def world(root, seed):
    """A governed ledger with three runs, its bundle, its published form, pictures, and what is kept outside."""
    registry = Registry(discover=False)
    for plugin, name in ((ToyPlugin(), "toy"), (WitnessPlugin(), "here"), (stores, "stores")):
        registry.register(plugin, name)
    made = World(root, registry, random.Random(seed))
    for _ in range(3):
        made.run()
    made.close()
    return made


class World:
    def __init__(self, root, registry, rng):
        self.root, self.log, self.rng = root, root / "log", rng
        self.app = types.SimpleNamespace(registry=registry)
        self.open = []
        with SQLiteLedger.open(self.log, origin=ORIGIN) as ledger:
            logs = {ORIGIN: ledger.keys}
        lines = ""
        for name in ("w1", "w2", "w3"):
            cosigner = Cosigner.generate(f"witness.example/{name}")
            heads.make_heads(root / name, cosigner.keys)
            self.open.append(heads.Heads(root / name, cosigner.keys))
            PLAYED[f"{root.name}-{name}"] = witness.Witness(cosigner, logs, self.open[-1], lambda: 1_790_000_000)
            lines += f"witness {name} {cosigner.keys[name == 'w2']} https://{root.name}-{name}/\n"
        (self.log / "policy.txt").write_text(f"{lines}group g 2 w1 w2 w3\nquorum g\n")
        places.open_archive(where=str(root / "archive"), flags=False).prepare()
        (self.log / "ledger.toml").write_text(
            'mode = "governed"\n[memory.witnesses]\nuse = "witnesses-here"\npolicy = "policy.txt"\n'
            f'[memory.archive]\nuse = "archive"\nwhere = "{root / "archive"}"\nflags = false\n'
            "accept_tamper_resistant = true\n"
        )

    def run(self):
        """One run with pictures, handed over at its end."""
        seed = self.rng.getrandbits(30)
        with Session(self.log, seed=seed, backend="reference", registry=self.app.registry) as session:
            images = session.generator("toy").sample(3)
            for number in range(self.rng.randint(2, 5)):
                session.record("note.made", {"number": number, "text": f"{self.rng.getrandbits(99):x}"})
            picture = session.ledger.put(self.rng.randbytes(300))
            session.record("picture.kept", {"artefacts": {"picture": picture}})
        images.save(self.root / f"{session.run}.png")

    def close(self):
        """What is made of the finished ledger."""
        with SQLiteLedger.open(self.log) as ledger:
            self.sizes = tuple(int(note.split(b"\n")[1]) for note in ledger.checkpoints())
            self.kept = max(size for size in self.sizes if size <= worth_keeping(ledger))
            self.named = {}
            for entry in ledger.entries():
                for digest in entry.artefacts.values():
                    self.named.setdefault(digest, entry.index)
            self.images = tuple(e.artefacts["picture"] for e in ledger.entries(kind="picture.kept"))
            (self.root / "kept.note").write_bytes(ledger.checkpoints()[-1])
            for name in ("bundle", "published"):
                shutil.rmtree(self.root / name, ignore_errors=True)
            export(ledger, self.root / "bundle")
            publish(ledger, self.root / "published")
        self.keys = (self.log / "keys" / "log.vkeys").read_bytes()
        self.pictures = sorted(self.root.glob("*.png"))

    def target(self, folder):
        return Target(folder=folder, sizes=self.sizes, kept=self.kept, named=self.named, images=self.images)

    # What checks say, alone and with the outside

    def look(self, where, folder):
        if where == "ledger":
            alone = verify_folder(folder)
            return alone, remember(self.app, str(folder), alone, checkpoint=None, online=True)[0]
        if where == "bundle":
            kept = str(self.root / "kept.note")
            trusted = check(folder, vkeys=self.keys)
            return check(folder), remember(self.app, str(folder), trusted, checkpoint=kept, online=False)[0]
        return verify_published(folder), verify_published(folder, vkeys=self.keys)

    def spoiled(self, rng, kind, folder):
        """Spoil a copy in some way of a kind. Gives way, place, first bad entry, and both checks."""
        folder.mkdir()
        if kind == "swapped image" and rng.random() < 0.3:
            return self.picture(rng, folder)
        ways = [(where, way) for where, ways in PLACES.items() for way in ways.get(kind, ())]
        where, way = rng.choice(ways)
        shutil.copytree(self.root / FOLDERS[where], folder / "copy")
        first = way(rng, self.target(folder / "copy"))
        name = way.__doc__.rstrip(".")
        if kind in ("rollback", "fork", "stolen key") and first == NOBODY and rng.random() < 0.2:
            if way is not rollback_database:
                with SQLiteLedger.open(folder / "copy") as ledger:
                    export(ledger, folder / "exported")
                return name, "bundle", first, *self.look("bundle", folder / "exported")
        return name, where, first, *self.look(where, folder / "copy")

    def picture(self, rng, folder):
        """A picture file whose pixels are those of another, or one of them changed."""
        path, other = rng.sample(self.pictures, 2)
        (pixels, text), (others, _) = png.read(path), png.read(other)
        one = pixels.copy()
        one[rng.randrange(4) // 2, rng.randrange(2), 0] ^= 1 << rng.randrange(8)
        chosen = rng.choice([one, others])
        png.write(folder / "picture.png", chosen, text)
        images, text = read_images(folder / "picture.png")
        with SQLiteLedger.open(self.log, read_only=True) as ledger:
            found = match_picture(ledger, images, text)
        said = types.SimpleNamespace(
            ok=found.verdict is Verdict.PASS,
            first_bad=None if found.entry is None else found.entry.index,
            problems=(found,),
        )
        return "Change the pixels of a picture file", "picture", int(text["qimg:entry"]), said, said
