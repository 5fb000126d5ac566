"""Histories as batches: rows of like length together, so that little of a batch is padding."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from funnel import ragged
from funnel.users import Users
from training import vocabulary
from training.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Sequences:
    """U histories, or windows of them, oldest play first. offsets: i64[U+1] into video i64[N] (the place of the play's
    video in a catalogue, -1 where it is not there), video_ids and event_us i64[N] and liked bool[N]. country: i64[U]
    places."""

    offsets: np.ndarray
    video: np.ndarray
    video_ids: np.ndarray
    event_us: np.ndarray
    arrived_us: np.ndarray
    liked: np.ndarray
    country: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @cached_property
    def first(self) -> np.ndarray:
        """bool[N]: whether it is the first play of that video within the row. Only training asks."""
        row = ragged.row_of(self.offsets)
        order = np.lexsort((np.arange(len(row)), self.video_ids, row))
        repeated = (np.diff(row[order], prepend=-1) == 0) & (np.diff(self.video_ids[order], prepend=-2) == 0)
        first = np.ones(len(row), bool)
        first[order[repeated]] = False
        return first


def of_users(users: Users, video_ids: np.ndarray, names: Vocabulary, length: int | None = None) -> Sequences:
    """The last `length` plays of each user, None: all; video_ids: the catalogue, ascending."""
    kept = ragged.last(users.offsets, length or len(users.video_ids))
    flat, offsets = np.flatnonzero(kept), ragged.keep(users.offsets, kept)
    played = users.video_ids[flat]
    return Sequences(offsets, vocabulary.places(video_ids, played) - 1, played, users.event_us[flat],
                     users.arrived_us[flat], users.liked[flat], vocabulary.name_places(names.countries, users.countries))


def windows(histories: Sequences, length: int) -> Sequences:
    """The same plays in rows of at most `length`: a longer history becomes several, cut from its newest play on."""
    count = np.maximum(-(-histories.lengths // length), 1)
    owner = np.repeat(np.arange(len(count)), count)
    newer = np.cumsum(count)[owner] - 1 - np.arange(len(owner))  # windows of the same user after this one
    ends = histories.offsets[owner + 1] - newer * length
    return replace(histories, offsets=np.append(0, ends), country=histories.country[owner])


def batches(lengths: np.ndarray, tokens: int, shuffle: np.random.Generator | None = None) -> list[np.ndarray]:
    """Rows of non-empty sequences grouped so that rows × longest ≤ tokens; shuffled groups of a shuffled order."""
    rows = np.flatnonzero(lengths)
    noise = shuffle.random(len(rows)) if shuffle else np.zeros(len(rows))
    rows = rows[np.lexsort((noise, lengths[rows]))]
    groups, begun = [], 0
    for end in range(len(rows)):
        if (end + 1 - begun) * lengths[rows[end]] > tokens and end > begun:
            groups.append(rows[begun:end])
            begun = end
    groups += [rows[begun:]] if len(rows) else []
    return [groups[n] for n in shuffle.permutation(len(groups))] if shuffle else groups


def pad(sequences: Sequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For a batch of rows: i64[B, L] flat positions of its plays (0 where padded), and bool[B, L] true plays."""
    lengths = sequences.lengths[rows]
    step = np.arange(lengths.max())
    real = step[None, :] < lengths[:, None]
    return np.where(real, sequences.offsets[rows][:, None] + step, 0), real


def pieces(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(count)."""
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))
