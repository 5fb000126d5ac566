"""The plan of a night, or of a range of them, before it runs: what is reused, what is computed, and why.

    python -m jobs.explain --as-of 2026-02-05 [--from 2026-02-03] [--k 50] [--active-days 0]

Computes and writes nothing. Exit 3 when a day that the range needs was never sealed; the last line names it.
"""

import argparse
import sys
from dataclasses import dataclass
from datetime import date, timedelta

from jobs.command import day, run, say
from lake import dates, lineage, snapshot
from lake.lineage import Missing
from lake.snapshot import Plan
from lake.tables import table
from publishing import release_file

NIGHT = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity", "ann_index", "recommendations",
         "fallback")
DAY = timedelta(days=1)
REUSE, COMPUTE = "reuse", "compute"


@dataclass(frozen=True)
class Step:
    """One table of one date: reused or computed, and why."""

    as_of: date
    table: str
    how: str
    why: str


def steps(tables: list[str], as_ofs: list[date], **parameters: int) -> list[Step]:
    """What would happen to these tables, in order. Chunks of events and tiles appear once, under the date their landing
    ends. Dates that lack a sealed day are left out: `holes` names them."""
    possible = [as_of for as_of in as_ofs if not lineage.missing_days(as_of)]
    found: list[Step] = []
    for name in tables:
        if name in lineage.CHUNKED:
            found += _chunks(name, max(possible)) if possible else []
        else:
            found += [_step(name, as_of, parameters) for as_of in possible if name != "ann_index"
                      or lineage.promoted(as_of)]
    return found


def holes(as_ofs: list[date]) -> dict[date, list[date]]:
    """Dates that can't be computed → the days that nobody sealed."""
    return {as_of: missing for as_of in as_ofs if (missing := lineage.missing_days(as_of))}


def _chunks(name: str, last: date) -> list[Step]:
    try:
        plans = lineage.chunk_plans(name, last)
    except Missing:
        events = {step.as_of: step for step in _chunks("events", last)}
        return [Step(day, name, each.how, "" if each.how == REUSE else "events is computed first")
                for day, each in events.items()]
    return [_judged(plan) for plan in plans]


def _step(name: str, as_of: date, parameters: dict[str, int]) -> Step:
    asked = {key: value for key, value in parameters.items() if key in table(name).parameters}
    try:
        return _judged(lineage.plan(name, as_of, **asked))
    except Missing as first:
        needed = str(first).partition(" as of ")[0]
        before = "; made before, from other inputs" if snapshot.committed(name, as_of, as_of + DAY) else ""
        return Step(as_of, name, COMPUTE, f"{needed} is computed first{before}")


def _judged(plan: Plan) -> Step:
    if snapshot.find(plan):
        return Step(plan.as_of, plan.table, REUSE, "")
    return Step(plan.as_of, plan.table, COMPUTE, _why(plan))


def _why(plan: Plan) -> str:
    """How a plan differs from what is there of its table and date."""
    there = [snapshot.load(plan.table, as_of, identity) for as_of, identity in
             snapshot.committed(plan.table, plan.as_of, plan.as_of + DAY)]
    alike = [manifest for manifest in there if manifest.parameters == plan.parameters]
    if not alike:
        return "never computed" if not there else "never computed with these parameters"
    newest = max(alike, key=lambda manifest: manifest.recorded["committed_at"])
    changed = sorted(name for name in plan.inputs.keys() | newest.inputs.keys()
                     if plan.inputs.get(name) != newest.inputs.get(name))
    if changed == ["previous"]:
        return "a landing before it was added or changed"
    return f"changed since: {', '.join(changed)}" if changed else "its table has a new version"


def _release(as_of: date) -> str:
    """What would become of the night, by the dates alone."""
    live = next(reversed(release_file.readable()), None)
    if live is None or as_of > live.date:
        return "would become live"
    same = f"release {live.number} of that night is live; another one only if a table differs"
    return same if as_of == live.date else f"would be kept, not live: release {live.number} is of {live.as_of}"


def tell(found: list[Step], missing: dict[date, list[date]]) -> None:
    """One line per step. Missing, naming the days, when a date can't be computed."""
    for step in found:
        say(f"  {step.as_of}  {step.table:18} {step.how:8} {step.why}".rstrip())
    computed = sum(step.how == COMPUTE for step in found)
    say(f"plan: {len(found) - computed} reused, {computed} computed")
    for as_of, days in missing.items():
        say(f"  {as_of}  can't run: {len(days)} days were never sealed: {', '.join(map(str, days[:5]))}"
            f"{' …' if len(days) > 5 else ''}")
    if missing:
        lineage.require_sealed(max(missing))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.explain", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day)
    parser.add_argument("--from", dest="start", type=day, help="first night of the range")
    parser.add_argument("--k", type=int, default=50, help="rows per list")
    parser.add_argument("--active-days", type=int, default=0)
    options = parser.parse_args(arguments)
    start = options.start or options.as_of
    if start > options.as_of:
        parser.error(f"--from {start} is after --as-of {options.as_of}")
    as_ofs = dates.days(start, options.as_of) + [options.as_of]
    missing = holes(as_ofs)
    found = steps(list(NIGHT), as_ofs, k=options.k, active_days=options.active_days)
    for as_of in as_ofs:
        if as_of not in missing:
            say(f"  {as_of}  {'release':18} {_release(as_of)}")
    tell(found, missing)


if __name__ == "__main__":
    sys.exit(run(main))
