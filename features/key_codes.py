"""Keys of one or several columns, integers or strings, as small integers that compare across two tables."""

import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import compiled
from lake.columns import one_array


def canonical(column: pa.ChunkedArray | pa.Array, name: str) -> pa.Array:
    """A key column as int64 or large_string, nulls kept. ValueError for a type that can't be a key."""
    array = one_array(column) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_integer(array.type):
        return array.cast(pa.int64())  # ArrowInvalid, a ValueError, for what does not fit
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    raise ValueError(f"key column {name!r} is {array.type}; keys are integers or strings (a float loses digits)")


def key_codes(spine: Sequence[pa.Array], rows: Sequence[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """int64[N] and int64[M]: equal numbers for equal keys, in the order of the keys, -1 where any column is null (null
    equals nothing) and for keys that the other side does not have, as far as that spares work. Both: one canonical array
    per key column."""
    for n, (ours, theirs) in enumerate(zip(spine, rows, strict=True)):
        if ours.type != theirs.type:
            raise ValueError(f"key column {n + 1} is {ours.type} in the spine, but {theirs.type} in the table")
    if len(rows) == 1 and pa.types.is_int64(rows[0].type) and not rows[0].null_count:
        row_code, starts, count = compiled.ranked(rows[0].to_numpy())
        if count > 0:
            return _numbered(pc.index_in(spine[0], value_set=rows[0].take(pa.array(starts[:count])))), row_code
    code, row_code = np.zeros(len(spine[0]), np.int64), np.zeros(len(rows[0]), np.int64)
    for n, (ours, theirs) in enumerate(zip(spine, rows, strict=True)):
        values = ours.drop_null().unique()
        values = values.take(pc.sort_indices(values))
        code = _combined(code, pc.index_in(ours, value_set=values), len(values))
        row_code = _combined(row_code, pc.index_in(theirs, value_set=values), len(values))
        if n:
            known = np.unique(code[code >= 0])
            code, row_code = _place(code, known), _place(row_code, known)
    return code, row_code


def codes_of(keys: Sequence[pa.Array]) -> np.ndarray:
    """int64[N]: equal numbers for equal keys, in the order of the keys, -1 where any column is null. keys: one canonical
    array per key column."""
    code = np.zeros(len(keys[0]), np.int64)
    if len(keys) == 1 and pa.types.is_int64(keys[0].type) and len(code) and not keys[0].null_count:
        numbers = keys[0].to_numpy()
        least = int(numbers.min())
        if int(numbers.max()) - least < 4 * len(numbers):  # they lie close: one may count from the least
            return numbers - least
    for n, array in enumerate(keys):
        encoded = array.dictionary_encode()
        rank = pc.rank(encoded.dictionary, tiebreaker="dense").to_numpy().astype(np.int64) - 1
        if not n and not array.null_count:
            code = rank[encoded.indices.to_numpy()]
            continue
        code = _combined(code, pa.array(rank).take(encoded.indices), len(rank))
        if n:
            code = _place(code, np.unique(code[code >= 0]))
    return code


def _numbered(found: pa.Array) -> np.ndarray:
    return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _combined(code: np.ndarray, found: pa.Array, count: int) -> np.ndarray:
    index = _numbered(found)
    return np.where((code < 0) | (index < 0), -1, code * max(count, 1) + index)


def _place(code: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The index of each code in the ascending `known`, -1 where it is not there."""
    if not len(known):
        return np.full(len(code), -1, np.int64)
    at = np.minimum(np.searchsorted(known, code), len(known) - 1)
    return np.where(known[at] == code, at, -1)


def part_of(keys: Sequence[pa.Array], parts: int) -> np.ndarray:
    """int64[N]: the part, 0 … parts - 1, that all rows of a key go to, in whichever table. keys: canonical arrays."""
    mixed = np.zeros(len(keys[0]), np.uint64)
    for array in keys:
        compiled.mix(_numbers(array), mixed)
    if parts & parts - 1:
        return (mixed % np.uint64(parts)).astype(np.int64)
    mixed &= np.uint64(parts - 1)
    return mixed.view(np.int64)


def _numbers(array: pa.Array) -> np.ndarray:
    if pa.types.is_int64(array.type):
        return (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    encoded = array.dictionary_encode()
    hashes = np.fromiter((zlib.crc32(text.encode()) for text in encoded.dictionary.to_pylist()), np.int64,
                         len(encoded.dictionary))
    index = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return hashes[index] if len(hashes) else np.zeros(len(array), np.int64)
