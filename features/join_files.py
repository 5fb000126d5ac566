"""Files of a join in flight: Arrow files whose record batches are the rows of one part, and Parquet that reads fast."""

import itertools
import posixpath
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake import storage
from lake.columns import one_array

Task = Callable[[int], dict]
Spread = Callable[[Task, Sequence[int]], list[dict]]
_HALF = 2**31
_NARROWED = {b"narrowed": b"int64"}


def write_apart(path: str, rows: pa.Table, part: np.ndarray, parts: int) -> None:
    """One Arrow file with one record batch for each of the parts 0 … parts - 1. part: int64[rows]."""
    rows = _narrow(rows)
    if (part[1:] < part[:-1]).any():
        order = np.argsort(part.astype(np.uint16), kind="stable")  # 16 bits: numpy sorts them by radix
        rows = rows.take(pa.array(order))
    borders = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=parts))])
    _write_batches(path, rows.schema, (rows.slice(start, end - start) for start, end in itertools.pairwise(borders)))


def write_ascending(path: str, pieces: Sequence[pa.Table], column: str, borders: Sequence[int]) -> None:
    """The same of pieces that each ascend by a column: part n has the rows of all of them with borders[n] <= value <
    borders[n + 1], piece by piece."""
    rows = _narrow(pa.concat_tables(pieces))
    firsts = np.cumsum([0, *(piece.num_rows for piece in pieces)])
    cuts = np.stack([first + np.searchsorted(piece[column].to_numpy(), borders)
                     for first, piece in zip(firsts, pieces)], axis=1)                                # [borders, pieces]
    _write_batches(path, rows.schema, (
        pa.concat_tables([rows.slice(start, end - start) for start, end in zip(*cut)]) for cut in itertools.pairwise(cuts)))


def _write_batches(path: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> None:
    storage.make_folder(posixpath.dirname(path))
    store, inner = storage.filesystem(path)
    with store.open_output_stream(inner, compression=None) as file, pa.ipc.new_file(file, schema) as writer:
        for rows in parts:  # they live as long as the run: no need to sync them
            writer.write_batch(pa.RecordBatch.from_arrays([one_array(column) for column in rows.columns], schema=schema))


def gather(paths: list[str], parts: Sequence[int]) -> list[pa.Table]:
    """The rows of each of some parts from files of `write_apart`, in the files' order."""
    return [pa.Table.from_batches(map(_wide, held)) for held in _held(paths, parts)]


def gather_narrow(paths: list[str], part: int) -> dict[str, np.ndarray]:
    """The columns of one part, all of whole numbers without nulls, in as few bytes as the files hold them."""
    held = _held(paths, [part])[0]
    return {name: np.concatenate([batch.column(name).to_numpy() for batch in held]) for name in held[0].schema.names}


def _held(paths: list[str], parts: Sequence[int]) -> list[list[pa.RecordBatch]]:
    batches: list[list[pa.RecordBatch]] = [[] for _ in parts]
    for path in paths:
        store, inner = storage.filesystem(path)
        with pa.memory_map(inner) if storage.is_local(path) else store.open_input_file(inner) as file:
            opened = pa.ipc.open_file(file)
            for held, part in zip(batches, parts, strict=True):
                held.append(opened.get_batch(part))
    return batches


def _narrow(rows: pa.Table) -> pa.Table:
    """The same with whole numbers in half the bytes where they all fit: what moves is what such a file costs."""
    for n, field in enumerate(rows.schema):
        if pa.types.is_int64(field.type):
            ends = pc.min_max(rows.column(n)).as_py()
            if ends["min"] is None or -_HALF <= ends["min"] and ends["max"] < _HALF:
                rows = rows.set_column(n, field.with_type(pa.int32()).with_metadata(_NARROWED),
                                       rows.column(n).cast(pa.int32(), safe=False))
    return rows


def _wide(rows: pa.RecordBatch) -> pa.RecordBatch:
    """As the rows were before `_narrow`."""
    for n, field in enumerate(rows.schema):
        if field.metadata == _NARROWED:
            rows = rows.set_column(n, field.with_type(pa.int64()).remove_metadata(), rows.column(n).cast(pa.int64()))
    return rows


def write_parquet(path: str, schema: pa.Schema, groups: Iterable[pa.Table]) -> None:
    """A Parquet file with these row groups, pages checksummed. Whole numbers and instants as packed differences: small,
    and as quick to read as plain ones, which general compression is not."""
    _write(path, schema, groups, "DELTA_BINARY_PACKED", "none")


def write_laid_out(path: str, schema: pa.Schema, groups: Iterable[pa.Table]) -> None:
    """The same for the join alone to read: whole numbers and instants with their bytes split by place, compressed by LZ4,
    which is as small as packed differences and a third quicker to write; not every reader knows it. No least and greatest
    values: nobody skips by them."""
    _write(path, schema, groups, "BYTE_STREAM_SPLIT", "lz4", write_statistics=False)


def _write(path: str, schema: pa.Schema, groups: Iterable[pa.Table], encoding: str, compression: str,
           **options: bool) -> None:
    numbers = [field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)]
    rest = [field.name + (".list.element" if pa.types.is_list(field.type) else "") for field in schema
            if field.name not in numbers]
    storage.make_folder(posixpath.dirname(path))
    store, inner = storage.filesystem(path)
    with store.open_output_stream(inner, compression=None) as file, \
            pq.ParquetWriter(file, schema, write_page_checksum=True, use_dictionary=rest,
                             column_encoding=dict.fromkeys(numbers, encoding),
                             compression=dict.fromkeys(rest, "zstd") | dict.fromkeys(numbers, compression),
                             **options) as writer:
        for rows in groups:
            writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
