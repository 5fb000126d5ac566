"""Land a log: check it, seal its arrival days, keep what can't be true in quarantine.

    python -m jobs.land PATH [--videos PATH] [--users PATH]           the declared column names, or --map OURS=THEIRS
    python -m jobs.land --preset movielens|kuairand|nightreel FOLDER
    python -m jobs.land FOLDER --seal-through DAY                     days without rows
    python -m jobs.land --table videos PATH --as-arrived DAY          a new catalogue

Exit codes: 0 landed, or the same files were landed before; 2 bad arguments; 3 the data was refused, nothing changed.
"""

import sys
import time
from datetime import date

from jobs.command import run, say
from jobs.land_commit import commit, decide
from jobs.land_layouts import layouts
from jobs.land_options import Request, parse, parser
from lake import conversion, landing
from lake.conversion import Conversion, Converted
from lake.refusal import Refusal
from lake.sources import Refused

BAD_ROWS_ALLOWED = 100


def land(request: Request) -> None:
    """Land what was asked for and say so, or say that it was landed before. Refused: nothing was changed."""
    started = time.monotonic()
    try:
        found = layouts(request)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        parser().error(str(error))
    decided = decide(found, request)
    if landing.find(decided.request) is None:
        done = conversion.convert(found, request.as_arrived)
        require_few_bad(done, request.max_bad_share)
        entry = commit(done, decided, request)
        if entry:
            for part in done.parts:
                say_landed(part, entry, time.monotonic() - started)
            return
    say_already(landing.find(decided.request) or {})


def say_landed(part: Converted, entry: dict, seconds: float) -> None:
    here = next((one for one in entry["tables"] if one["table"] == part.layout.table), None)
    if here is None:
        return
    twice = f", {here['duplicates']:,} duplicates ({here['conflicting']:,} conflicting)" if here["duplicates"] else ""
    bad = f", {part.bad:,} quarantined ({_reasons(part)})" if part.bad else ""
    left = f", columns not read: {', '.join(part.layout.ignored)[:200]}" if part.layout.ignored else ""
    say(f"land {here['table']}: {part.read:,} rows read, {here['rows']:,} landed{twice}{bad}, sealed {_days(here)}, "
        f"{seconds:.1f} s{left}")


def say_already(entry: dict) -> None:
    for here in entry["tables"]:
        if here["table"].startswith("raw_"):
            say(f"land {here['table']}: already landed as entry {entry['number']}: {here['rows']:,} rows, sealed "
                f"{_days(here)}; nothing changed")


def _days(here: dict) -> str:
    return landing.named_days(date.fromisoformat(here["start"]), date.fromisoformat(here["end"]))


def require_few_bad(done: Conversion, share: float) -> None:
    """Refused when too many rows of a table can't be true."""
    for part in done.parts:
        if part.bad >= BAD_ROWS_ALLOWED and part.bad > share * part.read:
            raise Refused(f"{part.layout.table}: {part.bad:,} of {part.read:,} rows can't be true ({_reasons(part)}), "
                          f"more than the {share:.2%} that --max-bad-share allows from {BAD_ROWS_ALLOWED} bad rows on. "
                          "Look at where the log comes from; nothing was landed")


def _reasons(part: Converted) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in part.reasons.most_common())


def main(argv: list[str]) -> None:
    request = parse(argv)
    try:
        land(request)
    except Refused as error:
        raise Refusal(str(error)) from error


if __name__ == "__main__":
    sys.exit(run(main))
