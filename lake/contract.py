"""What a landed row must be: per batch, one reason per row that can't be true, and what the good rows then hold."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.columns import EVENT_TYPES
from lake.hashing import splitmix64
from lake.tables import Table

TOLERANCE_US = 5 * 60 * 1_000_000
LONGEST_WATCH_MS = 24 * 3_600_000
LONGEST_STRING_BYTES = 10_000
REASONS = (
    "null_user", "null_video", "null_time", "unreadable", "nan", "absurd_time", "event_time_after_arrival",
    "unknown_event_type", "negative_watch", "absurd_watch", "negative_duration", "negative_position",
    "absurd_propensity", "oversized_string",
)
_REASON_OF_NULL = {"user_id": "null_user", "video_id": "null_video", "event_time": "null_time",
                   "arrived_at": "null_time", "event_type": "unknown_event_type"}


def judge(declared: Table, rows: pa.Table, bad: dict[str, np.ndarray]) -> np.ndarray:
    """Per row the index of its first reason in REASONS, -1 for good rows (int8).

    `rows`: columns in their declared types, nulls where a cell was null or unreadable; `bad`: masks that reading the
    cells found. A row has one reason, the first of REASONS, so that counts add up; a null that reading caused is told
    by the reading's own reason.
    """
    found = np.full(rows.num_rows, -1, np.int8)
    explained = np.zeros(rows.num_rows, bool)
    for mask in bad.values():
        explained |= mask
    masks = {**_checks(declared, rows), **bad}
    for name, reason in _REASON_OF_NULL.items():
        if name in rows.column_names and rows[name].null_count:
            mask = pc.is_null(rows[name]).to_numpy() & ~explained
            masks[reason] = masks[reason] | mask if reason in masks else mask
    for reason in reversed(REASONS):
        if reason in masks:
            found[masks[reason]] = REASONS.index(reason)
    return found


def _checks(declared: Table, rows: pa.Table) -> dict[str, np.ndarray]:
    masks = {}
    present = set(rows.column_names)
    if "event_type" in present:
        masks["unknown_event_type"] = type_codes(rows) == 0
    if {"event_time", "arrived_at"} <= present:
        late = pc.subtract(rows["event_time"].cast(pa.int64()), rows["arrived_at"].cast(pa.int64()))
        masks["event_time_after_arrival"] = _true(pc.greater(late, TOLERANCE_US))
    for name, reason in (("watch_ms", "negative_watch"), ("duration_ms", "negative_duration"),
                         ("position", "negative_position")):
        if name in present:
            masks[reason] = _true(pc.less(rows[name], 0))
    if "watch_ms" in present:
        masks["absurd_watch"] = _true(pc.greater(rows["watch_ms"], LONGEST_WATCH_MS))
    if "propensity" in present:
        masks["absurd_propensity"] = _true(pc.or_(pc.less_equal(rows["propensity"], 0),
                                                  pc.greater(rows["propensity"], 1)))
    return masks


def _true(found: pa.ChunkedArray) -> np.ndarray:
    return found.fill_null(False).to_numpy()


def oversized(cells: pa.Array) -> np.ndarray | None:
    """Rows with text (or text in a list) longer than 10,000 bytes; None when there are none."""
    lists = pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type)
    texts = cells.flatten() if lists else cells
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return None
    lengths = pc.binary_length(texts)
    if (pc.max(lengths).as_py() or 0) <= LONGEST_STRING_BYTES:
        return None
    long = pc.greater(lengths, LONGEST_STRING_BYTES).fill_null(False).to_numpy(zero_copy_only=False)
    if not lists:
        return long
    mask = np.zeros(len(cells), bool)
    mask[np.unique(pc.list_parent_indices(cells).to_numpy(zero_copy_only=False)[long])] = True
    return mask


def type_codes(rows: pa.Table) -> np.ndarray:
    """Event types as 1…5 in the order of EVENT_TYPES; 0 for anything else (int64)."""
    return pc.add(pc.index_in(rows["event_type"], pa.array(EVENT_TYPES)), 1).fill_null(0).to_numpy().astype(np.int64)


def event_ids(rows: pa.Table) -> np.ndarray:
    """Non-negative 63-bit hashes of (user, video, event type, event time in microseconds), for logs without ids."""
    hashed = splitmix64(rows["user_id"].to_numpy())
    for values in (rows["video_id"].to_numpy(), type_codes(rows), rows["event_time"].cast(pa.int64()).to_numpy()):
        hashed = splitmix64(hashed ^ values.view(np.uint64))
    return (hashed >> np.uint64(1)).view(np.int64)
