"""Orders over the catalogue that do not depend on the user: popularity per country, fresh and rarely shown videos."""

from functools import lru_cache

import numpy as np

from funnel.feature_matrix import COLUMN
from funnel.night import Night
from lake.dates import DAY_US

FRESH_DAYS = 7
FRESH_POOL = 300
RARE_SHARE = 0.25


@lru_cache(maxsize=512)
def popular_order(night: Night, country: str) -> np.ndarray:
    """i64[V]: every video of the night, best first: decayed plays of a country ("" the world) and the plays of the
    last seven days take turns, then the world's decayed plays; ties by video."""
    decayed, week = _world_orders(night)
    if country in night.by_country:
        local = np.zeros(night.size, np.float32)
        index, plays = night.by_country[country]
        local[index] = plays
        decayed = decayed[np.argsort(-local[decayed], kind="stable")]
    return _first_of_each(np.stack([decayed, week], axis=1).ravel())


@lru_cache(maxsize=512)
def log_plays_in(night: Night, country: str) -> np.ndarray:
    """f32[V]: log of 1 and the decayed plays of each video in a country."""
    table = np.zeros(night.size, np.float32)
    index, plays = night.by_country[country]
    table[index] = np.log1p(plays)
    return table


@lru_cache(maxsize=4)
def _world_orders(night: Night) -> tuple[np.ndarray, np.ndarray]:
    """i64[V] twice: every video by decayed plays, and by plays of the last seven days, then by decayed ones."""
    everyone = np.argsort(-night.popularity["decayed"], kind="stable")
    return everyone, everyone[np.argsort(-night.popularity["7d"][everyone], kind="stable")]


def _first_of_each(places: np.ndarray) -> np.ndarray:
    """Places in order, without repeats: written from the end on, the first of each is what stays."""
    order = np.arange(len(places))
    first = np.zeros(int(places.max(initial=-1)) + 1, np.int64)
    first[places[::-1]] = order[::-1]
    return places[first[places] == order]


@lru_cache(maxsize=4)
def fresh_pool(night: Night) -> tuple[np.ndarray, np.ndarray]:
    """Videos published in the last seven days and their early popularity (log of plays a day): at most 300, best
    first, (i64[n], f32[n])."""
    age_us = night.as_of_us - night.published_us
    fresh = np.flatnonzero(age_us <= FRESH_DAYS * DAY_US)
    days = np.maximum(age_us[fresh] / DAY_US, 1)
    early = np.log1p(night.popularity["7d"][fresh] / days).astype(np.float32)
    order = np.argsort(-early, kind="stable")[:FRESH_POOL]
    return fresh[order], early[order]


@lru_cache(maxsize=4)
def rare_pool(night: Night) -> np.ndarray:
    """i64[n] ascending: the quarter of the catalogue that was shown and played least in 28 days, and all fresh ones."""
    shown = night.features["video"].rows(night.video_ids)
    exposure = shown[:, COLUMN["impression_count_28d"]] + shown[:, COLUMN["play_count_28d"]]
    least = np.argsort(exposure, kind="stable")[:max(1, int(night.size * RARE_SHARE))] if night.size else []
    fresh = night.as_of_us - night.published_us <= FRESH_DAYS * DAY_US
    return np.union1d(np.asarray(least, np.int64), np.flatnonzero(fresh))


def country_codes(night: Night, countries: list[str]) -> tuple[list[str], np.ndarray]:
    """The countries with popularity of their own among these, "" first, and the place of each user's in that list."""
    named = ["", *sorted(set(countries) & set(night.by_country))]
    place = {country: code for code, country in enumerate(named)}
    return named, np.array([place.get(country, 0) for country in countries], np.int64)
