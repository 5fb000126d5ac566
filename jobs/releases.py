"""One line per release, newest last; `*` marks the live one. Nights that were kept and never live come first.

    python -m jobs.releases
    python -m jobs.releases --pin 12        no clean-up takes it away (--unpin 12)
"""

import argparse
import sys

from jobs.command import run, say
from lake import numbered_log
from lake.refusal import Refusal
from lake.snapshot import Damaged
from publishing import release_file, retention
from publishing.release_file import Release

HEAD = f"{'':1} {'number':>6}  {'kind':8}  {'as_of':10}  {'model':>6}  {'users':>9}  {'rows':>11}  {'K':>4}  committed"


def line(release: Release, live: bool, gone: bool, stays: bool = False) -> str:
    """`*      3  publish   2026-02-05       2      2,000      100,000    50  2026-02-05T00:04:11+00:00`."""
    counts, note = release.counts, ""
    if release.restores:
        note = f"  back to {release.restores}"
    elif release.why:
        note = f"  {release.why[:60]!r}"
    return (f"{'*' if live else ' '} {release.number:>6}  {release.kind:8}  {release.as_of:10}  {release.model:>6}  "
            f"{counts.get('users', 0):>9,}  {counts.get('rows', 0):>11,}  {release.k:>4}  "
            f"{release.recorded.get('committed_at', '')}{note}{'  withdrawn' if gone else ''}"
            f"{'  pinned' if stays else ''}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.releases", description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pin", type=int, metavar="NUMBER", help="keep this release whatever jobs.clean is told")
    which.add_argument("--unpin", type=int, metavar="NUMBER")
    options = parser.parse_args(arguments)
    if options.pin is not None or options.unpin is not None:
        return _pin(options.unpin if options.pin is None else options.pin, options.pin is not None)
    numbers = numbered_log.numbers("releases")
    say(HEAD if numbers else "nothing was released yet; run: make night AS_OF=YYYY-MM-DD")
    for release in release_file.readable("kept"):
        say(line(release, False, False))
    past = {release.number: release for release in release_file.readable()}
    pinned = retention.pinned()
    gone = release_file.withdrawn(list(past.values()), "content")
    for number in numbers:
        if number in past:
            say(line(past[number], number == numbers[-1], past[number].content in gone, number in pinned))
        else:
            say(f"{'*' if number == numbers[-1] else ' '} {number:>6}  {_why_not(number)}")


def _pin(number: int, stays: bool) -> None:
    try:
        retention.pin(number, stays)
    except KeyError:
        raise Refusal(f"there is no release {number}; `python -m jobs.releases` lists them") from None
    say(f"release {number} is {'pinned' if stays else 'pinned no more'}")


def _why_not(number: int) -> str:
    try:
        release_file.read(number)
    except Damaged as error:
        return f"damaged: {error}"
    return "damaged"


if __name__ == "__main__":
    sys.exit(run(main))
