"""Build every table that a training reads: as of its own day, as of the day its judging stands on, and the feature
snapshots of the label days that its lists are made for.

    python -m jobs.training_tables --as-of 2026-02-02 [--holdout-days 7]

One Spark context for all, earlier day first; only what is missing.
"""

import argparse
import sys

from jobs import build
from jobs.command import day, run
from training import needs


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.training_tables", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day, help="the training's day, YYYY-MM-DD")
    parser.add_argument("--holdout-days", type=int, default=needs.HOLDOUT_DAYS, choices=range(1, 91), metavar="DAYS")
    options = parser.parse_args(arguments)
    for as_of in needs.dates_of(options.as_of, options.holdout_days):
        build.main([*build.BUILT, "--as-of", str(as_of)])
    build.build_feature_snapshots(needs.list_dates(options.as_of, options.holdout_days))


if __name__ == "__main__":
    sys.exit(run(main))
