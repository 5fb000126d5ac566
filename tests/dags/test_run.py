"""Whole runs through Airflow's own dag.test(), with the commands only recorded: order, days, and what is waited for."""

from datetime import UTC, datetime

import pytest

NIGHT = datetime(2026, 2, 5, tzinfo=UTC)


@pytest.fixture
def commands(fresh_dags, monkeypatch) -> list[list[str]]:
    """The commands that a run would have started, in order."""
    from dags.command import Command

    started: list[list[str]] = []

    def record(self, context):
        started.append(list(self.command))
        return []

    monkeypatch.setattr(Command, "execute", record)
    return started


def states(run) -> dict[str, str]:
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_a_night_runs_all_its_commands_for_its_logical_date(fresh_dags, commands):
    run = fresh_dags["nightly"].test(logical_date=NIGHT)
    assert set(states(run).values()) == {"success"}
    assert [command[0] for command in commands] == [
        "jobs.wait", "jobs.build", "jobs.ann_index", "jobs.recommendations", "jobs.audit", "jobs.release", "jobs.report"
    ]  # fmt: skip
    assert {command[command.index("--as-of") + 1] for command in commands} == {"2026-02-05"}


def test_the_param_moves_the_whole_run(fresh_dags, commands):
    run = fresh_dags["training"].test(logical_date=NIGHT, run_conf={"as_of": "2026-01-26"})
    assert set(states(run).values()) == {"success"}
    assert {command[command.index("--as-of") + 1] for command in commands} == {"2026-01-26"}


def test_a_run_without_a_day_starts_nothing(fresh_dags, commands):
    run = fresh_dags["training"].test(logical_date=None)
    assert states(run)["wait"] == "failed" and not commands
