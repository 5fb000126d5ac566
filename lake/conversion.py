"""From files to rows on their way to buckets, with everything counted. Memory stays flat, whatever the files' size."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from lake import contract, dates, identities, landing, reading
from lake.columns import EVENT_TYPES, TIMESTAMP
from lake.first_arrivals import FirstArrivals
from lake.identities import Identities, StartAgain
from lake.layout import Layout
from lake.scatter import Scatter
from lake.sources import Refused
from lake.tables import table

QUARANTINE_IN_MEMORY = 200_000


@dataclass
class Converted:
    """What one layout became. `read` = good + bad source rows; `rows`: what the good ones tell, on the way to buckets;
    `arrivals`: those rows per arrival day; `has`: columns and event types that occur."""

    layout: Layout
    rows: Scatter
    read: int = 0
    reasons: Counter = field(default_factory=Counter)
    told: int = 0
    arrivals: Counter = field(default_factory=Counter)
    has: set[str] = field(default_factory=set)

    @property
    def bad(self) -> int:
        return sum(self.reasons.values())


@dataclass(frozen=True)
class Conversion:
    """All that one command read: one part per table, events first."""

    parts: list[Converted]
    quarantine: Scatter
    ids: Identities


def convert(layouts: list[Layout], as_arrived: date | None) -> Conversion:
    """Read and judge everything; again from the start when ids that looked like integers turn out to be strings.

    as_arrived: rows of sealed days will arrive on this day. Refused as reading.batches says.
    """
    ids = identities.of_earlier_landings()
    while True:
        try:
            return _convert(layouts, as_arrived, ids)
        except StartAgain as found:
            ids = identities.of_earlier_landings()
            ids.types[found.kind] = "string"


def _convert(layouts: list[Layout], as_arrived: date | None, ids: Identities) -> Conversion:
    done = Conversion([], Scatter(table("quarantine"), QUARANTINE_IN_MEMORY), ids)
    wanted = {layout.declared.bucket_by for layout in layouts if layout.arrival == "derived"}
    first = {name: FirstArrivals() for name in wanted}
    for layout in layouts:
        part = Converted(layout, Scatter(layout.declared))
        otherwise_us = _otherwise(layout, done.parts, as_arrived)
        closed = landing.sealed(layout.table)
        for batch in reading.batches(layout, ids):
            rows = _counted(part, done.quarantine, batch)
            if layout.arrival == "derived":
                arrived = first[layout.declared.bucket_by].of(rows[layout.declared.bucket_by].to_numpy(), otherwise_us)
                rows = rows.append_column("arrived_at", pa.array(arrived, TIMESTAMP))
            arrived_us = effective(rows, as_arrived, closed)
            if layout.table == "raw_events":
                for name, arrivals in first.items():
                    arrivals.add(rows[name].to_numpy(), arrived_us)
            _add(part, rows, arrived_us)
        done.parts.append(part)
    return done


def _otherwise(layout: Layout, before: list[Converted], as_arrived: date | None) -> int:
    """The arrival of dimension rows that neither the log nor an event dates: the last day of the events that came with
    them, so that no row is known before its first sign of life."""
    days = before[0].arrivals if before else {}
    if layout.arrival == "derived" and not days and as_arrived is None:
        raise Refused(f"{layout.table}: neither its rows nor an event that came with them say when they arrived; add "
                      "--as-arrived DAY")
    return dates.midnight_us(max(days)) if days else dates.midnight_us(as_arrived) if as_arrived else 0


def _counted(part: Converted, quarantine: Scatter, batch: reading.Batch) -> pa.Table:
    """The rows that a batch tells, after its bad rows went to quarantine."""
    part.read += batch.source.num_rows
    codes, counts = np.unique(batch.verdict[batch.verdict >= 0], return_counts=True)
    if len(codes):
        quarantine.add(reading.quarantined(batch))
        part.reasons.update({contract.REASONS[code]: int(n) for code, n in zip(codes, counts, strict=True)})
    return reading.told(part.layout, batch)


def effective(rows: pa.Table, as_arrived: date | None, closed: list[tuple[date, date]]) -> np.ndarray:
    """When rows count as arrived (microseconds): their own time, or the midnight of `as_arrived` for those of closed
    days. Refused when that would be before they arrived."""
    arrived = rows["arrived_at"].cast(pa.int64()).to_numpy()
    if as_arrived is None:
        return arrived
    late, midnight = landing.within(closed, arrived), dates.midnight_us(as_arrived)
    if late.any() and arrived[late].max() >= midnight:
        raise Refused(f"rows of the sealed day {dates.day_of_us(int(arrived[late].max()))} can't arrive on "
                      f"{as_arrived}, which is not later; name a later, open day with --as-arrived")
    return np.where(late, midnight, arrived)


def _add(part: Converted, rows: pa.Table, arrived_us: np.ndarray) -> None:
    schema = part.layout.declared.schema
    if part.layout.table == "raw_events":
        if "event_id" not in rows.column_names:
            rows = rows.append_column("event_id", pa.array(contract.event_ids(rows)))
        counts = np.bincount(contract.type_codes(rows), minlength=len(EVENT_TYPES) + 1)[1:]
        part.has |= {name for name, count in zip(EVENT_TYPES, counts, strict=True) if count}
    part.has |= {name for name in rows.column_names if rows[name].null_count < rows.num_rows}
    part.arrivals.update(_per_day(arrived_us))
    part.told += rows.num_rows
    whole = [rows[name] if name in rows.column_names else pa.nulls(rows.num_rows, schema.field(name).type)
             for name in schema.names]
    part.rows.add(pa.table(whole, schema=schema))


def _per_day(arrived_us: np.ndarray) -> dict[date, int]:
    if not len(arrived_us):
        return {}
    days = arrived_us // dates.DAY_US
    first = int(days.min())
    counts = np.bincount(days - first)
    return {dates.day_of_us((first + int(n)) * dates.DAY_US): int(counts[n]) for n in np.flatnonzero(counts)}
