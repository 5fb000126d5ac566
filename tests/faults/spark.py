"""Spark under fire: driver, JVM, Python worker, or an executor of a cluster killed with -9 while a night's tables are
built; and what its event log tells."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pyspark

from jobs import build, local_airflow
from jobs.small_lake import environment
from jobs.with_airflow import ROOT, free_port
from lake import lineage
from tests.faults import orchestration, publisher, real

AS_OF = real.FIRST + timedelta(days=5)
SECRET = "hunter2hunter2"
TOLD = {"AWS_SECRET_ACCESS_KEY": SECRET, "MLFLOW_TRACKING_URI": f"http://me:{SECRET}@127.0.0.1:9",
        "REDIS_URL": f"redis://:{SECRET}@127.0.0.1:9/0"}
# What the command line of each victim holds, among the processes of a build or, for an executor, of a cluster.
VICTIMS = {"driver": "jobs.build", "jvm": "deploy.SparkSubmit", "worker": "jobs.spark_workers",
           "executor": "CoarseGrainedExecutorBackend"}


def build_argv() -> list[str]:
    return [sys.executable, "-m", "jobs.build", *real.NIGHT, "--as-of", str(AS_OF)]


def hashes(home: Path) -> dict[str, str]:
    with environment(NIGHTREEL_HOME=str(home)):
        return {name: lineage.resolve(name, AS_OF).content_hash for name in real.NIGHT[2:]}


def killed(folder: Path, rounds: int = 3) -> int:
    """Each victim killed at some moment of the build, several times: it ends well only if all tables are there, nobody
    is left behind, and the next run makes what an undisturbed one makes. Without an executor the build goes on."""
    before, rng, fired = dict(os.environ), random.Random(1), 0
    os.environ.update(NIGHTREEL_HOME=str(folder / "home"), **real.SETTINGS)
    try:
        for n in range(5):
            real.land_days(folder, [real.FIRST + timedelta(days=n)], users=40)
        whole = shutil.copytree(folder / "home", folder / "whole")
        with environment(NIGHTREEL_HOME=str(whole)):
            build.main([*real.NIGHT, "--as-of", str(AS_OF)])
        with cluster(folder / "cluster") as (master, its_worker):
            for number in range(rounds):
                for victim in VICTIMS:
                    home = shutil.copytree(folder / "home", folder / f"{victim} {number}")
                    at = (master, its_worker) if victim == "executor" else ("local[2]", None)
                    code, was_killed = _one(home, victim, rng.uniform(0, 4), *at)
                    fired += was_killed
                    assert code == 0 or victim != "executor", "a build did not survive its executor"
                    _mended(home, folder / "home", whole, code, victim)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return fired


def _mended(home: Path, landed: Path, whole: Path, code: int, victim: str) -> None:
    """Exit code 0 if and only if all is there; the next run makes the rest of it, and nothing else."""
    try:
        made = hashes(home) == hashes(whole)
    except lineage.Missing:
        made = False
    assert made == (code == 0), f"a build whose {victim} was killed ended with {code}, all tables there: {made}"
    with environment(NIGHTREEL_HOME=str(home)):
        build.main([*real.NIGHT, "--as-of", str(AS_OF)])
    assert orchestration.landing(home) == orchestration.landing(landed), "the landing area changed"
    assert hashes(home) == hashes(whole) and publisher.files_of(home / "lake") == publisher.files_of(
        whole / "lake"), f"after a {victim} was killed"


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A Spark of its own on loopback, a master and a worker of two cores: its address, and the worker, whose children
    are executors."""
    spark_class, port = Path(pyspark.__file__).parent / "bin/spark-class", free_port(7077)
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"}
    address = f"spark://127.0.0.1:{port}"
    asked = {"master": ["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"],
             "worker": ["worker.Worker", "--host", "127.0.0.1", "--webui-port", "0", "--cores", "2", "--memory", "2g",
                        "--work-dir", str(folder), address]}
    started = [subprocess.Popen([spark_class, f"org.apache.spark.deploy.{argv[0]}", *argv[1:]], env=settings,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
               for argv in asked.values()]
    try:
        yield address, psutil.Process(started[1].pid)
    finally:
        local_airflow.stop(started)


def _one(home: Path, victim: str, wait_s: float, master: str, its_worker: psutil.Process | None) -> tuple[int, bool]:
    """Start the build in real Spark and kill the victim so many seconds after it appeared: the build's exit code, and
    False when it was over before."""
    settings = {**os.environ, "NIGHTREEL_HOME": str(home), "SPARK_MASTER": master, "PYSPARK_PYTHON": sys.executable}
    run = subprocess.Popen(build_argv(), cwd=ROOT, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def found() -> list[psutil.Process]:
        top = its_worker or psutil.Process(run.pid)
        family = top.children(recursive=True) + ([top] if victim == "driver" else [])
        return [each for each in family if VICTIMS[victim] in " ".join(orchestration.cmdline(each))]

    while run.poll() is None and not found():
        time.sleep(0.05)
    time.sleep(wait_s)
    alive = [each for each in (found() if run.poll() is None else [])
             if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    for each in alive[-1:]:
        each.kill()
    code = run.wait(180)
    orchestration.until(f"what a killed {victim} left behind ends", lambda: not orchestration.ours(home), 30)
    return code, bool(alive)


def secrets(folder: Path) -> int:
    """Secrets in the environment and in Spark's settings, and an event log: nothing that is said or kept has them."""
    before, home, log = dict(os.environ), folder / "home", folder / "home/events"
    os.environ.update(NIGHTREEL_HOME=str(home), **real.SETTINGS)
    try:
        real.land_days(folder, [real.FIRST + timedelta(days=n) for n in range(5)])
        log.mkdir()
        conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{log}",
                "spark.eventLog.compress": "false",
                "spark.hadoop.fs.s3a.secret.key": SECRET, "spark.hadoop.fs.azure.account.oauth2.client.secret": SECRET}
        settings = {**os.environ, **TOLD, "SPARK_MASTER": "local[2]", "PYSPARK_PYTHON": sys.executable,
                    "NIGHTREEL_SPARK_CONF": ";".join(f"{name}={value}" for name, value in conf.items())}
        done = subprocess.run(build_argv(), cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert done.returncode == 0, done.stderr[-2000:]
    files = [path for path in home.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files if log in path.parents)
    assert b"fs.s3a.secret.key" in kept and b"SparkListenerJobEnd" in kept, "the event log tells nothing"
    assert SECRET not in done.stdout + done.stderr
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    return len(TOLD) + 2
