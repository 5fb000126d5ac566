"""MLflow: what people look at. The lake's promotion log is the truth; runs, versions and aliases here are a copy of it.

Nothing that a night computes is read from MLflow. When it is down, a training ends all the same, and the next one
registers what is missing.
"""

import logging
import os
import re
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lake import numbered_log, storage

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL = "nightreel"
EXPERIMENT = "nightreel"
_IDENTITY = "training_identity"
LONGEST_S = 600.0
LOGIN = re.compile(r"(?<=//)[^/\s]*@")  # of a URI: it may hold a password


class Unavailable(Exception):
    """MLflow did not answer in its bounded time; the training is whole without it."""


@dataclass(frozen=True)
class Record:
    """One training for MLflow. `files`: artifact path → bytes (weights as safetensors, the card, plots).

    `epochs`: metric name → its value per epoch. `inputs`: lake table → content hash of the snapshot it learned from.
    `inference`: input and output column names of the signature.
    """

    as_of: str
    identity: str
    content_hash: str
    promoted: bool
    reason: str
    parameters: dict[str, object]
    metrics: dict[str, float]
    epochs: dict[str, list[float]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    inference: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    card: str = ""


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else SQLite beside the artifacts."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_folder()}/mlflow.db"


def _folder() -> str:
    """Local even when the lake is not: SQLite needs a disk."""
    home = storage.home()
    return f"{home if storage.is_local(home) else Path('var').absolute()}/mlflow"


@contextmanager
def _client() -> Iterator["MlflowClient"]:
    """A client that waits seconds, not minutes. Unavailable instead of whatever MLflow raises."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    Path(_folder()).mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        with _deadline(float(os.environ.get("NIGHTREEL_MLFLOW_LONGEST_S", LONGEST_S))):
            from mlflow import MlflowClient

            yield MlflowClient(tracking_uri())
    except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and OSError
        said = LOGIN.sub("***@", str(error)).partition("\n")[0][:200]
        raise Unavailable(f"MLflow: {type(error).__name__}: {said}") from None


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """TimeoutError when the block takes longer. MLflow's own limit is for each silence: a server that says one byte a
    second never reaches it. Only a main thread can be woken, which is where commands do this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"no end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def register(record: Record) -> int:
    """The one registered version of a training: found by its identity, or made with its run. Unavailable when down."""
    with _client() as client:
        found = _version(client, record.identity)
        if found is None:
            found = _make_version(client, record, _finished_run(client, record) or _make_run(client, record))
        return found


def run_of(version: int) -> str:
    """The run that a registered version came from. Unavailable when MLflow is down."""
    with _client() as client:
        return client.get_model_version(MODEL, str(version)).run_id


def _version(client: "MlflowClient", identity: str) -> int | None:
    versions = client.search_model_versions(f"name = '{MODEL}' and tags.{_IDENTITY} = '{identity}'")
    return min((int(version.version) for version in versions), default=None)


def _experiment(client: "MlflowClient") -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return found.experiment_id
    own = not os.environ.get("MLFLOW_TRACKING_URI")
    return client.create_experiment(EXPERIMENT, artifact_location=f"file://{_folder()}/artifacts" if own else None)


def _finished_run(client: "MlflowClient", record: Record) -> str | None:
    """A run that was logged whole before; runs that were cut off are closed as killed."""
    runs = client.search_runs([_experiment(client)], f"tags.{_IDENTITY} = '{record.identity}'")
    for run in runs:
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    return next((run.info.run_id for run in runs if run.info.status == "FINISHED"), None)


def _make_run(client: "MlflowClient", record: Record) -> str:
    from mlflow.entities import Metric, Param, RunTag

    tags = {_IDENTITY: record.identity, "as_of": record.as_of, "content_hash": record.content_hash,
            "decision": "promoted" if record.promoted else "rejected", "reason": record.reason[:500],
            "mlflow.note.content": record.card,
            **{f"input.{name}": value for name, value in sorted(record.inputs.items())}}
    run = client.create_run(_experiment(client), run_name=f"training {record.as_of}", tags=tags).info.run_id
    per_epoch = [Metric(name, value, 0, step) for name, values in sorted(record.epochs.items())
                 for step, value in enumerate(values)]
    final = [Metric(name, value, 0, 0) for name, value in sorted(record.metrics.items())]
    client.log_batch(run, metrics=[metric for metric in per_epoch + final if metric.value == metric.value],
                     params=[Param(name, str(value)[:500]) for name, value in sorted(record.parameters.items())],
                     tags=[RunTag("gate", record.reason[:500])])
    _log_files(client, run, record)
    client.set_terminated(run, "FINISHED")
    return run


def _log_files(client: "MlflowClient", run: str, record: Record) -> None:
    """Everything under `model/`, with an MLmodel file whose signature the UI shows; no pickle, no code."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs, outputs = (Schema([ColSpec("float", name) for name in names]) for names in record.inference)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in record.files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        described = Model(artifact_path="model", run_id=run, signature=ModelSignature(inputs, outputs))
        described.add_flavor("nightreel", loader="training.bundle.load", content_hash=record.content_hash)
        described.save(str(Path(folder, "MLmodel")))
        client.log_artifacts(run, folder, "model")


def _make_version(client: "MlflowClient", record: Record, run: str) -> int:
    if not any(model.name == MODEL for model in client.search_registered_models(f"name = '{MODEL}'")):
        client.create_registered_model(MODEL, description="Retrieval and ranker of the nightly lists, in one version.")
    made = client.create_model_version(
        MODEL, source=f"runs:/{run}/model", run_id=run, description=record.card,
        tags={_IDENTITY: record.identity, "as_of": record.as_of, "content_hash": record.content_hash})
    return int(made.version)


def repair_aliases() -> dict[str, int]:
    """Set `champion` and `challenger` to what the promotion log says; returns them. Unavailable when MLflow is down.

    champion: the newest promotion. challenger: the newest training after it that was not promoted, if any.
    """
    judged = numbered_log.entries("promotions")
    promoted = [entry for entry in judged if entry["decision"] == "promoted"]
    champion = max(promoted, key=lambda entry: (entry["as_of"], entry["number"]), default=None)
    later = [entry for entry in judged if entry["decision"] != "promoted"
             and (champion is None or entry["as_of"] > champion["as_of"])]
    challenger = max(later, key=lambda entry: (entry["as_of"], entry["number"]), default=None)
    with _client() as client:
        wanted = {alias: _version(client, entry["identity"])
                  for alias, entry in (("champion", champion), ("challenger", challenger)) if entry}
        found = {alias: version for alias, version in wanted.items() if version is not None}
        models = client.search_registered_models(f"name = '{MODEL}'")
        aliases = dict(models[0].aliases) if models else {}
        for alias in ("champion", "challenger"):
            if alias in found and int(aliases.get(alias, -1)) != found[alias]:
                client.set_registered_model_alias(MODEL, alias, str(found[alias]))
            elif alias not in found and alias in aliases:
                client.delete_registered_model_alias(MODEL, alias)
    return found


def log_report(path: str, as_of: str, identity: str | None) -> None:
    """Attach a nightly report to a run of its own, tagged with the model it shows. Unavailable when MLflow is down."""
    with _client() as client:
        experiment = _experiment(client)
        runs = client.search_runs([experiment], f"tags.report_of = '{as_of}'")
        run = runs[0].info.run_id if runs else client.create_run(
            experiment, run_name=f"night {as_of}",
            tags={"report_of": as_of, "model_identity": identity or "none"}).info.run_id
        client.log_artifact(run, path)
        client.set_terminated(run, "FINISHED")
