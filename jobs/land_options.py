"""The command line of jobs.land: what a person asked for, parsed and refused where it can't be meant."""

import argparse
from dataclasses import dataclass
from datetime import date

from jobs.presets import PRESETS
from lake import dates
from lake.tables import table


@dataclass(frozen=True)
class Request:
    """What a person asked for, parsed. `renamed`: table or "" → declared name → their name."""

    path: str
    table: str
    videos: str | None
    users: str | None
    preset: str | None
    renamed: dict[str, dict[str, str]]
    time_unit: str | None
    assumed: bool
    as_arrived: date | None
    seal_through: date | None
    max_bad_share: float


def parse(argv: list[str]) -> Request:
    parser = argparse.ArgumentParser(prog="jobs.land", description="Land a log: check it, seal its arrival days.")
    parser.add_argument("path", metavar="PATH", help="a .parquet or .csv file, or a folder of them")
    parser.add_argument("--table", choices=("events", "videos", "users"), default="events")
    parser.add_argument("--videos", metavar="PATH", help="catalogue rows that come with the events")
    parser.add_argument("--users", metavar="PATH", help="user rows that come with the events")
    parser.add_argument("--preset", choices=tuple(PRESETS))
    parser.add_argument("--map", nargs="+", action="extend", default=[], metavar="OURS=THEIRS", type=_mapping,
                        help="user_id=userId; videos.title=name for a file given with --videos")
    parser.add_argument("--time-unit", choices=("s", "ms", "us"), help="what integer times count since 1970")
    parser.add_argument("--arrived-at", choices=("event_time",), help="take the event time as the arrival")
    parser.add_argument("--as-arrived", type=_day, metavar="DAY", help="rows of sealed days arrive on this open day")
    parser.add_argument("--seal-through", type=_day, metavar="DAY", help="seal days up to this one, with or without rows")
    parser.add_argument("--max-bad-share", type=_share, default=0.01, metavar="SHARE")
    found = parser.parse_args(argv)
    renamed: dict[str, dict[str, str]] = {}
    for name, ours, theirs in found.map:
        renamed.setdefault(name, {})[ours] = theirs
    if found.preset and (found.map or found.videos or found.users or found.table != "events"):
        parser.error(f"--preset {found.preset} knows its files and columns; leave --map, --table, --videos, --users out")
    if found.table != "events" and (found.videos or found.users or found.arrived_at):
        parser.error("--videos, --users and --arrived-at go with --table events")
    return Request(found.path, found.table, found.videos, found.users, found.preset, renamed, found.time_unit,
                   bool(found.arrived_at), found.as_arrived, found.seal_through, found.max_bad_share)


def _day(text: str) -> date:
    try:
        return dates.parse_date(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a share between 0 and 1, for example 0.01")
    return share


def _mapping(text: str) -> tuple[str, str, str]:
    left, equals, theirs = text.partition("=")
    name, dot, ours = left.rpartition(".")
    tables = [f"raw_{name}"] if dot else ["raw_events", "raw_videos", "raw_users"]
    known = {column.name for declared in tables if declared in ("raw_events", "raw_videos", "raw_users")
             for column in table(declared).columns}
    if not equals or not theirs or ours not in known:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not OURS=THEIRS with OURS one of {', '.join(sorted(known))}")
    return name, ours, theirs
