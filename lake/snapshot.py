"""The one storage primitive: immutable files that a manifest makes exist. What a snapshot is, and reading it.

`<table>/as_of=D/<identity>.json` is the manifest; it names files in a folder beside it. `lake/writing.py` makes both.
"""

import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lake import storage
from lake.hashing import bucket_of, canonical_json, sha256_of
from lake.refusal import Refusal
from lake.tables import table


class Damaged(Refusal):
    """A file differs from what its manifest says."""


@dataclass(frozen=True)
class Plan:
    """What a snapshot would be: its table, date, parameters and inputs (name → content hash)."""

    table: str
    as_of: date
    parameters: dict[str, object] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    @cached_property
    def identity(self) -> str:
        declared = table(self.table)
        return sha256_of(canonical_json(
            [declared.name, declared.version, self.as_of.isoformat(), self.parameters, self.inputs]))


@dataclass(frozen=True)
class Manifest:
    """What a snapshot is. `files`: path relative to the manifest's folder, sha256, size, rows. `extra`: facts of the
    table's own (recall, counts). `recorded`: clock readings and revisions, outside every hash."""

    table: str
    version: int
    as_of: date
    identity: str
    content_hash: str
    rows: int
    files: list[dict]
    parameters: dict
    inputs: dict
    schema: dict[str, str]
    profile: dict
    checks: list[dict]
    extra: dict
    recorded: dict

    @property
    def folder(self) -> str:
        return folder_of(self.table, self.as_of)

    def file(self, name: str) -> dict:
        """What the manifest says of the file whose name ends so. KeyError when there is none."""
        for file in self.files:
            if posixpath.basename(file["path"]) == name:
                return file
        raise KeyError(f"{self.table} as of {self.as_of} has no file {name!r}")

    def path(self, name: str) -> str:
        """Absolute path of the file whose name ends so. KeyError when there is none."""
        return posixpath.join(self.folder, self.file(name)["path"])


def folder_of(name: str, as_of: date) -> str:
    return storage.join("lake", name, f"as_of={as_of.isoformat()}")


def manifest_path(plan: Plan) -> str:
    return f"{folder_of(plan.table, plan.as_of)}/{plan.identity}.json"


def find(plan: Plan) -> Manifest | None:
    """The committed snapshot of a plan, or None."""
    path = manifest_path(plan)
    stamp = storage.stamp(path)
    return _parse(path, stamp) if stamp else None


def load(name: str, as_of: date, identity: str) -> Manifest:
    """The snapshot with this identity. Damaged when its manifest is gone."""
    path = f"{folder_of(name, as_of)}/{identity}.json"
    stamp = storage.stamp(path)
    if not stamp:
        raise Damaged(f"{path} is missing; `python -m jobs.rollback` returns to an earlier release")
    return _parse(path, stamp)


def committed(name: str, start: date = date.min, end: date = date.max) -> list[tuple[date, str]]:
    """(as_of, identity) of every snapshot of a table with as_of in [start, end), for reports, comparisons with earlier
    nights and clean-up; no job computes rows from it."""
    dated = [date.fromisoformat(entry.removeprefix("as_of=")) for entry in storage.names(storage.join("lake", name))]
    return [(as_of, file[:-5]) for as_of in dated if start <= as_of < end
            for file in storage.names(folder_of(name, as_of)) if file.endswith(".json")]


def remove(manifest: Manifest) -> None:
    """Take a snapshot away for good: the manifest first, so that it no longer exists, then its files. Only for clean-up
    and erasure."""
    storage.delete_file(f"{manifest.folder}/{manifest.identity}.json")
    for folder in {posixpath.dirname(file["path"]) for file in manifest.files}:
        storage.delete_folder(f"{manifest.folder}/{folder}")


@lru_cache(maxsize=10_000)
def _parse(path: str, stamp: tuple[int, int]) -> Manifest:
    """Manifests never change, so a process parses each once; the stamp notices a damaged one."""
    try:
        content = json.loads(storage.read_bytes(path))
        return Manifest(**{**content, "as_of": date.fromisoformat(content["as_of"])})
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is not a manifest: {error}") from error


def paths(manifest: Manifest) -> list[str]:
    """Absolute paths of the data files, after checking that each is there with its size. Damaged names the file."""
    return [_whole(manifest, file) for file in manifest.files]


def _whole(manifest: Manifest, file: dict) -> str:
    path = f"{manifest.folder}/{file['path']}"
    actual = storage.size(path)
    if actual != file["size"]:
        found = "missing" if actual is None else f"{actual} bytes"
        raise Damaged(f"{path}: {found}, its manifest says {file['size']} bytes")
    return path


def read(manifest: Manifest, columns: list[str] | None = None, buckets: Iterable[int] | None = None) -> pa.Table:
    """Rows in key order within each bucket, with page checksums verified. Damaged names the file that fails.

    columns: all when None. buckets: only the rows of these buckets, all when None; what holds none of them is not read.
    """
    declared = table(manifest.table)
    schema = declared.schema
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    wanted = {bucket for file in manifest.files for group in file["row_groups"] for bucket in group}
    wanted = wanted if buckets is None else wanted.intersection(buckets)
    pieces = [schema.empty_table()]
    for file in manifest.files:
        path = _whole(manifest, file)
        try:
            pieces.append(_read_file(path, file["row_groups"], schema, wanted, declared.bucket_by))
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"{path}: {error}") from error
    return pa.concat_tables(pieces)


def _read_file(path: str, row_groups: list[list[int]], schema: pa.Schema, wanted: set[int], bucket_by: str) -> pa.Table:
    """The rows of the wanted buckets; a file without one is not opened."""
    numbers = [number for number, group in enumerate(row_groups) if wanted.intersection(group)]
    if not numbers:
        return schema.empty_table()
    partial = any(not wanted.issuperset(row_groups[number]) for number in numbers)
    columns = list(dict.fromkeys([*schema.names, bucket_by])) if partial else schema.names
    store, inner = storage.filesystem(path)
    with pq.ParquetFile(inner, filesystem=store, page_checksum_verification=True) as stored:
        rows = stored.read_row_groups(numbers, columns=columns, use_threads=len(numbers) > 1)
    if partial:
        rows = rows.filter(pa.array(np.isin(bucket_of(rows[bucket_by].to_numpy()), list(wanted))))
    return rows.select(schema.names).cast(schema)


def read_verified(manifest: Manifest, name: str) -> bytes:
    """The bytes of one file of a snapshot, sha256 checked before anything parses them."""
    path = _whole(manifest, manifest.file(name))
    content = storage.read_bytes(path)
    if sha256_of(content) != manifest.file(name)["sha256"]:
        raise Damaged(f"{path}: sha256 differs from its manifest; `python -m jobs.rollback` returns to a whole release")
    return content


def verify(manifest: Manifest) -> None:
    """Check sha256 of every file. Damaged names the first that differs."""
    for file in manifest.files:
        read_verified(manifest, posixpath.basename(file["path"]))
