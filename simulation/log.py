"""Turns what happened in a simulated world into the log a real service would have: late, twice and partly impossible.

- Arrival: 97.5 % within 20 minutes, 2 % up to 12 hours, 0.5 % one to seven whole days (and minutes) after event_time.
- What would arrive after the end of the world is dropped and counted.
- About 0.5 % of the events arrive again later, the same but for arrived_at; a handful of plays with another watch_ms.
- Plays: 8 % come without request_id, from a client that never sends it. Position and propensity are an impression's.
- Poison: about 0.1 % extra rows under event ids of their own, each impossible for exactly one reason of POISON.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lake.columns import EVENT, EVENT_TYPES, USER, VIDEO, Column
from lake.dates import DAY_US, HOUR_US
from simulation.days import PLAY, Columns
from simulation.titles import CATEGORIES
from simulation.world import COUNTRIES, LANGUAGES, NEVER_US, NULL, World, stream

POISON = ("event_time_after_arrival", "null_user", "null_video", "null_time",
          "negative_watch", "absurd_watch", "unknown_event_type", "oversized_string")  # the reasons landing gives
KINDS = ("event", "duplicate", "duplicate_other_content") + POISON
EVENT_KIND, DUPLICATE, OTHER_CONTENT, FIRST_POISON = range(4)
OVERSIZED_CHARACTERS = 100_000
SURFACES = ("home", "up_next", "x" * OVERSIZED_CHARACTERS)
TYPES = (*EVENT_TYPES, "teleport")
SECOND_US, MINUTE_US = 1_000_000, 60_000_000


@dataclass(frozen=True)
class Log:
    """Rows in order of arrival; column `kind` (into KINDS) says what was planted and is never written to the log."""

    rows: Columns
    dropped_after_end: int

    def between(self, start_us: int, end_us: int) -> slice:
        """The rows with arrived_at in [start_us, end_us)."""
        return slice(*(int(at) for at in np.searchsorted(self.rows["arrived_at"], [start_us, end_us])))


def make_log(world: World, events: Columns) -> Log:
    """`events` are all days of `live`, concatenated."""
    good, dropped = arrive(world, events)
    parts = [good, *plant_duplicates(world, good), *plant_poison(world, good)]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in good}
    order = np.lexsort((rows["kind"], rows["event_id"], rows["arrived_at"]))
    return Log({name: column[order] for name, column in rows.items()}, dropped)


def arrive(world: World, events: Columns) -> tuple[Columns, int]:
    """Gives events ids (from 1, in order of time) and arrival; drops what arrives after the end and says how many."""
    rng, n = stream(world.size.seed, "arrival"), len(events["user"])
    order = np.lexsort((events["position"], events["event_type"], events["user"], events["event_time"]))
    rows = {name: column[order] for name, column in events.items()}
    lateness, minutes = rng.random(n), np.clip(rng.lognormal(np.log(40), 1.1, n), 1, 20 * 60 - 1)
    delay = (minutes * SECOND_US).astype(np.int64)
    delay = np.where(lateness < 0.02, rng.integers(20 * MINUTE_US, 12 * HOUR_US, n), delay)
    delay += np.where(lateness > 0.995, rng.integers(1, 8, n) * DAY_US, 0)
    forgets = (rows["event_type"] == PLAY) & (rng.random(n) < 0.08)
    rows |= {
        "event_id": np.arange(1, n + 1),
        "arrived_at": rows["event_time"] + delay,
        "request": np.where(forgets, NULL, rows["request"]),
        "surface": rows.pop("continued").astype(np.int64),
        "country": world.users.country[rows["user"]],
        "kind": np.full(n, EVENT_KIND)}
    kept = rows["arrived_at"] < world.size.end_us
    return {name: column[kept] for name, column in rows.items()}, int(n - kept.sum())


def plant_duplicates(world: World, good: Columns) -> list[Columns]:
    """Rows that arrive again, a second to three days after the first time, as far as that is before the end."""
    rng, n = stream(world.size.seed, "duplicates"), len(good["event_id"])
    chosen = rng.permutation(n)
    other = chosen[good["event_type"][chosen] == PLAY][:max(3, n // 25_000)]
    same = np.setdiff1d(chosen[:max(3, n // 200)], other)
    planted = []
    for kind, here in ((DUPLICATE, same), (OTHER_CONTENT, other)):
        soon, later = rng.integers(SECOND_US, HOUR_US, len(here)), rng.integers(HOUR_US, 3 * DAY_US, len(here))
        again = good["arrived_at"][here] + np.where(rng.random(len(here)) < 0.5, soon, later)
        in_time = again < world.size.end_us
        rows = _copy(good, here[in_time], kind) | {"arrived_at": again[in_time]}
        if kind == OTHER_CONTENT:
            rows["watch_ms"] = rows["watch_ms"] + rng.integers(1, 5_000, len(rows["watch_ms"]))
        planted.append(rows)
    return planted


def plant_poison(world: World, good: Columns) -> list[Columns]:
    """Extra rows, good ones with one thing broken: at least one per reason, at most three with an oversized string."""
    rng, n = stream(world.size.seed, "poison"), len(good["event_id"])
    each, plays = max(1, n // 7_500), np.flatnonzero(good["event_type"] == PLAY)
    planted, next_id = [], int(good["event_id"].max()) + 1_000_000
    for kind, reason in enumerate(POISON, start=FIRST_POISON):
        count = min(each, 3) if reason == "oversized_string" else each
        from_plays = reason.endswith("watch") and len(plays) > 0
        rows = _copy(good, rng.choice(plays if from_plays else n, count), kind)
        rows["event_id"] = np.arange(next_id, next_id + count)
        next_id += count
        column, value = _broken(rng, reason, rows["arrived_at"])
        rows[column] = np.broadcast_to(value, count).copy()
        planted.append(rows)
    return planted


def _broken(rng: np.random.Generator, reason: str, arrived_at: np.ndarray) -> tuple[str, np.ndarray | int]:
    """The column that a reason breaks, and what stands there."""
    n = len(arrived_at)
    return {
        "event_time_after_arrival": lambda: ("event_time", arrived_at + rng.integers(2 * DAY_US, 6 * DAY_US, n)),
        "null_user": lambda: ("user", NULL),
        "null_video": lambda: ("video", NULL),
        "null_time": lambda: ("event_time", NULL),
        "negative_watch": lambda: ("watch_ms", -rng.integers(1, 60_000, n)),
        "absurd_watch": lambda: ("watch_ms", rng.integers(25, 1_000, n) * (HOUR_US // 1_000)),
        "unknown_event_type": lambda: ("event_type", TYPES.index("teleport")),
        "oversized_string": lambda: ("surface", len(SURFACES) - 1),
    }[reason]()


def _copy(rows: Columns, here: np.ndarray, kind: int) -> Columns:
    return {name: column[here] for name, column in rows.items()} | {"kind": np.full(len(here), kind)}


def event_table(rows: Columns) -> pa.Table:
    """Rows as they stand in the log, with the columns of lake.columns.EVENT; poison makes any of them nullable."""
    requests, place = np.unique(rows["request"], return_inverse=True)
    names = pa.array([None if request == NULL else f"r{request}" for request in requests.tolist()], pa.string())
    ids = {f"{name}_id": np.where(rows[name] == NULL, NULL, rows[name] + 1) for name in ("user", "video")}
    return _table(EVENT, rows | ids | {
        "event_type": _taken(TYPES, rows["event_type"]),
        "request_id": names.take(pa.array(place)),
        "propensity": pa.array(rows["propensity"], mask=np.isnan(rows["propensity"])),
        "surface": _taken(SURFACES, rows["surface"]),
        "country": _taken(COUNTRIES, rows["country"])})


def video_table(world: World) -> pa.Table:
    """Every video when it becomes known, and again, with removed_at, within a minute of its removal; by arrived_at."""
    videos = world.videos
    n, removed = len(videos.titles), np.flatnonzero(videos.removed_at < NEVER_US)
    row = np.append(np.arange(n), removed)
    arrived_at = np.append(videos.arrived_at, videos.removed_at[removed] + SECOND_US * (1 + removed % 59))
    names = [[CATEGORIES[c] for c in categories if c >= 0] for categories in videos.categories.tolist()]
    table = _table(VIDEO, {
        "video_id": row + 1,
        "creator_id": videos.creator[row],
        "categories": _taken(names, row),
        "duration_ms": videos.duration_ms[row],
        "title": _taken(videos.titles, row),
        "published_at": videos.published_at[row],
        "removed_at": np.append(np.full(n, NULL), videos.removed_at[removed]),
        "arrived_at": arrived_at})
    return table.take(pa.array(np.lexsort((row, arrived_at))))


def user_table(world: World) -> pa.Table:
    """Every user on signing up, by arrived_at."""
    users = world.users
    return _table(USER, {
        "user_id": np.arange(1, len(users.joined_at) + 1),
        "country": _taken(COUNTRIES, users.country),
        "language": _taken(LANGUAGES, users.language),
        "arrived_at": users.joined_at})


def _taken(values: tuple | list, rows: np.ndarray) -> pa.Array:
    return pa.array(values).take(pa.array(rows))


def _table(columns: tuple[Column, ...], arrays: dict[str, np.ndarray | pa.Array]) -> pa.Table:
    """The declared columns, in their types and order; NULL in an int64 array becomes null."""
    def typed(column: Column) -> pa.Array:
        values = arrays[column.name]
        return (pa.array(values, mask=values == NULL) if isinstance(values, np.ndarray) else values).cast(column.type)

    return pa.table([typed(column) for column in columns], schema=pa.schema([(c.name, c.type) for c in columns]))
