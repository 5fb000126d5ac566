"""The main job, start to finish: a simulated video service, a model, two nights through a real Airflow, what came out.

    python -m jobs.demo [--users 2000] [--videos 3000]

`make demo` runs it after the installation. Everything is made under NIGHTREEL_HOME (default ./var). Run again, it
finds what is there and changes nothing.
"""

import argparse
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

from jobs import demo_summary, local_airflow, with_airflow
from jobs.airflow_progress import follow, row_counts, show
from jobs.with_airflow import ROOT

START, DAYS, SEED = date(2026, 1, 1), 35, 7
LAST_NIGHT = START + timedelta(days=DAYS)
RAW = ("events", "videos", "users")
# Training on the schedule's Monday, then the last two nights.
RUNS = (
    ("training", LAST_NIGHT - timedelta(days=LAST_NIGHT.weekday())),
    ("nightly", LAST_NIGHT - timedelta(days=1)),
    ("nightly", LAST_NIGHT),
)


def already_done() -> bool:
    """True when Airflow's own records say that every run of the demo succeeded; looks without starting anything."""
    database = with_airflow.airflow_home() / "airflow.db"
    if not database.exists():
        return False
    query = "select 1 from dag_run where dag_id = ? and state = 'success' and logical_date like ?"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        try:
            return all(connection.execute(query, (dag, f"{day}%")).fetchone() for dag, day in RUNS)
        except sqlite3.OperationalError:
            return False


def command(name: str, *argv: str) -> str:
    """Run one command of the pipeline and return what it printed; on failure show its last lines and stop."""
    done = subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise SystemExit(
            f"error: {name} failed (exit code {done.returncode}):\n{last}\nThe command: python -m {' '.join(argv)}"
        )
    return done.stdout


def landed() -> bool:
    """True when every arrival day of the demo is sealed."""
    wait = [sys.executable, "-m", "jobs.wait", "--as-of", str(LAST_NIGHT), "--timeout", "0"]
    return subprocess.run(wait, cwd=ROOT, capture_output=True, check=False).returncode == 0


def make_log(users: int, videos: int) -> list[str]:
    """Simulate the service and land its log, where that hasn't happened; the two lines to print."""
    raw = Path(with_airflow.airflow_home().parent) / "simulated"
    if landed():
        if not raw.exists():
            raise SystemExit(
                f"error: {with_airflow.nightreel_home()} already holds a log that is not the demo's. "
                "Give the demo a home of its own: NIGHTREEL_HOME=./demo make demo"
            )
        return ["  simulate and land: there already"]
    started = time.monotonic()
    sizes = ["--users", str(users), "--videos", str(videos)]
    world = ["--days", str(DAYS), "--start", str(START), "--seed", str(SEED)]
    simulated = command("simulate", "jobs.simulate", str(raw), *sizes, *world)
    middle = time.monotonic()
    taken = command("land", "jobs.land", str(raw), "--preset", "nightreel")
    return [
        show("simulate", middle - started, row_counts(simulated.splitlines(), RAW)),
        show("land", time.monotonic() - middle, row_counts(taken.splitlines())),
    ]


def run_everything(users: int, videos: int) -> None:
    """Airflow starts while the log is made: neither needs the other."""
    began = time.monotonic()
    with ThreadPoolExecutor(1) as aside:
        log = aside.submit(make_log, users, videos)
        with local_airflow.running() as airflow:
            ready = time.monotonic() - began
            print("\n".join(log.result()), flush=True)
            print(show("airflow", ready, f"ready at {airflow.url}, user {with_airflow.USER}"), flush=True)
            for dag, day in RUNS:
                print(f"{dag} {day}", flush=True)
                follow(airflow, dag, airflow.start_run(dag, day))
            # Switched off again: from midnight on they would wait for days that no simulated service will ever send.
            for dag in local_airflow.DAGS:
                airflow.ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": True})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--videos", type=int, default=3000)
    sizes = parser.parse_args()
    began = time.monotonic()
    if already_done():
        print(f"Nothing to do: training and nights up to {LAST_NIGHT} have run in {with_airflow.nightreel_home()}.")
    else:
        print(
            f"A simulated short-video service, {DAYS} days from {START}, in {with_airflow.nightreel_home()}", flush=True
        )
        run_everything(sizes.users, sizes.videos)
        print(f"done in {time.monotonic() - began:.0f} s")
    demo_summary.tell(LAST_NIGHT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
