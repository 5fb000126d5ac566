"""What a published night would look like had late rows been known: late-data regret per feature and per list.

    python -m jobs.diff --as-of 2026-02-05 [--release 12]

Recomputes the night in a scratch lake in which every event from before the date has also arrived before it, with the
model that the release pinned, and says how features and lists differ. Catalogue and user rows stay as known then.
"""

import argparse
import sys
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.views import FEATURES, VIEWS
from jobs import scratch
from jobs.command import day, run, say
from jobs.small_lake import environment
from lake import dates, landing, lineage, numbered_log, snapshot, storage
from lake.columns import TIMESTAMP
from lake.hashing import canonical_json
from lake.scatter import Scatter
from lake.snapshot import Plan
from lake.tables import table

KEY = ("view", "entity_id", "attribute")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.diff", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day)
    parser.add_argument("--release", type=int, help="the release to compare with; default: the newest of that date")
    options = parser.parse_args(arguments)
    as_of, released = options.as_of, scratch.released(options.as_of, options.release)
    before = {name: snapshot.read(released[name]) for name in ("feature_snapshots", "recommendations")}
    with scratch.scratch_lake(as_of, released, land_known_today):
        made = scratch.features(as_of)
        made |= scratch.lists(as_of, released["recommendations"].parameters, "model" in released)
        after = {name: snapshot.read(made[name]) for name in before}
    for line in feature_regret(before["feature_snapshots"], after["feature_snapshots"]):
        say(line)
    say(list_regret(before["recommendations"], after["recommendations"], released["recommendations"].parameters["k"]))


def land_known_today(as_of: date, scratch_home: str) -> None:
    """Everything as it was landed, but one landing of events: those from before the date, told late ones arriving at
    the last microsecond before it, after all that arrived in time."""
    rows, late, total = Scatter(table("raw_events")), 0, 0
    last = dates.midnight_us(as_of) - 1
    for entry in lineage.landings("raw_events"):
        for bucket in range(64):
            found = snapshot.read(lineage.landed(entry), buckets=[bucket])
            found = found.filter(pc.less_equal(found["event_time"].cast(pa.int64()), last))
            arrived = found["arrived_at"].cast(pa.int64()).to_numpy()
            late, total = late + int((arrived > last).sum()), total + found.num_rows
            at = found.schema.get_field_index("arrived_at")
            rows.add(found.set_column(at, "arrived_at", pa.array(np.minimum(arrived, last), TIMESTAMP)).cast(
                table("raw_events").schema))
    say(f"{late:,} of {total:,} events from before {as_of} were told after it ({late / max(total, 1):.2%})")
    start, types = _land_dimensions(as_of, scratch_home)
    _land_events(as_of, scratch_home, rows, start, types)


def _land_dimensions(as_of: date, scratch_home: str) -> tuple[str, dict]:
    """Copy every landing but its events; the first sealed day, and what ids are."""
    starts, types = [], {}
    for entry in numbered_log.entries("landing"):
        if not any(date.fromisoformat(told["start"]) < as_of for told in entry["tables"]):
            continue
        starts += [told["start"] for told in entry["tables"] if told["table"] == "raw_events"]
        types |= entry["id_types"]
        others = [told for told in entry["tables"] if told["table"] != "raw_events"]
        for told in others:
            scratch.copy_folder(lineage.landed(told).folder, scratch_home)
        content = {**{name: value for name, value in entry.items() if name != "number"}, "tables": others}
        storage.create_if_absent(f"{scratch_home}/log/landing/{entry['number']:06d}.json", canonical_json(content))
    return min(starts), types


def _land_events(as_of: date, scratch_home: str, rows: Scatter, start: str, types: dict) -> None:
    with environment(NIGHTREEL_HOME=scratch_home):
        plan = Plan("raw_events", as_of, {"start": start}, {"sources": "known today"})
        manifest = landing.finish(landing.prepare(plan, rows.groups()), [], {})
        numbered_log.append("landing", lambda _: {
            "request": "known today", "sources": [], "id_types": types, "tables": [
                {"table": "raw_events", "start": start, "end": as_of.isoformat(), "identity": manifest.identity,
                 "content_hash": manifest.content_hash, "rows": manifest.rows}]})


def feature_regret(before: pa.Table, after: pa.Table) -> list[str]:
    """One line per feature that differs: its view, in how many keys, by how much relative to its sum, and at most."""
    lines = [f"  {'view':14} {'feature':26} {'keys':>8} {'differ':>8} {'of its sum':>10} {'at most':>12}"]
    for view in VIEWS:
        one, other = (rows.filter(pc.equal(rows["view"], view.name)) for rows in (before, after))
        both = one.join(other, list(KEY), join_type="full outer", right_suffix=" after")
        for name in FEATURES:
            was, would = (pc.fill_null(both[each], 0).to_numpy().astype(np.int64) for each in (name, f"{name} after"))
            off = np.abs(would - was)
            if off.any():
                lines.append(f"  {view.name:14} {name:26} {len(off):>8,} {(off > 0).sum():>8,} "
                             f"{off.sum() / max(np.abs(would).sum(), 1):>10.2%} {off.max():>12,}")
    return lines if len(lines) > 1 else ["  no feature differs"]


def list_regret(before: pa.Table, after: pa.Table, k: int) -> str:
    """How many lists differ in their first k, and how much of them is the same videos."""
    was, would = (_lists(rows, k) for rows in (before, after))
    people = sorted(was.keys() | would.keys())
    shared = [len({*was.get(user, ())} & {*would.get(user, ())}) / max(len(would.get(user, ())), 1) for user in people]
    other = sum(was.get(user) != would.get(user) for user in people)
    new = len(would.keys() - was.keys())
    same = np.mean(shared) if people else 1.0
    return (f"diff: {other:,} of {len(people):,} lists differ, on average {same:.1%} of a list is the same videos; "
            f"{new:,} users would have had a list and had none")


def _lists(rows: pa.Table, k: int) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    ordered = rows.filter(pc.less_equal(rows["rank"], k)).sort_by([("user_id", "ascending"), ("rank", "ascending")])
    for user, video in zip(ordered["user_id"].to_pylist(), ordered["video_id"].to_pylist(), strict=True):
        found.setdefault(user, []).append(video)
    return found


if __name__ == "__main__":
    sys.exit(run(main))
