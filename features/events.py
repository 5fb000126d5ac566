"""Deduplication: the first arrival of an event wins."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import SparkContext

from features.frames import parts_for, shuffle_and_write
from lake import dates, snapshot
from lake.columns import EVENT
from lake.snapshot import Manifest
from lake.tables import table
from lake.writing import Attempt

_CONTENT = [column.name for column in EVENT if column.name not in ("event_id", "arrived_at")]
_DEDUPLICATED = table("events").schema.append(pa.field("_conflicts", pa.int64()))


def write_events(context: SparkContext | None, attempt: Attempt, raw: Manifest, earlier: list[Manifest]) -> tuple[list, dict]:
    """Write the events of one landing without the rows that arrived before, in it or in earlier landings.

    Rows with one event_id on one event day are the same event. Returns the files' accounts and the counts: `rows_in`,
    `duplicates`, `conflicts` (duplicates whose content differs from the row that won), and `by_day`: [event day,
    arrival day, impressions + plays] for every pair of days.
    """
    touched = [manifest for manifest in earlier if _overlap(manifest, raw)]

    def produce(buckets: list[int]) -> pa.Table:
        before = [snapshot.read(manifest, buckets=buckets) for manifest in touched]
        return deduplicate(snapshot.read(raw, buckets=buckets), pa.concat_tables([raw_schema.empty_table(), *before]))

    raw_schema = table("raw_events").schema
    parts = shuffle_and_write(context, produce, parts_for(raw.rows, context), "events", attempt.folder, _finish)
    written = sum(part["rows"] for part in parts)
    by_day: dict[tuple[str, str], int] = {}
    for part in parts:
        for event_day, arrival_day, count in part.pop("by_day"):
            by_day[event_day, arrival_day] = by_day.get((event_day, arrival_day), 0) + count
    return parts, {"rows_in": raw.rows, "duplicates": raw.rows - written,
                   "conflicts": sum(part.pop("conflicts") for part in parts),
                   "by_day": [[*days, count] for days, count in sorted(by_day.items())]}


def _overlap(earlier: Manifest, raw: Manifest) -> bool:
    """Whether an earlier landing has events on days that the new one touches."""
    old, new = (manifest.profile["columns"]["event_time"] for manifest in (earlier, raw))
    return "min" in old and "min" in new and (old["min"] // dates.DAY_US <= new["max"] // dates.DAY_US
                                              and new["min"] // dates.DAY_US <= old["max"] // dates.DAY_US)


def deduplicate(landed: pa.Table, before: pa.Table) -> pa.Table:
    """The landed rows that are first arrivals, with `_conflicts`: how many dropped rows told it otherwise.

    before: rows of earlier landings. Equal arrivals are ordered by their content, so file order never matters.
    """
    rows = pa.concat_tables([before, landed])
    earlier = np.arange(rows.num_rows) < before.num_rows
    event_day = rows["event_time"].cast(pa.int64()).to_numpy() // dates.DAY_US
    keyed = rows.append_column("_day", pa.array(event_day)).append_column("_new", pa.array((~earlier).astype(np.int8)))
    order = ["_day", "event_id", "_new", "arrived_at", *_CONTENT]
    keyed = keyed.take(pc.sort_indices(keyed, [(name, "ascending") for name in order]))
    first = np.ones(keyed.num_rows, bool)
    day, event_id = keyed["_day"].to_numpy(), keyed["event_id"].to_numpy()
    first[1:] = (day[1:] != day[:-1]) | (event_id[1:] != event_id[:-1])
    winner = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
    new = keyed["_new"].to_numpy() == 1
    conflicts = np.zeros(len(first), np.int64)
    np.add.at(conflicts, winner, new & _differs(keyed, winner))
    kept = keyed.append_column("_conflicts", pa.array(conflicts)).filter(pa.array(first & new))
    return kept.select(_DEDUPLICATED.names).cast(_DEDUPLICATED)


def _differs(rows: pa.Table, winner: np.ndarray) -> np.ndarray:
    """bool[N]: whether a row's content differs from its winner's; two nulls are equal."""
    differs = np.zeros(rows.num_rows, bool)
    loser = np.flatnonzero(winner != np.arange(rows.num_rows))
    if not len(loser):
        return differs
    mine, theirs = rows.take(pa.array(loser)), rows.take(pa.array(winner[loser]))
    for name in _CONTENT:
        equal = pc.equal(mine[name], theirs[name])
        both_null = pc.and_(pc.is_null(mine[name]), pc.is_null(theirs[name]))
        differs[loser] |= ~pc.or_kleene(both_null, pc.fill_null(equal, False)).to_numpy()
    return differs


def _finish(rows: pa.Table) -> tuple[pa.Table, dict]:
    """The rows to write, and the counts that labels and reports need."""
    counted = rows.filter(pc.is_in(rows["event_type"], pa.array(["impression", "play"])))
    days = np.stack([counted[name].cast(pa.int64()).to_numpy() // dates.DAY_US
                     for name in ("event_time", "arrived_at")])
    pairs, counts = np.unique(days, axis=1, return_counts=True)
    by_day = [[*(dates.day_of_us(int(day) * dates.DAY_US).isoformat() for day in pair), int(count)]
              for pair, count in zip(pairs.T, counts, strict=True)]
    conflicts = int(pc.sum(rows["_conflicts"]).as_py() or 0)
    return rows.drop_columns("_conflicts"), {"conflicts": conflicts, "by_day": by_day}


def label_start(manifests: list[Manifest], as_of: date, min_days: int, enough_rows: int) -> date:
    """The first label day: at least `min_days` before as_of and enough rows that had arrived, or all there is."""
    days: dict[date, int] = {}
    for manifest in manifests:
        for event_day, arrival, count in manifest.extra["by_day"]:
            if date.fromisoformat(arrival) < as_of:
                days[date.fromisoformat(event_day)] = days.get(date.fromisoformat(event_day), 0) + count
    total = 0
    for day in sorted(days, reverse=True):
        total += days[day]
        if total >= enough_rows and (as_of - day).days >= min_days:
            return day
    return min(days, default=as_of)
