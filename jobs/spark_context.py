"""The one Spark context of a process, configured from the environment alone.

    python -m jobs.spark_context    # once per environment: keep the classes that Spark loads at its start, parsed

`make setup` runs it. Loading and checking thousands of classes is a third of Spark's start; the archive beside the
environment's packages spares it, and Java ignores one that was made by another Java or of other packages.
"""

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import NoReturn

from pyspark import SparkConf, SparkContext

ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"

# Workers live on arrays of many megabytes: in pages of 2 MiB, where Linux has them, they cost a fifth less time.
# What they give back they soon want again, and fresh memory is dear: arrays of any size are kept, up to 512 MiB.
WORKERS_MEMORY = {"ARROW_DEFAULT_MEMORY_POOL": "system", "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{one}" for one in (
    "hugetlb=1", "mmap_max=0", "trim_threshold=536870912", "top_pad=67108864"))}

# Rows are computed as Arrow in Python workers; the JVM only schedules and shuffles, and lives for seconds. Compiling
# for long runs, or by several threads, would cost it more than the work itself. Over TCP each task waits 40 ms for a
# delayed acknowledgement.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:CICompilerCount=1 -XX:+UseSerialGC"
_SETTINGS = {
    "spark.driver.extraJavaOptions": f'{_JAVA} "-XX:SharedArchiveFile={ARCHIVE}" -Xshare:auto -Xlog:disable '
                                     "-Xlog:all=error:stderr",
    "spark.python.unix.domain.socket.enabled": "true",
    "spark.python.daemon.module": "jobs.spark_workers",
    **{f"spark.executorEnv.{name}": value for name, value in WORKERS_MEMORY.items()},
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|credential|url|uri",
}


IN_PROCESS = "in-process"
_STARTER = ThreadPoolExecutor(1)


def spark_context(app_name: str) -> SparkContext | None:
    """Start or find the context. `SPARK_MASTER` (default `local[*]`) says where; `in-process` is no context at all:
    features/frames.py then runs the work itself, which suits only small scratch lakes."""
    return None if os.environ.get("SPARK_MASTER") == IN_PROCESS else _starting(app_name).result()


def begin(app_name: str, work: str) -> Future[SparkContext | None]:
    """Let the context start, and a worker on each of its cores that has loaded the module `work`, while a command still
    reads and checks what it is to do. It must not have started yet, and its workers do that work alone."""
    if os.environ.get("SPARK_MASTER") == IN_PROCESS:
        nothing: Future[None] = Future()
        nothing.set_result(None)
        return nothing
    return _with_workers(app_name, work)


@cache
def _starting(app_name: str) -> Future[SparkContext]:
    return _STARTER.submit(_started, app_name)


@cache
def _with_workers(app_name: str, work: str) -> Future[SparkContext]:
    _SETTINGS["spark.executorEnv.NIGHTREEL_WORK"] = work  # jobs/spark_workers.py imports it
    return _STARTER.submit(_with_a_worker_each, _starting(app_name))


def _with_a_worker_each(starting: Future[SparkContext]) -> SparkContext:
    from features.frames import balanced

    context = starting.result()
    balanced(context, lambda n: {"worker": n}, [1] * context.defaultParallelism)
    return context


def _started(app_name: str) -> SparkContext:
    """`NIGHTREEL_SPARK_CONF` may add settings as `key=value;key=value` (memory, packages, a driver address that
    executors can reach)."""
    # pyspark's first call to Java imports its test support, and pandas with it: half a second, spent while Java starts.
    Thread(target=import_module, args=("pyspark.testing.utils",)).start()
    # Spark first starts a Java that only says how to start Java.
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", _JAVA)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    settings = dict(_SETTINGS)
    for pair in filter(None, os.environ.get("NIGHTREEL_SPARK_CONF", "").split(";")):
        key, _, value = pair.partition("=")
        settings[key.strip()] = value.strip()
    settings.setdefault("spark.driver.memory", os.environ.get("NIGHTREEL_DRIVER_MEMORY", "2g"))
    conf = SparkConf().setAppName(app_name).setMaster(os.environ.get("SPARK_MASTER", "local[*]"))
    context = SparkContext.getOrCreate(conf.setAll(list(settings.items())))
    context.setLogLevel("ERROR")
    return context


def leave(code: int) -> NoReturn:
    """End this process here and now: with arrays and modules taken apart one by one it takes a fifth of a second longer.
    A context that is still starting is waited for: half started, it leaves a folder behind and talks on."""
    _STARTER.shutdown(cancel_futures=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def archive() -> None:
    """Start Spark once, do a little work, and let Java write the classes down as it ends."""
    made = ARCHIVE.with_suffix(f".{os.getpid()}")
    _SETTINGS["spark.driver.extraJavaOptions"] = f"{_JAVA} -Xlog:disable -XX:ArchiveClassesAtExit={made}"
    context = _started("archive")
    context.parallelize([(1, b"")], 1).partitionBy(1).collect()
    java: subprocess.Popen = context._gateway.proc
    context.stop()
    context._gateway.shutdown()
    java.stdin.close()  # pyspark's JVM lives as long as its standard input
    java.wait(timeout=300)
    if made.exists():
        made.replace(ARCHIVE)


if __name__ == "__main__" and not ARCHIVE.exists():
    archive()
