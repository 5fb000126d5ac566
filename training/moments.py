"""What is known of every video at a midnight, apart from who is asking: how much it is watched and how old it is.

The retrieval model multiplies these few numbers by weights of the user's own (`retrieval.py`), so it learns what a
user likes *beside* what everybody watches. In training they are recomputed at some midnights from plays that had
happened and arrived before each; in a night they come from its popularity table.
"""

from typing import Protocol

import numpy as np

from lake.dates import DAY_US
from lake.tables import table

NAMES = ("log_decayed_plays", "log_plays_7d", "log_plays_all", "fresh_3d", "fresh_30d")
HALF_LIFE_DAYS = table("popularity").parameters["half_life_days"]["decayed_play_count"]
UNPUBLISHED = -30.0


class Videos(Protocol):
    """What the models need to know of V videos; a Night is one."""

    video_ids: np.ndarray
    creator_ids: np.ndarray
    category_offsets: np.ndarray
    category_codes: np.ndarray
    category_names: list[str]
    duration_ms: np.ndarray
    published_us: np.ndarray


def columns(decayed: np.ndarray, last_7d: np.ndarray, ever: np.ndarray, age_us: np.ndarray) -> np.ndarray:
    """f32[V, 5]: the features NAMES of V videos at one midnight."""
    age_days = np.maximum(age_us, 0) / DAY_US
    return np.stack([np.log1p(decayed), np.log1p(last_7d), np.log1p(ever),
                     np.exp(-age_days / 3), np.exp(-age_days / 30)], axis=1).astype(np.float32)


def choose(event_us: np.ndarray, count: int) -> np.ndarray:
    """i64[P]: at most `count` ascending midnights that share the plays about equally; the first one is before all."""
    midnights = np.unique(event_us // DAY_US)
    if len(midnights) > count:
        order = np.sort(event_us)
        midnights = np.unique(order[np.arange(count) * len(order) // count] // DAY_US)
    return midnights * DAY_US


def at_midnights(videos: Videos, rows: np.ndarray, event_us: np.ndarray, arrived_us: np.ndarray,
                 midnights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f32[P, V, 5] features of the videos at each of P ascending midnights, and bool[P, V]: published by the next one.

    rows: i64[N], the place of each play's video. Only plays with event and arrival before a midnight count there.
    """
    known_us = np.maximum(event_us, arrived_us)
    order = np.argsort(known_us, kind="stable")
    rows, event_us, known_us = rows[order], event_us[order], known_us[order]
    count = len(videos.video_ids)
    decayed, ever = np.zeros(count), np.zeros(count)
    features, begun, reached = [], 0, midnights[0] if len(midnights) else 0
    for midnight in midnights:
        decayed *= 2.0 ** (-(midnight - reached) / DAY_US / HALF_LIFE_DAYS)
        end = np.searchsorted(known_us, midnight)
        new = slice(begun, end)
        weights = 2.0 ** (-(midnight - event_us[new]) / DAY_US / HALF_LIFE_DAYS)
        decayed += np.bincount(rows[new], weights, count)
        ever += np.bincount(rows[new], minlength=count)
        week = slice(np.searchsorted(known_us, midnight - 7 * DAY_US), end)
        recent = rows[week][event_us[week] >= midnight - 7 * DAY_US]
        features.append(columns(decayed, np.bincount(recent, minlength=count), ever, midnight - videos.published_us))
        begun, reached = end, midnight
    ends = np.append(midnights[1:], np.iinfo(np.int64).max)
    return np.stack(features), videos.published_us[None, :] < ends[:, None]


def of_night(night: Videos) -> np.ndarray:
    """f32[V, 5]: the same features of a night's videos."""
    return columns(night.popularity["decayed"], night.popularity["7d"], night.popularity["all"],
                   night.as_of_us - night.published_us)
