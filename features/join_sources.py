"""What the join reads: Parquet files of a person's own, or tables of the lake, in pieces for one task each."""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from lake import lineage, snapshot, storage
from lake.hashing import BUCKETS, id_of_string
from lake.snapshot import Manifest
from lake.tables import table

ROWS_PER_PIECE = 1_000_000
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
class Source:
    """A table in pieces, at least one."""

    name: str
    schema: pa.Schema
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)


def absolute(path: str) -> str:
    """A path that a person typed, as `lake.storage` takes it."""
    return path.rstrip("/") if "://" in path else str(Path(path).absolute())


def of_path(path: str, rows_per_piece: int = ROWS_PER_PIECE) -> Source:
    """A Parquet file, or a folder of them in the order of their names. ValueError when there is none, one is
    damaged, or their columns differ."""
    pieces, schema, first = [], None, 0
    files = _files(absolute(path))
    for file in files:
        store, inner = storage.filesystem(file)
        try:
            with pq.ParquetFile(inner, filesystem=store) as stored:
                found, metadata = stored.schema_arrow.remove_metadata(), stored.metadata
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{file} can't be read as Parquet: {error}") from error
        if schema is not None and not found.equals(schema):
            raise ValueError(f"{file} has other columns or types than {files[0]}; export them alike")
        schema = found
        sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        for groups in _together(sizes, rows_per_piece):
            rows = sum(sizes[n] for n in groups)
            pieces.append(Piece(first, rows, file, tuple(groups)))
            first += rows
    return Source(path, schema, tuple([piece for piece in pieces if piece.rows] or pieces[:1]))


def _files(path: str) -> list[str]:
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
        count = min(-(-manifest.rows // ROWS_PER_PIECE), BUCKETS)
        pieces += [Piece(0, manifest.rows // count, manifest=manifest, buckets=tuple(range(n, BUCKETS, count)))
                   for n in range(count)]
    return Source(name, table(name).schema, tuple(pieces) or (Piece(0, 0),))


def read(source: Source, piece: Piece, columns: Sequence[str]) -> pa.Table:
    """The piece's rows in their order, page checksums verified where the file has them."""
    schema = pa.schema([source.schema.field(name) for name in columns])
    if piece.manifest is not None:
        return snapshot.read(piece.manifest, list(columns), piece.buckets)
    if not piece.row_groups:
        return schema.empty_table()
    store, inner = storage.filesystem(piece.path)
    with pq.ParquetFile(inner, filesystem=store, page_checksum_verification=True) as stored:
        rows = stored.read_row_groups(list(piece.row_groups), columns=list(columns)).select(list(columns))
    if rows.num_rows != piece.rows:
        raise RuntimeError(f"{piece.path} changed while it was read; run the command again")
    return rows.replace_schema_metadata(None)


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
