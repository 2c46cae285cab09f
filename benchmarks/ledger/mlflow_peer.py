"""MLflow's stores, called without a server, with content like ours (imports measure, record; mlflow inside functions).

Neither store signs or hashes anything. The file store does not sync its files to the disk; the SQLite store uses
SQLite's own defaults, which sync each commit.
"""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.ledger.measure import Figure, timed
from benchmarks.ledger.record import record

if TYPE_CHECKING:
    from pathlib import Path


def figures(place: Path, count: int) -> list[Figure | str]:
    """What both stores take for the record as one parameter, one metric, and a batch of parameters; or why not."""
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    found: list[Figure | str] = []
    place.mkdir(parents=True, exist_ok=True)
    for name, make in (("file", _file_store), ("SQLite", _sqlite_store)):
        try:
            store = make(place)
        except ImportError as error:
            found.append(f"MLflow, {name} store: not measured, {error}")
            continue
        found += _measure(name, store, count)
    return found


def _file_store(place: Path) -> Any:
    from mlflow.store.tracking import file_store

    make: Any = file_store.FileStore
    return make(str(place / "files"), str(place / "files"))


def _sqlite_store(place: Path) -> Any:
    from mlflow.store.tracking import sqlalchemy_store

    make: Any = sqlalchemy_store.SqlAlchemyStore
    return make(f"sqlite:///{place / 'mlflow.db'}", str(place / "artifacts"))


def _measure(name: str, store: Any, count: int) -> list[Figure | str]:
    from mlflow.entities import Metric, Param

    run = store.create_run("0", "user", 0, [], "run").info.run_id
    texts = [json.dumps(record(n), sort_keys=True, separators=(",", ":")) for n in range(count)]
    params = [Param(f"record-{n}", text) for n, text in enumerate(texts)]
    metrics = [Metric(f"metric-{n}", 0.5, 0, 0) for n in range(count)]
    batches = [[Param(f"batch-{n}-{k}", texts[k]) for k in range(100)] for n in range(max(1, count // 100))]
    who = f"MLflow, {name} store"
    return [
        timed(f"{who}, log_param (the record as text)", (partial(store.log_param, run, p) for p in params)),
        timed(f"{who}, log_metric (one number)", (partial(store.log_metric, run, m) for m in metrics)),
        timed(
            f"{who}, log_batch of 100 records", (partial(store.log_batch, run, [], b, []) for b in batches), units=100
        ),
    ]
