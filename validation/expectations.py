"""Great Expectations over one row of metrics: the suites as GX expectations, and GX's verdict on them.

GX on Spark runs a job per expectation and passes empty partitions, so it judges the profile that was counted while
the rows were written: a one-row pandas frame with a column per metric. The largest value of such a column is its only
value, and GX fails it when it is null or absent.
"""

from functools import cache
from typing import TYPE_CHECKING

from validation.gx_import import great_expectations
from validation.suites import FAIL, Check

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult
    from great_expectations.data_context import EphemeralDataContext

Bounds = tuple[float | None, float | None]


@cache
def context() -> "EphemeralDataContext":
    """The context that judges; one per process."""
    return new_context()


def new_context() -> "EphemeralDataContext":
    """GX without a project folder, telemetry or progress bars."""
    made = great_expectations().get_context(mode="ephemeral")
    made.variables.progress_bars = {"globally": False}
    return made


def expectation_suite(name: str, checks: list[tuple[Check, Bounds]]) -> "ExpectationSuite":
    """A GX suite of checks with their bounds filled in."""
    import great_expectations as gx
    from great_expectations.expectations import ExpectColumnMaxToBeBetween

    return gx.ExpectationSuite(name=name, expectations=[
        ExpectColumnMaxToBeBetween(
            column=check.metric, min_value=low, max_value=high, description=in_words(check),
            severity="critical" if check.severity == FAIL else "warning", meta={"n": n, "why": check.why})
        for n, (check, (low, high)) in enumerate(checks)])


def in_words(check: Check) -> str:
    """One sentence for people: `rows must be at least 1: no videos, no recommendations`."""
    low, high = check.min, check.max
    if low is not None and low == high:
        bound = f"{low}"
    elif low is not None and high is not None:
        bound = f"from {low} to {high}"
    else:
        bound = f"at least {low}" if high is None else f"at most {high}"
    return f"{check.metric} {'must' if check.severity == FAIL else 'should'} be {bound}: {check.why}"


def validate(name: str, metrics: dict[str, float],
             checks: list[tuple[Check, Bounds]]) -> "ExpectationSuiteValidationResult":
    """GX's verdict. A metric that is absent from `metrics` is a null column, which fails."""
    gx_context = context()
    import pandas as pd

    frame = pd.DataFrame([{check.metric: metrics.get(check.metric) for check, _ in checks}], dtype="float64")
    source = gx_context.data_sources.add_or_update_pandas("profiles")
    asset = source.add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("snapshot").get_batch({"dataframe": frame})
    return batch.validate(expectation_suite(name, checks), result_format="BASIC")


def verdicts(result: "ExpectationSuiteValidationResult", count: int) -> list[bool]:
    """Passed or not, in the order of the checks. GX returns results in an order of its own."""
    passed = [False] * count
    for single in result.results:
        passed[single.expectation_config.meta["n"]] = bool(single.success)
    return passed
