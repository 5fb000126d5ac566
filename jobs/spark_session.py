"""The one Spark session of a process, configured from the environment alone."""

import os
import sys
from functools import cache

from pyspark.sql import SparkSession

# Rows are computed as Arrow in Python workers; the JVM only schedules and shuffles, and lives for seconds. Compiling
# for long runs would cost it more than the work itself.
_SETTINGS = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|credential|url|uri",
}


IN_PROCESS = "in-process"


def spark_session(app_name: str) -> SparkSession | None:
    """Start or find the session. `SPARK_MASTER` (default `local[*]`) says where; `in-process` is no session at all:
    features/frames.py then runs the work itself, which suits only small scratch lakes."""
    return None if os.environ.get("SPARK_MASTER") == IN_PROCESS else _started(app_name)


@cache
def _started(app_name: str) -> SparkSession:
    """`NIGHTREEL_SPARK_CONF` may add settings as `key=value;key=value` (memory, packages, a driver address that
    executors can reach)."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    settings = dict(_SETTINGS)
    for pair in filter(None, os.environ.get("NIGHTREEL_SPARK_CONF", "").split(";")):
        key, _, value = pair.partition("=")
        settings[key.strip()] = value.strip()
    settings.setdefault("spark.driver.memory", os.environ.get("NIGHTREEL_DRIVER_MEMORY", "2g"))
    builder = SparkSession.builder.appName(app_name).master(os.environ.get("SPARK_MASTER", "local[*]"))
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
