"""What the models have names for: videos, creators, categories and countries that were there when they were fitted.

Place 0 stands for whatever is unknown, so a video that came later still has its creator, categories and duration.
"""

from dataclasses import dataclass

import numpy as np

from funnel.users import index_in
from training.moments import Videos

CATEGORIES_MOST = 8
DURATION_BUCKETS = 24


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Ascending ids and sorted names; the embedding of the n-th has place n + 1."""

    video_ids: np.ndarray
    creator_ids: np.ndarray
    categories: list[str]
    countries: list[str]


@dataclass(frozen=True, eq=False)
class EncodedVideos:
    """V videos as places in the embedding tables: video, creator, duration i64[V], categories i64[V, 8] (0 = none)."""

    video: np.ndarray
    creator: np.ndarray
    duration: np.ndarray
    categories: np.ndarray


def learn(videos: Videos, played_ids: np.ndarray, countries: list[str]) -> Vocabulary:
    """The vocabulary of a log: known videos that were played, and every creator, category and country."""
    creators = np.unique(videos.creator_ids)
    return Vocabulary(np.intersect1d(played_ids, videos.video_ids), creators[creators >= 0],
                      sorted(videos.category_names), sorted({country for country in countries if country}))


def places(ascending: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """i64, the shape of wanted: place + 1 of each value in an ascending array, 0 where absent."""
    return index_in(ascending, wanted) + 1


def name_places(names: list[str], wanted: list[str]) -> np.ndarray:
    """i64[len(wanted)]: place + 1 of each name, 0 where absent."""
    known = {name: place + 1 for place, name in enumerate(names)}
    return np.array([known.get(name, 0) for name in wanted], np.int64)


def encode(vocabulary: Vocabulary, videos: Videos) -> EncodedVideos:
    """Videos as places; of a video with more than 8 categories the first 8 are read."""
    lengths = np.diff(videos.category_offsets)
    categories = np.zeros((len(videos.video_ids), CATEGORIES_MOST), np.int64)
    known = name_places(vocabulary.categories, videos.category_names)
    row = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(videos.category_offsets[-1]) - np.repeat(videos.category_offsets[:-1], lengths)
    kept = place < CATEGORIES_MOST
    categories[row[kept], place[kept]] = known[videos.category_codes[kept]] if len(known) else 0
    return EncodedVideos(places(vocabulary.video_ids, videos.video_ids),
                         places(vocabulary.creator_ids, videos.creator_ids),
                         duration_bucket(videos.duration_ms), categories)


def duration_bucket(duration_ms: np.ndarray) -> np.ndarray:
    """i64: 0 for an unknown length, else half-octaves from one second on, 1…23."""
    octaves = np.floor(2 * np.log2(np.maximum(duration_ms, 1000) / 1000)).astype(np.int64)
    return np.where(duration_ms < 0, 0, np.clip(octaves + 1, 1, DURATION_BUCKETS - 1))
