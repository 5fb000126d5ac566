"""Policy for every DAG, present and future. Each message says what to do."""

import ast
import re
from datetime import timedelta
from pathlib import Path

from jobs.with_airflow import ROOT
from lake import tables

LANDED = {"raw_events", "raw_videos", "raw_users", "ids", "quarantine"}
LEAST_TASKS, MOST_TASKS = 1, 8


def test_the_dags_are_there(dags):
    assert set(dags) >= {"nightly", "training", "maintenance"}


def test_every_dag_is_a_runbook(dags):
    for dag in dags.values():
        missing = [
            task.task_id for task in dag.tasks if not re.search(rf"^- \*\*{task.task_id}\*\* ", dag.doc_md or "", re.M)
        ]
        assert not missing, (
            f"{dag.dag_id}: its docstring (doc_md) is its runbook; add an item for {missing}: what "
            "it commits, and what to do when it is red"
        )
        for word in ("Backfill", "Roll back"):
            assert word in dag.doc_md, f"{dag.dag_id}: the runbook must say how to do this: {word}"


def test_every_dag_has_a_timetable_without_surprises(dags):
    for dag in dags.values():
        assert type(dag.timetable).__name__ == "CronTriggerTimetable", (
            f"{dag.dag_id}: use CronTriggerTimetable, whose logical date is the day a person types in a backfill"
        )
        assert dag.timetable.expression.startswith("0 0 * * "), f"{dag.dag_id}: as_of is a UTC midnight; start at 00:00"
        assert "UTC" in str(dag.timetable.timezone), f"{dag.dag_id}: the timetable must be in UTC"
        assert dag.catchup is False, (
            f"{dag.dag_id}: catchup=False; old days are run by a backfill that somebody asked for"
        )
        assert dag.max_active_runs == 1, f"{dag.dag_id}: max_active_runs=1; a night reuses what the night before built"
        assert "nightreel" in dag.tags, f"{dag.dag_id}: tag it nightreel, and daily or weekly"


def test_every_task_ends_and_heals_only_what_can_heal(dags):
    for dag in dags.values():
        assert LEAST_TASKS <= len(dag.tasks) <= MOST_TASKS, (
            f"{dag.dag_id}: a JVM start costs seconds; at most {MOST_TASKS} tasks"
        )
        for task in dag.tasks:
            where = f"{dag.dag_id}.{task.task_id}"
            assert task.execution_timeout and task.execution_timeout <= timedelta(hours=7), (
                f"{where}: give it minutes=… (its execution timeout), at most 7 hours"
            )
            assert 1 <= task.retries <= 2, (
                f"{where}: retries=1 or 2: a killed task heals, what was refused (exit code 2 or 3) is never tried "
                "again, and what two retries don't heal needs a person"
            )


def test_tasks_are_command_lines(dags):
    for dag in dags.values():
        for task in dag.tasks:
            if not hasattr(task, "command"):
                continue
            module = task.command[0]
            assert module.startswith("jobs."), f"{dag.dag_id}.{task.task_id}: everything Airflow can run is in jobs/"
            assert "--as-of" in task.command or not dag.has_task("wait"), (
                f"{dag.dag_id}.{task.task_id}: what is computed is a function of as_of; pass --as-of"
            )


def test_commands_exist(dags):
    modules = {task.command[0] for dag in dags.values() for task in dag.tasks if hasattr(task, "command")}
    missing = [name for name in sorted(modules) if not (ROOT / Path(*name.split("."))).with_suffix(".py").exists()]
    assert not missing, f"DAGs name commands that are not there: {missing}"


def _written_before(dag, task) -> set[str]:
    upstream = {dag.get_task(name) for name in task.get_flat_relative_ids(upstream=True)} | {task}
    return {asset.name for one in upstream for asset in one.outlets}


def test_edges_follow_the_map_of_tables(dags):
    """What a task writes is made from tables that its DAG writes no later, or that landing or training made."""
    elsewhere = {"nightly": LANDED | {"model"}, "training": LANDED}
    for name, given in elsewhere.items():
        dag = dags[name]
        for task in dag.tasks:
            there = _written_before(dag, task) | given
            for asset in task.outlets:
                lacking = set(tables.table(asset.name).inputs) - there
                assert not lacking, (
                    f"{name}.{task.task_id} writes {asset.name}, which lake/tables.py makes from {sorted(lacking)}, "
                    "and no task before it writes that: add an edge, or correct `writes` or the map"
                )


def test_every_table_has_a_task_that_writes_it(dags):
    written = {asset.name for dag in dags.values() for task in dag.tasks for asset in task.outlets}
    orphans = {table.name for table in tables.TABLES} - LANDED - written
    assert not orphans, f"no DAG writes {sorted(orphans)}: add it to the `writes` of the task whose command commits it"


def test_dag_files_import_only_what_the_architecture_allows():
    allowed = ("airflow", "dags", "lake.tables")
    for path in (ROOT / "dags").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            ours = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
            if isinstance(node, ast.ImportFrom) and node.module == "lake":
                ours = [f"lake.{alias.name}" for alias in node.names]
            for name in ours if isinstance(node, ast.Import | ast.ImportFrom) else []:
                top = name.split(".")[0]
                if top in ("jobs", "features", "training", "validation", "funnel", "publishing", "simulation", "lake"):
                    assert name.startswith(allowed), (
                        f"{path.name} imports {name}; a DAG file may import lake.tables only"
                    )
