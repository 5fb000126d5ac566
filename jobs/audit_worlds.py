"""The small worlds of an audit: a sample of users with all that the log tells of them, landed in a lake of its own."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from lake import landing, lineage, numbered_log, snapshot, storage
from lake.dates import DAY_US, day_of_us, midnight_us
from lake.hashing import BUCKETS, canonical_json, splitmix64
from lake.snapshot import Plan
from lake.tables import table
from validation.poison import Records, microseconds, with_columns

EVENTS, SPARE_VIDEOS, TIES, LAST_LABELS = 20_000, 200, 200, 200
DAYS_AFTER = 2


@dataclass(frozen=True)
class Cut:
    """From `at_us` on the future is another one; `night` is the last midnight not after it. spared: the label whose
    event_time the cut is, None where it is the midnight itself."""

    at_us: int
    spared: int | None

    @property
    def night(self) -> date:
        return day_of_us(self.at_us)

    def __str__(self) -> str:
        return str(np.datetime64(self.at_us, "us"))


def sample(as_of: date) -> Records:
    """The records of some users, in whole, as far as they had arrived a day after the night: about 20,000 events from
    buckets in an order that the date draws, with every version of their videos and of some more."""
    chunks = lineage.chunks("events", as_of)
    first, pieces, rows = (as_of - date(1970, 1, 1)).days % BUCKETS, [], 0
    for n in range(BUCKETS):
        pieces += [snapshot.read(chunk, buckets=[(first + n) % BUCKETS]) for chunk in chunks]
        rows = sum(piece.num_rows for piece in pieces)
        if rows >= EVENTS:
            break
    events = pa.concat_tables([table("events").schema.empty_table(), *pieces])
    events = events.filter(pa.array(microseconds(events, "arrived_at") < midnight_us(as_of) + DAYS_AFTER * DAY_US))
    events = _some_users(events, as_of, EVENTS)
    return Records(events, *(_of(name, ids, as_of) for name, ids in (
        ("raw_videos", _some_videos(events, as_of)), ("raw_users", np.unique(events["user_id"].to_numpy())))),
        _strings(events, as_of))


def fewer(records: Records, as_of: date, events: int) -> Records:
    """The records of fewer users, with at least so many events."""
    return replace(records, events=_some_users(records.events, as_of, events))


def _some_users(events: pa.Table, as_of: date, most: int) -> pa.Table:
    """All events of as many users as make so many events, in an order drawn by the date."""
    users, counts = np.unique(events["user_id"].to_numpy(), return_counts=True)
    order = np.argsort(splitmix64(users ^ midnight_us(as_of)), kind="stable")
    enough = order[:np.searchsorted(np.cumsum(counts[order]), most) + 1]
    return events.filter(pa.array(np.isin(events["user_id"].to_numpy(), users[enough])))


def _some_videos(events: pa.Table, as_of: date) -> np.ndarray:
    told = [np.zeros(0, np.int64), *(snapshot.read(lineage.landed(entry), ["video_id"])["video_id"].to_numpy()
                                     for entry in lineage.landings("raw_videos", as_of))]
    every = np.unique(np.concatenate(told))
    spare = every[np.argsort(splitmix64(every ^ midnight_us(as_of)), kind="stable")[:SPARE_VIDEOS]]
    return np.union1d(events["video_id"].to_numpy(), spare)


def _of(name: str, ids: np.ndarray, as_of: date) -> pa.Table:
    """Versions of some ids."""
    pieces = [table(name).schema.empty_table()]
    for entry in lineage.landings(name, as_of):
        rows = snapshot.read(lineage.landed(entry))
        pieces.append(rows.filter(pa.array(np.isin(rows[table(name).key[0]].to_numpy(), ids))))
    return pa.concat_tables(pieces)


def _strings(events: pa.Table, as_of: date) -> pa.Table:
    ids = np.union1d(events["user_id"].to_numpy(), events["video_id"].to_numpy())
    pieces = [table("ids").schema.empty_table()]
    for entry in lineage.landings("ids", as_of):
        rows = snapshot.read(lineage.landed(entry))
        pieces.append(rows.filter(pa.array(np.isin(rows["id"].to_numpy(), ids))))
    return pa.concat_tables(pieces)


def with_ties(records: Records) -> Records:
    """The records with plays at the very microsecond at which another play of the same user happened and arrived, so
    that an order without an end shows."""
    plays = records.events.filter(pa.array(records.events["event_type"].to_numpy(zero_copy_only=False) == "play"))
    event_id = plays["event_id"].to_numpy()
    plays = plays.take(pa.array(np.sort(np.argsort(splitmix64(event_id ^ 5), kind="stable")[:TIES])))
    fresh = (splitmix64(plays["event_id"].to_numpy() ^ 6) >> np.uint64(1)).astype(np.int64)
    tied = with_columns(plays, event_id=fresh, video_id=np.roll(plays["video_id"].to_numpy(), 1))
    return replace(records, events=pa.concat_tables([records.events, tied]))


def cuts(records: Records, as_of: date) -> list[Cut]:
    """Three: the midnight of the night, and the moments of two labels drawn by the date, one of the last day and one
    of the last two weeks; of the last labels where nothing happened then."""
    found = [Cut(midnight_us(as_of), None)]
    base = records.events.filter(pa.array(np.isin(
        records.events["event_type"].to_numpy(zero_copy_only=False), ["impression", "play"])))
    base = base.filter(pa.array(microseconds(base, "arrived_at") < midnight_us(as_of)))
    times = microseconds(base, "event_time")
    draw = splitmix64(base["event_id"].to_numpy() ^ midnight_us(as_of))
    for longest in (1, 14):
        recent = np.flatnonzero(times >= midnight_us(as_of) - longest * DAY_US)
        rows = recent if len(recent) else np.argsort(times, kind="stable")[-LAST_LABELS:]
        rows = rows[~np.isin(times[rows], [cut.at_us for cut in found])]
        if len(rows):
            row = rows[np.argmin(draw[rows])]
            found.append(Cut(int(times[row]), int(base["event_id"][row].as_py())))
    return found


def land(records: Records, as_of: date, border: date) -> None:
    """Land the records in the current lake, as they would have come: what arrived before `border`, then the rest. The
    day before the first is sealed too, for a cut may fall into the first, and its night needs a day before it."""
    arrived = microseconds(records.events, "arrived_at")
    first = min([day_of_us(int(arrived.min())) if len(arrived) else as_of, border]) - timedelta(days=1)
    last = as_of + timedelta(days=DAYS_AFTER)
    before = arrived < midnight_us(border)
    told = [("raw_events", first, border, records.events.filter(pa.array(before))),
            ("raw_events", border, last, records.events.filter(pa.array(~before))),
            ("raw_videos", first, last, records.videos), ("raw_users", first, last, records.users),
            ("ids", first, last, records.ids)]
    entries = [_landed(*one) for one in told if one[0] == "raw_events" or one[3].num_rows]
    for number, tables in enumerate(([entries[0], *entries[2:]], [entries[1]])):
        landing.commit({"request": f"audit {as_of} {number}", "sources": [], "id_types": {}, "tables": tables})


def _landed(name: str, start: date, end: date, rows: pa.Table) -> dict:
    prepared = landing.prepare(Plan(name, end, {"start": str(start)}, {"sources": "audit"}), [rows])
    manifest = landing.finish(prepared, [], {})
    return {"table": name, "start": str(start), "end": str(end), "identity": manifest.identity,
            "content_hash": manifest.content_hash, "rows": manifest.rows}


@dataclass(frozen=True)
class Decisions:
    """What people and trainings decided, which no record holds: promotions and blocks, by the name of their log; and
    the files of the models that nights use, by path below the home."""

    entries: dict[str, list[dict]]
    files: dict[str, bytes]

    def write(self) -> None:
        """Into the current lake."""
        for name, entries in self.entries.items():
            for entry in entries:
                storage.create_if_absent(f"{numbered_log.folder(name)}/{entry['number']:06d}.json",
                                         canonical_json(entry))
        for path, content in self.files.items():
            storage.write_bytes(storage.join(path), content)


def decisions(nights: Iterable[date]) -> Decisions:
    """Those of the current lake up to some nights."""
    nights = sorted(set(nights))
    promotions = [entry for entry in numbered_log.entries("promotions") if entry["as_of"] <= nights[-1].isoformat()]
    models = {model.identity: model for model in map(lineage.model_of, nights) if model}
    paths = [f"{model.folder}/{name}" for model in models.values()
             for name in [*(file["path"] for file in model.files), f"{model.identity}.json"]]
    return Decisions({"promotions": promotions, "blocks": numbered_log.entries("blocks")},
                     {path.removeprefix(storage.home()).lstrip("/"): storage.read_bytes(path) for path in paths})
