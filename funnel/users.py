"""Users as arrays: their last plays, everything they have seen, and what was known of them at an earlier midnight."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from funnel import compiled, ragged
from funnel.feature_matrix import CategoryFeatures, FeatureMatrix
from lake.dates import HOUR_US

SIGN = np.uint64(1 << 63)  # turned around, the bits of whole numbers with a sign ascend like those without


@dataclass(frozen=True, eq=False)
class Users:
    """U users, ids ascending, with their last plays, oldest first, in the pinned order.

    offsets: i64[U+1] into video_ids, event_us, arrived_us (i64[N]) and liked (bool[N]). seen_offsets: i64[U+1] into
    seen_video_ids, ascending per user. countries: "" unknown. play_count: i64[U], all plays ever. features: the user
    view. category_features: the user_category view of these users. asked_us: i64[U], the instant each list is asked for.
    """

    user_ids: np.ndarray
    offsets: np.ndarray
    video_ids: np.ndarray
    event_us: np.ndarray
    arrived_us: np.ndarray
    liked: np.ndarray
    seen_offsets: np.ndarray
    seen_video_ids: np.ndarray
    countries: list[str]
    play_count: np.ndarray
    original_ids: list[str]
    features: FeatureMatrix
    category_features: CategoryFeatures
    asked_us: np.ndarray

    @property
    def size(self) -> int:
        return len(self.user_ids)


def index_in(ascending: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """i64, the shape of wanted: the first place of each whole number in ascending ones, -1 where absent."""
    among, asked = (np.ascontiguousarray(numbers, np.int64).ravel().view(np.uint64) ^ SIGN
                    for numbers in (ascending, wanted))
    return compiled.places(among, asked).reshape(np.shape(wanted))


def last_play_us(users: Users) -> np.ndarray:
    """i64[U]: event time of each user's last play, microseconds; 0 without one."""
    found = np.zeros(users.size, np.int64)
    some = np.diff(users.offsets) > 0
    found[some] = users.event_us[users.offsets[1:][some] - 1]
    return found


def hours_since_play(users: Users) -> np.ndarray:
    """f64[U]: hours from the last play to the instant of asking, at least 0."""
    return np.maximum(users.asked_us - last_play_us(users), 0) / HOUR_US


def take_users(users: Users, rows: np.ndarray) -> Users:
    """The users at these ascending places."""
    flat, offsets = ragged.take(users.offsets, rows)
    seen, seen_offsets = ragged.take(users.seen_offsets, rows)
    return replace(
        users, user_ids=users.user_ids[rows], offsets=offsets, video_ids=users.video_ids[flat],
        event_us=users.event_us[flat], arrived_us=users.arrived_us[flat], liked=users.liked[flat],
        seen_offsets=seen_offsets, seen_video_ids=users.seen_video_ids[seen], countries=_pick(users.countries, rows),
        play_count=users.play_count[rows], original_ids=_pick(users.original_ids, rows),
        category_features=users.category_features.take(rows), asked_us=users.asked_us[rows])


def _pick(values: Sequence[str], rows: np.ndarray) -> list[str]:
    return [values[row] for row in rows.tolist()]


def cut_users(users: Users, before_us: int | np.ndarray) -> Users:
    """The same U users as they were known at an instant: plays that happened and had arrived strictly before it.

    before_us: one instant, or one for each play (i64[N], the same for all plays of a user). Else as `keep_plays`.
    """
    return keep_plays(users, (users.event_us < before_us) & (users.arrived_us < before_us))


def keep_plays(users: Users, known: np.ndarray) -> Users:
    """The same U users with some of their plays, bool[N].

    A seen video leaves `seen` when none of its plays in the kept history is known. Histories keep the last plays only, so
    a video played before them and again among the unknown is wrongly unseen: rare, and only in training. Features are
    dropped (all defaults): add those of the day with `with_features`. A like has no time of its own and follows its play.
    """
    row = ragged.row_of(users.offsets)
    later = np.unique(_pairs(row[~known], users.video_ids[~known]))
    earlier = np.unique(_pairs(row[known], users.video_ids[known]))
    seen = _pairs(ragged.row_of(users.seen_offsets), users.seen_video_ids)
    unseen = np.isin(seen, np.setdiff1d(later, earlier, assume_unique=True))
    cut = np.bincount(row[~known], minlength=users.size)
    return replace(
        users, offsets=ragged.keep(users.offsets, known), video_ids=users.video_ids[known],
        event_us=users.event_us[known], arrived_us=users.arrived_us[known], liked=users.liked[known],
        seen_offsets=ragged.keep(users.seen_offsets, ~unseen), seen_video_ids=users.seen_video_ids[~unseen],
        play_count=np.maximum(users.play_count - cut, 0), features=FeatureMatrix.empty(),
        category_features=CategoryFeatures.empty())


def _pairs(row: np.ndarray, video_ids: np.ndarray) -> np.ndarray:
    """Structured (row, video) pairs that sort and compare as one value."""
    pairs = np.empty(len(row), [("row", np.int64), ("video", np.int64)])
    pairs["row"], pairs["video"] = row, video_ids
    return pairs
