"""Every video a date knows, also those that may no longer be recommended: histories are full of them."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funnel import ragged
from lake import lineage, snapshot

_COLUMNS = ["video_id", "creator_id", "categories", "duration_ms", "published_at"]


@dataclass(frozen=True, eq=False)
class KnownVideos:
    """V videos, ids ascending; the fields of `funnel.night.Night` that the video tower reads, named as there."""

    video_ids: np.ndarray
    creator_ids: np.ndarray
    category_offsets: np.ndarray
    category_codes: np.ndarray
    category_names: list[str]
    duration_ms: np.ndarray
    published_us: np.ndarray


def known_videos(as_of: date) -> KnownVideos:
    """The catalogue of a date. lineage.Missing names what to build."""
    rows = snapshot.read(lineage.resolve("catalogue", as_of), columns=_COLUMNS).sort_by("video_id")
    lists = rows["categories"].combine_chunks()
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    flat = lists.drop_null().flatten().fill_null("").to_numpy(zero_copy_only=False).astype(str)
    names, codes = np.unique(flat, return_inverse=True)

    def whole(name: str, missing: int) -> np.ndarray:
        return rows[name].cast(pa.int64()).fill_null(missing).to_numpy()

    return KnownVideos(rows["video_id"].to_numpy(), whole("creator_id", -1), ragged.offsets_of(lengths),
                       codes.astype(np.int32), names.tolist(), whole("duration_ms", -1), whole("published_at", 0))
