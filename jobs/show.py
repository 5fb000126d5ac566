"""What a viewer watched, what the live release recommends, and why.

    python -m jobs.show --user ID [--release NUMBER] [--rows 20]

ID is the viewer's id in your log. A viewer that the night does not know gets the fallback list, and it says so.
"""

import argparse
import sys

from jobs.command import run, say
from lake.refusal import Refusal
from publishing.live import Loaded, NoRelease, load_release
from publishing.people import People, Person

TABLES = ("recommendations", "fallback", "catalogue", "histories")


def history_lines(person: Person) -> list[str]:
    if not person.history:
        return [f"user {_shown(person.original_id)}: not known to this night, so everyone's list"]
    country = f", {person.country}" if person.country else ""
    head = f"user {_shown(person.original_id)}{country}: {person.play_count:,} plays, the last {len(person.history)}:"
    return [head, *(f"    {play.at:%Y-%m-%d %H:%M}  {'♥' if play.liked else ' '} {play.title}"
                    for play in person.history)]


def list_lines(person: Person, rows: int) -> list[str]:
    what = "recommended" if person.own else "fallback list, the same for everyone without one of their own"
    width = max((len(row.title) for row in person.list[:rows]), default=0)
    return [f"{what} ({len(person.list)} rows):",
            *(f"    {row.rank:>3}  {row.title[:60]:{min(width, 60)}}  {row.score:8.4f}  {row.source:12}  {row.reason}"
              for row in person.list[:rows])]


def _shown(text: str) -> str:
    """An id that a person typed, safe to print."""
    return text[:80] if text.isprintable() else repr(text[:80])


def show(loaded: Loaded, user: str, rows: int) -> None:
    person = People(loaded).person(user)
    say(f"release {loaded.release.number} of {loaded.release.as_of}, model {loaded.release.model}")
    for line in history_lines(person) + list_lines(person, rows):
        say(line)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.show", description=__doc__.splitlines()[0])
    parser.add_argument("--user", required=True, metavar="ID", help="the viewer's id in your log")
    parser.add_argument("--release", type=int, metavar="NUMBER", help="by default the live one")
    parser.add_argument("--rows", type=int, default=20, help="how many rows of the list")
    options = parser.parse_args(arguments)
    try:
        show(load_release(options.release, TABLES), options.user, options.rows)
    except NoRelease as error:
        raise Refusal(str(error)) from error


if __name__ == "__main__":
    sys.exit(run(main))
