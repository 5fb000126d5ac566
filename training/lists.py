"""What the ranker learns from: lists that the funnel would have made at the cut, and what was watched after it."""

from dataclasses import dataclass

import numpy as np

from funnel import ragged
from funnel.candidates import CandidateRules, candidate_rules, generate
from funnel.neighbours import NeighbourRules, neighbours
from funnel.night import Night
from funnel.ranking import FEATURE_NAMES, ranking_features
from funnel.retrieval import Retrieval, exact_top
from funnel.users import Users, index_in, take_users
from training.fitted import FittedRetrieval
from training.sequences import pieces

LIST_LENGTH = 50
USERS_AT_ONCE = 512
NEGATIVES = 120
LIST_RULES = candidate_rules(LIST_LENGTH)


@dataclass(frozen=True, eq=False)
class ListExamples:
    """n candidates of Q lists. features f32[n, F]; gain f32[n], above 0 where it was watched; offsets i64[Q+1];
    user_ids i64[Q]. Every watched candidate is there, of the others at most 120 a list; `weight` f32[n] is how many
    candidates a row stands for."""

    features: np.ndarray
    gain: np.ndarray
    weight: np.ndarray
    offsets: np.ndarray
    user_ids: np.ndarray

    @property
    def size(self) -> int:
        return len(self.user_ids)

    @property
    def watched(self) -> np.ndarray:
        return self.gain > 0


@dataclass(frozen=True, eq=False)
class Plays:
    """Plays to predict: ragged per user, i64 video ids in order of time. kept_per_play: what the second of them is
    worth of the first, the third of the second …"""

    offsets: np.ndarray
    video_ids: np.ndarray
    kept_per_play: float = 1.0

    @property
    def row(self) -> np.ndarray:
        return ragged.row_of(self.offsets)


def plays_of(users: Users, chosen: np.ndarray, kept_per_play: float = 1.0) -> Plays:
    """Some of the plays of the kept histories, bool[N], to predict."""
    return Plays(ragged.keep(users.offsets, chosen), users.video_ids[chosen], kept_per_play)


def retrieval_of(fitted: FittedRetrieval, night: Night) -> Retrieval:
    """The funnel's view of a fitted model, with exact search."""
    vectors = fitted.video_vectors(night)
    return Retrieval(vectors, exact_top(vectors))


def make(night: Night, cut: Users, plays: Plays, fitted: FittedRetrieval, seed: int,
         near: NeighbourRules, rules: CandidateRules, most: int) -> ListExamples:
    """Lists of the users that have a history at the cut and plays after it, at most so many; candidates by the whole
    funnel.

    night: as known at the first cut. cut: users as known at theirs, with features. plays: of the same users.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero((np.diff(cut.offsets) > 0) & (np.diff(plays.offsets) > 0))
    rows = np.sort(rng.permutation(rows)[:most])
    if not len(rows):
        return _useful([])
    retrieval, going_with, parts = retrieval_of(fitted, night), neighbours(night, cut, near), []
    for piece in pieces(len(rows), USERS_AT_ONCE):
        users = take_users(cut, rows[piece])
        flat, offsets = ragged.take(plays.offsets, rows[piece])
        found = generate(night, users, going_with, retrieval, fitted.user_vectors(users), rules)
        gain = _gain(found.user_index * night.size + found.video_index, offsets,
                     night.index_of(plays.video_ids[flat]), night.size, plays.kept_per_play)
        kept, weight = _sample(found.offsets, gain > 0, rng)
        parts.append((ranking_features(night, users, found).rows()[kept], gain[kept], weight[kept],
                      np.diff(ragged.keep(found.offsets, kept)), users.user_ids))
    return _useful(parts)


def _gain(candidates: np.ndarray, offsets: np.ndarray, video: np.ndarray, videos: int, kept: float) -> np.ndarray:
    """f32[N]: what each candidate (keys user · V + video) is worth: kept^place of its first play after the cut."""
    keys = (ragged.row_of(offsets) * videos + video)[video >= 0]
    worth = np.float32(kept) ** ragged.place_in_row(offsets)[video >= 0]
    keys, first = np.unique(keys, return_index=True)
    place = index_in(keys, candidates)
    return np.where(place >= 0, np.append(worth[first], 0)[place], 0).astype(np.float32)


def together(parts: list[ListExamples]) -> ListExamples:
    """The lists of several rounds as one."""
    return ListExamples(*(np.concatenate([getattr(part, name) for part in parts]) for name in
                          ("features", "gain", "weight")),
                        ragged.offsets_of(np.concatenate([np.diff(part.offsets) for part in parts])),
                        np.concatenate([part.user_ids for part in parts]))


def choose(examples: ListExamples, chosen: np.ndarray) -> ListExamples:
    """The lists at these places, i64 ascending."""
    rows, offsets = ragged.take(examples.offsets, chosen)
    return ListExamples(examples.features[rows], examples.gain[rows], examples.weight[rows], offsets,
                        examples.user_ids[chosen])


def some(examples: ListExamples, most: int, random: np.random.Generator) -> ListExamples:
    """At most so many of the lists, drawn."""
    return choose(examples, np.sort(random.permutation(examples.size)[:most]))


def _sample(offsets: np.ndarray, watched: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """bool[N] rows to keep, all watched and up to NEGATIVES others a list, and f32[N] what each kept row stands for."""
    row = ragged.row_of(offsets)
    others = np.bincount(row[~watched], minlength=len(offsets) - 1)
    share = np.minimum(NEGATIVES / np.maximum(others, 1), 1)
    kept = watched | (rng.random(len(row)) < share[row])
    return kept, np.where(watched, 1, 1 / share[row]).astype(np.float32)


def _useful(parts: list[tuple[np.ndarray, ...]]) -> ListExamples:
    """Lists with at least one watched candidate; the others teach nothing about order."""
    if not parts:
        return ListExamples(np.zeros((0, len(FEATURE_NAMES)), np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32),
                            np.zeros(1, np.int64), np.zeros(0, np.int64))
    features, gain, weight, lengths, user_ids = (np.concatenate(part) for part in zip(*parts, strict=True))
    offsets = ragged.offsets_of(lengths)
    useful = np.bincount(ragged.row_of(offsets)[gain > 0], minlength=len(lengths)) > 0
    return choose(ListExamples(features, gain, weight, offsets, user_ids), np.flatnonzero(useful))
