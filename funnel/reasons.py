"""Why a video is in a list, in one sentence for people."""

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from funnel import compiled, ragged
from funnel.candidates import NEIGHBOUR_SOURCES, SOURCE, SOURCES, Candidates
from funnel.neighbours import Neighbours
from funnel.night import Night, Users
from funnel.popular import FRESH_DAYS, log_plays_in
from funnel.recent import Recent, recent
from funnel.retrieval import Retrieval
from lake.dates import DAY_US

LOOK_BACK_PLAYS = 8
TITLE_LENGTH = 60
# Source → its sentence when there is no subject; then those that a title or a country follows.
PLAIN = {"retrieval": "Close to what you watch", "explained": "Close to what you watch",
         "lately": "Close to what you watch", "co_watched": "Close to what you watch",
         "followed": "Close to what you watch", "creator": "From a creator you watch", "fresh": "New this week",
         "popular": "Popular lately", "explore": "Something different to explore", "catalogue": "From the catalogue"}
WITH_TITLE = {"retrieval": "Because you watched ", "explained": "Goes with ", "lately": "Goes with ",
              "co_watched": "Watched by people who watched ", "followed": "Often watched after "}
NEW_FROM_CREATOR, POPULAR_IN = "New from a creator you watch", "Popular in "
SENTENCES = (*(PLAIN[name] for name in SOURCES), *WITH_TITLE.values(), NEW_FROM_CREATOR, POPULAR_IN)


def reasons(night: Night, users: Users, candidates: Candidates, chosen: np.ndarray, neighbours: Neighbours,
            retrieval: Retrieval | None) -> pa.Array:
    """string[n]: the reason of each chosen candidate (i64[n], places in the candidates, by user,
    each once), from its best source."""
    user, video = candidates.user_index[chosen], candidates.video_index[chosen]
    source = candidates.source[chosen]
    sentence = source.astype(np.int64)
    fresh = (night.as_of_us - night.published_us <= FRESH_DAYS * DAY_US)[video]
    sentence[(source == SOURCE["creator"]) & fresh] = SENTENCES.index(NEW_FROM_CREATOR)
    subject = np.full(len(chosen), -1, np.int64)
    known = recent(night, users)
    for name, text in WITH_TITLE.items():
        rows = np.flatnonzero(source == SOURCE[name])
        if name == "retrieval" and retrieval is not None:
            subject[rows] = _nearest_play(known, user[rows], video[rows], directions(retrieval))
        elif name != "retrieval":
            subject[rows] = _leading_play(known, user[rows], video[rows],
                                          getattr(neighbours, NEIGHBOUR_SOURCES[name][0]))
        sentence[rows] = np.where(subject[rows] >= 0, SENTENCES.index(text), sentence[rows])
    local = (source == SOURCE["popular"]) & _played_there(night, users, user, video)
    return _sentences(night, users, user, np.where(local, SENTENCES.index(POPULAR_IN), sentence), subject)


def _played_there(night: Night, users: Users, user: np.ndarray, video: np.ndarray) -> np.ndarray:
    """bool[n]: whether the video has plays in the user's country."""
    found, countries = np.zeros(len(user), bool), np.array(users.countries)
    for country in sorted(set(users.countries) & set(night.by_country)):
        mask = (countries == country)[user]
        found[mask] = log_plays_in(night, country)[video[mask]] > 0
    return found


def _last_plays(known: Recent) -> np.ndarray:
    """i64[U, LOOK_BACK_PLAYS]: the last plays, the latest first, -1 where there are fewer."""
    place = known.offsets[1:, None] - 1 - np.arange(LOOK_BACK_PLAYS)
    there = place >= known.offsets[:-1, None]
    if not len(known.video_index):
        return np.full(place.shape, -1)
    return np.where(there, known.video_index[np.where(there, place, 0)], -1)


@lru_cache(maxsize=2)
def directions(retrieval: Retrieval) -> np.ndarray:
    """f32[V, d] of length 1 or 0: what sets each video apart from the others.

    Every number of a vector counts as deviations from its mean, so that the few that say how popular a video is, large
    for inner products, do not make the most popular play the reason for everything.
    """
    vectors = retrieval.video_vectors
    if not len(vectors):
        return vectors
    apart = (vectors - vectors.mean(axis=0)) / np.maximum(vectors.std(axis=0), 1e-6)
    return (apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-6)).astype(np.float32)


def _nearest_play(known: Recent, user: np.ndarray, video: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """i64[n]: of each user's last plays the one that is nearest to the video in direction; -1 when none is near.

    user: ascending. Products of small matrices, user by user, 64 users at a time.
    """
    last = _last_plays(known)
    offsets = np.searchsorted(user, np.arange(len(last) + 1))
    subject = np.full(len(user), -1, np.int64)
    for start in range(0, len(last), 64):
        stop = min(start + 64, len(last))
        flat = np.arange(offsets[start], offsets[stop])
        row, place = user[flat] - start, ragged.place_in_row(offsets[start:stop + 1] - offsets[start])
        chosen = np.zeros((stop - start, int(place.max(initial=-1)) + 1), np.int64)
        chosen[row, place] = video[flat]
        plays = np.take(apart, np.maximum(last[start:stop], 0), axis=0) * (last[start:stop] >= 0)[..., None]
        near = (np.take(apart, chosen, axis=0) @ plays.transpose(0, 2, 1))[row, place]
        best = near.argmax(axis=1)
        subject[flat] = np.where(near[np.arange(len(flat)), best] > 0, last[user[flat], best], -1)
    return subject


def _leading_play(known: Recent, user: np.ndarray, video: np.ndarray, neighbours: sparse.csr_matrix) -> np.ndarray:
    """i64[n]: of each user's last plays the one that leads most strongly to the video; -1 when none does. user:
    ascending, no video twice."""
    return compiled.strongest(_last_plays(known), user, video, compiled.rows_of(neighbours))


def _sentences(night: Night, users: Users, user: np.ndarray, sentence: np.ndarray, subject: np.ndarray) -> pa.Array:
    """The sentence of each row with its ending: a title, a country, or nothing."""
    endings, place = _endings(night)
    country = np.array([place.get(name, 0) for name in users.countries], np.int64)
    ending = np.where(subject >= 0, subject + 1, np.where(sentence == SENTENCES.index(POPULAR_IN), country[user], 0))
    starts = pa.array(SENTENCES, pa.string())
    return pc.binary_join_element_wise(starts.take(pa.array(sentence)), endings.take(pa.array(ending)), "")


@lru_cache(maxsize=2)
def _endings(night: Night) -> tuple[pa.Array, dict[str, int]]:
    """Nothing, then the title of each video, cut short, then "country lately" of each country with plays; and the place
    of each country's."""
    titles, countries = pa.array(night.titles, pa.string()), sorted(night.by_country)
    lately = pa.array([f"{country} lately" for country in countries], pa.string())
    endings = pa.concat_arrays([pa.array([""]), pc.utf8_slice_codeunits(titles, 0, TITLE_LENGTH), lately])
    return endings, {country: 1 + night.size + code for code, country in enumerate(countries)}
