"""Lists without a model: the best judged popularity for everyone with a history, and the fallback for everyone else."""

import numpy as np
import pyarrow as pa

from funnel.night import Night
from funnel.recent import unseen
from funnel.users import Users
from lake.tables import table

SOURCE = "popular"
COUNTRY_VIDEOS = 20


def baseline_rows(night: Night, users: Users, baseline: str, length: int) -> pa.Table:
    """Rows of `recommendations`: the first `length` videos of one popularity ("decayed", "7d", "all") that each user
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
    """Rows of `fallback`: for "" (everyone) and each country with plays of at least 20 videos, the videos by decayed
    plays there, then in the world; ties by video id."""
    world = night.popularity["decayed"]
    lists = {"": world}
    for country, (index, plays) in sorted(night.by_country.items()):
        if (plays > 0).sum() >= COUNTRY_VIDEOS:
            lists[country] = np.zeros(night.size, np.float32)
            lists[country][index] = plays
    rows = [_country_rows(night, country, plays, np.lexsort((-world, -plays))[:length])
            for country, plays in lists.items()]
    return pa.concat_tables(rows).cast(table("fallback").schema)


def _country_rows(night: Night, country: str, plays: np.ndarray, order: np.ndarray) -> pa.Table:
    reason = f"Popular in {country} lately" if country else "Popular lately"
    return pa.table({
        "country": _repeated(country, len(order)), "video_id": night.video_ids[order],
        "rank": np.arange(1, len(order) + 1, dtype=np.int32), "score": plays[order].astype(np.float32),
        "source": _repeated(SOURCE, len(order)), "reason": _reasons(plays[order], reason),
        "video_original_id": pa.array(night.original_ids, pa.string()).take(pa.array(order))})


def _reasons(plays: np.ndarray, reason: str) -> pa.Array:
    """A reason where there are plays; elsewhere the video only fills the list."""
    return pa.array(["From the catalogue", reason]).take(pa.array((plays > 0).astype(np.int8)))


def _repeated(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)
