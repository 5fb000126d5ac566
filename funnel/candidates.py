"""Which videos a user might want: the union of several sources, without what may not be recommended."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from funnel import compiled, sources
from funnel.neighbours import Neighbours
from funnel.night import Night, Users
from funnel.popular import country_codes, popular_order
from funnel.recent import Recent, recent, whole_history
from funnel.retrieval import Retrieval

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
    None while there is no model.
    """
    known = recent(night, users)
    plays = {"whole": whole_history(night, users), "usual": known.matrix(night.size, RECENT_PLAYS),
             "lately": known.lately(night.size, neighbours.rules.lately_fade)}
    listed = {"fresh": sources.fresh(night, retrieval, user_vectors, users.size, rules.fresh),
              "popular": sources.popular(night, users, rules.popular),
              "explore": sources.explorers(night, users, rules.explore)}
    if retrieval is not None and user_vectors is not None:
        listed["retrieval"] = sources.retrieved(night, users, retrieval, user_vectors, rules.retrieval)
    user, video, source, scores, ranks = _gathered(night, users, known, listed, plays, neighbours, rules)
    names = [name for name in SOURCES[:-1] if name in listed or name in NEIGHBOUR_SOURCES]
    scored = {name: scores[SOURCE[name]] for name in names}
    if retrieval is not None and user_vectors is not None:
        scored["retrieval"] = compiled.products(retrieval.video_vectors, user_vectors, user, video)
    return Candidates(user, video, source, np.searchsorted(user, np.arange(users.size + 1)), scored,
                      {name: ranks[SOURCE[name]] for name in names})


def _gathered(night: Night, users: Users, known: Recent, listed: dict[str, sources.Listed],
              plays: dict[str, sparse.csr_matrix], neighbours: Neighbours, rules: CandidateRules) -> tuple:
    """What `compiled.gather` returns, less its last. Users who have seen most of what is popular are topped up from a
    longer part of it, in the end the whole catalogue."""
    countries, order_of = country_codes(night, users.countries)
    codes = np.where(night.popularity["all"] > 0, SOURCE["popular"], SOURCE["catalogue"]).astype(np.uint8)
    width, short = 4 * rules.at_least, 1
    while short:
        order = np.stack([popular_order(night, country)[:width] for country in countries])
        *gathered, short = compiled.gather(
            (known.seen_offsets, known.seen),
            tuple((each.video, each.score.astype(np.float32)) for each in listed.values()), _codes(listed),
            _most(rules, listed), tuple(compiled.rows_of(plays[asked]) for _, asked in NEIGHBOUR_SOURCES.values()),
            tuple(compiled.rows_of(getattr(neighbours, kind)) for kind, _ in NEIGHBOUR_SOURCES.values()),
            _codes(NEIGHBOUR_SOURCES), _most(rules, NEIGHBOUR_SOURCES), len(LOOKED_UP), order, order_of, codes,
            rules.at_least, len(PERSONAL), len(SOURCES) - 1)
        width *= 4
    return tuple(gathered)


def _codes(names: Iterable[str]) -> np.ndarray:
    return np.array([SOURCE[name] for name in names])


def _most(rules: CandidateRules, names: Iterable[str]) -> np.ndarray:
    return np.array([getattr(rules, name) for name in names])
