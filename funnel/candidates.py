"""Which videos a user might want: the union of several sources, without what may not be recommended."""

from dataclasses import dataclass, field

import numpy as np

from funnel import ragged, sources
from funnel.neighbours import Neighbours
from funnel.night import Night, Users
from funnel.popular import country_codes, fill, popular_order
from funnel.recent import Recent, recent, whole_history
from funnel.retrieval import Retrieval, nearness

# What a candidate is best known for: the personal source that ranks it highest, else the first of the others.
SOURCES = ("retrieval", "explained", "lately", "co_watched", "followed", "creator", "fresh", "popular", "explore",
           "catalogue")
PERSONAL = ("retrieval", "explained", "lately", "co_watched", "followed", "creator")
SOURCE = {name: code for code, name in enumerate(SOURCES)}
# Source of neighbours → which neighbours, and who asks: the whole history, its last 50 plays, or what was played lately.
NEIGHBOUR_SOURCES = {"explained": ("explained", "whole"), "lately": ("explained", "lately"),
                     "co_watched": ("co_watched", "usual"), "followed": ("followed", "lately"),
                     "creator": ("creator", "usual")}
LOOKED_UP = ("explained", "lately", "co_watched", "followed")
RECENT_PLAYS = 50
_SIZED = ("retrieval", "explained", "lately", "co_watched", "followed", "creator", "fresh", "popular")


@dataclass(frozen=True, eq=False)
class Candidates:
    """N (user, video) pairs, ordered by user, then video; each pair once.

    user_index: i64[N], into the users given. video_index: i64[N], into the night. source: u8[N], the best one, a place
    in SOURCES. offsets: i64[U+1], the rows of each user. scores: source → f32[N], 0 where that source did not find it;
    "retrieval" is the dot product of every pair. ranks: source → i32[N], from 1, 0 where that source did not find it.
    """

    user_index: np.ndarray
    video_index: np.ndarray
    source: np.ndarray
    offsets: np.ndarray
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    ranks: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class CandidateRules:
    """How many candidates each source may bring per user. at_least: topped up from popularity, then the catalogue."""

    retrieval: int = 200
    explained: int = 60
    lately: int = 60
    co_watched: int = 30
    followed: int = 40
    creator: int = 25
    fresh: int = 15
    popular: int = 40
    explore: int = 8
    at_least: int = 60


def candidate_rules(rows: int, exploration_share: float = 0.04) -> CandidateRules:
    """Rules for lists of `rows` rows: the defaults up to 100, in proportion above. Explorers: two per slot."""
    scale = max(1.0, rows / 100)
    usual = CandidateRules()
    sizes = {name: int(getattr(usual, name) * scale) for name in _SIZED}
    explore = 2 * int(np.ceil(rows * exploration_share)) + 2
    return CandidateRules(explore=explore, at_least=rows + explore, **sizes)


def generate(night: Night, users: Users, neighbours: Neighbours, retrieval: Retrieval | None,
             user_vectors: np.ndarray | None, rules: CandidateRules = CandidateRules()) -> Candidates:
    """Candidates of every user: the union of all sources without videos seen. Deterministic, ties by video id.

    neighbours: of `funnel.neighbours.neighbours(night, users)` over all users. retrieval and user_vectors (f32[U, d]):
    None while there is no model. At most 4,096 users at a time.
    """
    known = recent(night, users)
    found, total = {}, {}
    if retrieval is not None and user_vectors is not None:
        found["retrieval"] = sources.retrieved(night, users, known, retrieval, user_vectors, rules.retrieval)
    plays = {"whole": whole_history(night, users), "usual": known.matrix(night.size, RECENT_PLAYS),
             "lately": known.lately(night.size)}
    for name, (kind, asked) in NEIGHBOUR_SOURCES.items():
        total[name] = sources.reached(plays[asked], getattr(neighbours, kind))
        found[name] = sources.strongest(total[name], known, getattr(rules, name))
    found["fresh"] = sources.fresh(night, known, retrieval, user_vectors, users.size, rules.fresh)
    found["popular"] = sources.popular(night, users, known, rules.popular)
    found["explore"] = sources.explorers(night, users, known, rules.explore)
    union = _topped_up(night, users, known, _union(night, found), rules.at_least)
    scores, ranks = _scores_and_ranks(union, found, total)
    row = union.keys // max(night.size, 1)
    video = union.keys - row * night.size
    if retrieval is not None and user_vectors is not None:
        scores["retrieval"] = nearness(retrieval.video_vectors, user_vectors, row, video)
    return Candidates(row, video, _best_source(union.source, ranks), np.searchsorted(row, np.arange(users.size + 1)), scores, ranks)


@dataclass(frozen=True, eq=False)
class _Union:
    """keys: i64[N] ascending, user · V + video. source: u8[N]. places: source → where each pair it found is in keys."""

    keys: np.ndarray
    source: np.ndarray
    places: dict[str, np.ndarray]


def _union(night: Night, found: dict[str, sources.Found]) -> _Union:
    """Each pair once, under the first source that found it."""
    names = [name for name in SOURCES if name in found]
    keys = np.concatenate([found[name].row * night.size + found[name].video for name in names])
    lengths = [len(found[name].row) for name in names]
    keys, came_from = ragged.sort_keys(keys)
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    place = np.empty(len(keys), np.int64)
    place[came_from] = np.cumsum(first) - 1
    source = np.repeat(np.array([SOURCE[name] for name in names], np.uint8), lengths)[came_from[first]]
    return _Union(keys[first], source, dict(zip(names, np.split(place, np.cumsum(lengths)[:-1]), strict=True)))


def _topped_up(night: Night, users: Users, known: Recent, union: _Union, at_least: int) -> _Union:
    """At least so many candidates per user, or all unseen videos: popular ones first, then the rest by id."""
    have = np.bincount(union.keys // max(night.size, 1), minlength=users.size)
    short = np.maximum(at_least - have, 0)
    added = []
    countries, code = country_codes(night, users.countries)
    for place, country in enumerate(countries):
        rows = np.flatnonzero((short > 0) & (code == place))
        if len(rows):
            added.append(fill(popular_order(night, country), rows, short[rows], known.seen, union.keys))
    if not added:
        return union
    more = np.concatenate(added)
    played = night.popularity["all"][more % max(night.size, 1)] > 0
    source = np.where(played, SOURCE["popular"], SOURCE["catalogue"]).astype(np.uint8)
    keys = np.concatenate([union.keys, more])
    order = np.argsort(keys, kind="stable")
    moved = np.empty(len(keys), np.int64)
    moved[order] = np.arange(len(keys))
    return _Union(keys[order], np.concatenate([union.source, source])[order],
                  {name: moved[places] for name, places in union.places.items()})


def _scores_and_ranks(union: _Union, found: dict[str, sources.Found],
                      total: dict[str, sources.Reached]) -> tuple[dict, dict]:
    """Scores and ranks of every source for every pair; those LOOKED_UP also score pairs that others found."""
    scores, ranks = {}, {}
    for name, part in found.items():
        ranks[name] = np.zeros(len(union.keys), np.int32)
        ranks[name][union.places[name]] = part.rank
        if name in LOOKED_UP:
            scores[name] = _looked_up(total[name], union.keys)
        elif name != "retrieval":
            scores[name] = np.zeros(len(union.keys), np.float32)
            scores[name][union.places[name]] = part.score
    return scores, ranks


def _best_source(first: np.ndarray, ranks: dict[str, np.ndarray]) -> np.ndarray:
    """u8[N]: the personal source with the smallest rank, ties by SOURCES; `first` where no personal source found it."""
    best, source = np.full(len(first), np.iinfo(np.int32).max, np.int32), first.copy()
    for name in PERSONAL:
        if name in ranks:
            better = (ranks[name] > 0) & (ranks[name] < best)
            best[better], source[better] = ranks[name][better], SOURCE[name]
    return source


def _looked_up(total: sources.Reached, keys: np.ndarray) -> np.ndarray:
    """f32[N]: the scores at ascending keys, 0 where there is none."""
    if not len(total.keys):
        return np.zeros(len(keys), np.float32)
    place = np.minimum(np.searchsorted(total.keys, keys), len(total.keys) - 1)
    return np.where(total.keys[place] == keys, total.score[place], np.float32(0))
