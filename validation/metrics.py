"""What the suites bound: numbers computed from a snapshot's profile, its plan and the snapshots of the last 28 days.

From a profile (lake/profile.py): `rows`, `duplicate_keys`, and per column `.null_share`, `.nan_share`, `.true_share`,
`.min`, `.max` (of lists: of their lengths; times as microseconds, dates as days since 1970). Other numbers in a
profile are metrics as they stand (recall, ntotal). No metric is an id or a value of a single row's text.
"""

import math
from datetime import date, timedelta
from statistics import median

from lake import dates, lineage, snapshot
from lake.snapshot import Plan
from lake.tables import table
from validation.suites import NULL_RISE, ROWS_TO_MEDIAN, SUMS

TRAILING_DAYS = 28
SMALL_ROWS = 1_000


def measure(plan: Plan, profile: dict) -> dict[str, float]:
    """Every metric of a snapshot that is about to be committed. A metric that can't be computed is absent."""
    found = profile_metrics(profile)
    if plan.table == "training_examples":
        found["rows_beyond_labels"] = _rows_beyond_labels(plan, profile)
    return found


def profile_metrics(profile: dict) -> dict[str, float]:
    """Shares, minima and maxima of one profile."""
    rows = profile.get("rows", 0)
    found = {name: float(value) for name, value in profile.items() if isinstance(value, int | float)}
    sums: list[dict] = []
    for name, facts in profile.get("columns", {}).items():
        for count, share in (("nulls", "null_share"), ("nans", "nan_share"), ("trues", "true_share")):
            if count in facts:
                found[f"{name}.{share}"] = facts[count] / max(rows, 1)
        found |= {f"{name}.{side}": float(facts[side]) for side in ("min", "max") if side in facts}
        if name in SUMS:
            sums.append(facts)
    if sums:
        found["sums.null_share"] = max(facts["nulls"] for facts in sums) / max(rows, 1)
        found["sums.min"] = float(min((facts.get("min", math.nan) for facts in sums), default=math.nan))
    return found


def without_values(profile: dict) -> set[str]:
    """Columns that hold no value at all: they have no minimum, and null bounds and row floors judge them instead."""
    rows = profile.get("rows", 0)
    empty = {name for name, facts in profile.get("columns", {}).items() if facts.get("nulls", 0) == rows}
    return empty | {"sums"} if rows == 0 else empty


def named_bounds(plan: Plan) -> dict[str, float]:
    """Facts of a plan that suites name as bounds."""
    end = plan.as_of
    return {"last_instant": dates.midnight_us(end) - 1, "next_instant": dates.midnight_us(end + timedelta(days=1)) - 1,
            "last_day": _day(end) - 1, "next_day": _day(end),
            **{name: value for name, value in plan.parameters.items() if isinstance(value, int | float)}}


def compared(plan: Plan, profile: dict) -> tuple[dict[str, float], bool]:
    """Metrics against the median of the trailing 28 days, and whether that median is too small to refuse by."""
    before = _trailing(plan)
    if not before or "rows" not in profile:
        return {}, True
    usual = median(rows for rows, _ in before)
    found = {ROWS_TO_MEDIAN: profile["rows"] / _days(plan.as_of, plan.parameters) / usual} if usual else {}
    now = profile_metrics(profile)
    for name in profile.get("columns", {}):
        shares = [metrics[f"{name}.null_share"] for rows, metrics in before if rows and f"{name}.null_share" in metrics]
        if shares and profile["rows"]:
            found[f"{name}.{NULL_RISE}"] = now[f"{name}.null_share"] - median(shares)
    return found, usual < SMALL_ROWS


def _trailing(plan: Plan) -> list[tuple[float, dict[str, float]]]:
    """Rows (a day, for chunks) and metrics of the committed snapshots like this one, as of [as_of - 28 d, as_of)."""
    found = []
    for as_of, identity in snapshot.committed(plan.table, plan.as_of - timedelta(days=TRAILING_DAYS), plan.as_of):
        manifest = snapshot.load(plan.table, as_of, identity)
        if _alike(plan, manifest.version, manifest.parameters):
            rows = manifest.rows / _days(as_of, manifest.parameters)
            found.append((rows, profile_metrics(manifest.profile)))
    return found


def _alike(plan: Plan, version: int, parameters: dict) -> bool:
    """Only snapshots of one meaning compare: a list of 500 is no drop from one of 50."""
    mine, other = ({k: v for k, v in p.items() if k != "start"} for p in (plan.parameters, parameters))
    return version == table(plan.table).version and mine == other


def _days(as_of: date, parameters: dict) -> int:
    start = parameters.get("start")
    return max((as_of - date.fromisoformat(start)).days, 1) if start else 1


def _rows_beyond_labels(plan: Plan, profile: dict) -> float:
    try:
        return profile["rows"] - lineage.resolve("labels", plan.as_of).rows
    except lineage.Missing:
        return math.nan


def _day(day: date) -> int:
    return dates.midnight_us(day) // dates.DAY_US
