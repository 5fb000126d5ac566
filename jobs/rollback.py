"""Go back to an earlier release, or forward to a withdrawn one: a new release of its tables, with today's tombstones.

    python -m jobs.rollback [--to NUMBER | --to-kept NUMBER]

Without a number: the newest whole release before the live one that shows something else.
"""

import argparse
import sys

from jobs import push
from jobs.command import run, say
from lake.refusal import Refusal
from publishing.live import NoRelease
from publishing.release import NotReleased
from publishing.rollback import rollback


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.rollback", description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--to", type=int, help="a number that `python -m jobs.releases` lists")
    where.add_argument("--to-kept", type=int, help="a night that was kept and never live, as listed there")
    options = parser.parse_args(arguments)
    try:
        release = rollback(options.to, options.to_kept)
    except (NotReleased, NoRelease) as error:
        raise Refusal(str(error)) from error
    hidden = len(release.tombstones["videos"])
    say(f"release {release.as_of}: release {release.number} is live, the tables of {release.as_of} again "
        f"({release.counts['rows']:,} rows for {release.counts['users']:,} users, {hidden:,} videos hidden since)")
    push.after_release()


if __name__ == "__main__":
    sys.exit(run(main))
