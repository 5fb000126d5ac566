"""Hostile params through the API of the real Airflow: refused there, or failed by the first task."""

import os
import re
from pathlib import Path

from jobs.local_airflow import Airflow, NotAnswering
from tests.dags.test_as_of import HOSTILE
from tests.faults import orchestration

CONFS = [*({"as_of": typed} for typed in HOSTILE), {"as_of": 5}, {"as_of": ["2026-01-17"]}, {"k": "50; id"},
         {"k": 10**9}, {"k": 0}, {"active_days": "$(id)"}, {"active_days": -1}]
DATES = ["$(id)", "../../etc", "2026-02-31T00:00:00Z", "' OR 1=1 --", "\x00"]


def hostile(folder: Path) -> int:
    """Every one fails, without a second try; nothing is computed and no file appears beside the home."""
    with orchestration.service(folder) as airflow:
        home, beside = Path(os.environ["NIGHTREEL_HOME"]), sorted(folder.iterdir())
        landed = sorted((home / "lake").rglob("*"))
        airflow.ask("PATCH", "/api/v2/dags/nightly", {"is_paused": False})
        asked = [{"logical_date": None, "conf": conf} for conf in CONFS] + [{"logical_date": date} for date in DATES]
        runs = [run for body in asked if (run := _accepted(airflow, body))]
        for run in runs:
            assert orchestration.ended(airflow, run) == "failed", run
            assert {one["state"] for one in airflow.tasks("nightly", run)} <= {"failed", "upstream_failed"}, run
            (first,) = [one for one in airflow.tasks("nightly", run) if one["task_id"] == "wait"]
            assert first["try_number"] == 1, "what no retry can heal was tried again"
        assert sorted((home / "lake").rglob("*")) == landed and sorted(folder.iterdir()) == beside
        assert not (home / "releases").exists()
    return len(asked)


def _accepted(airflow: Airflow, body: dict) -> str | None:
    """The run that Airflow began; None when it refused, which it says with 400 or 422."""
    try:
        return airflow.ask("POST", "/api/v2/dags/nightly/dagRuns", body)["dag_run_id"]
    except NotAnswering as error:
        assert re.search(r": (400|422) ", str(error)), error
        return None
