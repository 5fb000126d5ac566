"""Why a video is in a list, in one sentence for people."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from funnel import ragged
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
        if name == "retrieval" and retrieval is not None:
            subject[rows] = _nearest_play(known, user[rows], video[rows], retrieval.video_vectors)
        elif name != "retrieval":
            subject[rows] = _leading_play(known, user[rows], video[rows], getattr(neighbours, name))
        sentence[rows] = np.where(subject[rows] >= 0, code, sentence[rows])
    return _sentences(night, users, user, source, sentence, subject)


def _last_plays(known: Recent) -> np.ndarray:
    """i64[U, LOOK_BACK_PLAYS]: the last plays, the latest first, -1 where there are fewer."""
    place = known.offsets[1:, None] - 1 - np.arange(LOOK_BACK_PLAYS)
    there = place >= known.offsets[:-1, None]
    if not len(known.video_index):
        return np.full(place.shape, -1)
    return np.where(there, known.video_index[np.where(there, place, 0)], -1)


def _nearest_play(known: Recent, user: np.ndarray, video: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """i64[n]: of each user's last plays the one whose vector is nearest to the video's; -1 when none is near.

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
        plays = np.take(vectors, np.maximum(last[start:stop], 0), axis=0) * (last[start:stop] >= 0)[..., None]
        near = (np.take(vectors, chosen, axis=0) @ plays.transpose(0, 2, 1))[row, place]
        best = near.argmax(axis=1)
        subject[flat] = np.where(near[np.arange(len(flat)), best] > 0, last[user[flat], best], -1)
    return subject


def _leading_play(known: Recent, user: np.ndarray, video: np.ndarray, neighbours: sparse.csr_matrix) -> np.ndarray:
    """i64[n]: of each user's last plays the one that leads most strongly to the video; -1 when none does."""
    played = _last_plays(known)[user]
    stored = ragged.row_of(neighbours.indptr) * neighbours.shape[1] + neighbours.indices
    if not len(stored) or not len(user):
        return np.full(len(user), -1, np.int64)
    wanted = played * neighbours.shape[1] + video[:, None]
    place = np.minimum(np.searchsorted(stored, wanted), len(stored) - 1)
    weight = np.where((stored[place] == wanted) & (played >= 0), neighbours.data[place], np.float32(0))
    best = weight.argmax(axis=1)
    return np.where(weight[np.arange(len(user)), best] > 0, played[np.arange(len(user)), best], -1)


def _sentences(night: Night, users: Users, user: np.ndarray, source: np.ndarray, sentence: np.ndarray,
               subject: np.ndarray) -> pa.Array:
    countries = np.array(users.countries)
    local = (source == SOURCE["popular"]) & np.isin(countries, list(night.by_country))[user]
    sentence = np.where(local, 7, sentence)
    named, code = np.unique(countries, return_inverse=True)
    titles = pc.utf8_slice_codeunits(pa.array(night.titles, pa.string()), 0, TITLE_LENGTH)
    endings = pa.concat_arrays([pa.array([""]), titles,
                                pa.array([f"{country} lately" for country in named.tolist()], pa.string())])
    ending = np.where(subject >= 0, subject + 1, np.where(local, 1 + night.size + code[user], 0))
    starts = pa.array([text for text, _ in SENTENCES], pa.string())
    return pc.binary_join_element_wise(starts.take(pa.array(sentence)), endings.take(pa.array(ending)), "")
