"""Judging a funnel as it will be used: by time, over the whole catalogue, on videos that the user has not seen.

Judged are the users with a history before D - h who then watched, in [D - h, D), a video that could have been listed:
eligible as of D - h and not seen before. Night, histories and popularity are those of D - h. Users without a history
get the popular list from every system alike, so they would only blur the difference.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from funnel import ragged, sources
from funnel.lists import Ranked, funnel_rules, ranked_lists
from funnel.neighbours import neighbours
from funnel.night import Night
from funnel.recent import unseen
from funnel.retrieval import Retrieval, exact_top
from funnel.users import Users, index_in, take_users
from lake.hashing import splitmix64
from training import metrics
from training.bundle import Bundle
from training.sequences import pieces

LENGTH = 100
USERS_AT_ONCE = 512
MOST_USERS = 20_000
OURS, CHAMPION = "model", "champion"
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "ndcg@10": lambda hits, relevant: metrics.ndcg(hits, relevant, 10),
    "recall@10": lambda hits, relevant: metrics.recall(hits, relevant, 10),
    "recall@100": lambda hits, relevant: metrics.recall(hits, relevant, 100),
    "hit_rate@10": lambda hits, relevant: metrics.hit_rate(hits, 10),
}

# A batch of users → i64[U, LENGTH] places in the night, best first, -1 where a list ends.
Lister = Callable[[Users], np.ndarray]


@dataclass(frozen=True, eq=False)
class Truth:
    """The judged users, as places in the users given, and what each watched: ragged places in the night."""

    rows: np.ndarray
    offsets: np.ndarray
    videos: np.ndarray

    @property
    def relevant(self) -> np.ndarray:
        return np.diff(self.offsets)


@dataclass(frozen=True, eq=False)
class Judged:
    """metric → system → f64[U], one value per judged user; and per system coverage@10 and novelty@10."""

    user_ids: np.ndarray
    per_user: dict[str, dict[str, np.ndarray]]
    catalogue: dict[str, dict[str, float]]


def truth_of(night: Night, users: Users, plays: pa.Table) -> Truth:
    """What can be judged among plays (user_id, video_id): new to the user and in the night. At most 20,000 users."""
    row = index_in(users.user_ids, plays["user_id"].to_numpy())
    return truth_of_pairs(night, users, row, plays["video_id"].to_numpy())


def truth_of_pairs(night: Night, users: Users, row: np.ndarray, video_ids: np.ndarray, most: int = MOST_USERS) -> Truth:
    """The same from places of users (-1: not among them) and ids of the videos they watched; at most `most` users."""
    video = night.index_of(video_ids)
    row, video = row[(row >= 0) & (video >= 0)], video[(row >= 0) & (video >= 0)]
    keys = np.unique(row * night.size + video)
    seen = night.index_of(users.seen_video_ids)
    keys = np.setdiff1d(keys, (ragged.row_of(users.seen_offsets) * night.size + seen)[seen >= 0])
    row = keys // max(night.size, 1)
    row, keys = row[np.diff(users.offsets)[row] > 0], keys[np.diff(users.offsets)[row] > 0]
    rows = np.unique(row)
    if len(rows) > most:
        rows = np.sort(rows[np.argsort(splitmix64(users.user_ids[rows]), kind="stable")[:most]])
        keys, row = keys[np.isin(row, rows)], row[np.isin(row, rows)]
    counts = np.bincount(np.searchsorted(rows, row), minlength=len(rows))
    return Truth(rows, ragged.offsets_of(counts), keys % max(night.size, 1))


def judge(night: Night, users: Users, truth: Truth, systems: dict[str, Lister]) -> Judged:
    """Every system's lists for the judged users, measured."""
    per_user: dict[str, dict[str, np.ndarray]] = {name: {} for name in METRICS}
    catalogue: dict[str, dict[str, float]] = {"coverage@10": {}, "novelty@10": {}}
    for system, lister in systems.items():
        lists = lists_of(lister, users, truth.rows)
        hits = metrics.hits_of(lists, truth.offsets, truth.videos)
        for name, measure in METRICS.items():
            per_user[name][system] = measure(hits, truth.relevant)
        catalogue["coverage@10"][system] = metrics.coverage(lists, night.size, 10)
        catalogue["novelty@10"][system] = metrics.novelty(lists, night.popularity["all"], 10)
    return Judged(users.user_ids[truth.rows], per_user, catalogue)


def lists_of(lister: Lister, users: Users, rows: np.ndarray) -> np.ndarray:
    """i64[len(rows), LENGTH]: the lists of some users, by their places."""
    parts = [lister(take_users(users, rows[piece])) for piece in pieces(len(rows), USERS_AT_ONCE)]
    return np.concatenate([np.zeros((0, LENGTH), np.int64), *parts])


def popular(night: Night, name: str) -> Lister:
    """The baseline: unseen videos by a popularity of the night, ties by video id."""
    order = np.argsort(-night.popularity[name], kind="stable")
    return lambda users: unseen(night, users, order[None], np.zeros(users.size, np.int64), LENGTH)


def retrieval_only(night: Night, video_vectors: np.ndarray, user_vectors: Callable[[Users], np.ndarray]) -> Lister:
    """Exact retrieval without the other sources, ranker and rules: to compare epochs."""
    retrieval = Retrieval(video_vectors, exact_top(video_vectors))

    def lister(users: Users) -> np.ndarray:
        listed = sources.retrieved(night, users, retrieval, user_vectors(users), LENGTH)
        return unseen(night, users, listed.video, np.arange(users.size), LENGTH)
    return lister


def ranked_funnel(night: Night, users: Users, model: Bundle) -> Callable[[Users], Ranked]:
    """The whole funnel with exact search; users: everyone known, whose histories say what goes with what."""
    vectors, near = model.video_vectors(night), neighbours(night, users, model.neighbours)
    retrieval, rules = Retrieval(vectors, exact_top(vectors)), funnel_rules(LENGTH)
    return lambda batch: ranked_lists(night, batch, near, retrieval, model.user_vectors(batch), model.score, rules)


def funnel(night: Night, users: Users, model: Bundle) -> Lister:
    """The whole funnel with exact search, as lists; see `ranked_funnel`."""
    ranked_for = ranked_funnel(night, users, model)

    def lister(batch: Users) -> np.ndarray:
        ranked = ranked_for(batch)
        lists = np.full((batch.size, LENGTH), -1, np.int64)
        offsets = ranked.lists.offsets
        lists[ragged.row_of(offsets), ragged.place_in_row(offsets)] = \
            ranked.candidates.video_index[ranked.lists.chosen]
        return lists
    return lister


def summary(judged: Judged) -> dict:
    """For the promotion log: metric → system → {value, low, high}, paired differences of ours, how many users."""
    told: dict = {name: {system: _interval(values) for system, values in systems.items()}
                  for name, systems in judged.per_user.items()}
    ours = judged.per_user["ndcg@10"][OURS]
    told["difference"] = {system: _interval(ours - values) for system, values in judged.per_user["ndcg@10"].items()
                          if system != OURS}
    for name, systems in judged.catalogue.items():
        told[name] = {system: round(value, 6) if np.isfinite(value) else None for system, value in systems.items()}
    return {**told, "users": len(judged.user_ids)}


def _interval(values: np.ndarray) -> dict[str, float | None]:
    found = metrics.interval(values)
    return {name: round(number, 6) if np.isfinite(number) else None
            for name, number in zip(("value", "low", "high"), found, strict=True)}
