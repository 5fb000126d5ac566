"""Importing Great Expectations in half the time: without SQL engines, statistics and plots, which no suite here uses.

GX imports every engine that it finds, 4.2 s of processor time in each job that judges anything; without these 2.2 s
(two cores, GX 1.24.1). SQLAlchemy is optional for GX. SciPy and Altair are imported by three expectations about
distributions and nothing else; they get an empty stand-in for the length of the import. What is loaded already stays,
and what is imported afterwards is real.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from types import ModuleType

ABSENT = ("sqlalchemy",)
EMPTY = ("scipy", "scipy.stats", "altair")


class _Empty(ModuleType):
    """A module whose every public name is an empty class, enough for annotations."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def _without_unused() -> Iterator[None]:
    stand_ins: dict[str, ModuleType | None] = {name: None for name in ABSENT} | {name: _Empty(name) for name in EMPTY}
    stand_ins = {name: each for name, each in stand_ins.items() if name.split(".")[0] not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


def great_expectations() -> ModuleType:
    """The package, imported once, without telemetry."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _without_unused(), redirect_stderr(io.StringIO()):
        import great_expectations as gx
    return gx
