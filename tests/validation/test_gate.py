"""Every check of every suite is shown to fail."""

import copy
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from lake import dates, lineage
from lake.snapshot import Plan
from lake.tables import TABLES, table
from validation import gate, metrics
from validation.suites import FAIL, JUDGED_ELSEWHERE, ROWS_TO_MEDIAN, SUITES, SUMS, Check

AS_OF = date(2026, 2, 5)
NOON = dates.midnight_us(date(2026, 2, 4)) + dates.DAY_US // 2
ROWS = 10_000
EVERY_CHECK = [(name, n) for name, checks in SUITES.items() for n in range(len(checks))]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    labels = type("Labels", (), {"rows": ROWS})()
    monkeypatch.setattr(lineage, "resolve", lambda name, as_of: labels)


def plan_of(name: str) -> Plan:
    return Plan(name, AS_OF, dict(table(name).parameters))


def healthy(name: str) -> dict:
    """A profile that every check of the table accepts."""
    declared = table(name)
    if not declared.columns:
        return {"recall": 0.99, "ntotal": 3000}
    profile: dict = {"rows": ROWS, "duplicate_keys": 0, "columns": {}}
    for column in declared.columns:
        facts: dict = {"nulls": ROWS // 2 if column.nullable else 0, "min": 1, "max": 1, "nans": 0, "trues": ROWS // 2}
        if str(column.type).startswith("timestamp"):
            facts |= {"min": NOON, "max": NOON}
        if column.name.endswith("_day"):
            facts |= {"min": NOON // dates.DAY_US, "max": NOON // dates.DAY_US}
        if column.name == "rank":
            facts |= {"max": 60}
        profile["columns"][column.name] = facts
    return profile


def history(name: str) -> list[tuple[float, dict]]:
    return [(float(ROWS), metrics.profile_metrics(healthy(name)))] if table(name).columns else []


def doctored(name: str, check: Check) -> dict:
    """A healthy profile, spoiled so that this check alone can see it."""
    profile = copy.deepcopy(healthy(name))
    column, _, fact = check.metric.rpartition(".")
    bad = _beyond(name, check)
    if check.metric == ROWS_TO_MEDIAN:
        return _scaled(profile, 0.01)
    if check.metric == "rows":
        return _scaled(profile, 0)
    if check.metric == "rows_beyond_labels":
        return _scaled(profile, 1.0001)
    if not column:
        return profile | {check.metric: bad}
    columns = [c for c in profile["columns"] if c in SUMS][:1] if column == "sums" else [column]
    for each in columns:
        share = {"null_share": "nulls", "nan_share": "nans", "true_share": "trues", "null_rise": "nulls"}.get(fact)
        profile["columns"][each][share or fact] = int(ROWS * max(bad, 0)) if share else bad
    return profile


def _beyond(name: str, check: Check) -> float:
    named = metrics.named_bounds(plan_of(name))
    low, high = (named.get(bound, bound) for bound in (check.min, check.max))
    if check.metric.endswith(("null_share", "nan_share")):
        return 0.01
    if check.metric.endswith("null_rise"):
        return 1 - 1 / ROWS + 0.0005
    if high is not None:
        return high + 1
    return 0 if check.metric.endswith("true_share") else low - 1 if low >= 1 or low <= 0 else low / 2


def _scaled(profile: dict, share: float) -> dict:
    profile["rows"] = round(profile["rows"] * share)
    for facts in profile["columns"].values():
        for count in ("nulls", "trues"):
            facts[count] = round(facts[count] * share)
    return profile


@pytest.mark.parametrize("name", SUITES)
def test_a_healthy_profile_passes_every_check(name, monkeypatch):
    monkeypatch.setattr(metrics, "_trailing", lambda plan: history(name))
    results = gate.judge(plan_of(name), healthy(name))
    assert [r for r in results if not r["passed"]] == []
    assert len(results) == len(SUITES[name])


@pytest.mark.parametrize(("name", "n"), EVERY_CHECK, ids=lambda v: str(v))
def test_every_check_can_fail(name, n, monkeypatch):
    check = SUITES[name][n]
    monkeypatch.setattr(gate, "suite", lambda table_name: (check,))
    monkeypatch.setattr(metrics, "_trailing", lambda plan: history(name))
    profile = doctored(name, check)
    try:
        results = gate.judge(plan_of(name), profile)
        assert check.severity != FAIL, "a failed check of severity fail must refuse"
    except gate.Refused as refused:
        results = refused.results
        assert check.metric in str(refused) or check.severity != FAIL
    broken = [(r["check"], r["severity"], r["why"]) for r in results if not r["passed"]]
    assert (check.metric, check.severity, check.why) in broken


def test_a_refusal_names_everything_a_person_needs():
    profile = healthy("events")
    profile["columns"]["user_id"]["nulls"] = 7
    with pytest.raises(gate.Refused) as refused:
        gate.judge(plan_of("events"), profile)
    said = str(refused.value)
    for needed in ("events", "2026-02-05", "user_id.null_share is 0.0007", "allowed to 0", "the viewer", "--checks"):
        assert needed in said


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_an_absent_or_nan_metric_fails(value):
    profile = {"ntotal": 3000} if value is None else {"ntotal": 3000, "recall": value}
    with pytest.raises(gate.Refused, match="recall"):
        gate.judge(plan_of("ann_index"), profile)


def test_an_empty_sealed_day_is_data():
    profile = _scaled(healthy("events"), 0)
    for facts in profile["columns"].values():
        facts.pop("min"), facts.pop("max")
    results = gate.judge(plan_of("events"), profile)
    assert [r["check"] for r in results if not r["passed"]] == ["rows"]


def test_small_history_only_warns(monkeypatch):
    small = metrics.profile_metrics(healthy("events"))
    monkeypatch.setattr(metrics, "_trailing", lambda plan: [(900.0, small)])
    results = gate.judge(plan_of("events"), _scaled(healthy("events"), 0.01))
    assert [(r["check"], r["severity"]) for r in results if not r["passed"]] == [(ROWS_TO_MEDIAN, "warn")]


@pytest.mark.parametrize("name", ["labels", "training_examples"])
def test_a_month_with_a_third_of_the_usual_plays_still_trains(name, monkeypatch):
    """A film log after a busy autumn: the days themselves were judged when they landed."""
    monkeypatch.setattr(metrics, "_trailing", lambda plan: history(name))
    monkeypatch.setattr(metrics, "_rows_beyond_labels", lambda plan, profile: 0)
    results = gate.judge(plan_of(name), _scaled(healthy(name), 0.36))
    assert [(r["check"], r["severity"]) for r in results if not r["passed"]] == [(ROWS_TO_MEDIAN, "warn")]


def test_every_table_that_a_job_reads_has_a_suite_with_floor_nulls_and_keys():
    for declared in TABLES:
        if declared.name in JUDGED_ELSEWHERE:
            continue
        checks = SUITES[declared.name]
        assert all(check.why for check in checks)
        if declared.columns:
            measured = {check.metric for check in checks}
            assert {"rows", ROWS_TO_MEDIAN, "duplicate_keys"} <= measured
            for column in declared.columns:
                alone = column.nullable or f"{column.name}.null_share" in measured
                assert alone or (column.name in SUMS and "sums.null_share" in measured), column.name


def test_no_check_shows_an_id():
    for checks in SUITES.values():
        for check in checks:
            assert not check.metric.endswith(("_id.min", "_id.max"))


def test_importing_gx_leaves_real_modules_behind():
    said = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['__main__'].__file__ = 'x'\n"
         "from validation import expectations; expectations.context()\n"
         "import altair, scipy.stats, sqlalchemy\n"
         "print(scipy.stats.norm.cdf(0), sqlalchemy.__version__[0], altair.Chart.__module__)"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    assert said.split()[:2] == ["0.5", "2"] and said.split()[2].startswith("altair.")
