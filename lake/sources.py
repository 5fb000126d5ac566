"""Files that people hand over: listed, hashed, and read in batches by column name.

Nothing here knows what a column means. A file that is not whole or not what its name says is refused, named.
"""

import codecs
import csv
import hashlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from pyarrow import fs

from lake import storage

BATCH_ROWS = 262_144
CSV_BLOCK_BYTES = 32 << 20
_FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv", ".dat": "lines"}


class Refused(Exception):
    """The data can't be landed as it is; the message says what, why, where and what to do. Nothing was written."""


@dataclass(frozen=True)
class File:
    """One source file. `name` is relative to the path a person named; `modified_ns` only tells whether it changed."""

    path: str
    name: str
    format: str
    size: int
    modified_ns: int


def find(path: str) -> list[File]:
    """The data files at a path, by name: the file itself, or every .parquet, .csv, .csv.gz and .dat below a folder.

    Names that begin with a dot or an underscore are skipped. FileNotFoundError when there is nothing at the path;
    Refused when there are only files of other kinds.
    """
    root = path if "://" in path else os.path.abspath(path)
    info = _info(path)
    if info.type == fs.FileType.NotFound:
        raise FileNotFoundError(f"there is nothing at {shown(path)}")
    if info.type == fs.FileType.File:
        kind = _format(info.base_name)
        if kind is None:
            raise Refused(f"{info.base_name}: neither .parquet nor .csv; export it as one of them")
        return [File(root, info.base_name, kind, info.size, info.mtime_ns or 0)]
    store, inner = storage.filesystem(root)
    return _in_folder(root, inner, store.get_file_info(fs.FileSelector(inner, recursive=True)))


def is_there(path: str) -> bool:
    """Whether a file or folder exists at a path that a person named."""
    return _info(path).type != fs.FileType.NotFound


def shown(path: str) -> str:
    """A path as messages show it: quoted, cut, and without the credentials that a URI may hold."""
    return repr(re.sub(r"(?<=://)[^/]*@", "", path)[:200])


def _info(path: str) -> fs.FileInfo:
    try:
        store, inner = storage.filesystem(path if "://" in path else os.path.abspath(path))
        return store.get_file_info(inner)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FileNotFoundError(f"{shown(path)} can't be looked up: {type(error).__name__}") from error


def _in_folder(root: str, inner: str, infos: list[fs.FileInfo]) -> list[File]:
    found, others = [], []
    for info in infos:
        name = info.path[len(inner):].lstrip("/")
        if info.type != fs.FileType.File or any(part.startswith((".", "_")) for part in name.split("/")):
            continue
        if kind := _format(name):
            found.append(File(f"{root.rstrip('/')}/{name}", name, kind, info.size, info.mtime_ns or 0))
        else:
            others.append(name)
    if others and not found:
        raise Refused(f"{shown(root)} holds {min(others)[:80]!r} but no .parquet or .csv; export the log as one")
    return sorted(found, key=lambda file: file.name)


def _format(name: str) -> str | None:
    return next((kind for suffix, kind in _FORMATS.items() if name.lower().endswith(suffix)), None)


def sha256(file: File) -> str:
    """sha256 of the file's bytes, read in pieces."""
    hasher = hashlib.sha256()
    store, inner = storage.filesystem(file.path)
    with store.open_input_stream(inner, compression=None) as stream:
        while piece := stream.read(8 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def require_unchanged(file: File) -> None:
    """Refused when the file is not the one that was listed: someone still writes to it."""
    store, inner = storage.filesystem(file.path)
    info = store.get_file_info(inner)
    if (info.size, info.mtime_ns or 0) != (file.size, file.modified_ns):
        raise Refused(f"{file.name}: changed while it was read; land it when nothing writes to it any more")


def schema(file: File, names: tuple[str, ...] = ()) -> pa.Schema:
    """The columns of a file; every CSV column is a string. `names`: the columns of a file of lines (`a::b::c`).

    Refused when it is empty, truncated, no Parquet or CSV, or names a column twice.
    """
    if file.size == 0:
        raise Refused(f"{file.name}: 0 bytes; copy it again from where it comes")
    if file.format == "lines":
        return pa.schema([(name, pa.string()) for name in names])
    try:
        found = _open_parquet(file).schema_arrow if file.format == "parquet" else pa.schema(
            [(name, pa.string()) for name in _header(file)])
    except (OSError, pa.ArrowException, ValueError, csv.Error) as error:
        raise Refused(f"{file.name}: not a whole {file.format} file ({_short(error)})") from error
    twice = sorted({name for name in found.names if found.names.count(name) > 1})
    if twice:
        raise Refused(f"{file.name}: column {twice[0]!r} is there twice; columns are read by name")
    return found


def batches(file: File, columns: list[str], names: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
    """Rows in file order, only the named columns. Refused, naming the file, when it can't be read to its end."""
    try:
        if file.format == "parquet":
            yield from _open_parquet(file).iter_batches(BATCH_ROWS, columns=columns)
        elif file.format == "csv":
            yield from _open_csv(file, columns)
        else:
            yield from _lines(file, columns, names)
    except (OSError, pa.ArrowException) as error:
        raise Refused(f"{file.name}: not a whole {file.format} file ({_short(error)})") from error


def _open_parquet(file: File) -> pq.ParquetFile:
    store, inner = storage.filesystem(file.path)
    return pq.ParquetFile(inner, filesystem=store, page_checksum_verification=True)


def _open_csv(file: File, columns: list[str]) -> pacsv.CSVStreamingReader:
    """Every cell as text: what it means is decided cell by cell, not by the first block. An empty cell is null."""
    convert = pacsv.ConvertOptions(column_types={name: pa.string() for name in columns}, include_columns=columns,
                                   null_values=[""], strings_can_be_null=True)
    return pacsv.open_csv(_stream(file), pacsv.ReadOptions(block_size=CSV_BLOCK_BYTES),
                          pacsv.ParseOptions(newlines_in_values=True), convert)


def _header(file: File) -> list[str]:
    with _stream(file) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""))
        return next(rows, [])


def _stream(file: File) -> pa.NativeFile:
    store, inner = storage.filesystem(file.path)
    return store.open_input_stream(inner, compression="gzip" if file.name.lower().endswith(".gz") else None)


def _lines(file: File, columns: list[str], names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """`a::b::c` lines, which no CSV reader splits."""
    read = pacsv.ReadOptions(block_size=CSV_BLOCK_BYTES, column_names=["line"], encoding=_encoding(file))
    parse = pacsv.ParseOptions(delimiter="\x01", quote_char=False)
    lines = pacsv.ConvertOptions(column_types={"line": pa.string()})
    for batch in pacsv.open_csv(_stream(file), read, parse, lines):
        parts = pc.split_pattern(batch["line"], "::")
        if not pc.all(pc.equal(pc.list_value_length(parts), len(names))).as_py():
            raise Refused(f"{file.name}: a line does not have the {len(names)} fields {'::'.join(names)}")
        fields = {name: pc.list_element(parts, n) for n, name in enumerate(names)}
        yield pa.RecordBatch.from_pydict({name: fields[name] for name in columns})


def _encoding(file: File) -> str:
    """utf8, or latin-1 where the bytes are not UTF-8 (MovieLens 1M)."""
    decoder = codecs.getincrementaldecoder("utf8")()
    with _stream(file) as stream:
        try:
            while piece := stream.read(8 << 20):
                decoder.decode(piece)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf8"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
