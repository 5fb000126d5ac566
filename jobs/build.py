"""Build the named tables for a date or a range of dates in one Spark context, only what is missing.

    python -m jobs.build events tiles feature_snapshots --as-of 2026-02-05 [--from 2026-01-29] [--explain]
"""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import partial

from jobs import explain
from jobs.command import day, run, say
from lake import dates, lineage, snapshot, writing
from lake.snapshot import Manifest, Plan
from lake.writing import Attempt
from validation import gate

BUILT = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity", "labels", "training_examples")


def commit(plan: Plan, write: Callable[[Attempt], tuple[list[dict], dict]]) -> Manifest:
    """Make one snapshot: reuse it if it exists, else write, validate, commit; a refused attempt leaves nothing."""
    found = writing.reuse(plan)
    if found:
        return found
    started = time.monotonic()
    with writing.attempt_at(plan) as attempt:
        parts, extra = write(attempt)
        checks = gate.judge(plan, writing.total_profile(plan.table, parts))
        seconds = round(time.monotonic() - started, 3)
        writing.commit(attempt, parts, checks, extra, {"seconds": seconds})
    manifest = snapshot.load(plan.table, plan.as_of, plan.identity)
    say(f"{plan.table} {plan.as_of}: {manifest.rows:,} rows, {time.monotonic() - started:.1f} s")
    return manifest


def _context():
    from jobs.spark_context import spark_context

    return spark_context("nightreel")


def _parts(chunks: list[Manifest]) -> int:
    from features.frames import parts_for

    return parts_for(sum(chunk.rows for chunk in chunks), _context())


def build_events(as_ofs: list[date]) -> None:
    """Events of every landing before the last date, in arrival order."""
    last = max(as_ofs)
    lineage.require_sealed(last)
    earlier: list[Manifest] = []
    for plan, entry in zip(lineage.chunk_plans("events", last), lineage.landings("raw_events", last), strict=True):
        raw = lineage.landed(entry)
        commit(plan, lambda attempt, raw=raw: _write_events(attempt, raw, earlier))
        earlier.append(raw)


def _write_events(attempt: Attempt, raw: Manifest, earlier: list[Manifest]) -> tuple[list[dict], dict]:
    from features.events import write_events

    return write_events(_context(), attempt, raw, earlier)


def build_tiles(as_ofs: list[date]) -> None:
    """Tiles of every chunk of events before the last date."""
    last = max(as_ofs)
    for plan, events in zip(lineage.chunk_plans("tiles", last), lineage.chunks("events", last), strict=True):
        commit(plan, lambda attempt, events=events: _write_tiles(attempt, events))


def _write_tiles(attempt: Attempt, events: Manifest) -> tuple[list[dict], dict]:
    from features.tiles import write_tiles

    return write_tiles(_context(), attempt, events), {}


def build_feature_snapshots(as_ofs: list[date]) -> None:
    """Feature snapshots of all the dates that lack one, in one pass over the tiles. Where another run was faster with
    some of them, and removed what this one wrote, the others are begun again."""
    plans = _lacking([lineage.plan("feature_snapshots", as_of) for as_of in as_ofs])
    while plans:
        attempts = [writing.begin(plan) for plan in plans]
        try:
            return _write_range(attempts)
        except BaseException as error:
            made = [writing.abandon(attempt) for attempt in attempts]
            if not any(made) or not isinstance(error, Exception):
                raise
        plans = [plan for plan, found in zip(plans, made, strict=True) if not found]


def _lacking(plans: list[Plan]) -> list[Plan]:
    return [plan for plan in plans if not writing.reuse(plan)]


def _write_range(attempts: list[Attempt]) -> None:
    from features.frames import per_bucket
    from features.windows import write_snapshots

    started = time.monotonic()
    missing, folders = [attempt.plan.as_of for attempt in attempts], [attempt.folder for attempt in attempts]
    chunks = lineage.chunks("tiles", max(missing))
    accounts = per_bucket(
        _context(), lambda part, buckets: write_snapshots(chunks, missing, folders, part, buckets), _parts(chunks))
    _finish_range(attempts, accounts, started)


def _finish_range(attempts: list[Attempt], accounts: list[dict], started: float) -> None:
    """Judge all dates as one profile, then commit each: nulls, duplicate keys and negative sums of any date are those
    of the whole, and a range of hundreds of dates costs one verdict."""
    profile = writing.total_profile("feature_snapshots", accounts)
    checks = gate.judge(attempts[-1].plan, profile)
    seconds = round(time.monotonic() - started, 3)
    for n, attempt in enumerate(attempts):
        writing.commit(attempt, accounts[n::len(attempts)], checks, recorded={"seconds": seconds / len(attempts)})
    dated = f"{attempts[0].plan.as_of}" + (f" … {attempts[-1].plan.as_of}" if len(attempts) > 1 else "")
    say(f"feature_snapshots {dated}: {profile['rows']:,} rows in {len(attempts)} snapshots, {seconds:.1f} s")


def build_catalogue(as_ofs: list[date]) -> None:
    """The catalogue of each date."""
    for as_of in as_ofs:
        commit(lineage.plan("catalogue", as_of), _write_catalogue)


def _write_catalogue(attempt: Attempt) -> tuple[list[dict], dict]:
    from features.catalogue import write_catalogue

    return write_catalogue(_context(), attempt, _before(attempt)), {}


def _before(attempt: Attempt) -> Manifest | None:
    return lineage.night_before(attempt.plan.table, attempt.plan.as_of, **attempt.plan.parameters)


def build_histories(as_ofs: list[date]) -> None:
    """The histories of each date."""
    for as_of in as_ofs:
        commit(lineage.plan("histories", as_of), _write_histories)


def _write_histories(attempt: Attempt) -> tuple[list[dict], dict]:
    from features.frames import per_bucket
    from features.histories import write_histories

    as_of, length, folder = attempt.plan.as_of, attempt.plan.parameters["length"], attempt.folder
    chunks, before = lineage.chunks("events", as_of), _before(attempt)
    return per_bucket(_context(), lambda part, buckets: write_histories(
        chunks, before, as_of, length, folder, part, buckets), _parts(chunks)), {}


def build_popularity(as_ofs: list[date]) -> None:
    """Popularity of each date."""
    for as_of in as_ofs:
        commit(lineage.plan("popularity", as_of), _write_popularity)


def _write_popularity(attempt: Attempt) -> tuple[list[dict], dict]:
    from features.frames import per_bucket
    from features.windows import write_popularity

    as_of, half_life, folder = attempt.plan.as_of, attempt.plan.parameters["half_life_days"], attempt.folder
    chunks, before = lineage.chunks("tiles", as_of), _before(attempt)
    return per_bucket(_context(), lambda part, buckets: write_popularity(
        chunks, before, as_of, half_life, folder, part, buckets), _parts(chunks)), {}


def build_labels(as_ofs: list[date]) -> None:
    """The labels of each date; `extra.snapshot_days` names the feature snapshots that were live at them."""
    for as_of in as_ofs:
        commit(lineage.plan("labels", as_of), _write_labels)


def _write_labels(attempt: Attempt) -> tuple[list[dict], dict]:
    from features.events import label_start
    from features.frames import per_bucket
    from features.labels import write_labels

    as_of, settings, folder = attempt.plan.as_of, attempt.plan.parameters, attempt.folder
    chunks = lineage.chunks("events", as_of)
    start = label_start(chunks, as_of, settings["min_days"], settings["enough_rows"])
    parts = per_bucket(_context(), lambda part, buckets: write_labels(
        chunks, as_of, start, settings["attribution_hours"], folder, part, buckets), _parts(chunks))
    live = sorted({day for part in parts for day in part.pop("snapshot_days")})
    return parts, {"start": start.isoformat(), "snapshot_days": live}


def build_training_examples(as_ofs: list[date]) -> None:
    """Labels joined point in time, after the feature snapshots that they saw."""
    for as_of in as_ofs:
        days = [dates.parse_date(day) for day in lineage.resolve("labels", as_of).extra["snapshot_days"]]
        if days:
            build_feature_snapshots(days)
        commit(lineage.plan("training_examples", as_of), _write_training_examples)


def _write_training_examples(attempt: Attempt) -> tuple[list[dict], dict]:
    from features.frames import balanced, parts_of
    from features.join import EXAMPLES_PER_PART, ExampleWork, write_examples

    labels = lineage.resolve("labels", attempt.plan.as_of)
    days = [dates.parse_date(day) for day in labels.extra["snapshot_days"]]
    live = {day: lineage.resolve("feature_snapshots", day) for day in days}
    parts = write_examples(ExampleWork(labels, live, attempt.folder, max(_parts([labels]), parts_of(
        labels.rows, 1, EXAMPLES_PER_PART))), partial(balanced, _context()))
    written = sum(part["rows"] for part in parts)
    if written != labels.rows:
        raise RuntimeError(f"training_examples {attempt.plan.as_of}: {labels.rows} labels became {written} rows")
    return parts, {}


BUILDERS: dict[str, Callable[[list[date]], None]] = {
    "events": build_events, "tiles": build_tiles, "feature_snapshots": build_feature_snapshots,
    "catalogue": build_catalogue, "histories": build_histories, "popularity": build_popularity,
    "labels": build_labels, "training_examples": build_training_examples,
}


def main(arguments: list[str]) -> None:
    """Parse, then build each named table in the order of lake/tables.py."""
    parser = argparse.ArgumentParser(prog="python -m jobs.build", description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", choices=BUILT, metavar="TABLE", help=", ".join(BUILT))
    parser.add_argument("--as-of", required=True, type=day)
    parser.add_argument("--from", dest="start", type=day, help="first date of the range")
    parser.add_argument("--explain", action="store_true", help="say what would be reused and computed, and do nothing")
    options = parser.parse_args(arguments)
    start = options.start or options.as_of
    as_ofs = dates.days(start, options.as_of) + [options.as_of]
    if options.explain:
        return explain.tell(explain.steps([name for name in BUILT if name in options.tables], as_ofs),
                            explain.holes(as_ofs))
    for name in (name for name in BUILT if name in options.tables):
        BUILDERS[name](as_ofs)


if __name__ == "__main__":
    sys.exit(run(main))
