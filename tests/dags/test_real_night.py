"""Both DAGs for real, on a tiny world: a model passes, a night is released, running it again
changes nothing, and it replays from the landing area to the same hashes."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.with_airflow import ROOT
from tests.faults import promises

NIGHT = datetime(2026, 1, 17, tzinfo=UTC)
SIZE = ["--users", "150", "--videos", "200", "--days", "16", "--seed", "3"]


def command(*argv: str) -> str:
    done = subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"python -m {' '.join(argv)}:\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
    return done.stdout


def run(dag) -> None:
    finished = dag.test(logical_date=NIGHT)
    states = {task.task_id: str(task.state) for task in finished.get_task_instances()}
    assert set(states.values()) == {"success"}, f"{dag.dag_id} of {NIGHT:%Y-%m-%d}: {states}; its log is above"


@pytest.fixture(scope="module")
def world(airflow_home: Path) -> Path:
    """A home with 16 landed days."""
    raw = airflow_home.parent / "simulated"
    command("jobs.simulate", str(raw), *SIZE)
    command("jobs.land", str(raw), "--preset", "nightreel")
    return airflow_home.parent


def test_training_then_a_night_then_the_same_night_again(fresh_dags, world: Path):
    run(fresh_dags["training"])
    run(fresh_dags["nightly"])
    releases = {path.name: path.read_bytes() for path in (world / "releases").glob("*.json")}
    assert len(releases) == 1, "one night, one release"
    assert promises.whole_release(world)["model"] == "1", "a model was registered and made the lists"
    manifests = {path: path.read_bytes() for path in (world / "lake").rglob("*.json")}

    run(fresh_dags["nightly"])
    assert {path.name: path.read_bytes() for path in (world / "releases").glob("*.json")} == releases
    assert {path: path.read_bytes() for path in (world / "lake").rglob("*.json")} == manifests
    assert "2026-01-17" in command("jobs.releases")
    assert "all equal to the release" in command("jobs.replay", "--as-of", "2026-01-17")
