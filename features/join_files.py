"""Files of a join in flight: Arrow files whose record batches are the rows of one part, and Parquet that reads fast.

They hold columns packed: whole numbers in half the bytes where they all fit, an instant as its distance from another one,
and no word of nulls where there is none. What moves is what such a file costs.
"""

import itertools
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features import compiled
from lake import storage
from lake.columns import one_array

Task = Callable[[int], dict]
Spread = Callable[[Task, Sequence[int]], list[dict]]
_HALF = 2**31
_PACKED = b"nightreel.packed"


def write_apart(path: str, rows: pa.Table, part: np.ndarray, parts: int) -> list[int]:
    """One Arrow file with one record batch for each of the parts 0 … parts - 1; their rows. part: int64[rows]. IndexError
    for a part that is none of them."""
    if len(part) and not 0 <= part.min() <= part.max() < parts:  # compiled loops check no bounds
        raise IndexError(f"rows for parts from {part.min()} to {part.max()}, but there are {parts}")
    rows = packed(rows)
    place, borders = compiled.places_of(part, parts)
    if (part[1:] < part[:-1]).any():
        rows = _placed(rows, place)
    batch = _batch(rows)
    _write_batches(path, rows.schema, (batch.slice(start, end - start) for start, end in itertools.pairwise(borders)))
    return np.diff(borders).tolist()


def _placed(rows: pa.Table, place: np.ndarray) -> pa.Table:
    """Each row at its place (uint32[rows])."""
    order, columns = None, []
    for column in map(one_array, rows.columns):
        if (numbers := _numbers_of(column)) is not None:
            columns.append(pa.array(compiled.put(numbers, place)).view(column.type))
        else:
            order = compiled.put(np.arange(rows.num_rows), place) if order is None else order
            columns.append(column.take(pa.array(order)))
    return pa.Table.from_arrays(columns, schema=rows.schema)


def taken(rows: pa.Table, order: np.ndarray, schema: pa.Schema) -> pa.Table:
    """Some rows in an order (int64[N]), packed as they are or not, as the schema says."""
    columns = []
    for column, kind in zip(map(one_array, rows.columns), schema.types, strict=True):
        if (numbers := _numbers_of(column)) is not None:
            found = np.empty(len(order), np.int32 if kind.bit_width == 32 else np.int64)
            compiled.take(numbers, order, found)
            columns.append(pa.array(found).view(kind))
        else:
            columns.append(column.take(pa.array(order)).cast(kind))
    return pa.Table.from_arrays(columns, schema=schema)


def _numbers_of(column: pa.Array) -> np.ndarray | None:
    """The bits of values that are four or eight bytes each, int32[rows] or int64[rows]; None of others or with nulls."""
    bits = 0 if column.null_count or not pa.types.is_primitive(column.type) else column.type.bit_width
    return column.view(pa.int32() if bits == 32 else pa.int64()).to_numpy() if bits in (32, 64) else None


def write_ascending(path: str, pieces: Sequence[pa.Table], column: str, borders: Sequence[int]) -> None:
    """The same of pieces that each ascend by a column: part n has the rows of all of them with borders[n] <= value <
    borders[n + 1], piece by piece."""
    rows = packed(pa.concat_tables(pieces))
    firsts = np.cumsum([0, *(piece.num_rows for piece in pieces)])
    cuts = np.stack([first + np.searchsorted(piece[column].to_numpy(), borders)
                     for first, piece in zip(firsts, pieces)], axis=1)                                # [borders, pieces]
    _write_batches(path, rows.schema, (_batch(pa.concat_tables(
        [rows.slice(start, end - start) for start, end in zip(*cut)])) for cut in itertools.pairwise(cuts)))


def _batch(rows: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([one_array(column) for column in rows.columns], schema=rows.schema)


def _write_batches(path: str, schema: pa.Schema, parts: Iterable[pa.RecordBatch]) -> None:
    storage.make_folder(posixpath.dirname(path))
    store, inner = storage.filesystem(path)
    with store.open_output_stream(inner, compression=None) as file, pa.ipc.new_file(file, schema) as writer:
        for rows in parts:  # they live as long as the run: no need to sync them
            writer.write_batch(rows)


def gather(paths: list[str], parts: Sequence[int]) -> list[pa.Table]:
    """The rows of each of some parts from files of `write_apart`, in the files' order."""
    return [pa.Table.from_batches(map(unpacked, held)) for held in _held(paths, parts)]


def gather_packed(paths: list[str], parts: Sequence[int]) -> list[pa.Table]:
    """The same, but of columns that are packed alike in every file: as they are there."""
    held = _held(paths, parts)
    schemas = [batch.schema for batch in held[0]]
    alike = [n for n, field in enumerate(schemas[0])
             if all(one.field(n).equals(field, check_metadata=True) for one in schemas)]
    return [pa.Table.from_batches([unpacked(batch, alike) for batch in batches]) for batches in held]


def gather_into(paths: list[str], part: int, place: str, rows: int) -> dict[str, np.ndarray]:
    """The columns of one part, all of whole numbers without nulls, int64[rows], each value where the column `place` says.
    ValueError unless every row from 0 to rows - 1 is there once."""
    pieces = _held(paths, [part])[0]
    places = [piece.column(place).cast(pa.int64()).to_numpy() for piece in pieces]
    if not np.array_equal(np.bincount(np.concatenate(places), minlength=rows), np.ones(rows)):
        raise ValueError(f"{rows} rows went in, {sum(map(len, places))} came out")
    found = {name: np.empty(rows, np.int64) for name in pieces[0].schema.names if name != place}
    for piece, at in zip(pieces, places, strict=True):
        for name, values in found.items():
            compiled.put_at(piece.column(name).to_numpy(), at, values)
    return found


def _held(paths: list[str], parts: Sequence[int]) -> list[list[pa.RecordBatch]]:
    batches: list[list[pa.RecordBatch]] = [[] for _ in parts]
    for path in paths:
        store, inner = storage.filesystem(path)
        with pa.memory_map(inner) if storage.is_local(path) else store.open_input_file(inner) as file:
            opened = pa.ipc.open_file(file)
            for held, part in zip(batches, parts, strict=True):
                held.append(opened.get_batch(part))
    return batches


def packed(rows: pa.Table, since: Mapping[str, str] = MappingProxyType({})) -> pa.Table:
    """The same in fewer bytes, and how it was; of packed rows themselves. since: column of instants → one of the same type,
    from which it is never far."""
    columns, fields = rows.columns, list(rows.schema)
    for n, field in enumerate(rows.schema):
        column, kind, was = columns[n], field.type, ""
        if _PACKED in (field.metadata or {}):
            continue
        start = rows.column(since[field.name]) if field.name in since else None
        if start is not None and pa.types.is_timestamp(kind) and start.type == kind \
                and not start.null_count + column.null_count:
            column, was = pc.subtract(column.cast(pa.int64()), start.cast(pa.int64())), f"since {since[field.name]}"
        if pa.types.is_int64(column.type):
            ends = pc.min_max(column).as_py()
            if ends["min"] is None or -_HALF <= ends["min"] and ends["max"] < _HALF:
                kind, column, was = pa.int32(), column.cast(pa.int32(), safe=False), was or "int64"
        if kind == field.type:
            column, was = columns[n], ""
        columns[n], told = column, {_PACKED: f"{was}:{field.nullable:d}"}
        fields[n] = pa.field(field.name, kind, column.null_count > 0, told)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def unpacked(rows: pa.RecordBatch | pa.Table, but: Sequence[int] = ()) -> pa.RecordBatch | pa.Table:
    """As the rows were before `packed`; columns with some numbers as they are."""
    columns, schema = rows.columns, rows.schema
    fields = list(schema)
    for n, field in enumerate(schema):
        was = unpacked_field(schema, n)
        if n in but or was is field:
            continue
        fields[n], column = was, columns[n]
        if start := needed_with(field):
            since = rows.column(start).cast(pa.int64())
            columns[n] = pa.array(compiled.after(*(one_array(one).to_numpy() for one in (since, column)))).view(was.type)
        elif column.type != was.type:
            columns[n] = column.cast(was.type)
    return type(rows).from_arrays(columns, schema=pa.schema(fields, schema.metadata))


def unpacked_schema(schema: pa.Schema) -> pa.Schema:
    """As it was before `packed`."""
    return pa.schema([unpacked_field(schema, n) for n in range(len(schema))])


def unpacked_field(schema: pa.Schema, number: int) -> pa.Field:
    """As it was before `packed`."""
    field = schema.field(number)
    if _PACKED not in (field.metadata or {}):
        return field
    start, (kind, _, nullable) = needed_with(field), field.metadata[_PACKED].decode().rpartition(":")
    return pa.field(field.name, schema.field(start).type if start else kind or field.type, nullable == "1")


def needed_with(field: pa.Field) -> str | None:
    """The column without which a packed one can't be unpacked."""
    kind, _, name = (field.metadata or {}).get(_PACKED, b"").decode().rpartition(":")[0].partition(" ")
    return name if kind == "since" else None


def write_parquet(path: str, schema: pa.Schema, groups: Iterable[pa.Table]) -> None:
    """A Parquet file with these row groups, pages checksummed. Whole numbers and instants as packed differences: small,
    and as quick to read as plain ones, which general compression is not."""
    _write(path, schema, groups, dict.fromkeys(_numbers(schema), "DELTA_BINARY_PACKED"), "none")


def write_laid_out(path: str, schema: pa.Schema, groups: Iterable[pa.Table]) -> None:
    """The same for the join alone to read: whole numbers and instants compressed by LZ4, those of eight bytes split by place
    first, which is as small as packed differences and a third quicker to write; not every reader knows it. No least and
    greatest values: nobody skips by them."""
    _write(path, schema, groups, {name: "BYTE_STREAM_SPLIT" if schema.field(name).type.bit_width == 64 else "PLAIN"
                                  for name in _numbers(schema)}, "lz4", write_statistics=False)


def _numbers(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)]


def _write(path: str, schema: pa.Schema, groups: Iterable[pa.Table], encoding: dict[str, str], compression: str,
           **options: bool) -> None:
    """encoding: of columns that get this compression."""
    rest = [field.name + (".list.element" if pa.types.is_list(field.type) else "") for field in schema
            if field.name not in encoding]
    storage.make_folder(posixpath.dirname(path))
    store, inner = storage.filesystem(path)
    with store.open_output_stream(inner, compression=None) as file, \
            pq.ParquetWriter(file, schema, write_page_checksum=True, use_dictionary=rest, column_encoding=encoding,
                             compression=dict.fromkeys(rest, "zstd") | dict.fromkeys(encoding, compression),
                             **options) as writer:
        for rows in groups:
            writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
