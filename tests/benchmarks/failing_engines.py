"""An engine that is the judge itself, with a fault of choice. Run by workers in the tests."""

from __future__ import annotations

import os
import threading

import numpy as np

from benchmarks.engines.base import Engine
from benchmarks.reference import solve


class Faulty(Engine):
    packages = ("numpy", "no-such-package")

    def __init__(self, *, fault="", values_only=False):
        super().__init__(values_only=values_only)
        self.fault = fault
        if fault == "import":
            raise ImportError("libfast.so.1: cannot open shared object file")

    def refuses(self, task):
        return "takes no circuits" if self.fault == "refuses" else None

    def prepare(self, task, arrays):
        held = []

        def step():
            if self.fault == "raises":
                raise ValueError("two\nlines")
            if self.fault == "dies":
                print("out of luck", flush=True)
                os._exit(3)
            if self.fault == "hangs":
                threading.Event().wait()
            if self.fault == "prints":
                print('{"first_ms": 1}', flush=True)
            if self.fault == "allocates":
                np.ones(100 * 10**6 // 8).sum()
            if self.fault == "grows":
                held.append(1)
            if len(held) > 2:
                raise MemoryError("the third call")
            out = solve(task, arrays)
            if self.fault == "wrong":
                out["w"] = -out["w"]
            return {"values": out["values"]} if self.values_only else out

        return step

    def facts(self):
        return {"layer_share": 0.25} if self.fault == "facts" else {}
