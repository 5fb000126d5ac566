"""What every test shares."""

import logging
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def stop_spark_at_the_end() -> Iterator[None]:
    """The one Spark context of the test process ends before its streams close."""
    yield
    if "pyspark" in sys.modules:
        from pyspark import SparkContext

        logging.getLogger("py4j").setLevel(logging.ERROR)
        if SparkContext._active_spark_context:
            SparkContext.getOrCreate().stop()
