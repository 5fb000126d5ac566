"""Which videos a user might want: the union of several sources, without what may not be recommended."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from funnel.night import Night, Users

# The best source of a candidate is the first of these that found it.
SOURCES = ("retrieval", "co_watched", "followed", "creator", "popular", "fresh", "explore", "catalogue")
SOURCE = {name: code for code, name in enumerate(SOURCES)}

# (user vectors f32[U, d], n) → (video index i64[U, n] or -1, scores f32[U, n]), best first.
Top = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What the retrieval model knows of a night: video_vectors f32[V, d] in its order, and how to find the nearest."""

    video_vectors: np.ndarray
    top: Top


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
    popular: int = 60
    fresh: int = 20
    explore: int = 8
    at_least: int = 0


def generate(night: Night, users: Users, neighbours: "Neighbours", retrieval: Retrieval | None,
             user_vectors: np.ndarray | None, rules: CandidateRules) -> Candidates:
    """Candidates of every user: the union of all sources without videos seen. Deterministic, ties by video id.

    neighbours: of `funnel.neighbours.neighbours(night, users)` over all users. retrieval and user_vectors (f32[U, d]):
    None while there is no model. At most 4,096 users at a time.
    """
    raise NotImplementedError
