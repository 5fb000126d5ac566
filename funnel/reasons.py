"""Why a video is in a list, in one sentence for people."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funnel.candidates import SOURCE, Candidates
from funnel.neighbours import Neighbours
from funnel.night import Night, Users
from funnel.popular import FRESH_DAYS
from funnel.recent import Recent, recent
from funnel.retrieval import Retrieval
from lake.dates import DAY_US

LOOK_BACK_PLAYS = 8
TITLE_LENGTH = 60
# A sentence and whether a title follows it.
SENTENCES = (
    ("Because you watched ", True),
    ("Watched by people who watched ", True),
    ("Often watched after ", True),
    ("From a creator you watch", False),
    ("New from a creator you watch", False),
    ("New this week", False),
    ("Popular lately", False),
    ("Popular in ", True),
    ("Something different to explore", False),
    ("From the catalogue", False),
    ("Close to what you watch", False),
)
_PLAIN = {"retrieval": 10, "co_watched": 10, "followed": 10, "creator": 3, "fresh": 5, "popular": 6, "explore": 8,
          "catalogue": 9}
_WITH_TITLE = {"retrieval": 0, "co_watched": 1, "followed": 2}


def reasons(night: Night, users: Users, candidates: Candidates, chosen: np.ndarray, neighbours: Neighbours,
            retrieval: Retrieval | None) -> pa.Array:
    """string[n]: the reason of each chosen candidate (i64[n], places in the candidates), from its best source."""
    user, video = candidates.user_index[chosen], candidates.video_index[chosen]
    source = candidates.source[chosen]
    sentence = np.array([_PLAIN[name] for name in SOURCE])[source]
    fresh = (night.as_of_us - night.published_us <= FRESH_DAYS * DAY_US)[video]
    sentence[(source == SOURCE["creator"]) & fresh] = 4
    subject = np.full(len(chosen), -1, np.int64)
    known = recent(night, users)
    for name, code in _WITH_TITLE.items():
        rows = np.flatnonzero(source == SOURCE[name])
        if len(rows):
            subject[rows] = _closest_play(known, user[rows], video[rows], _strength(name, neighbours, retrieval))
            sentence[rows] = np.where(subject[rows] >= 0, code, sentence[rows])
    return _sentences(night, users, user, source, sentence, subject)


def _strength(name: str, neighbours: Neighbours, retrieval: Retrieval | None) -> object:
    """(played i64[n], video i64[n]) → f32[n]: how strongly a played video leads to another."""
    if name == "retrieval" and retrieval is not None:
        return lambda played, video: np.einsum("nd,nd->n", np.take(retrieval.video_vectors, played, axis=0),
                                               np.take(retrieval.video_vectors, video, axis=0))
    matrix = getattr(neighbours, name)
    stored = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)) * matrix.shape[1] + matrix.indices

    def looked_up(played: np.ndarray, video: np.ndarray) -> np.ndarray:
        wanted = played * matrix.shape[1] + video
        place = np.minimum(np.searchsorted(stored, wanted), len(stored) - 1)
        return np.where(stored[place] == wanted, matrix.data[place], np.float32(0))
    return looked_up


def _closest_play(known: Recent, user: np.ndarray, video: np.ndarray, strength: object) -> np.ndarray:
    """i64[n]: of the user's last plays the one that leads most strongly to the video, the latest of equals; -1 when
    none does."""
    best, subject = np.zeros(len(user), np.float32), np.full(len(user), -1, np.int64)
    for back in range(1, LOOK_BACK_PLAYS + 1):
        place = known.offsets[1:][user] - back
        there = np.flatnonzero(place >= known.offsets[:-1][user])
        played = known.video_index[place[there]]
        found = strength(played, video[there])
        better = found > best[there]
        best[there[better]], subject[there[better]] = found[better], played[better]
    return subject


def _sentences(night: Night, users: Users, user: np.ndarray, source: np.ndarray, sentence: np.ndarray,
               subject: np.ndarray) -> pa.Array:
    countries = np.array(users.countries)
    local = (source == SOURCE["popular"]) & np.isin(countries, list(night.by_country))[user]
    sentence = np.where(local, 7, sentence)
    named, code = np.unique(countries, return_inverse=True)
    endings = pa.concat_arrays([pa.array([""]), pc.utf8_slice_codeunits(pa.array(night.titles, pa.string()), 0, TITLE_LENGTH),
                                pa.array([f"{country} lately" for country in named.tolist()], pa.string())])
    ending = np.where(subject >= 0, subject + 1, np.where(local, 1 + night.size + code[user], 0))
    starts = pa.array([text for text, _ in SENTENCES], pa.string())
    return pc.binary_join_element_wise(starts.take(pa.array(sentence)), endings.take(pa.array(ending)), "")
