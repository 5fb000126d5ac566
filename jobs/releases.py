"""One line per release, newest last; `*` marks the live one. Nights that were kept and never live come first.

    python -m jobs.releases
"""

import argparse
import sys

from jobs.command import run, say
from lake import numbered_log
from lake.snapshot import Damaged
from publishing import release_file
from publishing.release_file import Release

HEAD = f"{'':1} {'number':>6}  {'kind':8}  {'as_of':10}  {'model':>6}  {'users':>9}  {'rows':>11}  {'K':>4}  committed"


def line(release: Release, live: bool, gone: bool) -> str:
    """`*      3  publish   2026-02-05       2      2,000      100,000    50  2026-02-05T00:04:11+00:00`."""
    counts, note = release.counts, ""
    if release.restores:
        note = f"  back to {release.restores}"
    elif release.why:
        note = f"  {release.why[:60]!r}"
    return (f"{'*' if live else ' '} {release.number:>6}  {release.kind:8}  {release.as_of:10}  {release.model:>6}  "
            f"{counts.get('users', 0):>9,}  {counts.get('rows', 0):>11,}  {release.k:>4}  "
            f"{release.recorded.get('committed_at', '')}{note}{'  withdrawn' if gone else ''}")


def main(arguments: list[str]) -> None:
    argparse.ArgumentParser(prog="python -m jobs.releases", description=__doc__.splitlines()[0]).parse_args(arguments)
    numbers = numbered_log.numbers("releases")
    say(HEAD if numbers else "nothing was released yet; run: make night AS_OF=YYYY-MM-DD")
    for release in release_file.readable("kept"):
        say(line(release, False, False))
    past = {release.number: release for release in release_file.readable()}
    gone = release_file.withdrawn(list(past.values()), "content")
    for number in numbers:
        if number in past:
            say(line(past[number], number == numbers[-1], past[number].content in gone))
        else:
            say(f"{'*' if number == numbers[-1] else ' '} {number:>6}  {_why_not(number)}")


def _why_not(number: int) -> str:
    try:
        release_file.read(number)
    except Damaged as error:
        return f"damaged: {error}"
    return "damaged"


if __name__ == "__main__":
    sys.exit(run(main))
