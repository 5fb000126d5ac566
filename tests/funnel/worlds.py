"""Small worlds as arrays: random ones for contracts, and hand-made ones whose answers can be reasoned out."""

from datetime import date

import numpy as np

from funnel import ragged
from funnel.feature_matrix import CategoryFeatures, FeatureMatrix
from funnel.night import Night, Users
from lake.dates import DAY_US, midnight_us
from lake.tables import FEATURES

AS_OF = date(2026, 2, 5)
COUNTRIES = ["", "DE", "JP"]


def random_night(videos: int, seed: int = 0, creators: int = 20, categories: int = 6) -> Night:
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 3, videos)
    popularity = random.zipf(1.6, videos).clip(0, 10_000).astype(np.float32)
    ids = np.sort(random.choice(videos * 10, videos, replace=False)).astype(np.int64)
    return Night(
        as_of=AS_OF, video_ids=ids, creator_ids=random.integers(-1, creators, videos),
        category_offsets=ragged.offsets_of(lengths),
        category_codes=random.integers(0, categories, lengths.sum()).astype(np.int32),
        category_names=[f"category {n}" for n in range(categories)],
        duration_ms=random.integers(-1, 300_000, videos),
        published_us=midnight_us(AS_OF) - random.integers(1, 60 * DAY_US, videos),
        titles=[f"title {n}" for n in ids], original_ids=[str(n) for n in ids],
        popularity={"all": popularity, "7d": np.floor(popularity / 3), "decayed": popularity / 2,
                    "smoothed": popularity / 2},
        by_country={"DE": (np.arange(0, videos, 2), popularity[::2] / 4)},
        features={"video": random_features(ids, random), "creator": random_features(np.arange(creators), random)})


def random_features(ids: np.ndarray, random: np.random.Generator) -> FeatureMatrix:
    kept = ids[random.random(len(ids)) < 0.8]
    return FeatureMatrix(kept, random.integers(0, 50, (len(kept), len(FEATURES))).astype(np.float32))


def random_users(night: Night, users: int, seed: int = 1, plays: int = 40) -> Users:
    """Histories of 1 … `plays` plays, some of videos that are not in the night, seen beyond the history."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, plays, users)
    offsets = ragged.offsets_of(lengths)
    watched = random.choice(np.append(night.video_ids, -7 - np.arange(5)), offsets[-1])
    event_us = midnight_us(night.as_of) - random.integers(1, 30 * DAY_US, offsets[-1])
    row = ragged.row_of(offsets)
    event_us = event_us[np.lexsort((event_us, row))]
    seen = [np.union1d(watched[row == user], random.choice(night.video_ids, min(5, night.size)))
            for user in range(users)]
    return Users(
        user_ids=np.sort(random.choice(users * 7, users, replace=False)).astype(np.int64), offsets=offsets,
        video_ids=watched, event_us=event_us, arrived_us=event_us + 1000, liked=random.random(offsets[-1]) < 0.2,
        seen_offsets=ragged.offsets_of(np.array([len(part) for part in seen])),
        seen_video_ids=np.concatenate(seen), countries=[COUNTRIES[n % 3] for n in range(users)],
        play_count=lengths + 5, original_ids=[f"user {n}" for n in range(users)],
        features=FeatureMatrix.empty(), category_features=CategoryFeatures.empty(), asked_us=np.full(users, midnight_us(night.as_of)))


def hand_made(video_ids: list[int], **changes: object) -> Night:
    """Videos without creator, category or plays, published long ago; `changes` replace fields."""
    videos = len(video_ids)
    nothing = np.zeros(videos, np.float32)
    fields: dict = {
        "as_of": AS_OF, "video_ids": np.array(video_ids, np.int64), "creator_ids": np.full(videos, -1),
        "category_offsets": np.zeros(videos + 1, np.int64), "category_codes": np.zeros(0, np.int32),
        "category_names": [], "duration_ms": np.full(videos, -1),
        "published_us": np.full(videos, midnight_us(AS_OF) - 100 * DAY_US),
        "titles": [f"title {n}" for n in video_ids], "original_ids": [str(n) for n in video_ids],
        "popularity": {"all": nothing, "7d": nothing, "decayed": nothing, "smoothed": nothing}, "by_country": {},
        "features": {"video": FeatureMatrix.empty(), "creator": FeatureMatrix.empty()}}
    return Night(**(fields | changes))


def watching(histories: dict[int, list[int]], countries: list[str] | None = None) -> Users:
    """Users who watched these videos, one an hour, the last an hour before midnight; nothing else is seen."""
    lengths = np.array([len(played) for played in histories.values()])
    offsets = ragged.offsets_of(lengths)
    hours = lengths.repeat(lengths) - ragged.place_in_row(offsets)
    seen = [sorted(set(played)) for played in histories.values()]
    event_us = midnight_us(AS_OF) - hours * 3_600_000_000
    return Users(
        user_ids=np.array(list(histories), np.int64), offsets=offsets,
        video_ids=np.array(sum(histories.values(), []), np.int64), event_us=event_us, arrived_us=event_us,
        liked=np.zeros(offsets[-1], bool), seen_offsets=ragged.offsets_of(np.array([len(part) for part in seen])),
        seen_video_ids=np.array(sum(seen, []), np.int64), countries=countries or [""] * len(histories),
        play_count=lengths, original_ids=[str(user) for user in histories],
        features=FeatureMatrix.empty(), category_features=CategoryFeatures.empty(), asked_us=np.full(len(histories), midnight_us(AS_OF)))
