"""What the join reads: Parquet files of a person's own, or tables of the lake, in runs of pieces for one task each.

A table may lie by key already (`Layout`): the lake's events by user, and whatever `python -m jobs.lay_out` laid out.
Then a part of the join reads its own buckets, and nothing is moved.
"""

import json
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from features import compiled
from features.join_files import needed_with, unpacked, unpacked_schema
from lake import lineage, snapshot, storage
from lake.columns import TIMESTAMP, one_array
from lake.hashing import BUCKETS, id_of_string
from lake.snapshot import Manifest
from lake.tables import table

ROWS_PER_RUN = 1_000_000
LAYOUT = "layout.json"
_KINDS = {"user_id": "user", "video_id": "video", "creator_id": "creator", "event_id": "event"}


@dataclass(frozen=True)
class Piece:
    """`rows` rows from number `first` of their source: row groups of a Parquet file, or buckets of a lake snapshot (of
    which `rows` is then the snapshot's share, not exact)."""

    first: int
    rows: int
    path: str = ""
    row_groups: tuple[int, ...] = ()
    manifest: Manifest | None = None
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Run:
    """Pieces that follow each other, for one task."""

    pieces: tuple[Piece, ...]

    @property
    def first(self) -> int:
        return self.pieces[0].first

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)


@dataclass(frozen=True)
class Layout:
    """A table by key: rows lie in the 64 buckets of `part_of` their key (of an int64: its `bucket_of`), those of a
    bucket by key and event time, with the columns of `schema`. `buckets`: bucket → its pieces; or `manifests`: the
    snapshots that hold them all."""

    schema: pa.Schema
    buckets: dict[int, tuple[Piece, ...]] = field(default_factory=dict)
    manifests: tuple[Manifest, ...] = ()

    def rows(self, buckets: Sequence[int]) -> int:
        """How many rows lie in some buckets; of snapshots their share."""
        return sum(piece.rows for bucket in buckets for piece in self.buckets.get(bucket, ())) \
            + sum(manifest.rows for manifest in self.manifests) * len(buckets) // BUCKETS


@dataclass(frozen=True)
class Source:
    """A table in runs of pieces, at least one, with the columns of `schema`. `layouts`: by the key columns that rows lie
    by."""

    name: str
    schema: pa.Schema
    runs: tuple[Run, ...]
    layouts: dict[tuple[str, ...], Layout] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(run.rows for run in self.runs)

    def schema_by(self, key: tuple[str, ...]) -> pa.Schema:
        """The columns that there are for a lookup by a key."""
        return self.layouts[key].schema if key in self.layouts else self.schema


def nothing(name: str, schema: pa.Schema) -> Source:
    """A table without rows."""
    return Source(name, schema, (Run((Piece(0, 0),)),))


def absolute(path: str) -> str:
    """A path that a person typed, as `lake.storage` takes it."""
    return path.rstrip("/") if "://" in path else str(Path(path).absolute())


def of_path(path: str, rows_per_run: int = ROWS_PER_RUN) -> Source:
    """A Parquet file, a folder of them in the order of their names, or a folder of `jobs.lay_out`. ValueError when
    there is none, one is damaged, or their columns differ."""
    wanted = absolute(path)
    if is_laid_out(wanted):
        return _laid_out(path, wanted, rows_per_run)
    pieces, schema = _pieces(files(wanted), rows_per_run)
    return Source(path, schema, _runs(pieces, rows_per_run))


def _pieces(files: list[str], rows_per_run: int) -> tuple[list[Piece], pa.Schema]:
    pieces, schema, first = [], None, 0
    for file in files:
        store, inner = storage.filesystem(file)
        try:
            with pq.ParquetFile(inner, filesystem=store) as stored:
                found, metadata = unpacked_schema(stored.schema_arrow), stored.metadata
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{file} can't be read as Parquet: {error}") from error
        if schema is not None and not found.equals(schema):
            raise ValueError(f"{file} has other columns or types than {files[0]}; export them alike")
        schema = found
        sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        for groups in _together(sizes, rows_per_run):
            rows = sum(sizes[n] for n in groups)
            pieces.append(Piece(first, rows, file, tuple(groups)))
            first += rows
    return pieces, schema


def _runs(pieces: list[Piece], most: int) -> tuple[Run, ...]:
    pieces = [piece for piece in pieces if piece.rows] or pieces[:1]
    return tuple(Run(tuple(pieces[n] for n in numbers)) for numbers in _together([p.rows for p in pieces], most))


def _laid_out(name: str, path: str, rows_per_run: int) -> Source:
    told = json.loads(storage.read_bytes(f"{path}/{LAYOUT}"))
    layouts, runs, first = {}, (), pa.schema([])
    for by in told["layouts"]:
        pieces, schema = _pieces([f"{path}/{file['path']}" for file in by["files"]], 1)
        pieces = [piece for piece in pieces if piece.rows]
        if [piece.rows for piece in pieces] != [rows for file in by["files"] for rows in file["rows"]]:
            raise ValueError(f"{path}: its files differ from what its {LAYOUT} says; lay the table out again")
        buckets: dict[int, tuple[Piece, ...]] = {}
        for bucket, piece in zip([n for file in by["files"] for n in file["buckets"]], pieces, strict=True):
            buckets[bucket] = (*buckets.get(bucket, ()), piece)
        if not layouts:
            runs, first = _runs(pieces or [Piece(0, 0)], rows_per_run), schema
        layouts[tuple(by["key"])] = Layout(schema, buckets)
    return Source(name, first, runs, layouts)


def is_laid_out(path: str) -> bool:
    """Whether it is a folder of `jobs.lay_out`."""
    return storage.exists(f"{path}/{LAYOUT}")


def files(path: str) -> list[str]:
    """A Parquet file, or those of a folder in the order of their names. ValueError when there is none."""
    store, inner = storage.filesystem(path)
    info = store.get_file_info(inner)
    if info.type == fs.FileType.File:
        return [path]
    found = store.get_file_info(fs.FileSelector(inner, recursive=True, allow_not_found=True))
    names = sorted(one.path[len(inner):].lstrip("/") for one in found if one.type == fs.FileType.File
                   and one.path.endswith(".parquet") and not one.base_name.startswith(("_", ".")))
    if not names:
        raise ValueError(f"{path} is neither a Parquet file nor a folder of .parquet files")
    return [posixpath.join(path, name) for name in names]


def _together(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Runs of row groups of at most so many rows, or of one; one empty run for a file without any."""
    held: list[int] = []
    for n, size in enumerate(sizes):
        if held and sum(sizes[m] for m in held) + size > most:
            yield held
            held = []
        held.append(n)
    yield held


def of_lake(name: str, as_of: date) -> Source:
    """events, raw_videos or raw_users with every row that arrived before as_of, and some later ones: filter.
    Missing names a day that nobody sealed, or the command that builds the events."""
    lineage.require_sealed(as_of)
    manifests = lineage.chunks(name, as_of) if name == "events" \
        else [lineage.landed(entry) for entry in lineage.landings(name, as_of)]
    pieces = []
    for manifest in manifests:
        count = min(-(-manifest.rows // ROWS_PER_RUN), BUCKETS)
        pieces += [Piece(0, manifest.rows // count, manifest=manifest, buckets=tuple(range(n, BUCKETS, count)))
                   for n in range(count)]
    return Source(name, table(name).schema, _runs(pieces or [Piece(0, 0)], ROWS_PER_RUN),
                  {(table(name).bucket_by,): Layout(table(name).schema, manifests=tuple(manifests))})


def read(source: Source, run: Run, columns: Sequence[str]) -> pa.Table:
    """The run's rows in their order, page checksums verified where the files have them."""
    return _read(source.schema, run.pieces, columns)


def read_buckets(layout: Layout, columns: Sequence[str], buckets: Sequence[int]) -> pa.Table:
    """The rows of some buckets of a layout, bucket by bucket or snapshot by snapshot."""
    if layout.manifests:
        return pa.concat_tables([snapshot.read(manifest, list(columns), buckets) for manifest in layout.manifests])
    return _read(layout.schema, [piece for bucket in buckets for piece in layout.buckets.get(bucket, ())], columns)


def all_apart(rows: pa.Table, columns: Sequence[str]) -> bool:
    """Whether rows ascend strictly by these integer or instant (microseconds count) columns, so that no two are equal in
    them all. False where one has a null."""
    equal = np.ones(rows.num_rows, bool)  # to the row before, in the columns so far
    equal[:1] = False
    for name in columns:
        if rows[name].null_count:
            return False
        column = one_array(rows[name])
        column = column.cast(TIMESTAMP, safe=False) if pa.types.is_timestamp(column.type) else column
        if compiled.fall(column.cast(pa.int64()).to_numpy(), equal):
            return False
    return not equal.any()


def _read(schema: pa.Schema, pieces: Sequence[Piece], columns: Sequence[str]) -> pa.Table:
    empty = pa.schema([schema.field(name) for name in columns]).empty_table()
    together: dict[str, list[Piece]] = {}
    for piece in pieces:
        together.setdefault(piece.path, []).append(piece)
    read = [_read_file(path, held, columns, empty) for path, held in together.items()]
    return read[0] if len(read) == 1 else pa.concat_tables([empty, *read])


def _read_file(path: str, pieces: list[Piece], columns: Sequence[str], empty: pa.Table) -> pa.Table:
    if not path:
        found = [snapshot.read(p.manifest, list(columns), p.buckets) for p in pieces if p.manifest is not None]
        return pa.concat_tables(found) if found else empty
    store, inner = storage.filesystem(path)
    with pq.ParquetFile(inner, filesystem=store, page_checksum_verification=True) as stored:
        groups = [group for piece in pieces for group in piece.row_groups]
        asked = dict.fromkeys([*columns, *filter(None, (needed_with(stored.schema_arrow.field(name)) for name in columns))])
        rows = stored.read_row_groups(groups, columns=list(asked), use_threads=False)
    if rows.num_rows != sum(piece.rows for piece in pieces):
        raise RuntimeError(f"{path} changed while it was read; run the command again")
    return unpacked(rows.replace_schema_metadata(None)).select(list(columns))


def id_types(as_of: date | None = None) -> dict[str, str]:
    """What ids of users, videos, … were in the log: "int64" or "string"."""
    return {kind: told for entry in lineage.landings("raw_events", as_of) for kind, told in entry["id_types"].items()}


def with_lake_ids(rows: pa.Table, names: Sequence[tuple[str, str]], types: dict[str, str]) -> pa.Table:
    """String ids of a spine as the lake's integers, where the log had strings. names: (spine column, lake column)."""
    for ours, theirs in names:
        column = rows[ours].combine_chunks()
        text = pa.types.is_dictionary(column.type) or pa.types.is_string(column.type) \
            or pa.types.is_large_string(column.type)
        if not text or types.get(_KINDS.get(theirs, "")) != "string":
            continue
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        ids = np.fromiter(map(id_of_string, encoded.dictionary.to_pylist()), np.int64, len(encoded.dictionary))
        rows = rows.set_column(rows.column_names.index(ours), ours, pa.array(ids).take(encoded.indices))
    return rows
