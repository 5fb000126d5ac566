"""Build every table that a training reads: as of its own day, and as of the day its judging stands on.

    python -m jobs.training_tables --as-of 2026-02-02 [--holdout-days 7]

One Spark session for both, earlier day first; only what is missing.
"""

import argparse
import sys
from datetime import date, timedelta

from jobs import build
from jobs.command import run
from lake import dates

HOLDOUT_DAYS = 7


def training_dates(as_of: date, holdout_days: int = HOLDOUT_DAYS) -> list[date]:
    """The snapshots that a training of as_of reads: the judged model knows nothing of [as_of - holdout_days, as_of)."""
    return [as_of - timedelta(days=holdout_days), as_of]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.training_tables", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=dates.parse_date, help="the training's day, YYYY-MM-DD")
    parser.add_argument("--holdout-days", type=int, default=HOLDOUT_DAYS, choices=range(1, 91), metavar="DAYS")
    options = parser.parse_args(arguments)
    for as_of in training_dates(options.as_of, options.holdout_days):
        build.main([*build.BUILT, "--as-of", str(as_of)])


if __name__ == "__main__":
    sys.exit(run(main))
