"""Which videos a user might want: the union of several sources, without what may not be recommended."""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from funnel import ragged, sources
from funnel.neighbours import Neighbours
from funnel.night import Night, Users
from funnel.popular import country_codes, fill, popular_order
from funnel.recent import Recent, recent
from funnel.retrieval import Retrieval, nearness

# The best source of a candidate is the first of these that found it.
SOURCES = ("retrieval", "co_watched", "followed", "creator", "fresh", "popular", "explore", "catalogue")
SOURCE = {name: code for code, name in enumerate(SOURCES)}
RECENT_PLAYS = 15


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
    co_watched: int = 50
    followed: int = 30
    creator: int = 20
    fresh: int = 20
    popular: int = 60
    explore: int = 8
    at_least: int = 60


def candidate_rules(rows: int, exploration_share: float = 0.04) -> CandidateRules:
    """Rules for lists of `rows` rows: the defaults up to 100, in proportion above. Explorers: two per slot."""
    scale = max(1.0, rows / 100)
    usual = CandidateRules()
    sizes = {name: int(getattr(usual, name) * scale) for name in ("co_watched", "followed", "creator", "fresh")}
    return CandidateRules(retrieval=int(200 * scale), popular=int(60 * scale), at_least=rows,
                          explore=2 * int(np.ceil(rows * exploration_share)) + 2, **sizes)


def generate(night: Night, users: Users, neighbours: Neighbours, retrieval: Retrieval | None,
             user_vectors: np.ndarray | None, rules: CandidateRules = CandidateRules()) -> Candidates:
    """Candidates of every user: the union of all sources without videos seen. Deterministic, ties by video id.

    neighbours: of `funnel.neighbours.neighbours(night, users)` over all users. retrieval and user_vectors (f32[U, d]):
    None while there is no model. At most 4,096 users at a time.
    """
    known = recent(night, users)
    found, full = {}, {}
    if retrieval is not None and user_vectors is not None:
        found["retrieval"] = sources.retrieved(night, users, known, retrieval, user_vectors, rules.retrieval)
    plays = known.matrix(night.size, RECENT_PLAYS)
    for name in ("co_watched", "followed", "creator"):
        full[name] = sources.reached(plays, getattr(neighbours, name))
        found[name] = sources.strongest(full[name], known, night.size, getattr(rules, name))
    found["fresh"] = sources.fresh(night, known, retrieval, user_vectors, users.size, rules.fresh)
    found["popular"] = sources.popular(night, users, known, rules.popular)
    found["explore"] = sources.explorers(night, users, known, rules.explore)
    together = _union(night, users.size, found)
    together = _topped_up(night, users, known, together, rules.at_least)
    return _with_scores(night, together, found, full, retrieval, user_vectors)


def _union(night: Night, users: int, found: dict[str, sources.Found]) -> Candidates:
    """Each pair once, ordered by user and video, under its best source."""
    names = [name for name in SOURCES if name in found]
    keys = np.concatenate([found[name].row * night.size + found[name].video for name in names])
    source = np.repeat(np.array([SOURCE[name] for name in names], np.uint8), [len(found[name].row) for name in names])
    shift = np.int64(len(SOURCES).bit_length())
    packed = np.sort((keys << shift) | source)
    keys = packed >> shift
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    return _from_keys(keys[first], (packed[first] & ((1 << shift) - 1)).astype(np.uint8), users, night.size)


def _from_keys(keys: np.ndarray, source: np.ndarray, users: int, videos: int) -> Candidates:
    row = keys // max(videos, 1)
    return Candidates(row, keys - row * videos, source, np.searchsorted(row, np.arange(users + 1)))


def _topped_up(night: Night, users: Users, known: Recent, candidates: Candidates, at_least: int) -> Candidates:
    """At least so many candidates per user, or all unseen videos: popular ones first, then the rest by id."""
    short = np.maximum(at_least - np.diff(candidates.offsets), 0)
    keys = candidates.user_index * night.size + candidates.video_index
    added = []
    countries, code = country_codes(night, users.countries)
    for place, country in enumerate(countries):
        rows = np.flatnonzero((short > 0) & (code == place))
        if len(rows):
            added.append(fill(popular_order(night, country), rows, short[rows], known.seen_keys, keys))
    if not added:
        return candidates
    more = np.concatenate(added)
    played = night.popularity["all"][more % night.size] > 0
    source = np.where(played, SOURCE["popular"], SOURCE["catalogue"]).astype(np.uint8)
    every, kinds = np.concatenate([keys, more]), np.concatenate([candidates.source, source])
    order = np.argsort(every, kind="stable")
    return _from_keys(every[order], kinds[order], users.size, night.size)


def _with_scores(night: Night, candidates: Candidates, found: dict[str, sources.Found], full: dict[str, sparse.csr_matrix],
                 retrieval: Retrieval | None, user_vectors: np.ndarray | None) -> Candidates:
    """Scores and ranks of every source for every pair; neighbours and nearness also for pairs others found."""
    keys = candidates.user_index * night.size + candidates.video_index
    scores, ranks = {}, {}
    for name, part in found.items():
        place = np.searchsorted(keys, part.row * night.size + part.video)
        ranks[name] = np.zeros(len(keys), np.int32)
        ranks[name][place] = part.rank
        if name not in full:
            scores[name] = np.zeros(len(keys), np.float32)
            scores[name][place] = part.score
    for name, reached in full.items():
        scores[name] = _looked_up(reached, keys, night.size)
    if retrieval is not None and user_vectors is not None:
        scores["retrieval"] = nearness(retrieval.video_vectors, user_vectors, candidates.user_index,
                                       candidates.video_index)
    return Candidates(candidates.user_index, candidates.video_index, candidates.source, candidates.offsets,
                      scores, ranks)


def _looked_up(matrix: sparse.csr_matrix, keys: np.ndarray, videos: int) -> np.ndarray:
    """f32[N]: the matrix' entries at ascending keys (row · V + video), 0 where it has none."""
    stored = ragged.row_of(matrix.indptr) * videos + matrix.indices
    if not len(stored):
        return np.zeros(len(keys), np.float32)
    place = np.minimum(np.searchsorted(stored, keys), len(stored) - 1)
    return np.where(stored[place] == keys, matrix.data[place], np.float32(0))


