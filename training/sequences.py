"""Histories as batches: users of like length together, so that little of a batch is padding."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from funnel import ragged
from funnel.users import Users
from training import vocabulary
from training.vocabulary import Vocabulary

SECOND_US = 1_000_000


@dataclass(frozen=True, eq=False)
class Sequences:
    """U histories cut to their last plays, oldest first. offsets: i64[U+1] into video i64[N] (the place of the play's
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
        """bool[N]: whether it is the user's first play of that video within the sequence. Only training asks."""
        row = ragged.row_of(self.offsets)
        order = np.lexsort((np.arange(len(row)), self.video_ids, row))
        repeated = (np.diff(row[order], prepend=-1) == 0) & (np.diff(self.video_ids[order], prepend=-2) == 0)
        first = np.ones(len(row), bool)
        first[order[repeated]] = False
        return first


def of_users(users: Users, video_ids: np.ndarray, names: Vocabulary, length: int) -> Sequences:
    """The last `length` plays of each user; video_ids: the catalogue, ascending."""
    kept = ragged.last(users.offsets, length)
    flat, offsets = np.flatnonzero(kept), ragged.keep(users.offsets, kept)
    played = users.video_ids[flat]
    return Sequences(offsets, vocabulary.places(video_ids, played) - 1, played, users.event_us[flat],
                     users.arrived_us[flat], users.liked[flat], vocabulary.name_places(names.countries, users.countries))


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
