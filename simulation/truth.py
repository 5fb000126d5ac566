"""What is true of a simulated world, under NIGHTREEL_HOME/truth/. For tests and comparisons: no pipeline code reads it.

    users.parquet      user_id, activity, taste, drift, guess_error: vectors of 24, categories in order, then 8 factors
    videos.parquet     video_id, vector, quality, next_episode_id (null = none)
    planted.parquet    event_id, kind, arrived_at: each row of the log that is not the first arrival of a good event
    world.json         parameters, rules in words, constants, counts of what was planted, in all and per arrival day
"""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lake import storage
from lake.dates import DAY_US, day_of_us
from simulation import world as simulated_world
from simulation.log import EVENT_KIND, KINDS, MINUTE_US, POISON, Log
from simulation.titles import CATEGORIES
from simulation.world import World


def write_truth(world: World, log: Log, parameters: dict) -> int:
    """Writes the truth, world.json last; returns the rows written."""
    tables = {"users": users(world), "videos": videos(world), "planted": planted(log)}
    for name, table in tables.items():
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        storage.write_bytes(storage.join("truth", f"{name}.parquet"), buffer.getvalue().to_pybytes())
    story = json.dumps(told(world, log, parameters), indent=1)
    storage.write_bytes(storage.join("truth", "world.json"), story.encode())
    return sum(table.num_rows for table in tables.values())


def users(world: World) -> pa.Table:
    known = world.users
    return pa.table({
        "user_id": np.arange(1, len(known.activity) + 1), "activity": known.activity, "taste": _vectors(known.taste),
        "drift": _vectors(known.drift), "guess_error": _vectors(known.guess_error)})


def videos(world: World) -> pa.Table:
    known = world.videos
    return pa.table({
        "video_id": np.arange(1, len(known.quality) + 1), "vector": _vectors(known.vector), "quality": known.quality,
        "next_episode_id": pa.array(known.next_episode + 1, mask=known.next_episode < 0)})


def planted(log: Log) -> pa.Table:
    rows = {name: log.rows[name][log.rows["kind"] != EVENT_KIND] for name in ("event_id", "kind", "arrived_at")}
    return pa.table({
        "event_id": rows["event_id"], "kind": pa.array(KINDS).take(pa.array(rows["kind"])),
        "arrived_at": pa.array(rows["arrived_at"]).cast(pa.timestamp("us", tz="UTC"))})


def told(world: World, log: Log, parameters: dict) -> dict:
    """The story in words and counts."""
    days = range(world.size.start_us, world.size.end_us, DAY_US)
    return {
        "parameters": parameters,
        "rules": simulated_world.__doc__.splitlines(),
        "constants": dataclasses.asdict(world.rules),
        "categories": list(CATEGORIES),
        "follows": {CATEGORIES[a]: CATEGORIES[b] for a, b in enumerate(world.follows.tolist())},
        "dropped_after_end": log.dropped_after_end,
        "counts": counts(log, slice(None)),
        "arrival_days": {str(day_of_us(day)): counts(log, log.between(day, day + DAY_US)) for day in days}}


def counts(log: Log, here: slice) -> dict:
    """Rows = events + duplicates + duplicates_other_content + sum of poison. `late` counts the good events by delay.

    `hours`: [20 minutes, 1 day) after event_time; `3_days`: [3, 4) days.
    """
    kinds = np.bincount(log.rows["kind"][here], minlength=len(KINDS)).tolist()
    good = log.rows["kind"][here] == EVENT_KIND
    delay = (log.rows["arrived_at"][here] - log.rows["event_time"][here])[good]
    days = np.bincount(delay // DAY_US, minlength=8).tolist()
    return {
        "rows": sum(kinds),
        "events": kinds[0],
        "duplicates": kinds[1],
        "duplicates_other_content": kinds[2],
        "poison": dict(zip(POISON, kinds[3:])),
        "late": {"hours": int(((delay >= 20 * MINUTE_US) & (delay < DAY_US)).sum())}
        | {f"{number}_days": days[number] for number in range(1, 8)}}


def _vectors(matrix: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
