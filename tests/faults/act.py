"""One command on the little lake of tests/publishing, in a process of its own that can be killed.

    python -m tests.faults.act release --as-of 2026-02-03 --k 5
    python -m tests.faults.act dimensions 2026-02-03          commits four snapshots
"""

import importlib
import sys
from datetime import date

from jobs.command import run
from lake import lineage
from tests.publishing.conftest import INPUTS, dimensions


def act(name: str, arguments: list[str]) -> int:
    """The exit code of a command."""
    lineage._INPUTS.update(INPUTS)
    if name == "dimensions":
        dimensions(date.fromisoformat(arguments[0]))
        return 0
    sys.argv = [name, *arguments]
    return run(importlib.import_module(f"jobs.{name}").main)


if __name__ == "__main__":
    sys.exit(act(sys.argv[1], sys.argv[2:]))
