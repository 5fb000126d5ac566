"""How much a user has to do with a video's creator and categories: from the last plays and the user_category view."""

from functools import lru_cache

import numpy as np

from funnel import compiled
from funnel.candidates import Candidates
from funnel.night import Night, Users
from funnel.recent import recent
from funnel.users import index_in
from funnel.view_features import FEW, derive

CREATOR_NAMES = ("log_creator_watched", "creator_share")
HISTORY_NAMES = ("category_share", "category_share_lately")
LATELY_PLAYS = 10
CATEGORIES_PER_VIDEO = 4


def affinity_names() -> tuple[str, ...]:
    """Names of the columns of `category_affinity`."""
    return (*HISTORY_NAMES, *(f"user_category_{name}" for name in FEW))


def creator_affinity(night: Night, users: Users, candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """f32[N] twice: log of how many of the last 50 plays are of the same creator, and their share; 0 when unknown."""
    known = recent(night, users)
    creators, code = _creators(night)
    found = compiled.alike(known.offsets, code[known.video_index], candidates.offsets, code[candidates.video_index],
                           len(creators))
    plays = np.diff(known.offsets)
    logs = np.log1p(np.arange(plays.max(initial=0) + 1, dtype=np.float32))
    return np.take(logs, found), found.astype(np.float32) / np.maximum(plays, 1).astype(np.float32)[candidates.user_index]


@lru_cache(maxsize=4)
def _creators(night: Night) -> tuple[np.ndarray, np.ndarray]:
    """Creator ids, ascending, and the place of each video's, -1 unknown."""
    creators = np.unique(night.creator_ids[night.creator_ids >= 0])
    return creators, index_in(creators, night.creator_ids)


@lru_cache(maxsize=4)
def padded_categories(night: Night) -> np.ndarray:
    """i64[V, 1…4]: the first categories of each video; len(category_names) fills the rest."""
    lengths = np.diff(night.category_offsets)
    width = int(np.clip(lengths.max(initial=1), 1, CATEGORIES_PER_VIDEO))
    padded = np.full((night.size, width), len(night.category_names), np.int64)
    for place in range(width):
        some = lengths > place
        padded[some, place] = night.category_codes[night.category_offsets[:-1][some] + place]
    return padded


def category_affinity(night: Night, users: Users, candidates: Candidates, made: np.ndarray) -> None:
    """Into made f32[len(affinity_names()), N], zeros: the mean over a video's categories of what the user has to do
    with each."""
    table = np.concatenate([_history_shares(night, users), _view_rows(night, users)], axis=2)
    compiled.means_of_kinds(candidates.offsets, candidates.video_index, padded_categories(night),
                            len(night.category_names), table, made)


def _history_shares(night: Night, users: Users) -> np.ndarray:
    """f32[U, C + 1, 2]: share of each category in the last 50 and last 10 plays; 0 for none."""
    known, padded, wide = recent(night, users), padded_categories(night), len(night.category_names) + 1
    shares = np.zeros((users.size, wide, 2), np.float32)
    for column, mask in enumerate((known.age >= 0, known.age < LATELY_PLAYS)):
        plays = np.maximum(np.bincount(known.row[mask], minlength=users.size), 1)
        keys = (known.row[mask][:, None] * wide + padded[known.video_index[mask]]).ravel()
        counts = np.bincount(keys, minlength=users.size * wide).reshape(users.size, wide)
        shares[:, :, column] = counts / plays[:, None]
    shares[:, -1] = 0
    return shares


def _view_rows(night: Night, users: Users) -> np.ndarray:
    """f32[U, C + 1, len(FEW)]: the user_category view, derived; defaults where the snapshot has no row."""
    wide, view = len(night.category_names) + 1, users.category_features
    table = np.zeros((users.size, wide, len(FEW)), np.float32)
    if len(view.codes):
        code = {name: place for place, name in enumerate(night.category_names)}
        column = np.array([code.get(name, -1) for name in view.names], np.int64)[view.codes]
        row = np.repeat(np.arange(users.size), np.diff(view.offsets))
        mask = column >= 0
        table[row[mask], column[mask]] = derive(view.values[mask], FEW)
    return table
