"""The one Spark context of a process, configured from the environment alone."""

import os
import sys
from functools import cache

from pyspark import SparkConf, SparkContext

# Rows are computed as Arrow in Python workers; the JVM only schedules and shuffles, and lives for seconds. Compiling
# for long runs would cost it more than the work itself. Over TCP each task waits 40 ms for a delayed acknowledgement.
_SETTINGS = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.python.unix.domain.socket.enabled": "true",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|credential|url|uri",
}


IN_PROCESS = "in-process"


def spark_context(app_name: str) -> SparkContext | None:
    """Start or find the context. `SPARK_MASTER` (default `local[*]`) says where; `in-process` is no context at all:
    features/frames.py then runs the work itself, which suits only small scratch lakes."""
    return None if os.environ.get("SPARK_MASTER") == IN_PROCESS else _started(app_name)


@cache
def _started(app_name: str) -> SparkContext:
    """`NIGHTREEL_SPARK_CONF` may add settings as `key=value;key=value` (memory, packages, a driver address that
    executors can reach)."""
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
