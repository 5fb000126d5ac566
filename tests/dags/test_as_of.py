"""Which day a run computes, and what happens to a day that isn't one."""

import copy
import re
import shlex
import subprocess
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from jobs.with_airflow import ROOT

HOSTILE = [
    "2026-02-31",
    "2026-2-1",
    "20260201",
    "2026-W05-1",
    "",
    " 2026-02-01",
    "2026-02-01\n",
    "2026-02-01; rm -rf /",
    "$(id)",
    "`id`",
    "../../etc",
    "{{ 7*7 }}",
    "2026-02-01T00:00:00",
    "--help",
    "\x00",
    "9" * 10_000,
    "٢٠٢٦-٠٢-٠١",
    "' OR 1=1 --",
]
# fmt: skip
NIGHT = SimpleNamespace(logical_date=datetime(2026, 2, 5, tzinfo=UTC))
NO_DATE = SimpleNamespace(logical_date=None)


@pytest.fixture(scope="module")
def command(dags):
    from dags import command

    return command


def test_the_logical_date_is_the_day(command):
    assert command.as_of({"as_of": None}, NIGHT) == "2026-02-05"
    evening = SimpleNamespace(logical_date=datetime(2026, 2, 5, 23, 59, tzinfo=UTC))
    assert command.as_of({}, evening) == "2026-02-05"


def test_the_param_wins(command):
    assert command.as_of({"as_of": "2026-01-31"}, NIGHT) == "2026-01-31"
    assert command.as_of({"as_of": "2026-01-31"}, NO_DATE) == "2026-01-31"


def test_neither_is_an_error_that_says_what_to_type(command):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="--logical-date 2026-02-05"):
        command.as_of({"as_of": None}, NO_DATE)


@pytest.mark.parametrize("typed", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_days_are_refused_for_good_and_briefly(command, typed):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="is not a day") as refused:
        command.as_of({"as_of": typed}, NIGHT)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("param", "typed"), [("as_of", 5), ("as_of", "tomorrow"), ("k", "50; id"), ("k", 0), ("active_days", "x")]
)
def test_airflow_itself_refuses_params_of_the_wrong_kind(dags, param, typed):
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        copy.copy(dags["nightly"].params.get_param(param)).resolve(typed)


def rendered(task, **params) -> list[str]:
    """The arguments that a task of the night 2026-02-05 would start with."""
    values = {"as_of": None, "k": 50, "active_days": 0, **params}
    environment = task.dag.get_template_env()
    context = {"params": values, "dag_run": NIGHT}
    return [environment.from_string(text).render(context) for text in task.command]


def test_a_value_never_becomes_two_arguments(dags):
    lists = dags["nightly"].get_task("recommendations")
    assert rendered(lists, k="50 --as-of 1999-01-01")[3:5] == ["--k", "50 --as-of 1999-01-01"]


def without_wait(argv: list[str]) -> list[str]:
    return shlex.split(re.sub(r" --timeout \S+", "", shlex.join(argv)))


@pytest.mark.parametrize(("goal", "dag"), [("night", "nightly"), ("train", "training")])
def test_make_runs_the_same_commands_in_the_same_order(dags, goal, dag):
    """Only how long to wait for a day may differ: a person at a terminal would rather be told."""
    said = subprocess.run(
        ["make", "-n", "-o", "setup", goal, "AS_OF=2026-02-05"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    said = said.replace('"$AS_OF"', "2026-02-05").replace('"$K"', "50").replace('"$ACTIVE_DAYS"', "0")
    made = [without_wait(shlex.split(line.split(" -m ", 1)[1])) for line in said.splitlines() if " -m jobs." in line]
    order = [task for task in dags[dag].topological_sort() if hasattr(task, "command")]
    assert made == [without_wait(rendered(task)) for task in order], (
        f"`make {goal}` and dags/{dag}.py run different commands: change the Makefile's recipe with the DAG"
    )
