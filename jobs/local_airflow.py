"""A whole Airflow on this machine, started for as long as somebody needs it, and its REST API.

Shared by the demo and `make ui`. Everything listens on loopback. Leaving `running()`, however it is left, ends every
process it started and theirs.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from jobs import with_airflow

# --skip-serve-logs: the log server would listen on every address, and one machine reads its logs from disk.
SCHEDULER = ("scheduler", "--skip-serve-logs")
DAG_PROCESSOR = ("dag-processor",)
API_SERVER = ("api-server",)
TRIGGERER = ("triggerer", "--skip-serve-logs")
READY_WITHIN_S = 120
DAGS = ("nightly", "training")
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1


class NotAnswering(Exception):
    """Airflow's API gave no usable answer; the message says which question and what came back."""


@dataclass(frozen=True)
class Airflow:
    """A running Airflow: its address (`http://127.0.0.1:8080`), the folder of its logs, a token for its API."""

    url: str
    logs: Path
    token: str = field(repr=False, default="")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request to the API (`GET`, `/api/v2/dags/nightly`); reading is tried three times, else NotAnswering."""
        request = urllib.request.Request(
            self.url + path, method=method, data=json.dumps(body).encode() if body else None
        )
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        for patience in (1, 3, None) if method == "GET" else (None,):
            try:
                with _OPENER.open(request, timeout=30) as answer:
                    return json.loads(answer.read() or b"{}")
            except urllib.error.HTTPError as error:
                raise NotAnswering(
                    f"{method} {path}: {error.code} {error.read()[:500].decode(errors='replace')}"
                ) from None
            except (OSError, ValueError) as error:
                if patience is None:
                    raise NotAnswering(f"{method} {path}: {error}") from None
            time.sleep(patience)
        raise AssertionError("unreachable")

    def run_of(self, dag: str, day: date) -> dict[str, Any] | None:
        """The run of a DAG whose logical date is that day's midnight, or None."""
        midnight = f"{day}T00:00:00Z"
        path = f"/api/v2/dags/{dag}/dagRuns?logical_date_gte={midnight}&logical_date_lte={midnight}"
        runs = self.ask("GET", path)["dag_runs"]
        return runs[0] if runs else None

    def start_run(self, dag: str, day: date) -> str:
        """Start the run of a day, or clear what failed of it; a run that succeeded stays as it is. Returns its id."""
        self.ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
        run = self.run_of(dag, day)
        if run is None:
            run = self.ask("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": f"{day}T00:00:00Z"})
        elif run["state"] == "failed":
            path = f"/api/v2/dags/{dag}/dagRuns/{run['dag_run_id']}/clear"
            self.ask("POST", path, {"dry_run": False, "only_failed": True})
        return run["dag_run_id"]

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run: task_id, state, duration in seconds, try_number."""
        return self.ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances")["task_instances"]

    def progress(self, dag: str, run_id: str, task: str) -> list[str]:
        """The progress lines that a finished task's command printed."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value"
        try:
            value = self.ask("GET", path)["value"]
        except NotAnswering:
            return []
        lines = json.loads(value) if isinstance(value, str) else value
        return lines if isinstance(lines, list) else []

    def log_file(self, dag: str, run_id: str, task: str) -> Path | None:
        """The newest log file of a task."""
        folder = self.logs / f"dag_id={dag}" / f"run_id={run_id}" / f"task_id={task}"
        return max(folder.glob("attempt=*.log"), key=lambda path: path.stat().st_mtime, default=None)


# No proxy: it is this machine's loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def already_running() -> Airflow | None:
    """This home's Airflow, when `make ui` or a demo has one up."""
    kept = with_airflow.airflow_home() / "port"
    if not kept.exists():
        return None
    airflow = _at(int(kept.read_text()))
    return _logged_in(airflow) if _healthy(airflow) else None


@contextmanager
def running(components: tuple[tuple[str, ...], ...] = (SCHEDULER, DAG_PROCESSOR, API_SERVER)) -> Iterator[Airflow]:
    """This home's Airflow: the one that is up, else one of these components that ends with the block."""
    if (there := already_running()) is not None:
        yield there
        return
    kept = with_airflow.airflow_home() / "port"
    kept.unlink(missing_ok=True)
    environment = {**os.environ, **with_airflow.environment()}
    with_airflow.password()
    with ending_on_sigterm():
        started: list[subprocess.Popen[bytes]] = []
        try:
            _migrate(environment)
            kept.write_text(environment["NIGHTREEL_AIRFLOW_PORT"])
            started += [start(["airflow", *component], environment, component[0]) for component in components]
            yield _ready(_at(int(environment["NIGHTREEL_AIRFLOW_PORT"])), started)
        finally:
            stop(started)
            kept.unlink(missing_ok=True)


def start(argv: list[str], environment: dict[str, str], name: str) -> subprocess.Popen[bytes]:
    """Start a service; what it says goes to AIRFLOW_HOME/logs/NAME.log. It dies with this process, even by kill -9."""
    log = Path(environment["AIRFLOW_HOME"]) / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            argv,
            env=environment,
            cwd=with_airflow.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


def stop(started: list[subprocess.Popen[bytes]], patience_s: float = 8) -> None:
    """End services and everything below them: asked first, killed after `patience_s`."""
    family = _family({service.pid for service in started})
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in family:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                pass
        _, family = psutil.wait_procs(family, timeout=patience_s)


def _family(services: set[int]) -> list[psutil.Process]:
    """Every process of the sessions that services began, and all below. A scheduler that was killed leaves its workers
    in its session, waiting for ever for the next task."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in services:
                found |= {process, *process.children(recursive=True)}
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return list(found)


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C does, so that clean-up runs."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _migrate(environment: dict[str, str]) -> None:
    done = subprocess.run(["airflow", "db", "migrate"], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit("error: Airflow's database could not be made:\n" + (done.stdout + done.stderr)[-2000:])


def _ready(airflow: Airflow, started: list[subprocess.Popen[bytes]]) -> Airflow:
    """Wait until every component is healthy and both DAGs are known; the airflow to use from then on, logged in."""
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end:
        dead = [service.args[1] for service in started if service.poll() is not None]
        if dead:
            raise SystemExit(f"error: airflow {dead[0]} ended at once; see {airflow.logs / dead[0]}.log")
        if _healthy(airflow):
            airflow = airflow if airflow.token else _logged_in(airflow)
            try:
                # The part that tasks talk to is made at the first question: ask it, so that no task waits for it.
                airflow.ask("GET", "/execution/health")
                for dag in DAGS:
                    airflow.ask("GET", f"/api/v2/dags/{dag}")
                return airflow
            except NotAnswering:
                pass
        time.sleep(0.5)
    raise SystemExit(
        f"error: Airflow was not ready within {READY_WITHIN_S} s; see {airflow.logs}/*.log, and `make airflow "
        'ARGS="dags list-import-errors"`'
    )


def _healthy(airflow: Airflow) -> bool:
    try:
        with _OPENER.open(airflow.url + "/api/v2/monitor/health", timeout=10) as answer:
            health = json.loads(answer.read())
    except (OSError, ValueError):
        return False
    return all(
        health.get(part, {}).get("status") == "healthy" for part in ("metadatabase", "scheduler", "dag_processor")
    )


def _at(port: int) -> Airflow:
    return Airflow(f"http://127.0.0.1:{port}", with_airflow.airflow_home() / "logs")


def _logged_in(airflow: Airflow) -> Airflow:
    login = {"username": with_airflow.USER, "password": with_airflow.password()}
    return Airflow(airflow.url, airflow.logs, airflow.ask("POST", "/auth/token", login)["access_token"])


def _die_with_parent() -> None:
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
