"""A small lake for a while: the same commands run in it, in this process, and the live one is not touched."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from jobs.spark_context import IN_PROCESS
from lake import temporary
from validation import gate


@contextmanager
def environment(**settings: str) -> Iterator[None]:
    """Environment variables for a while."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def small_lake(purpose: str) -> Iterator[str]:
    """An empty local lake for a few thousand rows, without a JVM, a verdict or a word, removed afterwards."""
    with temporary.folder(purpose) as home, inside(home), gate.suspended():
        yield home


@contextmanager
def inside(home: str) -> Iterator[None]:
    """Work in a small lake, silently."""
    with environment(NIGHTREEL_HOME=home, SPARK_MASTER=IN_PROCESS), redirect_stdout(io.StringIO()):
        yield
