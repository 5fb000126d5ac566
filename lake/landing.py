"""Sealing: which arrival days are closed, and the one log entry that makes a landing exist."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from lake import dates, lineage, numbered_log, snapshot, writing
from lake.columns import TIMESTAMP
from lake.hashing import bucket_of
from lake.snapshot import Manifest, Plan
from lake.sources import Refused
from lake.tables import Table
from lake.writing import Attempt


def find(request: str) -> dict | None:
    """The log entry of a landing of the same files in the same way, or None."""
    return next((entry for entry in numbered_log.entries("landing") if entry["request"] == request), None)


def sealed(name: str) -> list[tuple[date, date]]:
    """[start, end) of every landing of a raw table, ascending."""
    return [(date.fromisoformat(e["start"]), date.fromisoformat(e["end"])) for e in lineage.landings(name)]


def overlap(name: str, start: date, end: date) -> list[tuple[date, date]]:
    """The parts of [start, end) that are sealed already."""
    return [(max(start, a), min(end, b)) for a, b in sealed(name) if a < end and start < b]


def require_open(name: str, start: date, end: date) -> None:
    """Refused when a day of [start, end) is sealed, naming the days."""
    closed = overlap(name, start, end)
    if closed:
        named = ", ".join(named_days(a, b) for a, b in closed[:5]) + (" …" if len(closed) > 5 else "")
        after = max(b for _, b in sealed(name))
        raise Refused(f"{name}: this landing would seal {named_days(start, end)}, and {named} "
                      f"{'is' if len(closed) == 1 and closed[0][1] - closed[0][0] == timedelta(1) else 'are'} sealed "
                      f"already. Late rows land on an open day: add --as-arrived {after}")


def named_days(start: date, end: date) -> str:
    """[start, end) as people write it, the last day included."""
    last = end - timedelta(days=1)
    return start.isoformat() if start == last else f"{start} … {last}"


def first_open(name: str, through: date) -> date:
    """Where an empty landing through a day begins: after the last sealed day before it, else on that day."""
    return max((end for _, end in sealed(name) if end <= through), default=through)


@dataclass(frozen=True)
class Prepared:
    """A snapshot whose files are written and whose manifest is not; or one that exists already."""

    plan: Plan
    attempt: Attempt | None
    parts: list[dict]
    existing: Manifest | None

    @property
    def rows(self) -> int:
        return self.existing.rows if self.existing else sum(part["rows"] for part in self.parts)

    @property
    def profile(self) -> dict:
        return self.existing.profile if self.existing else writing.total_profile(self.plan.table, self.parts)


def prepare(plan: Plan, groups: Iterable[pa.Table]) -> Prepared:
    """Write the files of a plan's snapshot from groups of whole buckets, unless it exists."""
    existing = writing.reuse(plan)
    if existing:
        return Prepared(plan, None, [], existing)
    attempt = writing.begin(plan)
    try:
        return Prepared(plan, attempt, [writing.write_part(plan.table, attempt.folder, rows, f"part-{n:05d}")
                                        for n, rows in enumerate(groups)], None)
    except BaseException:
        writing.abandon(attempt)
        raise


def abandon(prepared: Iterable[Prepared]) -> None:
    """Remove the files of snapshots that will not be committed."""
    for one in prepared:
        if one.attempt:
            writing.abandon(one.attempt)


def finish(prepared: Prepared, checks: list[dict], extra: dict) -> Manifest:
    """Commit a prepared snapshot; the manifest that exists afterwards, ours or that of the same landing beside us."""
    if prepared.attempt is None:
        return snapshot.load(prepared.plan.table, prepared.plan.as_of, prepared.plan.identity)
    try:
        return writing.commit(prepared.attempt, prepared.parts, checks, extra)
    except FileNotFoundError:
        found = writing.reuse(prepared.plan)
        if found is None:
            raise
        return found


def commit(entry: dict) -> dict | None:
    """Append the landing's entry; its days are sealed from here on. None when the same landing is there already.

    Refused when another landing sealed one of its days in the meantime.
    """
    def make(_: list[int]) -> dict | None:
        if find(entry["request"]):
            return None
        for landed in entry["tables"]:
            if landed["table"].startswith("raw_"):
                require_open(landed["table"], date.fromisoformat(landed["start"]), date.fromisoformat(landed["end"]))
        return entry

    return numbered_log.append("landing", make)


def within(ranges: list[tuple[date, date]], arrived_us: np.ndarray) -> np.ndarray:
    """Which instants (microseconds) fall on days of the [start, end) ranges (bool mask)."""
    mask = np.zeros(len(arrived_us), bool)
    for start, end in ranges:
        mask |= (arrived_us >= dates.midnight_us(start)) & (arrived_us < dates.midnight_us(end))
    return mask


def moved(declared: Table, rows: pa.Table, day: date, closed: list[tuple[date, date]]) -> pa.Table:
    """Rows (whole buckets) with those of closed days arriving on an open day instead: at 00:00 UTC plus a microsecond
    per earlier time in their bucket, so that of one event or one video what came first still does."""
    arrived = rows["arrived_at"].cast(pa.int64()).to_numpy().copy()
    late = np.flatnonzero(within(closed, arrived))
    buckets = bucket_of(rows[declared.bucket_by].to_numpy())[late]
    order = late[np.lexsort((arrived[late], buckets))]
    if not len(order):
        return rows
    buckets, times = np.sort(buckets), arrived[order]
    fresh = np.r_[True, buckets[1:] != buckets[:-1]]
    steps = np.cumsum(np.r_[True, times[1:] != times[:-1]] | fresh)
    arrived[order] = dates.midnight_us(day) + steps - steps[fresh][np.cumsum(fresh) - 1]
    at = rows.schema.get_field_index("arrived_at")
    return rows.set_column(at, declared.schema.field("arrived_at"), pa.array(arrived, TIMESTAMP))
