"""Spark under fire: driver, JVM or Python worker killed with -9 while a night's tables are built; and what its
event log tells."""

import os
import random
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil

from jobs import build
from jobs.small_lake import environment
from jobs.with_airflow import ROOT
from lake import lineage
from tests.faults import orchestration, publisher, real

AS_OF = real.FIRST + timedelta(days=5)
SECRET = "hunter2hunter2"
TOLD = {"AWS_SECRET_ACCESS_KEY": SECRET, "MLFLOW_TRACKING_URI": f"http://me:{SECRET}@127.0.0.1:9",
        "REDIS_URL": f"redis://:{SECRET}@127.0.0.1:9/0"}
VICTIMS = {"driver": "jobs.build", "jvm": "java", "worker": "pyspark"}


def build_argv() -> list[str]:
    return [sys.executable, "-m", "jobs.build", *real.NIGHT, "--as-of", str(AS_OF)]


def hashes(home: Path) -> dict[str, str]:
    with environment(NIGHTREEL_HOME=str(home)):
        return {name: lineage.resolve(name, AS_OF).content_hash for name in real.NIGHT[2:]}


def landing(home: Path) -> dict[str, bytes]:
    """Every file of the landing area."""
    return {str(path.relative_to(home)): path.read_bytes() for top in ("lake/raw_*", "log/landing")
            for path in home.glob(f"{top}/**/*") if path.is_file()}


def killed(folder: Path, rounds: int = 3) -> int:
    """Each victim killed at some moment of the build, several times: nobody is left behind, and the next run makes what
    an undisturbed one makes."""
    before, rng, fired = dict(os.environ), random.Random(1), 0
    os.environ.update(NIGHTREEL_HOME=str(folder / "home"), **real.SETTINGS)
    try:
        for n in range(5):
            real.land_days(folder, [real.FIRST + timedelta(days=n)], users=40)
        whole = shutil.copytree(folder / "home", folder / "whole")
        with environment(NIGHTREEL_HOME=str(whole)):
            build.main([*real.NIGHT, "--as-of", str(AS_OF)])
        for number in range(rounds):
            for victim in VICTIMS:
                home = shutil.copytree(folder / "home", folder / f"{victim} {number}")
                fired += _one(home, victim, rng.uniform(0, 4))
                with environment(NIGHTREEL_HOME=str(home)):
                    build.main([*real.NIGHT, "--as-of", str(AS_OF)])
                assert landing(home) == landing(folder / "home"), "the landing area changed"
                assert hashes(home) == hashes(whole) and publisher.files_of(home / "lake") == publisher.files_of(
                    whole / "lake"), f"after a {victim} was killed"
    finally:
        os.environ.clear()
        os.environ.update(before)
    return fired


def _one(home: Path, victim: str, wait_s: float) -> bool:
    """Start the build in real Spark and kill the victim so many seconds after it appeared; False when it was over."""
    settings = {**os.environ, "NIGHTREEL_HOME": str(home), "SPARK_MASTER": "local[2]", "PYSPARK_PYTHON": sys.executable}
    run = subprocess.Popen(build_argv(), cwd=ROOT, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found: list[psutil.Process] = []
    while run.poll() is None and not found:
        family = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
        found = [each for each in family if VICTIMS[victim] in " ".join(orchestration.cmdline(each))
                 and (victim == "driver" or each.pid != run.pid)]
        time.sleep(0.05)
    time.sleep(wait_s)
    alive = [each for each in found if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    for each in alive[-1:]:
        each.kill()
    run.wait(180)
    orchestration.until(f"what a killed {victim} left behind ends", lambda: not orchestration.ours(home), 30)
    return bool(alive)


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
