"""The lists of a night, part by part: what a worker does with its buckets of users.

A worker is handed the night, loads model and index once and keeps them while it lives. Users are taken in groups of
buckets and in order of id, in batches that follow from the night alone, so lists are the same whatever the parallelism.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa

from funnel import ragged
from funnel.lists import funnel_rules, ranked_lists, rows_of
from funnel.neighbours import NeighbourRules, Neighbours, neighbours
from funnel.night import Night, NightTables, load_histories, load_night, load_users
from funnel.retrieval import Retrieval
from funnel.users import Users, take_users
from lake import writing
from lake.hashing import BUCKETS, bucket_of
from lake.snapshot import Manifest
from lake.tables import table
from publishing.baseline import baseline_rows
from training import model_file

NEIGHBOUR_PLAYS = 5_000_000
USERS_READ = 50_000
USERS_PER_GROUP = 512
BATCH_CELLS = 1 << 26
BATCH_CANDIDATES = 1 << 19
BATCH_USERS = (16, 640)  # a group of about 512 users is one batch: each has its price
_KEPT: dict[tuple, "Loaded"] = {}


def rows_for(k: int) -> int:
    """Rows a list gets so that tombstones leave it full: a tenth more than K and five."""
    return -(-k * 11 // 10) + 5


@dataclass(frozen=True)
class Task:
    """Which lists: what a worker must know. home: `lake.storage.home()` of the night. model and index: None while no
    model has passed; then `baseline` is the popularity that orders the lists."""

    home: str
    tables: NightTables
    model: Manifest | None
    index: Manifest | None
    baseline: str
    folder: str
    k: int
    active_days: int


@dataclass(frozen=True, eq=False)
class Shared:
    """What is made once for all workers: the night and, where there is a model, its neighbours."""

    night: Night
    neighbours: Neighbours | None


@dataclass(frozen=True, eq=False)
class Loaded:
    """What a worker keeps: the night's model (of training.bundle) and index."""

    model: object
    retrieval: Retrieval


def shared_by_workers(task: Task) -> Shared:
    """The night of a task, and the neighbours that its model's lists need."""
    night = load_night(task.tables.as_of, tables=task.tables)
    if task.model is None:
        return Shared(night, None)
    rules = model_file.neighbour_rules(model_file.part_of(task.model))
    return Shared(night, night_neighbours(night, task.tables, rules))


def night_neighbours(night: Night, tables: NightTables, rules: NeighbourRules) -> Neighbours:
    """Neighbours from the histories of whole groups of buckets, as many as hold about five million plays: a fixed
    random sample of a large service's users, all of a small one's."""
    parts, known, count = [], 0, groups(tables)
    step = max(1, count * USERS_READ // max(tables.manifests["histories"].rows, 1))
    for first in range(0, count, step):
        buckets = [bucket for group in range(first, min(first + step, count)) for bucket in buckets_of(group, tables)]
        parts.append(load_histories(tables.as_of, buckets, tables=tables))
        known += len(parts[-1].video_ids)
        if known >= NEIGHBOUR_PLAYS:
            break
    plays, seen = (np.concatenate([np.diff(getattr(part, name)) for part in parts])
                   for name in ("offsets", "seen_offsets"))
    people = replace(parts[0], user_ids=np.concatenate([part.user_ids for part in parts]),
                     offsets=ragged.offsets_of(plays), video_ids=np.concatenate([part.video_ids for part in parts]),
                     seen_offsets=ragged.offsets_of(seen),
                     seen_video_ids=np.concatenate([part.seen_video_ids for part in parts]))
    return neighbours(night, people, rules)


def groups(tables: NightTables) -> int:
    """How many groups the 64 buckets form: a power of two, so that a group has about 512 users or is one bucket.

    Users of a group are ranked together, so it follows from the night alone, never from where the night runs.
    """
    return min(BUCKETS, 1 << max(0, -(-tables.manifests["histories"].rows // USERS_PER_GROUP) - 1).bit_length())


def buckets_of(group: int, tables: NightTables) -> list[int]:
    return list(range(group, BUCKETS, groups(tables)))


def write_lists(task: Task, shared: Shared, part: int, buckets: list[int]) -> list[dict]:
    """Write the lists of the users in these buckets as one file; returns its account, with `users` and how many of
    them got fewer than K rows (`short_users`).

    ValueError when the buckets are not whole groups.
    """
    os.environ["NIGHTREEL_HOME"] = task.home  # a worker may be of another machine, or older than this lake
    count = groups(task.tables)
    mine = sorted({bucket % count for bucket in buckets})
    if len(buckets) != len(mine) * BUCKETS // count:
        raise ValueError(f"part {part} has some buckets of a group without the others; deal at most {count} parts")
    written, users, short = [table("recommendations").schema.empty_table()], 0, 0
    everyone = load_users(task.tables.as_of, buckets, task.active_days, task.tables)
    group_of = bucket_of(everyone.user_ids) % count
    for group in mine:
        people = take_users(everyone, np.flatnonzero(group_of == group))
        for batch in batches(people, shared.night.size, rows_for(task.k)):
            rows = list_rows(task, shared, batch)
            lengths = np.bincount(np.searchsorted(batch.user_ids, rows["user_id"].to_numpy()), minlength=batch.size)
            users, short = users + batch.size, short + int((lengths < task.k).sum())
            written.append(rows.cast(written[0].schema))
    account = writing.write_part("recommendations", task.folder, pa.concat_tables(written), f"part-{part:05d}")
    return [account | {"users": users, "short_users": short}]


def batches(users: Users, videos: int, length: int) -> Iterator[Users]:
    """Users in order of id, about as many each time, and so few that neither users × videos nor their candidates for
    lists of `length` rows grow with the world."""
    each = sum(asdict(funnel_rules(length).candidates).values())
    size = int(np.clip(min(BATCH_CELLS // max(videos, 1), BATCH_CANDIDATES // each), *BATCH_USERS))
    for rows in np.array_split(np.arange(users.size), -(-users.size // size)) if users.size else ():
        yield take_users(users, rows)


def list_rows(task: Task, shared: Shared, users: Users) -> pa.Table:
    """The lists of one batch as rows of `recommendations`."""
    night, length = shared.night, rows_for(task.k)
    if shared.neighbours is None:
        return baseline_rows(night, users, task.baseline, length)
    have = loaded(task, night)
    vectors = have.model.user_vectors(users)
    ranked = ranked_lists(night, users, shared.neighbours, have.retrieval, vectors, have.model.score, funnel_rules(length))
    return rows_of(night, users, ranked, shared.neighbours, have.retrieval)


def loaded(task: Task, night: Night) -> Loaded:
    """Model and index of a task; a worker keeps those of the last one, by content."""
    key = task.model.content_hash, task.index.content_hash
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = _load(task, night)
    return _KEPT[key]


def _load(task: Task, night: Night) -> Loaded:
    import faiss  # a night without a model starts without them
    import torch

    from publishing import ann_index
    from training import bundle

    # Spark runs as many workers as there are cores, and on one thread sums keep their order.
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    index = ann_index.load(task.index, night.video_ids, task.model)
    return Loaded(bundle.load(task.model), ann_index.retrieval_of(index))
