"""The column vocabulary: each name means one thing everywhere, with one Arrow type.

Timestamps are UTC microseconds. Units live in names (`_ms`, `_days`, `_at`).
"""

from dataclasses import dataclass

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Column:
    """One column: its name, Arrow type, whether it may be null, and what it means."""

    name: str
    type: pa.DataType
    nullable: bool
    doc: str


def required(name: str, type_: pa.DataType, doc: str) -> Column:
    return Column(name, type_, False, doc)


def optional(name: str, type_: pa.DataType, doc: str) -> Column:
    return Column(name, type_, True, doc)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column's values; the very ones where they lie in one chunk, which `combine_chunks` would copy."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def one_chunk(rows: pa.Table) -> pa.Table:
    """A table with each column in one chunk; the very one where that is so, which `combine_chunks` would copy."""
    return rows if all(column.num_chunks == 1 for column in rows.columns) else rows.combine_chunks()


EVENT_TYPES = ("impression", "play", "like", "share", "not_interested")

EVENT = (
    required("event_id", pa.int64(), "given by the log, else a 64-bit hash of (user, video, type, event_time)"),
    required("user_id", pa.int64(), "the viewer"),
    required("video_id", pa.int64(), "the video"),
    required("event_type", pa.string(), "one of " + ", ".join(EVENT_TYPES)),
    required("event_time", TIMESTAMP, "when it happened"),
    required("arrived_at", TIMESTAMP, "when we could have known it"),
    optional("watch_ms", pa.int64(), "plays: how long it was watched, ms; null where the log has no watch time"),
    optional("request_id", pa.string(), "ties a play to the impression of the same request"),
    optional("position", pa.int32(), "place in the list that was shown, from 0"),
    optional("propensity", pa.float64(), "probability that the logging policy showed this video at this place"),
    optional("surface", pa.string(), "where in the product"),
    optional("country", pa.string(), "where the viewer was"),
)

VIDEO = (
    required("video_id", pa.int64(), "the video"),
    optional("creator_id", pa.int64(), "who made it"),
    optional("categories", pa.list_(pa.string()), "its categories or genres, as published"),
    optional("duration_ms", pa.int64(), "its length, ms"),
    optional("title", pa.string(), "what people see"),
    optional("published_at", TIMESTAMP, "when it went public"),
    optional("removed_at", TIMESTAMP, "when it was taken down; null while it is up"),
    required("arrived_at", TIMESTAMP, "when this version of the row could be known"),
)

USER = (
    required("user_id", pa.int64(), "the viewer"),
    optional("country", pa.string(), "home country"),
    optional("language", pa.string(), "language of the app"),
    required("arrived_at", TIMESTAMP, "when this version of the row could be known"),
)
