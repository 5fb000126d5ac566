"""The one storage primitive: immutable files that a manifest, created last, makes exist.

    attempt = snapshot.begin(plan)              a folder of this attempt's own
    parts = [snapshot.write_part(...)]          Parquet, one row group per bucket; hashed and profiled on the way
    snapshot.commit(attempt, parts, checks)     `<table>/as_of=D/<identity>.json`, created if absent

A second writer of the same identity finds the manifest, drops its own files and returns the first one's.
"""

import json
import os
import posixpath
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lake import storage
from lake.hashing import bucket_of, canonical_json, digest, rows_hash, sha256_of
from lake.profile import key_duplicates, merge_profiles, profile_rows
from lake.tables import Table, table

ROWS_WORTH_A_GROUP = 20_000


class Damaged(Exception):
    """A file differs from what its manifest says."""


@dataclass(frozen=True)
class Plan:
    """What a snapshot would be: its table, date, parameters and inputs (name → content hash)."""

    table: str
    as_of: date
    parameters: dict[str, object] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    @property
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
        return _folder(self.table, self.as_of)

    def file(self, name: str) -> dict:
        """What the manifest says of the file whose name ends so. KeyError when there is none."""
        for file in self.files:
            if posixpath.basename(file["path"]) == name:
                return file
        raise KeyError(f"{self.table} as of {self.as_of} has no file {name!r}")

    def path(self, name: str) -> str:
        """Absolute path of the file whose name ends so. KeyError when there is none."""
        return posixpath.join(self.folder, self.file(name)["path"])


@dataclass(frozen=True)
class Attempt:
    """A folder that one run of a job may write to."""

    plan: Plan
    folder: str


def _folder(name: str, as_of: date) -> str:
    return storage.join("lake", name, f"as_of={as_of.isoformat()}")


def manifest_path(plan: Plan) -> str:
    return f"{_folder(plan.table, plan.as_of)}/{plan.identity}.json"


def find(plan: Plan) -> Manifest | None:
    """The committed snapshot of a plan, or None."""
    path = manifest_path(plan)
    return _parse(path) if storage.exists(path) else None


def load(name: str, as_of: date, identity: str) -> Manifest:
    """The snapshot with this identity. Damaged when its manifest is gone."""
    path = f"{_folder(name, as_of)}/{identity}.json"
    if not storage.exists(path):
        raise Damaged(f"{path} is missing; `python -m jobs.rollback` returns to an earlier release")
    return _parse(path)


def committed(name: str, start: date = date.min, end: date = date.max) -> list[tuple[date, str]]:
    """(as_of, identity) of every snapshot of a table with as_of in [start, end), for reports, comparisons with earlier
    nights and clean-up; no job computes rows from it."""
    dated = [date.fromisoformat(entry.removeprefix("as_of=")) for entry in storage.names(storage.join("lake", name))]
    return [(as_of, file[:-5]) for as_of in dated if start <= as_of < end
            for file in storage.names(_folder(name, as_of)) if file.endswith(".json")]


def _parse(path: str) -> Manifest:
    return _parse_stamped(path, storage.stamp(path))


@lru_cache(maxsize=10_000)
def _parse_stamped(path: str, stamp: tuple[int, int] | None) -> Manifest:
    """Manifests never change, so a process parses each once; the stamp notices a damaged one."""
    try:
        content = json.loads(storage.read_bytes(path))
        return Manifest(**{**content, "as_of": date.fromisoformat(content["as_of"])})
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is not a manifest: {error}") from error


def begin(plan: Plan) -> Attempt:
    """Open a folder of this attempt's own."""
    folder = f"{_folder(plan.table, plan.as_of)}/{plan.identity[:16]}-{uuid.uuid4().hex[:12]}"
    storage.make_folder(folder)
    return Attempt(plan, folder)


def write_part(name: str, folder: str, rows: pa.Table, part: str) -> dict:
    """Write rows of whole buckets as one Parquet file: bucket after bucket, each ordered by key, pages checksummed. A
    row group holds one bucket, or as many small ones in a row as make `ROWS_WORTH_A_GROUP`.

    Returns a JSON-able account of the file: path, size, sha256, rows, the buckets of each row group, a content hash per
    bucket, and the profile that validation judges. Runs in a Spark worker as well as in the driver; rows may come in any
    order and chunking.
    """
    declared = table(name)
    rows = rows.select(declared.schema.names).cast(declared.schema)
    path = f"{folder}/{part}.parquet"
    buckets: dict[str, str] = {}
    groups: list[list[int]] = []
    profile = profile_rows(declared, rows)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, declared.schema, compression="zstd", write_page_checksum=True,
                          use_dictionary=_texts(declared)) as writer:
        for group in _row_groups(declared, rows):
            writer.write_table(pa.concat_tables(group.values()), row_group_size=max(rows.num_rows, 1))
            groups.append(list(group))
            buckets |= {str(bucket): rows_hash(bucket_rows) for bucket, bucket_rows in group.items()}
            profile["duplicate_keys"] += sum(key_duplicates(declared, bucket_rows) for bucket_rows in group.values())
    content = sink.getvalue().to_pybytes()
    storage.write_bytes(path, content)
    return {"path": _relative(path), "size": len(content), "sha256": sha256_of(content), "rows": rows.num_rows,
            "row_groups": groups, "buckets": buckets, "profile": profile}


def _texts(declared: Table) -> list[str]:
    """Column paths worth a dictionary: ids and times rarely repeat, and trying costs more than writing them."""
    return [c.name + (".list.element" if pa.types.is_list(c.type) else "") for c in declared.columns
            if pa.types.is_string(c.type) or pa.types.is_list(c.type) and pa.types.is_string(c.type.value_type)]


def write_file(attempt: Attempt, name: str, content: bytes) -> dict:
    """Write an artifact that is no table (weights, an index): the same account, without buckets."""
    path = f"{attempt.folder}/{name}"
    storage.write_bytes(path, content)
    return {"path": _relative(path), "size": len(content), "sha256": sha256_of(content), "rows": 0}


def _relative(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def _row_groups(declared: Table, rows: pa.Table) -> Iterable[dict[int, pa.Table]]:
    group: dict[int, pa.Table] = {}
    for bucket, bucket_rows in _by_bucket(declared, rows):
        group[bucket] = bucket_rows
        if sum(held.num_rows for held in group.values()) >= ROWS_WORTH_A_GROUP:
            yield group
            group = {}
    if group:
        yield group


def _by_bucket(declared: Table, rows: pa.Table) -> Iterable[tuple[int, pa.Table]]:
    buckets = bucket_of(rows[declared.bucket_by].to_numpy())
    ordered = rows.append_column("_bucket", pa.array(buckets))
    ordered = ordered.sort_by([("_bucket", "ascending"), *((key, "ascending") for key in declared.key)])
    borders = np.searchsorted(ordered["_bucket"].to_numpy(), np.arange(65))
    ordered = ordered.drop_columns("_bucket")
    for bucket in range(64):
        if borders[bucket + 1] > borders[bucket]:
            yield bucket, ordered.slice(borders[bucket], borders[bucket + 1] - borders[bucket])


def content_hash(name: str, parts: list[dict]) -> str:
    """One hash of a snapshot's content: its buckets' in order, or its files' by name for artifacts.

    ValueError when a bucket is in two files: then rows of one bucket were not brought together before writing.
    """
    declared = table(name)
    if not declared.columns:
        return digest(f"{posixpath.basename(part['path'])}:{part['sha256']}" for part in
                      sorted(parts, key=lambda part: posixpath.basename(part["path"])))
    pairs = sorted((int(bucket), value) for part in parts for bucket, value in part["buckets"].items())
    if len({bucket for bucket, _ in pairs}) != len(pairs):
        raise ValueError(f"{name}: a bucket was written to two files")
    return digest([declared.name, *(f"{bucket}:{value}" for bucket, value in pairs)])


def total_profile(name: str, parts: list[dict]) -> dict:
    """The profile of the whole snapshot, for validation before the commit."""
    return merge_profiles(table(name), [part["profile"] for part in parts])


def commit(attempt: Attempt, parts: list[dict], checks: list[dict], extra: dict | None = None,
           recorded: dict | None = None) -> Manifest:
    """Create the manifest; the snapshot exists from here on. Returns the manifest that exists, ours or the first one's.

    FileNotFoundError when a file of the attempt is gone (another attempt finished and cleaned up).
    """
    declared, plan = table(attempt.plan.table), attempt.plan
    folder = _folder(plan.table, plan.as_of)
    for part in parts:
        if storage.size(f"{folder}/{part['path']}") != part["size"]:
            raise FileNotFoundError(f"{folder}/{part['path']} is not as it was written; run the command again")
    manifest = Manifest(
        table=declared.name, version=declared.version, as_of=plan.as_of, identity=plan.identity,
        content_hash=content_hash(declared.name, parts), rows=sum(part["rows"] for part in parts),
        files=[_file_entry(part) for part in parts],
        parameters=plan.parameters, inputs=plan.inputs,
        schema={c.name: str(c.type) for c in declared.columns},
        profile=total_profile(declared.name, parts) if declared.columns else {},
        checks=checks, extra=extra or {}, recorded={"committed_at": datetime.now(UTC).isoformat(),
                                                    "revision": os.environ.get("NIGHTREEL_REVISION", ""),
                                                    **(recorded or {})})
    content = canonical_json({**asdict(manifest), "as_of": plan.as_of.isoformat()})
    made = storage.create_if_absent(manifest_path(plan), content)
    found = manifest if made else _parse(manifest_path(plan))
    _clean(plan, found)
    return found


def _file_entry(part: dict) -> dict:
    entry = {key: part[key] for key in ("path", "size", "sha256", "rows")}
    return entry | {"row_groups": part["row_groups"]} if "row_groups" in part else entry


def abandon(attempt: Attempt) -> None:
    """Remove what a refused attempt wrote."""
    storage.delete_folder(attempt.folder)


def _clean(plan: Plan, kept: Manifest) -> None:
    """Remove folders of other attempts at this same identity: they lost or were killed and can never commit."""
    used = {file["path"].split("/")[0] for file in kept.files}
    folder = _folder(plan.table, plan.as_of)
    for name in storage.names(folder):
        if name.startswith(f"{plan.identity[:16]}-") and name not in used:
            storage.delete_folder(f"{folder}/{name}")


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

    columns: all when None. buckets: only the rows of these buckets, all when None.
    """
    schema = table(manifest.table).schema
    wanted = schema.names if columns is None else columns
    pieces = [pa.schema([schema.field(name) for name in wanted]).empty_table()]
    for file in manifest.files:
        path = _whole(manifest, file)
        try:
            pieces.append(_read_file(table(manifest.table), path, file["row_groups"], wanted, buckets))
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"{path}: {error}") from error
    return pa.concat_tables(pieces)


def _read_file(declared: Table, path: str, row_groups: list[list[int]], wanted: list[str],
               buckets: Iterable[int] | None) -> pa.Table:
    held = {bucket for group in row_groups for bucket in group}
    chosen = held if buckets is None else held & set(buckets)
    numbers = [n for n, group in enumerate(row_groups) if chosen & set(group)]
    partial = any(set(row_groups[n]) - chosen for n in numbers)
    columns = list(dict.fromkeys([*wanted, declared.bucket_by])) if partial else wanted
    store, inner = storage.filesystem(path)
    with pq.ParquetFile(inner, filesystem=store, page_checksum_verification=True) as stored:
        rows = stored.read_row_groups(numbers, columns=columns, use_threads=len(numbers) > 1)
    if partial:
        rows = rows.filter(pa.array(np.isin(bucket_of(rows[declared.bucket_by].to_numpy()), list(chosen))))
    return rows.select(wanted).cast(pa.schema([declared.schema.field(name) for name in wanted]))


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
