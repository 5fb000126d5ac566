"""Wait until every arrival day before a date is sealed, or fail and name the days that are missing.

    python -m jobs.wait --as-of 2026-02-05 [--timeout 21600]

Without a timeout it looks once. A sealed day without rows is data; a day nobody sealed is missing.
"""

import argparse
import sys
import time
from datetime import date, timedelta

from jobs.command import day, run, say
from lake import lineage

LOOK_EVERY_S = 30.0


def wait(as_of: date, timeout_s: float) -> None:
    """Returns when as_of - 1 is sealed and no hole is before it; lineage.Missing names the days when time is up."""
    end, told = time.monotonic() + timeout_s, False
    while missing := lineage.missing_days(as_of):
        left = end - time.monotonic()
        if left <= 0:
            lineage.require_sealed(as_of)
        if not told:
            say(f"wait {as_of}: {missing[0]} is not sealed yet; looking again for {timeout_s:,.0f} s")
            told = True
        time.sleep(max(0.0, min(LOOK_EVERY_S, left)))
    say(f"wait {as_of}: every day up to {as_of - timedelta(days=1)} is sealed")


def _seconds(typed: str) -> float:
    seconds = float(typed)
    if not 0 <= seconds <= 7 * 86_400:
        raise argparse.ArgumentTypeError(f"{typed} seconds is no waiting time; take 0 to {7 * 86_400}")
    return seconds


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.wait", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day, help="the night, YYYY-MM-DD")
    parser.add_argument("--timeout", type=_seconds, default=0.0, metavar="SECONDS", help="default: look once")
    options = parser.parse_args(arguments)
    wait(options.as_of, options.timeout)


if __name__ == "__main__":
    sys.exit(run(main))
