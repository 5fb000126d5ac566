"""Airflow's own backfill of `nightly`, both days included; a running Airflow (`make ui`) does the work.

    python -m jobs.backfill --from 2026-02-03 --to 2026-02-05

On SQLite, Airflow reads before it writes while it creates a backfill: a task that writes in between ends it with
"database is locked", at once, and leaves a backfill without runs that bars the next one until the scheduler closes it
after two minutes (apache/airflow#66726). So that one is tried again.
"""

import argparse
import subprocess
import sys
import time

from jobs.command import day, run, say
from jobs.with_airflow import ROOT

TRIES, EVERY_S = 20, 15
OURS, BARRED = "database is locked", "AlreadyRunningBackfill"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.backfill", description=__doc__.splitlines()[0])
    parser.add_argument("--from", required=True, type=day, dest="first", help="the first night, YYYY-MM-DD")
    parser.add_argument("--to", required=True, type=day, dest="last", help="the last night")
    options = parser.parse_args(arguments)
    create = ["backfill", "create", "--dag-id", "nightly", "--from-date", str(options.first), "--to-date",
              str(options.last), "--reprocess-behavior", "failed", "--max-active-runs", "1"]
    for argv in (["dags", "unpause", "nightly"], create):
        code, said = _patiently(argv)
        print(said[-4000:], end="", flush=True)
        if code:
            sys.exit(f"the backfill was not created; airflow {' '.join(argv)} ended with exit code {code}")


def _patiently(argv: list[str]) -> tuple[int, str]:
    """Run a command of Airflow, and again as long as its SQLite was busy."""
    locked = False
    for _ in range(TRIES):
        code, said = _airflow(*argv)
        locked |= OURS in said
        if code == 0 or not locked or OURS not in said and BARRED not in said:
            break
        say("backfill: Airflow's database was busy; once more when the scheduler has closed what was begun")
        time.sleep(EVERY_S)
    return code, said


def _airflow(*argv: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "jobs.with_airflow", "airflow", *argv], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(run(main))
