"""Make the night of a date live: one file that appears last, or yesterday's release stays as it is.

    python -m jobs.release --as-of 2026-02-05 [--k 50] [--active-days 28]

Run again, it changes nothing. A date older than the live release is kept, not live. A withdrawn night is refused.
Where REDIS_URL is set the live release is pushed there too; when that fails the release stands and the exit code is 1,
so that a retry finds the release live and pushes again.
"""

import argparse
import sys
import time

from jobs import push
from jobs.command import day, run, say
from lake.refusal import Refusal
from publishing.release import ALREADY_LIVE, KEPT, NotReleased, Outcome, publish
from publishing.release_file import LONGEST_LIST


def described(outcome: Outcome) -> str:
    """What a person needs to know of a release that was just made, or was not."""
    release = outcome.release
    facts = (f"{release.counts['rows']:,} rows for {release.counts['users']:,} users, K {release.k}, "
             f"model {release.model}")
    if outcome.how == KEPT:
        return (f"kept, not live: a newer night is live; {facts}. To go back to it on purpose: "
                f"python -m jobs.rollback --to-kept {release.number}")
    return f"release {release.number} {'was live already' if outcome.how == ALREADY_LIVE else 'is live'}; {facts}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.release", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day)
    parser.add_argument("--k", type=int, default=50, help="rows per list, from 1")
    parser.add_argument("--active-days", type=int, help="which lists, where a night was computed for several")
    options = parser.parse_args(arguments)
    if not 1 <= options.k <= LONGEST_LIST:
        parser.error(f"--k {options.k} is no list length; take 1 to {LONGEST_LIST}")
    started = time.monotonic()
    try:
        outcome = publish(options.as_of, options.k, options.active_days)
    except NotReleased as error:
        raise Refusal(str(error)) from error
    say(f"release {options.as_of}: {described(outcome)}, {time.monotonic() - started:.1f} s")
    if outcome.how != KEPT:
        push.after_release()


if __name__ == "__main__":
    sys.exit(run(main))
