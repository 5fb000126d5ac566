"""A DAG run told in one line per task: its name, how long it took, the rows it committed; and why, when it failed."""

import json
import re
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from jobs.local_airflow import Airflow
from lake import tables

ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")
PROGRESS = re.compile(r"(?:land )?(?P<name>\w+)(?: (?:until )?\d{4}-\d{2}-\d{2})?: (?P<rows>[\d,]+ rows)?(?P<more>.*)")

TABLE_NAMES = frozenset(table.name for table in tables.TABLES)
QUARANTINED = re.compile(r"([\d,]+) quarantined")


def show(name: str, seconds: float, told: str) -> str:
    return f"  {name:<16}{seconds:6.1f} s   {told}"


def row_counts(lines: Iterable[str], names: Collection[str] = TABLE_NAMES) -> str:
    """`events 12,345 rows · release 3 is live`: the last line per name, and how many there were when more than one.

    names: whose lines count; where none of them says anything, everybody's do.
    """
    found = [match for line in lines if (match := PROGRESS.fullmatch(line))]
    wanted = [match for match in found if match["name"] in names] or found
    told: dict[str, list[str]] = {}
    for match in wanted:
        refused = QUARANTINED.search(match["more"])
        said = f"{match['name']} {match['rows']}" if match["rows"] else match["more"]
        told.setdefault(match["name"], []).append(said + (f" ({refused[1]} to quarantine)" if refused else ""))
    return " · ".join(said[-1] + (f" (last of {len(said)})" if len(said) > 1 else "") for said in told.values())


def follow(airflow: Airflow, dag: str, run_id: str) -> None:
    """Print the tasks of a run as they end, until it ends. SystemExit with the cause when it fails."""
    told: set[tuple[str, int]] = set()
    while True:
        state = airflow.ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}")["state"]
        for task in sorted(airflow.tasks(dag, run_id), key=lambda one: one["start_date"] or "9"):
            _tell(airflow, dag, run_id, task, told)
        if state == "success":
            return
        if state == "failed":
            raise SystemExit(_cause(airflow, dag, run_id))
        time.sleep(1)


def _tell(airflow: Airflow, dag: str, run_id: str, task: dict[str, Any], told: set[tuple[str, int]]) -> None:
    name, state = task["task_id"], task["state"]
    if (name, task["try_number"]) in told or state not in (*ENDED, "up_for_retry"):
        return
    told.add((name, task["try_number"]))
    if state == "success":
        print(show(name, task["duration"] or 0, row_counts(airflow.progress(dag, run_id, name))), flush=True)
    elif state != "upstream_failed":
        again = "will be tried again" if state == "up_for_retry" else ""
        print(show(name, task["duration"] or 0, f"{state} {again}"), flush=True)


def _cause(airflow: Airflow, dag: str, run_id: str) -> str:
    failed = [task["task_id"] for task in airflow.tasks(dag, run_id) if task["state"] == "failed"]
    log = airflow.log_file(dag, run_id, failed[0]) if failed else None
    last = "\n".join(f"    {line}" for line in last_events(log, 15)) if log else "    (it left no log)"
    where = f"{dag} failed in task {', '.join(failed) or '?'}"
    return f"error: {where}; the last lines of its log:\n{last}\nThe whole log: {log}"


def last_events(log: Path, count: int) -> list[str]:
    """The newest lines of a task's log (Airflow writes a JSON object per line), messages of exceptions included."""
    lines: list[str] = []
    for written in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(written)
        except ValueError:
            entry = {"event": written}
        causes = [cause.get("exc_value") or cause.get("exc_type", "") for cause in entry.get("error_detail") or []]
        lines += [line for text in (entry.get("event", ""), *causes) for line in str(text).splitlines()]
    return [line for line in lines if not line.startswith("::")][-count:]
