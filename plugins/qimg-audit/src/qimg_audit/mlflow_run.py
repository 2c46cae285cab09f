"""Runs as runs of an MLflow tracking store (imports qimg_core; mlflow inside functions).

Parameters are the record's own texts, so nothing is rounded; the losses of a training become a metric. MLflow's own
usage reports are switched off before it is imported, and no user name is written.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.exporting import Exported
from qimg_core.trace_graph import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.base import Ledger
    from qimg_core.trace_graph import Graph, Node

_LONGEST = 6000
_BATCH = 1000
_LEFT = ("entries", "started", "resumed", "ended", "status", "error")
_STATUS = {"ok": "FINISHED", "interrupted": "KILLED", None: "RUNNING"}
_NAMES = {"weights": "weights.safetensors", "losses": "losses.csv", "pixels": "pixels.qimg", "circuit": "circuit.json",
          "environment": "environment.json", "image_digests": "image_digests.json"}  # fmt: skip


def write(ledger: Ledger, graph: Graph, out: str) -> Exported:
    """Write each run that the graph begins with into a tracking store, in an experiment of the log's name.

    Args:
        ledger: gives the artefacts.
        graph: of the runs.
        out: a folder (a file store), ``sqlite:///FILE``, or another URI that MLflow takes.

    Raises:
        ConfigurationError: MLflow is not installed or does not take the store; or a run is there already.
    """
    client = _client(out)
    from mlflow.exceptions import MlflowException

    try:
        experiment = _experiment(client, graph.log, out)
        there = [run for run in graph.starts if _known(client, experiment, graph.nodes[run])]
        if there:
            raise ConfigurationError(
                f"{out} holds {there[0]} already", hint="name other runs with --run, or another store"
            )
        for run in graph.starts:
            _one(client, experiment, ledger, graph, graph.nodes[run])
    except MlflowException as error:
        raise ConfigurationError(f"MLflow does not take {out!r}: {str(error)[:300]}") from error
    return Exported(out=out, items=f"{len(graph.starts)} runs in the experiment {graph.log}")


def _client(out: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report its use to its makers
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = out if "://" in out or out.startswith("sqlite:") else Path(out).absolute().as_uri()
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise ConfigurationError("MLflow is not installed", hint="pip install 'qimg-audit[mlflow]'") from error
    try:
        return MlflowClient(tracking_uri=uri)
    except (MlflowException, ImportError) as error:
        hint = "a database store needs the package mlflow or sqlalchemy" if uri.startswith("sqlite") else ""
        raise ConfigurationError(f"MLflow does not open {out!r}: {str(error)[:300]}", hint=hint) from error


def _experiment(client: Any, log: str, out: str) -> str:
    found = client.get_experiment_by_name(log)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if out.startswith("sqlite:///"):  # its artefacts lie beside the database, not in the working folder
        location = Path(out.removeprefix("sqlite:///") + ".artifacts").absolute().as_uri()
    return str(client.create_experiment(log, artifact_location=location))


def _known(client: Any, experiment: str, node: Node) -> bool:
    query = f"tags.`qimg.run` = '{node.run}'"
    return bool(client.search_runs([experiment], filter_string=query, max_results=1))


def _one(client: Any, experiment: str, ledger: Ledger, graph: Graph, run: Node) -> None:
    from mlflow.entities import Metric, Param

    facts = run.facts
    begun = _millis(facts.get("started"))
    products = list(graph.sources(run.id, NodeKind.IMAGES, NodeKind.WEIGHTS))
    made = client.create_run(experiment, start_time=begun, run_name=f"{facts.get('activity', 'run')} {run.run}", tags={
        "qimg.run": str(run.run), "qimg.log": graph.log, "qimg.status": str(facts.get("status")),
        "qimg.entries": f"{run.entries[0]} to {run.entries[-1]}",
        "qimg.gaps": "; ".join(graph.gaps_of(run.id))[:_LONGEST] or "none",
    })  # fmt: skip
    key = made.info.run_id
    params = dict(_flat("", {k: v for k, v in facts.items() if k not in _LEFT}))
    for kind in (NodeKind.DEVICE, NodeKind.CIRCUIT, NodeKind.DATA, NodeKind.CODE):
        names = ",".join(n.id.partition(":")[2] for n in graph.targets(run.id, kind))
        if names:
            params[kind.value] = names
    for product in products:
        params |= dict(_flat(f"{product.kind.value}.{product.entries[0]}.", product.facts))
    shown = [Param(k[:250], v[:_LONGEST]) for k, v in params.items()]
    for start in range(0, len(shown), 100):
        client.log_batch(key, params=shown[start : start + 100])
    with tempfile.TemporaryDirectory() as folder:
        for product in products:
            for name, digest in product.artefacts.items():
                data = _stored(ledger, digest)
                if data is None:
                    continue
                where = Path(folder) / _NAMES.get(name, f"{name}.bin")
                where.write_bytes(data)
                client.log_artifact(key, str(where), f"{product.kind.value}-{product.entries[0]}")
                if name == "losses":
                    metrics = [Metric("loss", value, begun or 0, step) for step, value in _losses(data)]
                    for start in range(0, len(metrics), _BATCH):
                        client.log_batch(key, metrics=metrics[start : start + _BATCH])
        trace = Path(folder) / "trace.json"
        trace.write_text(json.dumps(graph.to_json(), sort_keys=True))
        client.log_artifact(key, str(trace))
    status = _STATUS.get(facts.get("status"), "FAILED")
    if status != "RUNNING":
        client.set_terminated(key, status=status, end_time=_millis(facts.get("ended")))


def _stored(ledger: Ledger, digest: str) -> bytes | None:
    try:
        return ledger.get(digest)
    except LedgerError:  # erased or lost: the run's gaps say so
        return None


def _millis(time: str | None) -> int | None:
    return None if time is None else int(dt.datetime.fromisoformat(time).timestamp() * 1000)


def _flat(prefix: str, facts: Any) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        elif value is not None:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _losses(data: bytes) -> Iterator[tuple[int, float]]:
    for row in csv.DictReader(io.StringIO(data.decode())):
        yield int(row["step"]), float(row["loss"])
