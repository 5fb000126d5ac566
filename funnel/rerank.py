"""From ranked candidates to a list: diversity, exploration and freshness, in rules a team changes in one place."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from funnel import compiled, ragged
from funnel.affinity import padded_categories
from funnel.candidates import SOURCE, Candidates
from funnel.night import Night, Users
from funnel.popular import FRESH_DAYS
from lake.dates import DAY_US
from lake.hashing import splitmix64

NONE = -1


@dataclass(frozen=True)
class ListRules:
    """Within any `window` ranks in a row at most `per_creator` videos of a creator and `per_category` of a (first)
    category, as far as the best `look_ahead` remaining candidates allow. `exploration_share` of the ranks goes to
    explorers, never the first `exploration_free` ranks. Fresh videos' values are multiplied by `fresh_boost`.
    """

    window: int = 10
    per_creator: int = 5
    per_category: int = 8
    look_ahead: int = 32
    exploration_share: float = 0.04
    exploration_free: int = 5
    fresh_boost: float = 1.02


@dataclass(frozen=True, eq=False)
class Lists:
    """U lists: `chosen` i64[n] are places in the candidates, best first per user; offsets i64[U+1]."""

    offsets: np.ndarray
    chosen: np.ndarray


def rerank(night: Night, users: Users, candidates: Candidates, worth: np.ndarray, length: int,
           rules: ListRules = ListRules()) -> Lists:
    """The list of every user: min(length, candidates) distinct candidates. worth: f32[N]. Ties by video id."""
    explores = candidates.source == SOURCE["explore"]
    boosted = _boosted(night, candidates, worth, rules)
    slots = _exploration_slots(night, users, candidates.offsets, explores, length, rules)
    sizes = np.minimum(np.diff(candidates.offsets), length)
    table, spare = (compiled.lists_of(compiled.best_of_rows(candidates.offsets, boosted, asked, n))[0]
                    for asked, n in ((~explores, length + rules.look_ahead), (explores, length)))
    table = _with_spares(table, spare, slots.sum(axis=1), sizes)
    diverse = _diverse(night, candidates, table, sizes - slots.sum(axis=1), length, rules)
    return _merged(diverse, spare, slots, sizes)


def _boosted(night: Night, candidates: Candidates, worth: np.ndarray, rules: ListRules) -> np.ndarray:
    fresh = (night.as_of_us - night.published_us <= FRESH_DAYS * DAY_US)[candidates.video_index]
    up = np.where(worth > 0, np.float32(rules.fresh_boost), np.float32(1 / rules.fresh_boost))
    return np.where(fresh, worth * up, worth).astype(np.float32)


def _exploration_slots(night: Night, users: Users, offsets: np.ndarray, explores: np.ndarray, length: int,
                       rules: ListRules) -> np.ndarray:
    """bool[U, length]: ranks that go to explorers. One in each equal stretch after the first ranks, its place in the
    stretch drawn by splitmix64 of user, date and stretch."""
    count = int(round(length * rules.exploration_share))
    slots = np.zeros((users.size, length), bool)
    room = length - rules.exploration_free
    if count == 0 or room < count:
        return slots
    borders = rules.exploration_free + np.arange(count + 1) * room // count
    seed = splitmix64(users.user_ids) ^ splitmix64(np.array([-night.as_of.toordinal()]))
    draws = splitmix64((seed[:, None] + np.arange(count, dtype=np.uint64)).view(np.int64))
    places = borders[:-1] + (draws % np.diff(borders).astype(np.uint64)).astype(np.int64)
    explorers = np.add.reduceat(np.append(explores, False).astype(np.int64), offsets[:-1]) * (np.diff(offsets) > 0)
    row, stretch = np.nonzero(np.arange(count) < explorers[:, None])
    slots[row, places[row, stretch]] = True
    sizes = np.minimum(np.diff(offsets), length)
    return slots & (np.arange(length) < sizes[:, None])


def _with_spares(table: np.ndarray, spare: np.ndarray, slots: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Where the ordinary candidates are too few for the ordinary ranks, explorers without a slot follow them."""
    have = (table != NONE).sum(axis=1)
    for user in np.flatnonzero(have < sizes - slots):
        rest = spare[user, slots[user]:sizes[user] - have[user]]
        rest = rest[rest != NONE]
        table[user, have[user]:have[user] + len(rest)] = rest
    return table


def _diverse(night: Night, candidates: Candidates, table: np.ndarray, sizes: np.ndarray, length: int,
             rules: ListRules) -> np.ndarray:
    """i64[U, length]: at each rank the best of the next `look_ahead` that breaks no rule, else the one that breaks
    least."""
    video = candidates.video_index[np.maximum(table, 0)] if len(candidates.video_index) else np.zeros_like(table)
    kinds = np.stack([kind[video] if len(kind) else np.zeros(video.shape, np.int32) for kind in _kinds(night)])
    limits = np.array((rules.per_creator, rules.per_category))
    return compiled.diverse(table, kinds, limits, sizes, length, min(rules.look_ahead, table.shape[1]), rules.window)


@lru_cache(maxsize=4)
def _kinds(night: Night) -> tuple[np.ndarray, np.ndarray]:
    """i32[V] twice: the creator and the first category of each video as a place among all; NONE for unknown ones, which
    are never alike."""
    def places(kinds: np.ndarray, unknown: int) -> np.ndarray:
        _, code = np.unique(kinds, return_inverse=True)
        return np.where(kinds == unknown, NONE, code).astype(np.int32)

    return places(night.creator_ids, -1), places(padded_categories(night)[:, 0], len(night.category_names))


def _merged(diverse: np.ndarray, spare: np.ndarray, slots: np.ndarray, sizes: np.ndarray) -> Lists:
    """Explorers at their slots, the diverse list at the other ranks."""
    used = np.arange(slots.shape[1]) < sizes[:, None]
    merged = np.full(slots.shape, NONE, np.int64)
    ordinary = used & ~slots
    merged[ordinary] = diverse[np.arange(diverse.shape[1]) < ordinary.sum(axis=1)[:, None]]
    merged[slots] = spare[np.arange(spare.shape[1]) < slots.sum(axis=1)[:, None]]
    return Lists(ragged.offsets_of(sizes), merged[used])
