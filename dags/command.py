"""A task is one command line that works the same in a terminal: what both DAG files need to say that in a line each."""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, BaseOperator, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from lake import tables

ROOT = Path(__file__).resolve().parent.parent
# What a retry can't heal: 2 is a wrong argument, 3 is data or a model that was looked at and refused.
REFUSED = (2, 3)
PROGRESS = re.compile(r"[a-z_]+ \d{4}-\d{2}-\d{2}: ")
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1

AS_OF = Param(
    None,
    type=["null", "string"],
    format="date",
    title="as_of",
    description="The day to compute (YYYY-MM-DD, UTC midnight): the night sees what arrived before it. Overrides the "
    "run's logical date.",
)


def as_of(params: dict[str, Any], dag_run: Any) -> str:
    """The day of a run, YYYY-MM-DD: the param when given, else the UTC day of the logical date.

    For templates, as `{{ as_of(params, dag_run) }}`. Fails the task for good, without a retry, when the param is not a
    day or when there is neither.
    """
    typed, logical_date = params.get("as_of"), dag_run.logical_date
    if typed is not None:
        return _day(typed).isoformat()
    if logical_date is None:
        raise AirflowFailException(
            "which day? This run has no logical date and no as_of. Trigger it again with one of them, for example: "
            'make airflow ARGS="dags trigger nightly --logical-date 2026-02-05"'
        )
    return logical_date.strftime("%Y-%m-%d")


def midnight(day: str) -> datetime:
    """YYYY-MM-DD as an instant: the logical date of every scheduled and backfilled run of that day."""
    return datetime.fromisoformat(day + "T00:00:00+00:00")


def _day(typed: object) -> date:
    try:
        if isinstance(typed, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", typed):
            return date.fromisoformat(typed)
    except ValueError:
        pass
    raise AirflowFailException(
        f"as_of={str(typed)[:40]!r} is not a day; write it as YYYY-MM-DD, for example 2026-02-05"
    )


class Command(BaseOperator):
    """Runs `python -m MODULE ARGUMENT…` as a list that no shell reads, and streams what it prints into the log.

    `command` is split at blanks first and rendered after, so that a value can't become two arguments. `writes` names
    the tables of lake/tables.py that the command commits. Returns its progress lines, which look like
    `events 2026-01-31: 12,345 rows, 3.2 s`. Exit 0 is success, 2 and 3 fail without a retry, others may retry.
    """

    template_fields = ("command",)
    ui_color = "#dfe7f5"

    def __init__(self, *, command: str, writes: tuple[str, ...] = (), minutes: int, **kwargs: Any) -> None:
        reads = {name for table in writes for name in tables.table(table).inputs} - set(writes)
        super().__init__(
            inlets=[Asset(name) for name in sorted(reads)],
            outlets=[Asset(name) for name in writes],
            execution_timeout=timedelta(minutes=minutes),
            **kwargs,
        )
        self.command = re.findall(r"(?:\{\{.*?\}\}|\S)+", command)
        self.process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> list[str]:
        argv = [sys.executable, "-m", *self.command]
        self.log.info("In a terminal: %s", " ".join(argv))
        last: deque[str] = deque(maxlen=5)
        progress = []
        for line in self._lines(argv):
            self.log.info("%s", line)
            last.append(line)
            if PROGRESS.match(line):
                progress.append(line)
        code = self.process.wait() if self.process else 1
        if code:
            fatal = AirflowFailException if code in REFUSED else AirflowException
            raise fatal(f"{self.command[0]} {_how_it_ended(code)}; its last lines:\n" + "\n".join(last))
        return progress

    def _lines(self, argv: list[str]) -> Iterator[str]:
        """Start the command in a process group of its own and yield what it prints."""
        self.process = subprocess.Popen(
            argv,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        assert self.process.stdout is not None
        yield from (line.rstrip() for line in self.process.stdout)

    def on_kill(self) -> None:
        """Timeout, or someone marked the task: end the command and all it started (the JVM of Spark)."""
        if self.process and self.process.poll() is None:
            _signal_group(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                _signal_group(self.process.pid, signal.SIGKILL)


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL: by somebody, or by the system because memory ran out (dmesg tells)"
    if code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS):
        return f"was killed by {signal.Signals(-code).name}: a library crashed, often because memory ran out"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _die_with_parent() -> None:
    """Linux: a worker killed with -9 takes its command along, so that no forgotten attempt goes on computing."""
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass
