"""What the ranker sees of a candidate, and what its answers are worth."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from funnel import compiled, ragged
from funnel.affinity import CREATOR_NAMES, affinity_names, category_affinity, creator_affinity
from funnel.candidates import SOURCES, Candidates
from funnel.night import Night, Users
from funnel.popular import FRESH_DAYS, log_plays_in
from funnel.recent import recent
from funnel.users import hours_since_play
from funnel.view_features import MANY, derive
from lake.dates import DAY_US

_VIDEO = ("log_plays_all", "log_plays_7d", "log_decayed_plays", "popularity_place", "trend", "log_age_days", "fresh",
          "log_duration_s", "duration_unknown", "category_count")
_USER = ("log_play_count", "log_hours_since_play", "mean_log_duration_s", "liked_share")
_SCORES = ("retrieval", "explained", "lately", "co_watched", "followed", "creator", "fresh")
_RANKS = ("retrieval", "explained", "lately", "co_watched", "followed", "popular")
_SHARES = ("explained", "co_watched")
_FADING = ("lately", "followed")  # what goes with the last plays: half as much with every hour since
_PAIR = (*(f"{name}_score" for name in _SCORES), "retrieval_gap",
         *(f"{name}_share" for name in _SHARES), *(f"{name}_share_now" for name in _FADING),
         *(f"{name}_nearness_of_rank" for name in _RANKS),
         *(f"found_{name}" for name in SOURCES), "popularity_place_now", "log_country_plays",
         "duration_distance", *CREATOR_NAMES)
FEATURE_NAMES: tuple[str, ...] = (
    *_VIDEO, *(f"video_{name}" for name in MANY), *(f"creator_{name}" for name in MANY),
    *_USER, *(f"user_{name}" for name in MANY), *_PAIR, *affinity_names())
PLACE = {name: place for place, name in enumerate(FEATURE_NAMES)}


@dataclass(frozen=True)
class Value:
    """What a team wants from a watch: play · (1 + sum of weight · head) − not_interested · its weight.

    Heads other than play are probabilities (or fractions) given a play; a head that the model lacks counts nothing.
    """

    completion: float = 0.5
    like: float = 0.3
    share: float = 0.3
    not_interested: float = 1.0


def value(heads: dict[str, np.ndarray], weights: Value = Value()) -> np.ndarray:
    """f32[N]: the worth of each candidate from calibrated heads f32[N]; "play" is required."""
    names = [part.name for part in fields(weights) if part.name in heads and part.name != "not_interested"]
    worth = heads["play"] * sum((getattr(weights, name) * heads[name] for name in names), start=np.float32(1))
    if "not_interested" in heads:
        worth = worth - weights.not_interested * heads["not_interested"]
    return np.asarray(worth, np.float32)


@dataclass(frozen=True, eq=False)
class Features:
    """The columns FEATURE_NAMES of N candidates, finite, zeros where nothing is known; each number once.

    video: f32[V, first columns], what only the video decides; user: f32[U, next columns]; pair: f32[other columns, N], a
    row per column. video_index and user_index: i64[N].
    """

    video: np.ndarray
    user: np.ndarray
    pair: np.ndarray
    video_index: np.ndarray
    user_index: np.ndarray

    def rows(self) -> np.ndarray:
        """f32[N, len(FEATURE_NAMES)], C-ordered, a row per candidate."""
        return np.concatenate([np.take(self.video, self.video_index, axis=0),
                               np.take(self.user, self.user_index, axis=0), self.pair.T], axis=1)

    def without(self, places: np.ndarray) -> "Features":
        """The same with zeros in some columns."""
        video, user, pair = self.video.copy(), self.user.copy(), self.pair.copy()
        for place in places.tolist():
            if place < PLACE[_USER[0]]:
                video[:, place] = 0
            elif place < PLACE[_PAIR[0]]:
                user[:, place - PLACE[_USER[0]]] = 0
            else:
                pair[place - PLACE[_PAIR[0]]] = 0
        return replace(self, video=video, user=user, pair=pair)


def ranking_features(night: Night, users: Users, candidates: Candidates) -> Features:
    """What the ranker sees of the candidates."""
    video, user, first = _video_side(night), _user_side(night, users), PLACE[_PAIR[0]]
    pair = np.zeros((len(FEATURE_NAMES) - first, len(candidates.video_index)), np.float32)
    _write_pairs(night, users, candidates, lambda name: pair[PLACE[name] - first])
    category_affinity(night, users, candidates, pair[PLACE[affinity_names()[0]] - first:])
    length = np.take(video[:, PLACE["log_duration_s"]], candidates.video_index)
    usual = np.take(user[:, PLACE["mean_log_duration_s"] - PLACE[_USER[0]]], candidates.user_index)
    np.abs(length - usual, out=pair[PLACE["duration_distance"] - first], where=(length > 0) & (usual > 0))
    return Features(video, user, pair, candidates.video_index, candidates.user_index)


@lru_cache(maxsize=4)
def _video_side(night: Night) -> np.ndarray:
    """f32[V, len(_VIDEO) + 2 · len(MANY)]: the columns that only the video decides."""
    side = np.zeros((night.size, PLACE[_USER[0]]), np.float32)
    age_days = np.maximum(night.as_of_us - night.published_us, 0) / DAY_US
    logs = {name: np.log1p(plays) for name, plays in night.popularity.items()}
    order = np.argsort(np.argsort(-night.popularity["decayed"], kind="stable"), kind="stable")
    seconds = np.maximum(night.duration_ms, 0) / 1000
    columns = (logs["all"], logs["7d"], logs["decayed"], 1 - order / max(night.size, 1), logs["7d"] - logs["decayed"],
               np.log1p(age_days), age_days <= FRESH_DAYS, np.log1p(seconds), night.duration_ms < 0,
               np.diff(night.category_offsets))
    for place, column in enumerate(columns):
        side[:, place] = column
    for view, ids in (("video", night.video_ids), ("creator", night.creator_ids)):
        first = PLACE[f"{view}_{MANY[0]}"]
        side[:, first:first + len(MANY)] = derive(night.features[view].rows(ids))
    return side


def _user_side(night: Night, users: Users) -> np.ndarray:
    """f32[U, len(_USER) + len(MANY)]."""
    known = recent(night, users)
    row, seconds = known.row, np.maximum(night.duration_ms[known.video_index], 0) / 1000
    measured = seconds > 0
    counts = np.bincount(row[measured], minlength=users.size)
    total = np.bincount(row[measured], np.log1p(seconds[measured]), minlength=users.size)
    likes = np.bincount(ragged.row_of(users.offsets), users.liked, minlength=users.size)
    columns = (np.log1p(users.play_count), np.log1p(hours_since_play(users)), total / np.maximum(counts, 1),
               likes / (np.diff(users.offsets) + 5))
    return np.column_stack([*columns, derive(users.features.rows(users.user_ids))]).astype(np.float32)


def _write_pairs(night: Night, users: Users, candidates: Candidates, row: Callable[[str], np.ndarray]) -> None:
    """Into the row f32[N] of each name, zeros, what depends on user and video: written where it stays, because a
    batch's rows are more than a core's cache holds, and each copy reads and writes them all."""
    for name in _SCORES:
        if name in candidates.scores:
            row(f"{name}_score")[:] = candidates.scores[name]
    for name in _RANKS:
        if name in candidates.ranks:
            _write_nearness(candidates.ranks[name], row(f"{name}_nearness_of_rank"))
    for code, name in enumerate(SOURCES):
        if name in candidates.ranks:
            np.greater(candidates.ranks[name], 0, out=row(f"found_{name}"))
        else:
            np.equal(candidates.source, code, out=row(f"found_{name}"))
    if "retrieval" in candidates.scores:
        np.subtract(candidates.scores["retrieval"], _best(candidates, "retrieval"), out=row("retrieval_gap"))
    fresh = 2.0 ** -hours_since_play(users)
    for name, factors, column in (*((name, np.ones(users.size), f"{name}_share") for name in _SHARES),
                                  *((name, fresh, f"{name}_share_now") for name in _FADING)):
        if name in candidates.scores:
            compiled.shares(candidates.offsets, candidates.scores[name], factors, row(column))
    places = np.take(_video_side(night)[:, PLACE["popularity_place"]], candidates.video_index)
    np.multiply(places, np.take(fresh, candidates.user_index), out=row("popularity_place_now"))
    _write_country_plays(night, users, candidates, row("log_country_plays"))
    for name, column in zip(CREATOR_NAMES, creator_affinity(night, users, candidates), strict=True):
        row(name)[:] = column


def _write_nearness(rank: np.ndarray, made: np.ndarray) -> None:
    """1 / sqrt(rank), and 0 for rank 0, looked up."""
    table = np.zeros(int(rank.max(initial=0)) + 1, np.float32)
    table[1:] = np.arange(1, len(table)) ** -0.5
    np.take(table, rank, out=made, mode="clip")  # which writes at once, where "raise" writes to a copy first


def _best(candidates: Candidates, name: str) -> np.ndarray:
    """f32[N]: the best score of a source among the same user's candidates."""
    widths = np.diff(candidates.offsets)
    widths = widths[widths > 0]
    if not len(widths):
        return candidates.scores[name]
    return np.repeat(np.maximum.reduceat(candidates.scores[name], np.cumsum(widths) - widths), widths)


def _write_country_plays(night: Night, users: Users, candidates: Candidates, made: np.ndarray) -> None:
    """Log of the decayed plays in the user's country; nothing where the country is unknown."""
    countries = np.array(users.countries)
    for country in sorted(set(users.countries) & set(night.by_country)):
        mask = (countries == country)[candidates.user_index]
        made[mask] = log_plays_in(night, country)[candidates.video_index[mask]]
