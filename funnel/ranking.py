"""What the ranker sees of a candidate, and what its answers are worth."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from funnel import ragged
from funnel.affinity import CREATOR_NAMES, affinity_names, category_affinity, creator_affinity
from funnel.candidates import SOURCES, Candidates
from funnel.night import Night, Users
from funnel.popular import FRESH_DAYS
from funnel.recent import recent
from funnel.users import last_play_us
from funnel.view_features import MANY, derive
from lake.dates import DAY_US

_VIDEO = ("log_plays_all", "log_plays_7d", "log_decayed_plays", "popularity_place", "trend", "log_age_days", "fresh",
          "log_duration_s", "duration_unknown", "category_count")
_USER = ("log_play_count", "log_days_since_play", "mean_log_duration_s", "liked_share")
_SCORES = ("retrieval", "explained", "lately", "co_watched", "followed", "creator", "fresh")
_RANKS = ("retrieval", "explained", "lately", "co_watched", "followed", "popular")
_SHARES = ("explained", "lately", "co_watched", "followed")
BLOCK = 2048
_PAIR = (*(f"{name}_score" for name in _SCORES), "retrieval_gap",
         *(f"{name}_share" for name in _SHARES), *(f"{name}_nearness_of_rank" for name in _RANKS),
         *(f"found_{name}" for name in SOURCES), "log_country_plays", "duration_distance", *CREATOR_NAMES)
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


def ranking_features(night: Night, users: Users, candidates: Candidates) -> np.ndarray:
    """f32[N, len(FEATURE_NAMES)], C-ordered, a row per candidate; finite, with zeros where nothing is known."""
    return np.concatenate([np.zeros((0, len(FEATURE_NAMES)), np.float32), *feature_blocks(night, users, candidates)])


def feature_blocks(night: Night, users: Users, candidates: Candidates) -> Iterator[np.ndarray]:
    """The rows of `ranking_features` in blocks that stay in the processor's cache while somebody reads them."""
    video_side, user_side = _video_side(night), _user_side(night, users)
    columns = _pair_columns(night, users, candidates)
    affinities = category_affinity(night, users, candidates)
    first_user, first_affinity = PLACE[_USER[0]], PLACE[affinity_names()[0]]
    for start in range(0, len(candidates.video_index), BLOCK):
        part = slice(start, start + BLOCK)
        block = np.take(video_side, candidates.video_index[part], axis=0)
        block[:, first_user:first_user + user_side.shape[1]] = np.take(user_side, candidates.user_index[part], axis=0)
        for name, column in columns.items():
            block[:, PLACE[name]] = column[part]
        block[:, first_affinity:] = affinities[part]
        _durations(block)
        yield block


@lru_cache(maxsize=4)
def _video_side(night: Night) -> np.ndarray:
    """f32[V, len(FEATURE_NAMES)]: the columns that only the video decides, zeros in the others."""
    side = np.zeros((night.size, len(FEATURE_NAMES)), np.float32)
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
    days = np.maximum(night.as_of_us - last_play_us(users), 0) / DAY_US
    columns = (np.log1p(users.play_count), np.log1p(days), total / np.maximum(counts, 1),
               likes / (np.diff(users.offsets) + 5))
    return np.column_stack([*columns, derive(users.features.rows(users.user_ids))]).astype(np.float32)


def _pair_columns(night: Night, users: Users, candidates: Candidates) -> dict[str, np.ndarray]:
    """Name → [N], the columns that depend on user and video; absent ones are 0."""
    columns = {f"{name}_score": candidates.scores[name] for name in _SCORES if name in candidates.scores}
    for name in _RANKS:
        if name in candidates.ranks:
            columns[f"{name}_nearness_of_rank"] = _nearness(candidates.ranks[name])
    for code, name in enumerate(SOURCES):
        columns[f"found_{name}"] = candidates.ranks[name] > 0 if name in candidates.ranks else candidates.source == code
    if "retrieval" in candidates.scores:
        columns["retrieval_gap"] = candidates.scores["retrieval"] - _best(candidates, "retrieval")
    for name in _SHARES:
        if name in candidates.scores:
            columns[f"{name}_share"] = candidates.scores[name] / np.maximum(_best(candidates, name), 1e-6)
    columns["log_country_plays"] = _country_plays(night, users, candidates)
    columns |= dict(zip(CREATOR_NAMES, creator_affinity(night, users, candidates), strict=True))
    return columns


def _nearness(rank: np.ndarray) -> np.ndarray:
    """1 / sqrt(rank), and 0 for rank 0, looked up."""
    table = np.zeros(int(rank.max(initial=0)) + 1, np.float32)
    table[1:] = np.arange(1, len(table)) ** -0.5
    return np.take(table, rank)


def _best(candidates: Candidates, name: str) -> np.ndarray:
    """f32[N]: the best score of a source among the same user's candidates."""
    widths = np.diff(candidates.offsets)
    widths = widths[widths > 0]
    if not len(widths):
        return candidates.scores[name]
    return np.repeat(np.maximum.reduceat(candidates.scores[name], np.cumsum(widths) - widths), widths)


def _country_plays(night: Night, users: Users, candidates: Candidates) -> np.ndarray:
    """f32[N]: log of the decayed plays in the user's country, 0 where the country is unknown."""
    found = np.zeros(len(candidates.video_index), np.float32)
    countries = np.array(users.countries)
    for country in sorted(set(users.countries) & set(night.by_country)):
        mask = (countries == country)[candidates.user_index]
        found[mask] = _log_plays_in(night, country)[candidates.video_index[mask]]
    return found


@lru_cache(maxsize=512)
def _log_plays_in(night: Night, country: str) -> np.ndarray:
    """f32[V]: log of the decayed plays of each video in a country."""
    table = np.zeros(night.size, np.float32)
    index, plays = night.by_country[country]
    table[index] = np.log1p(plays)
    return table


def _durations(made: np.ndarray) -> None:
    """How far the video's length is from the user's usual one, in log seconds; 0 where either is unknown."""
    video, user = made[:, PLACE["log_duration_s"]], made[:, PLACE["mean_log_duration_s"]]
    made[:, PLACE["duration_distance"]] = np.where((video > 0) & (user > 0), np.abs(video - user), 0)
