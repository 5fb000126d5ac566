"""Lists without a model: the best judged popularity for everyone with a history, and the fallback for everyone else."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funnel.night import Night, smoothed
from funnel.recent import unseen
from funnel.users import Users
from lake.tables import table

SOURCE = "popular"
COUNTRY_VIDEOS = 20


def baseline_rows(night: Night, users: Users, baseline: str, length: int) -> pa.Table:
    """Rows of `recommendations`: the first `length` videos of one popularity of the night that each user
    has not seen; ties by video id, shorter where the catalogue ends."""
    plays = night.popularity[baseline]
    order = np.argsort(-plays, kind="stable")
    first = unseen(night, users, order[None], np.zeros(users.size, np.int64), length)
    user, place = np.nonzero(first >= 0)
    video = first[user, place]
    return pa.table({
        "user_id": users.user_ids[user], "video_id": night.video_ids[video],
        "rank": (place + 1).astype(np.int32), "score": plays[video].astype(np.float32),
        "source": _repeated(SOURCE, len(user)), "reason": _reasons(plays[video], "Popular lately"),
        "user_original_id": pa.array(users.original_ids, pa.string()).take(pa.array(user)),
        "video_original_id": pa.array(night.original_ids, pa.string()).take(pa.array(video))})


def fallback_rows(night: Night, length: int) -> pa.Table:
    """Rows of `fallback`: for "" (everyone) and each country with plays of at least 20 videos, the videos by smoothed
    plays: a country's decayed ones lean on the world's. Ties by video id."""
    world = night.popularity["smoothed"]
    rows = [_country_rows(night, "", world, world, length)]
    for country, (index, plays) in sorted(night.by_country.items()):
        if (plays > 0).sum() >= COUNTRY_VIDEOS:
            there = np.zeros(night.size, np.float32)
            there[index] = plays
            rows.append(_country_rows(night, country, smoothed(there, world), there, length))
    return pa.concat_tables(rows).cast(table("fallback").schema)


def _country_rows(night: Night, country: str, plays: np.ndarray, there: np.ndarray, length: int) -> pa.Table:
    """The first videos by plays; there: those of the country itself, without which a video is popular elsewhere."""
    order = np.argsort(-plays, kind="stable")[:length]
    reasons = _reasons(plays[order], "Popular lately")
    if country:
        reasons = pc.if_else(pa.array(there[order] > 0), f"Popular in {country} lately", reasons)
    return pa.table({
        "country": _repeated(country, len(order)), "video_id": night.video_ids[order],
        "rank": np.arange(1, len(order) + 1, dtype=np.int32), "score": plays[order].astype(np.float32),
        "source": _repeated(SOURCE, len(order)), "reason": reasons,
        "video_original_id": pa.array(night.original_ids, pa.string()).take(pa.array(order))})


def _reasons(plays: np.ndarray, reason: str) -> pa.Array:
    """A reason where there are plays; elsewhere the video only fills the list."""
    return pa.array(["From the catalogue", reason]).take(pa.array((plays > 0).astype(np.int8)))


def _repeated(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)
