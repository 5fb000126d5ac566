"""The real Airflow under fire: its scheduler killed in every task, one date twice at once, a backfill beside the
nightly, a task frozen until its timeout. Each fault returns how often it fired and raises when a night did not come out
whole."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psutil

from jobs import local_airflow
from jobs.local_airflow import Airflow, NotAnswering
from jobs.with_airflow import ROOT, environment
from lake import numbered_log, snapshot
from lake.tables import TABLES
from publishing.live import load_release

NIGHT = date(2026, 1, 17)
SIZE = ["--users", "150", "--videos", "200", "--days", "17", "--seed", "3"]
TASKS = ("wait", "build", "features", "ann_index", "recommendations", "release", "report")
NOT_YET = ("", "scheduled", "queued", "up_for_retry", "up_for_reschedule")
PATIENCE_S = 600
# The DAG files as they are, but with two minutes for an hour and seconds between tries; a dead task is noticed sooner.
SHORTER = {"HOURS = 60": "HOURS = 2", "timedelta(minutes=1)": "timedelta(seconds=5)"}
SETTINGS = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15"}


@contextmanager
def service(folder: Path) -> Iterator[Airflow]:
    """A home with 17 landed days and an Airflow of its own around it; nothing of it runs afterwards."""
    before, home = dict(os.environ), folder / "home"
    os.environ.update(SETTINGS, NIGHTREEL_HOME=str(home), AIRFLOW__CORE__DAGS_FOLDER=str(_dags(folder)))
    try:
        raw = str(folder / "raw")
        for argv in (["jobs.simulate", raw, *SIZE], ["jobs.land", raw, "--preset", "nightreel"]):
            subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, check=True, capture_output=True)
        with local_airflow.running() as airflow:
            yield airflow
        left = ours(home)
        assert not left, f"still running: {[cmdline(process) for process in left]}"
    finally:
        for process in ours(home):
            process.kill()
        os.environ.clear()
        os.environ.update(before)


def _dags(folder: Path) -> Path:
    for path in (ROOT / "dags").glob("*.py"):
        text = path.read_text()
        for old, new in SHORTER.items() if path.name != "command.py" else ():
            text = text.replace(old, new)
        if path.name not in ("command.py", "__init__.py"):
            (folder / "dags").mkdir(exist_ok=True)
            (folder / "dags" / path.name).write_text(text)
    return folder / "dags"


def ours(home: Path) -> list[psutil.Process]:
    """Every process but this one that works in a home."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("NIGHTREEL_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE
            found += [process] if mine and process.pid != os.getpid() else []
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def cmdline(process: psutil.Process) -> list[str]:
    """What a process was started with; empty when it has ended meanwhile."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def until(what: str, true: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {patience_s:.0f} s")
        time.sleep(0.05)


def state(airflow: Airflow, run_id: str, task: str | None = None) -> str:
    """The state of a nightly run, or of one of its tasks."""
    try:
        if task is None:
            return airflow.ask("GET", f"/api/v2/dags/nightly/dagRuns/{run_id}")["state"]
        return next(one["state"] or "" for one in airflow.tasks("nightly", run_id) if one["task_id"] == task)
    except NotAnswering:
        return ""


def ended(airflow: Airflow, run_id: str) -> str:
    until(f"run {run_id} ends", lambda: state(airflow, run_id) in ("success", "failed"))
    return state(airflow, run_id)


def whole(as_of: date, releases: int) -> None:
    """N1, N2, N5: so many releases, the live one whole and of that date; every file in the lake is named."""
    live = load_release()
    assert live.release.date == as_of and numbered_log.numbers("releases") == list(range(1, releases + 1))
    named = {path for declared in TABLES for when, identity in snapshot.committed(declared.name)
             for path in snapshot.paths(snapshot.load(declared.name, when, identity))}
    lake = Path(os.environ["NIGHTREEL_HOME"], "lake")
    files = {str(path) for path in lake.rglob("*") if path.is_file()}
    there = {path for path in files if not re.search(r"/[0-9a-f]{64}\.json$", path)}
    assert there == named, f"debris: {sorted(there - named)[:5]}"


def _scheduler() -> psutil.Process:
    """The newest one of this process that is not dead."""
    return max((process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE
                and "scheduler" in " ".join(cmdline(process))), key=lambda process: process.create_time())


def scheduler_killed_in_each_task(folder: Path) -> int:
    fired, again = 0, []
    with service(folder) as airflow:
        run_id = airflow.start_run("nightly", NIGHT)
        try:
            for task in TASKS:
                until(f"{task} runs", lambda task=task: state(airflow, run_id, task) not in NOT_YET)
                if state(airflow, run_id, task) == "running":
                    _scheduler().kill()
                    fired += 1
                    again.append(local_airflow.start(["airflow", *local_airflow.SCHEDULER],
                                                     {**os.environ, **environment()}, "scheduler"))
            assert ended(airflow, run_id) == "success"
            whole(NIGHT, 1)
        finally:
            local_airflow.stop(again)
    return fired


def one_date_twice_at_once(folder: Path) -> int:
    """The night in Airflow and, at the same moment, the same commands in a terminal; Airflow refuses a second run."""
    with service(folder) as airflow:
        run_id = airflow.start_run("nightly", NIGHT)
        try:
            airflow.ask("POST", "/api/v2/dags/nightly/dagRuns", {"logical_date": f"{NIGHT}T00:00:00Z"})
            raise AssertionError("Airflow started one date twice")
        except NotAnswering as error:
            assert "409" in str(error)
        day = ["--as-of", str(NIGHT)]
        night = ["feature_snapshots", "catalogue", "histories", "popularity"]
        for argv in (["build", "events", "tiles"], ["build", *night], ["ann_index"], ["recommendations"], ["release"]):
            done = subprocess.run([sys.executable, "-m", f"jobs.{argv[0]}", *argv[1:], *day], cwd=ROOT, text=True,
                                  capture_output=True, timeout=PATIENCE_S)
            assert done.returncode == 0, f"{argv}: {done.stderr[-1000:]}"
        assert ended(airflow, run_id) == "success"
        whole(NIGHT, 1)
    return 2


def backfill_beside_the_nightly(folder: Path) -> int:
    """A backfill of two older nights and the nightly at once: the newest is live at the end, whoever ended last."""
    with service(folder) as airflow:
        run_id = airflow.start_run("nightly", NIGHT)
        argv = ["airflow", "backfill", "create", "--dag-id", "nightly", "--from-date", "2026-01-14", "--to-date",
                "2026-01-15", "--max-active-runs", "1"]
        subprocess.run([sys.executable, "-m", "jobs.with_airflow", *argv], cwd=ROOT, check=True, capture_output=True)
        assert ended(airflow, run_id) == "success"
        for day in (date(2026, 1, 14), date(2026, 1, 15)):
            until(f"backfill of {day}",
                  lambda day=day: (airflow.run_of("nightly", day) or {}).get("state") == "success")
        releases = numbered_log.entries("releases")
        assert [entry["as_of"] for entry in releases] == sorted(entry["as_of"] for entry in releases)
        assert len(releases) + len(numbered_log.numbers("kept")) == 3
        whole(NIGHT, len(releases))
    return 2


def frozen_until_its_timeout(folder: Path) -> int:
    """The release command stopped by SIGSTOP: Airflow ends it when its time is up, and the retry releases."""
    with service(folder) as airflow:
        run_id = airflow.start_run("nightly", NIGHT)
        frozen: list[psutil.Process] = []

        def caught() -> bool:
            frozen[:] = [process for process in ours(Path(os.environ["NIGHTREEL_HOME"]))
                         if "jobs.release" in cmdline(process)]
            for process in frozen:
                process.send_signal(signal.SIGSTOP)
            return bool(frozen) or state(airflow, run_id, "release") == "success"

        until("the release runs", caught)
        assert frozen, "the release was faster than the fault"
        assert ended(airflow, run_id) == "success"
        assert not any(process.is_running() for process in frozen)
        tries = next(one["try_number"] for one in airflow.tasks("nightly", run_id) if one["task_id"] == "release")
        assert tries == 2
        whole(NIGHT, 1)
    return 1
