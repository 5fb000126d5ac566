"""Identity of ids, rows and snapshots: the few functions that every stored byte depends on."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.columns import one_array

BUCKETS = 64


def splitmix64(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer of int64/uint64 values of any shape, as uint64.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    z = np.asarray(values).astype(np.int64).view(np.uint64)  # a copy: the rest is done in place
    z += np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def bucket_of(ids: np.ndarray) -> np.ndarray:
    """The fixed bucket, 0…63, of each id: `splitmix64(id) % 64`, int64 of the same shape."""
    return (splitmix64(ids) % np.uint64(BUCKETS)).astype(np.int64)


def id_of_string(text: str) -> int:
    """A stable non-negative int64 for a string id: the first 63 bits of its sha256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def canonical_json(value: object) -> bytes:
    """One spelling per value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(parts: Iterable[str]) -> str:
    """One hash for an ordered list of hashes."""
    return sha256_of(canonical_json(list(parts)))


def rows_hash(rows: pa.Table) -> str:
    """sha256 of rows in the order and with the columns given, independent of chunks, codecs and files.

    Per column: name, type, validity as one byte a row, then the values with nulls zeroed (lists and strings as
    lengths followed by their children). Floats: -0.0 is 0.0 and every NaN is one NaN.
    """
    return slice_hashes(rows, [(0, rows.num_rows)])[0]


def slice_hashes(rows: pa.Table, slices: Sequence[tuple[int, int]]) -> list[str]:
    """`rows_hash` of the rows [start, end) of each slice. Whole columns are prepared once, so that hundreds of small
    slices cost little more than one."""
    columns = [(f"|{name}:{column.type}|".encode(), *_prepared(column))
               for name, column in zip(rows.column_names, rows.columns, strict=True)]
    present = np.ones(max((end - start for start, end in slices), default=0), np.uint8)
    found = []
    for start, end in slices:
        hasher = hashlib.sha256(f"{end - start}".encode())
        for header, levels, chunks in columns:
            hasher.update(header)
            for part in _parts(levels, start, end) if levels else (present[:end - start], *_stretch(chunks, start, end)):
                hasher.update(part)
        found.append(hasher.hexdigest())
    return found


Levels = list[tuple[list[np.ndarray], np.ndarray | None]]


def _prepared(column: pa.ChunkedArray) -> tuple[Levels, list[np.ndarray]]:
    """The column's levels; or, of integers, instants and days without a null, which are hashed as they stand, the
    values of each chunk, which are not copied."""
    kind = column.type
    if column.null_count or not (pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return _levels(one_array(column)), []
    return [], [_integers(chunk) for chunk in column.chunks]


def _stretch(chunks: list[np.ndarray], start: int, end: int) -> Iterator[np.ndarray]:
    """The values [start, end) of a column in chunks."""
    for values in chunks:
        if start < len(values) and end > 0:
            yield values[max(start, 0):end]
        start, end = start - len(values), end - len(values)


def _levels(array: pa.Array) -> Levels:
    """What is hashed of an array: arrays of its rows; and, where rows have children (texts their bytes, lists their
    elements), where those of each row begin and end, followed by the children's own levels."""
    kind, valid = array.type, np.ones(len(array), np.uint8)
    if array.null_count:
        valid = pc.is_valid(array).to_numpy(zero_copy_only=False).view(np.uint8)
    if pa.types.is_string(kind):
        lengths = _lengths(pc.binary_length(array))
        return [([valid, lengths], _borders(lengths)), ([_text(array.drop_null())], None)]
    if pa.types.is_list(kind):
        lengths = _lengths(pc.list_value_length(array))
        return [([valid, lengths], _borders(lengths)), *_levels(array.drop_null().flatten())]
    if pa.types.is_floating(kind):
        values = array.fill_null(0).to_numpy(zero_copy_only=False).copy()
        values[np.isnan(values)] = np.nan
        return [([valid, values + 0.0], None)]
    if pa.types.is_boolean(kind):
        return [([valid, array.fill_null(False).to_numpy(zero_copy_only=False).view(np.uint8)], None)]
    return [([valid, _integers(array)], None)]


def _parts(levels: Levels, start: int, end: int) -> Iterator[np.ndarray]:
    """The rows [start, end) of every level, in order."""
    for arrays, borders in levels:
        for values in arrays:
            yield values[start:end]
        if borders is not None:
            start, end = borders[start], borders[end]


def _borders(lengths: np.ndarray) -> np.ndarray:
    return np.append(0, np.cumsum(lengths))


def _text(array: pa.StringArray) -> np.ndarray:
    """The bytes of strings without nulls, one after another."""
    offsets, content = array.buffers()[1:3]
    if not len(array) or content is None:
        return np.zeros(0, np.uint8)
    borders = np.frombuffer(offsets, np.int32)
    return np.frombuffer(content, np.uint8)[borders[array.offset]:borders[array.offset + len(array)]]


def _integers(array: pa.Array) -> np.ndarray:
    """Integers as they are, instants as int64, days as int32; nulls as 0. No copy where there is no null: tables have
    many small columns, and every kernel call costs more than hashing one."""
    kind = array.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        array = array.view(pa.int64() if pa.types.is_timestamp(kind) else pa.int32())
    return (array.fill_null(0) if array.null_count else array).to_numpy()


def _lengths(lengths: pa.Array) -> np.ndarray:
    return _integers(lengths.cast(pa.int64()))
