"""A night as it would have been at an earlier midnight, for training lists: the catalogue of today, told less."""

from dataclasses import replace
from datetime import date

import numpy as np

from funnel import ragged
from funnel.feature_matrix import FeatureMatrix, feature_rows
from funnel.night import Night, Users, smoothed
from lake import lineage
from lake.dates import DAY_US, midnight_us
from lake.tables import table


def rewind(night: Night, users: Users, as_of: date) -> Night:
    """The night without videos published later, its popularity counted from these users' plays before as_of.

    users: as cut by `cut_users(users, midnight_us(as_of))`; their last plays only, so "all" counts at most those.
    Features are those of feature_snapshots as of that date; lineage.Missing when it is not built. Videos removed
    between the two dates stay out, and titles, creators and categories are today's.
    """
    now = midnight_us(as_of)
    there = night.published_us < now
    index = night.index_of(users.video_ids)
    age_days = (now - users.event_us) / DAY_US
    country = np.array(users.countries)[ragged.row_of(users.offsets)]
    known = index >= 0

    def plays(mask: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        weights = None if weight is None else weight[mask]
        return np.bincount(index[mask], weights, minlength=night.size)[there].astype(np.float32)

    decay, slow_decay = (2.0 ** (-age_days / days) for days in table("popularity").parameters["half_life_days"].values())
    decayed = plays(known, decay)
    by_country = {}
    for name in sorted(set(country[known].tolist()) - {""}):
        local = plays(known & (country == name), decay)
        by_country[name] = (np.flatnonzero(local), local[local > 0])
    flat, offsets = ragged.take(night.category_offsets, np.flatnonzero(there))
    views = feature_rows(lineage.resolve("feature_snapshots", as_of), ("video", "creator"))
    return replace(
        night, as_of=as_of, video_ids=night.video_ids[there], creator_ids=night.creator_ids[there],
        category_offsets=offsets, category_codes=night.category_codes[flat], duration_ms=night.duration_ms[there],
        published_us=night.published_us[there], titles=_pick(night.titles, there),
        original_ids=_pick(night.original_ids, there), by_country=by_country,
        popularity={"all": plays(known), "7d": plays(known & (age_days <= 7)), "decayed": decayed,
                    "smoothed": smoothed(decayed, plays(known, slow_decay))},
        features={view: FeatureMatrix.of(rows) for view, rows in views.items()})


def _pick(values: list[str], mask: np.ndarray) -> list[str]:
    return [values[place] for place in np.flatnonzero(mask).tolist()]
