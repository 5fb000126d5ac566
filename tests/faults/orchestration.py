"""The real Airflow under fire: its scheduler killed in every task, one date twice at once, a backfill beside the
nightly, tasks frozen until their timeout. Each fault returns how often it fired and raises when a night did not come out
whole."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import psutil

from jobs import local_airflow
from jobs.local_airflow import Airflow, NotAnswering
from jobs.with_airflow import ROOT, environment
from lake import numbered_log, snapshot
from lake.tables import TABLES
from publishing.live import load_release
from tests.faults import promises

NIGHT = date(2026, 1, 17)
SIZE = ["--users", "150", "--videos", "200", "--days", "17", "--seed", "3"]
# Task → what runs while it does; the sensor is nothing but a task.
TASKS = {"wait": "jobs.wait", "features": "jobs.build", "training_ended": "", "ann_index": "jobs.ann_index",
         "recommendations": "jobs.recommendations", "audit": "jobs.audit", "release": "jobs.release",
         "report": "jobs.report"}
NOT_YET = ("", "scheduled", "queued", "up_for_retry", "up_for_reschedule")
PATIENCE_S = 600
LOCKED_S = 15  # Airflow's commands begin within 8 s and wait 5 s for a lock
# The DAG files as they are, but with two minutes for an hour and seconds between tries; a dead task is noticed sooner.
SHORTER = {r"HOURS = 60": "HOURS = 2", r"timedelta\(minutes=1\)": "timedelta(seconds=5)"}
IN_45_S = {**SHORTER, r"minutes=[^,]*HOURS[^,)\n]*": "minutes=0.75"}
SETTINGS = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15"}


@contextmanager
def service(folder: Path, change: Callable[[Path], None] = lambda raw: None,
            shorter: dict[str, str] = SHORTER) -> Iterator[Airflow]:
    """A home with 17 landed days and an Airflow of its own around it; nothing of it runs afterwards. change: what
    happens to the raw log before it is landed. shorter: patterns in the DAG files and what stands there instead."""
    before, home = dict(os.environ), folder / "home"
    os.environ.update(SETTINGS, NIGHTREEL_HOME=str(home), AIRFLOW__CORE__DAGS_FOLDER=str(_dags(folder, shorter)))
    try:
        raw = str(folder / "raw")
        command("jobs.simulate", raw, *SIZE)
        change(folder / "raw")
        command("jobs.land", raw, "--preset", "nightreel")
        landed = landing(home)
        with local_airflow.running() as airflow:
            yield airflow
        assert landing(home) == landed or numbered_log.numbers("erasures"), "the landing area changed"
        left = ours(home) + titled()
        assert not left, f"still running: {[cmdline(process) for process in left]}"
    finally:
        for process in ours(home):
            process.kill()
        os.environ.clear()
        os.environ.update(before)


def landing(home: Path) -> dict[str, bytes]:
    """Every file of the landing area."""
    return {str(path.relative_to(home)): path.read_bytes() for top in ("lake/raw_*", "lake/ids", "log/landing")
            for path in home.glob(f"{top}/**/*") if path.is_file()}


def command(*argv: str, code: int = 0) -> str:
    """What a command of the pipeline says, in a terminal; it ends with this code, or this raises."""
    done = subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S,
                          check=False)
    said = done.stdout + done.stderr
    assert done.returncode == code, f"{' '.join(argv)} ended with {done.returncode}, not {code}: {said[-2000:]}"
    return said


def _dags(folder: Path, shorter: dict[str, str]) -> Path:
    for path in (ROOT / "dags").glob("*.py"):
        text = path.read_text()
        for old, new in shorter.items():
            text = re.sub(old, new, text)
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


def titled() -> list[psutil.Process]:
    """Airflow's own processes in this checkout that are younger than this one. They wrote their titles over their
    environment, so it does not tell their home."""
    found, since = [], psutil.Process().create_time()
    for process in psutil.process_iter():
        try:
            mine = process.create_time() > since and process.cwd() == str(ROOT)
            found += [process] if mine and " ".join(cmdline(process)).startswith("airflow ") else []
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


def state(airflow: Airflow, run_id: str, task: str | None = None, dag: str = "nightly") -> str:
    """The state of a run, or of one of its tasks."""
    try:
        if task is None:
            return airflow.ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}")["state"]
        return next(one["state"] or "" for one in airflow.tasks(dag, run_id) if one["task_id"] == task)
    except NotAnswering:
        return ""


def ended(airflow: Airflow, run_id: str, dag: str = "nightly") -> str:
    until(f"run {run_id} ends", lambda: state(airflow, run_id, dag=dag) in ("success", "failed"))
    return state(airflow, run_id, dag=dag)


def whole(as_of: date, releases: int) -> None:
    """N1, N2, N5: so many releases, the live one whole and of that date; every file in the lake is named."""
    promises.whole_release(Path(os.environ["NIGHTREEL_HOME"]))
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
    """SIGKILL of the scheduler while each task runs; another one is started at once."""
    def kill(again: list[subprocess.Popen]) -> None:
        _scheduler().kill()
        again.append(local_airflow.start(["airflow", *local_airflow.SCHEDULER], {**os.environ, **environment()},
                                         "scheduler"))

    return _in_each_task(folder, kill)


def worker_killed_in_each_task(folder: Path) -> int:
    """SIGKILL of what runs each task: the process of the task itself and, by turns, the worker that looks after it."""
    def kill(turns: list[object]) -> None:
        until("a worker has the task", lambda: _kill_worker("LocalExecutor: " if len(turns) % 2 else ""), 30)
        turns.append(None)

    return _in_each_task(folder, kill)


def _kill_worker(looks_after: str) -> bool:
    for process in titled():
        if re.fullmatch(rf"airflow worker -- {looks_after}[0-9a-f-]{{36}}", " ".join(cmdline(process)).strip()):
            process.kill()
            return True
    return False


def _in_each_task(folder: Path, kill: Callable[[list], None]) -> int:
    """A night during whose every task something is killed. AssertionError, too, when a task was too fast for that."""
    killed, started = [], []
    with service(folder) as airflow:
        run_id = airflow.start_run("nightly", NIGHT)
        assert set(TASKS) == {one["task_id"] for one in airflow.tasks("nightly", run_id)}
        try:
            for task, module in TASKS.items():
                until(f"{task} runs", lambda one=(task, module): _runs(airflow, run_id, *one))
                if state(airflow, run_id, task) in ("queued", "running"):
                    kill(started)
                    killed.append(task)
            assert ended(airflow, run_id) == "success"
            whole(NIGHT, 1)
        finally:
            local_airflow.stop([each for each in started if each])
    assert killed == list(TASKS), f"killed in {killed} only"
    return len(killed)


def _runs(airflow: Airflow, run_id: str, task: str, module: str) -> bool:
    """Whether a task runs now, or did."""
    home = Path(os.environ["NIGHTREEL_HOME"])
    if module and any(module in cmdline(process) for process in ours(home)):
        return True
    return state(airflow, run_id, task) not in (NOT_YET if module else ("", "scheduled", "up_for_retry"))


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
            command(f"jobs.{argv[0]}", *argv[1:], *day)
        assert ended(airflow, run_id) == "success"
        whole(NIGHT, 1)
    return 2


def backfill_beside_the_nightly(folder: Path) -> int:
    """A backfill of two older nights and the nightly at once: the newest is live at the end, whoever ended last."""
    with service(folder) as airflow:
        run_id = airflow.start_run("nightly", NIGHT)
        command("jobs.backfill", "--from", "2026-01-14", "--to", "2026-01-15")
        assert ended(airflow, run_id) == "success"
        for day in (date(2026, 1, 14), date(2026, 1, 15)):
            until(f"backfill of {day}",
                  lambda day=day: (airflow.run_of("nightly", day) or {}).get("state") == "success")
        releases = numbered_log.entries("releases")
        assert [entry["as_of"] for entry in releases] == sorted(entry["as_of"] for entry in releases)
        assert len(releases) + len(numbered_log.numbers("kept")) == 3
        whole(NIGHT, len(releases))
    return 2


def backfill_while_the_database_is_locked(folder: Path) -> int:
    """Another process has the write lock of Airflow's SQLite, for longer than Airflow waits for it, first while
    `jobs.backfill` switches the DAG on and then while it creates the backfill. Both are tried again."""
    day = date(2026, 1, 14)
    with service(folder) as airflow:
        argv = [sys.executable, "-m", "jobs.backfill", "--from", str(day), "--to", str(day)]
        asked = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for doing in ("dags unpause", "backfill create"):
            until(f"airflow {doing}", lambda doing=doing: any(
                f"airflow {doing}" in " ".join(cmdline(process)) for process in ours(folder / "home")), 120)
            _locked(folder / "home/airflow/airflow.db", LOCKED_S)
        said, _ = asked.communicate(timeout=PATIENCE_S)
        fired = said.count("database was busy")
        assert asked.returncode == 0 and fired >= 2, f"exit code {asked.returncode}: {said[-3000:]}"
        until(f"backfill of {day}", lambda: (airflow.run_of("nightly", day) or {}).get("state") == "success")
        whole(day, 1)
    return fired


def _locked(database: Path, seconds: float) -> None:
    """Keep every other process from writing to a SQLite database for a while."""
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        time.sleep(seconds)
        connection.execute("rollback")


def frozen_until_their_timeout(folder: Path) -> int:
    """The command of every task stopped by SIGSTOP: Airflow ends it when its 45 seconds are up, and the retry goes on
    to a release."""
    modules = {task: module for task, module in TASKS.items() if module}
    with service(folder, shorter=IN_45_S) as airflow:
        run_id = airflow.start_run("nightly", NIGHT)
        frozen = [process for task, module in modules.items() for process in _frozen(airflow, run_id, task, module)]
        assert ended(airflow, run_id) == "success"
        assert not any(process.is_running() for process in frozen)
        tries = {one["task_id"]: one["try_number"] for one in airflow.tasks("nightly", run_id)}
        assert {task: tries[task] for task in modules} == dict.fromkeys(modules, 2)
        whole(NIGHT, 1)
    return len(modules)


def _frozen(airflow: Airflow, run_id: str, task: str, module: str) -> list[psutil.Process]:
    """Stop a task's command as soon as it runs; AssertionError when it was faster."""
    found: list[psutil.Process] = []

    def caught() -> bool:
        found[:] = [each for each in ours(Path(os.environ["NIGHTREEL_HOME"])) if module in cmdline(each)]
        for process in found:
            process.send_signal(signal.SIGSTOP)
        return bool(found) or state(airflow, run_id, task) in ("success", "failed")

    until(f"{task} runs", caught)
    assert found, f"{task} was faster than the fault"
    return found
