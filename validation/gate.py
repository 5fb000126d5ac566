"""The gate: a snapshot's profile is judged before its manifest is written, and a failed check leaves no manifest."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lake import storage
from lake.refusal import Refusal
from lake.snapshot import Plan
from validation import expectations
from validation.expectations import Bounds
from validation.metrics import compared, measure, named_bounds, without_values
from validation.suites import FAIL, WARN, Check, suite


_SUSPENDED = ContextVar("suspended", default=False)


@contextmanager
def suspended() -> Iterator[None]:
    """Judge nothing for a while: for an audit's lakes of a few users, whose tables are compared and thrown away."""
    before = _SUSPENDED.set(True)
    try:
        yield
    finally:
        _SUSPENDED.reset(before)


class Refused(Refusal):
    """A check of severity `fail` did not hold: the snapshot must not be committed. `results` are all verdicts."""

    def __init__(self, plan: Plan, results: list[dict]) -> None:
        self.results = results
        failed = [result for result in results if not result["passed"] and result["severity"] == FAIL]
        lines = [f"  {result['check']} is {_shown(result['observed'])}, {_bound(result['bound'])}: {result['why']}"
                 for result in failed]
        super().__init__(
            f"{plan.table} as of {plan.as_of} refused by {len(failed)} of {len(results)} checks; nothing was "
            f"committed\n" + "\n".join(lines) + f"\nLook: python -m jobs.report --as-of {plan.as_of} --checks")


def judge(plan: Plan, profile: dict) -> list[dict]:
    """GX's verdict on every check of the table's suite, for the manifest: check, observed, bound, severity, passed,
    why.

    profile: lake.writing.total_profile, or plain metrics of an artifact ({"recall": 0.99, "ntotal": 3000}).
    Raises Refused when a check of severity `fail` does not hold; a metric that is absent or NaN never holds. Results
    hold no values of rows. What GX said is kept for Data Docs, refused or not (validation/docs.py).
    """
    if _SUSPENDED.get():
        return []
    relative, small = compared(plan, profile)
    metrics = measure(plan, profile) | relative
    checks = [(_softened(check, small), _bounds(plan, check)) for check in suite(plan.table)
              if not _left_out(check, metrics, without_values(profile))]
    verdict = expectations.validate(plan.table, metrics, checks)
    passed = expectations.verdicts(verdict, len(checks))
    results = [_result(check, bounds, metrics.get(check.metric), ok)
               for (check, bounds), ok in zip(checks, passed, strict=True)]
    _keep(plan, verdict.to_json_dict(), results)
    if any(not result["passed"] and result["severity"] == FAIL for result in results):
        raise Refused(plan, results)
    return results


def results_folder(as_of: str) -> str:
    """Where GX's results of the snapshots of a date are kept, outside the lake."""
    return storage.join("validation", f"as_of={as_of}")


def _left_out(check: Check, metrics: dict[str, float], empty: set[str]) -> bool:
    """Without history there is nothing to compare with; a column without values has no minimum or maximum."""
    if check.relative:
        return check.metric not in metrics
    column, _, side = check.metric.rpartition(".")
    return side in ("min", "max") and column in empty


def _softened(check: Check, small: bool) -> Check:
    return Check(check.metric, check.min, check.max, WARN, check.why) if check.relative and small else check


def _bounds(plan: Plan, check: Check) -> Bounds:
    named = named_bounds(plan)
    low, high = (named[bound] if isinstance(bound, str) else bound for bound in (check.min, check.max))
    return low, high


def _result(check: Check, bounds: Bounds, observed: float | None, passed: bool) -> dict:
    number = observed if observed is not None and math.isfinite(observed) else None
    return {"check": check.metric, "observed": number, "bound": list(bounds), "severity": check.severity,
            "passed": passed and number is not None, "why": check.why}


def _keep(plan: Plan, verdict: dict, results: list[dict]) -> None:
    content = {"table": plan.table, "as_of": plan.as_of.isoformat(), "identity": plan.identity, "verdict": verdict,
               "results": results}
    path = f"{results_folder(plan.as_of.isoformat())}/{plan.table}-{plan.identity[:16]}.json"
    storage.write_bytes(path, json.dumps(content, sort_keys=True).encode())


def _shown(observed: float | None) -> str:
    return "missing" if observed is None else f"{observed:,.6g}" if abs(observed) < 1e9 else f"{observed:.0f}"


def _bound(bound: list[float | None]) -> str:
    low, high = bound
    if low is not None and high is not None:
        return f"allowed from {_shown(low)} to {_shown(high)}"
    return f"allowed from {_shown(low)}" if high is None else f"allowed to {_shown(high)}"
