"""Files of a join in flight: Arrow files whose record batches are the rows of one part, and Parquet that reads fast."""

import posixpath
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lake import storage
from lake.columns import one_chunk

Task = Callable[[int], dict]
Spread = Callable[[Task, Sequence[int]], list[dict]]


def write_apart(path: str, rows: pa.Table, part: np.ndarray, parts: int) -> None:
    """One Arrow file with one record batch for each of the parts 0 … parts - 1. part: int64[rows]."""
    if (part[1:] < part[:-1]).any():
        order = np.argsort(part.astype(np.uint16), kind="stable")  # 16 bits: numpy sorts them by radix
        rows = rows.take(pa.array(order))
    borders = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=parts))])
    whole = one_chunk(rows).to_batches()[0] if rows.num_rows else pa.RecordBatch.from_pylist([], rows.schema)
    storage.make_folder(posixpath.dirname(path))
    store, inner = storage.filesystem(path)
    with store.open_output_stream(inner, compression=None) as file, pa.ipc.new_file(file, rows.schema) as writer:
        for n in range(parts):  # they live as long as the run: no need to sync them
            writer.write_batch(whole.slice(borders[n], borders[n + 1] - borders[n]))


def gather(paths: list[str], parts: Sequence[int]) -> list[pa.Table]:
    """The rows of each of some parts from files of `write_apart`, in the files' order."""
    batches: list[list[pa.RecordBatch]] = [[] for _ in parts]
    for path in paths:
        store, inner = storage.filesystem(path)
        with pa.memory_map(inner) if storage.is_local(path) else store.open_input_file(inner) as file:
            opened = pa.ipc.open_file(file)
            for held, part in zip(batches, parts, strict=True):
                held.append(opened.get_batch(part))
    return [pa.Table.from_batches(held) for held in batches]


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
