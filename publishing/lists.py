"""The published view of the list tables: without what must not be shown, cut to K, ranks without holes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def shown(rows: pa.Table, group: str, k: int, videos: list[int], users: list[int]) -> pa.Table:
    """Rows of lists as readers see them: tombstones gone, the first k of each group, ranked from 1 without holes.

    rows: a list table with `group` (user_id or country), video_id and rank; groups come in any order.
    """
    keep = pc.invert(pc.is_in(rows["video_id"], pa.array(videos, pa.int64())))
    if "user_id" in rows.column_names and users:
        keep = pc.and_(keep, pc.invert(pc.is_in(rows["user_id"], pa.array(users, pa.int64()))))
    kept = rows.filter(keep).sort_by([(group, "ascending"), ("rank", "ascending")])
    places = _places(kept[group])
    ranked = kept.set_column(kept.column_names.index("rank"), "rank", pa.array(places, pa.int32()))
    return ranked.filter(pa.array(places <= k))


def _places(groups: pa.ChunkedArray) -> np.ndarray:
    """The place, from 1, of each row within its run of equal groups: i64[n]."""
    codes = pc.rank(groups, sort_keys="ascending", tiebreaker="min").to_numpy()
    if not len(codes):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    return np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)])) + 1
