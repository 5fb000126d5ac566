"""What every test shares."""

import logging
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def stop_spark_at_the_end() -> Iterator[None]:
    """The one Spark session of the test process ends before its streams close."""
    yield
    if "pyspark" in sys.modules:
        from pyspark.sql import SparkSession

        logging.getLogger("py4j").setLevel(logging.ERROR)
        session = SparkSession.getActiveSession()
        if session:
            session.stop()
