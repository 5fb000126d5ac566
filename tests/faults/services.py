"""`make ui` as a network sees it: what listens, where, and whom it lets in."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from jobs import local_airflow
from jobs.with_airflow import ROOT, USER
from tests.faults import orchestration


def listening(folder: Path) -> int:
    """Airflow and MLflow, each with all its processes: every socket they listen on is of loopback, and Airflow answers
    nobody without the password; Ctrl-C ends all of it. Returns how many sockets there were."""
    home, said = folder / "home", folder / "said"
    with said.open("w") as out:
        ui = subprocess.Popen([sys.executable, "-m", "jobs.ui"], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
                              env={**os.environ, "NIGHTREEL_HOME": str(home)}, start_new_session=True)
    try:
        orchestration.until("make ui is up", lambda: "Ctrl-C" in said.read_text() or ui.poll() is not None, 180)
        airflow, password = re.search(r"Airflow +(\S+) .*password (\S+)", told := said.read_text()).groups()
        mlflow = re.search(r"MLflow +(\S+)", told).group(1)
        orchestration.until("MLflow answers", lambda: _status(f"{mlflow}/health") == 200, 60)
        sockets = {(one.laddr.ip, one.laddr.port) for process in psutil.Process(ui.pid).children(recursive=True)
                   for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN}
        assert all(address in ("127.0.0.1", "::1") for address, _ in sockets), sockets
        assert {int(url.rpartition(":")[2]) for url in (airflow, mlflow)} <= {port for _, port in sockets}, sockets
        dags = f"{airflow}/api/v2/dags"
        assert _status(dags) == 401 and _status(dags, token="made up") in (401, 403)
        for who, word in ((USER, ""), (USER, USER), (USER, password[:-1]), ("", "")):
            status = _status(f"{airflow}/auth/token", {"username": who, "password": word})
            assert 400 <= status < 500, (status, who, word)
        assert _status(f"{airflow}/auth/token", {"username": USER, "password": password}) == 201
        ui.send_signal(signal.SIGINT)
        assert ui.wait(60) == 0
        left = orchestration.ours(home) + orchestration.titled()
        assert not left, [orchestration.cmdline(process) for process in left]
    finally:
        local_airflow.stop([ui])
    return len(sockets)


def _status(url: str, body: dict | None = None, token: str = "") -> int:
    """The status of an answer; 0 when nobody answers."""
    request = urllib.request.Request(url, data=json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
