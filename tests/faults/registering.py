"""A training killed before each change that it makes in MLflow: the next one leaves one version, named champion."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from jobs import train
from jobs.small_lake import environment
from lake import numbered_log
from tests.faults import killing
from tests.training import planted

CHANGES = ("create_experiment", "create_run", "log_batch", "log_artifacts", "set_terminated", "create_registered_model",
           "create_model_version", "set_registered_model_alias")
TRAIN = ["--as-of", planted.AS_OF.isoformat()]


def killed_in_registration(folder: Path) -> int:
    """A model that MLflow does not know yet is registered again and again, killed each time one change later."""
    home, fired = folder / "home", 0
    with environment(NIGHTREEL_HOME=str(home), MLFLOW_TRACKING_URI="http://127.0.0.1:9"):  # nobody listens there
        planted.write(planted.log())
        train.main(TRAIN)
        model = numbered_log.entries("promotions")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    for n in range(1, len(CHANGES) + 2):
        again = shutil.copytree(home, folder / f"killed {n}")
        with environment(NIGHTREEL_HOME=str(again)):
            ended = not killing.killed_at(n, partial(train.main, TRAIN), mlflow_doors)
            fired += not ended
            train.main(TRAIN)
            _one_version(model)
        if ended:
            return fired
    raise AssertionError(f"a registration makes more changes than {CHANGES}")


def mlflow_doors(counted: Callable[[Callable], Callable]) -> None:
    """Count every change that this process makes in MLflow."""
    from mlflow import MlflowClient

    for name in CHANGES:
        setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))


def _one_version(model: list[dict]) -> None:
    from training import registry

    assert numbered_log.entries("promotions") == model, "the promotion log moved"
    with registry._client() as client:
        (version,) = client.search_model_versions(f"name = '{registry.MODEL}'")
        (registered,) = client.search_registered_models(f"name = '{registry.MODEL}'")
        runs = client.search_runs([client.get_experiment_by_name(registry.EXPERIMENT).experiment_id])
        files = {file.path for file in client.list_artifacts(version.run_id, "model")}
    assert registered.aliases == {"champion": version.version}, registered.aliases
    told = {run.info.run_id: run.info.status for run in runs}
    assert told.pop(version.run_id) == "FINISHED" and set(told.values()) <= {"KILLED"}, told
    assert {"model/MLmodel", "model/model.json"} <= files, files
