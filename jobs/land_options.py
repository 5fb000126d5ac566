"""The command line of jobs.land: what a person asked for, parsed and refused where it can't be meant."""

import argparse
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa

from jobs.presets import PRESETS
from lake import dates
from lake.columns import EVENT, EVENT_TYPES, TIMESTAMP, USER, VIDEO
from lake.layout import HASHED_WHERE_ABSENT
from lake.tables import table
from validation.suites import NULL_RISE, ROWS_TO_MEDIAN

TABLES = ("events", "videos", "users")
TEXTS = pa.list_(pa.string())


@dataclass(frozen=True)
class Request:
    """What a person asked for. `renamed`: table ("" for whichever has the column) → declared name → their name;
    `event_types`: their name → ours; `one_type`: what every row is, in a log without types."""

    path: str
    table: str = "events"
    videos: str | None = None
    users: str | None = None
    preset: str | None = None
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)
    event_types: dict[str, str] = field(default_factory=dict)
    one_type: str | None = None
    time_unit: str | None = None
    assumed: bool = False
    as_arrived: date | None = None
    seal_through: date | None = None
    max_bad_share: float = 0.01
    ignore: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    accept: frozenset[str] = frozenset()


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m jobs.land", allow_abbrev=False, epilog=_columns(),
                                    formatter_class=argparse.RawDescriptionHelpFormatter,
                                    description="Land a log: check it, seal its arrival days.")
    found.add_argument("path", metavar="PATH", help="a .parquet or .csv file, or a folder of them")
    found.add_argument("--table", choices=TABLES, default="events", help="what PATH holds (default: events)")
    found.add_argument("--videos", metavar="PATH", help="catalogue rows that come with the events")
    found.add_argument("--users", metavar="PATH", help="user rows that come with the events")
    found.add_argument("--preset", choices=tuple(PRESETS), help="a log whose files and columns are known")
    found.add_argument("--map", nargs="+", action="extend", default=[], metavar="OURS=THEIRS", type=_mapping,
                       help="user_id=userId; videos.title=name for the file given with --videos")
    found.add_argument("--event-type", nargs="+", action="extend", default=[], metavar="TYPE[=THEIRS]", type=_type,
                       help="play: every row is one; play=view like=heart: what the log calls them")
    found.add_argument("--time-unit", choices=("s", "ms", "us"), help="what integer times count since 1970")
    found.add_argument("--arrived-at", choices=("event_time",), help="take the event time as the arrival")
    found.add_argument("--as-arrived", type=_day, metavar="DAY", help="rows of sealed days arrive on this open day")
    found.add_argument("--seal-through", type=_day, metavar="DAY", help="seal days up to this one, rows or not")
    found.add_argument("--max-bad-share", type=_share, default=0.01, metavar="SHARE",
                       help="refuse when more rows than this can't be true (default 0.01)")
    found.add_argument("--ignore", nargs="+", action="extend", default=[], metavar="COLUMN",
                       help="new columns that are no mistake and not wanted")
    found.add_argument("--without", nargs="+", action="extend", default=[], metavar="OURS",
                       help="optional columns that the log no longer has")
    found.add_argument("--accept", nargs="+", action="extend", default=[], metavar="CHECK", type=_comparison,
                       help="comparisons with earlier days that are odd and true: rows_to_median")
    return found


def _columns() -> str:
    """Every column of the three tables with its type and meaning."""
    lines = ["columns (* needed in every row; ids are integers or texts, times have a zone or --time-unit):"]
    for name, columns in (("events", EVENT), ("videos", VIDEO), ("users", USER)):
        lines.append(f"  {name}")
        for column in columns:
            needed = " " if column.nullable or column.name == HASHED_WHERE_ABSENT else "*"
            kind = "time" if column.type == TIMESTAMP else "list<string>" if column.type == TEXTS else column.type
            lines.append(f"  {needed} {column.name:<15} {kind!s:<14} {column.doc}")
    return "\n".join([*lines, "A log without event_type is landed with --event-type play, one without arrived_at with "
                      "--arrived-at event_time.", "Videos and users without arrived_at arrive with the first event on "
                      "them when given with their events; alone, with --as-arrived DAY."])


def parse(argv: list[str]) -> Request:
    """SystemExit(2) with a message for anything that can't be meant."""
    options = parser()
    found = options.parse_args(argv)
    if found.preset and (found.map or found.videos or found.users or found.event_type or found.table != "events"):
        options.error(f"--preset {found.preset} knows its files and columns: leave --map, --event-type, --table, "
                      "--videos and --users out")
    if found.table != "events" and (found.videos or found.users or found.arrived_at or found.event_type):
        options.error("--videos, --users, --event-type and --arrived-at go with --table events")
    renamed: dict[str, dict[str, str]] = {}
    for name, ours, theirs in found.map:
        renamed.setdefault(name, {})[ours] = theirs
    types = {theirs: ours for ours, theirs in found.event_type if theirs}
    constants = [ours for ours, theirs in found.event_type if not theirs]
    if len(constants) > 1 or constants and types:
        options.error("--event-type is either one TYPE for every row or pairs TYPE=THEIRS")
    return Request(found.path, found.table, found.videos, found.users, found.preset, renamed, types,
                   constants[0] if constants else None, found.time_unit, bool(found.arrived_at), found.as_arrived,
                   found.seal_through, found.max_bad_share, frozenset(found.ignore), frozenset(found.without),
                   frozenset(found.accept))


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
    tables = [name] if dot and name in TABLES else [] if dot else list(TABLES)
    known = sorted({column.name for name in tables or TABLES for column in table(f"raw_{name}").columns})
    if not equals or not theirs or not tables or ours not in known:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not OURS=THEIRS (PATH comes before --map); OURS is one of "
                                         + ", ".join(known))
    return name, ours, theirs


def _comparison(text: str) -> str:
    if text != ROWS_TO_MEDIAN and not text.endswith(f".{NULL_RISE}"):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} compares nothing with earlier days: only {ROWS_TO_MEDIAN} and "
                                         f"COLUMN.{NULL_RISE} can be accepted")
    return text


def _type(text: str) -> tuple[str, str]:
    ours, _, theirs = text.partition("=")
    if ours not in EVENT_TYPES:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not TYPE or TYPE=THEIRS (PATH comes before --event-type); "
                                         f"TYPE is one of {', '.join(EVENT_TYPES)}")
    return ours, theirs
