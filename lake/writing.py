"""Making a snapshot: an attempt writes files into a folder of its own; the manifest, created last, makes them exist.

    attempt = writing.begin(plan)               a folder of this attempt's own
    parts = [writing.write_part(...)]           Parquet, one row group per bucket; hashed and profiled on the way
    writing.commit(attempt, parts, checks)      `<table>/as_of=D/<identity>.json`, created if absent

A second writer of the same identity finds the manifest, drops its own files and returns the first one's.
"""

import os
import posixpath
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake import snapshot, storage
from lake.hashing import bucket_of, canonical_json, digest, sha256_of, slice_hashes
from lake.profile import key_duplicates, merge_profiles, profile_rows
from lake.snapshot import Manifest, Plan
from lake.tables import Table, table

ROWS_WORTH_A_GROUP = 20_000


@dataclass(frozen=True)
class Attempt:
    """A folder that one run of a job may write to."""

    plan: Plan
    folder: str


def reuse(plan: Plan) -> Manifest | None:
    """The committed snapshot of a plan, without what killed attempts at it left behind; None when there is none."""
    found = snapshot.find(plan)
    if found:
        _clean(plan, found)
    return found


@contextmanager
def attempt_at(plan: Plan) -> Iterator[Attempt]:
    """An attempt that leaves nothing behind when it fails. Its failure is none when the snapshot exists all the same:
    another run was faster and removed what this one wrote, or this one failed after its commit."""
    attempt = begin(plan)
    try:
        yield attempt
    except BaseException as error:
        if abandon(attempt) is None or not isinstance(error, Exception):
            raise


def begin(plan: Plan) -> Attempt:
    """Open a folder of this attempt's own."""
    folder = f"{snapshot.folder_of(plan.table, plan.as_of)}/{plan.identity[:16]}-{uuid.uuid4().hex[:12]}"
    storage.make_folder(folder)
    return Attempt(plan, folder)


def write_part(name: str, folder: str, rows: pa.Table, part: str) -> dict:
    """Write rows of whole buckets as one Parquet file: bucket after bucket, each ordered by key, pages checksummed. A
    row group holds one bucket, or as many small ones in a row as make `ROWS_WORTH_A_GROUP`.

    Returns a JSON-able account of the file: path, size, sha256, rows, the buckets of each row group, a content hash per
    bucket, and the profile that validation judges. Runs in a Spark worker as well as in the driver; rows may come in
    any order and chunking.
    """
    declared = table(name)
    rows = rows.select(declared.schema.names).cast(declared.schema)
    path = f"{folder}/{part}.parquet"
    profile = profile_rows(declared, rows)
    rows, slices = _by_bucket(declared, rows)
    profile["duplicate_keys"] = key_duplicates(declared, rows)
    hashes = slice_hashes(rows, list(slices.values()))
    groups = _row_groups(slices)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, declared.schema, compression="zstd", write_page_checksum=True,
                          use_dictionary=_texts(declared)) as writer:
        for group in groups:
            start, end = slices[group[0]][0], slices[group[-1]][1]
            writer.write_table(rows.slice(start, end - start), row_group_size=max(rows.num_rows, 1))
    content = sink.getvalue().to_pybytes()
    storage.write_bytes(path, content)
    return {"path": _relative(path), "size": len(content), "sha256": sha256_of(content), "rows": rows.num_rows,
            "row_groups": groups, "buckets": dict(zip(map(str, slices), hashes, strict=True)), "profile": profile}


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


def _row_groups(slices: dict[int, tuple[int, int]]) -> list[list[int]]:
    """The buckets of each row group, in order."""
    groups: list[list[int]] = []
    held = ROWS_WORTH_A_GROUP
    for bucket, (start, end) in slices.items():
        if held >= ROWS_WORTH_A_GROUP:
            groups.append([])
            held = 0
        groups[-1].append(bucket)
        held += end - start
    return groups


def _by_bucket(declared: Table, rows: pa.Table) -> tuple[pa.Table, dict[int, tuple[int, int]]]:
    """Rows ordered by bucket and key, and the rows [start, end) of each bucket that has any."""
    bucket = bucket_of(rows[declared.bucket_by].to_numpy())
    keys = pa.table({"_bucket": bucket} | {key: rows[key] for key in declared.key})
    order = pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names])
    if not np.array_equal(order, np.arange(len(order))):  # what comes in order is not copied
        rows, bucket = rows.take(order), bucket[order]
    borders = np.searchsorted(bucket, np.arange(65)).tolist()
    return rows, {
        n: (start, end) for n, (start, end) in enumerate(zip(borders[:-1], borders[1:], strict=True)) if end > start}


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
    folder = snapshot.folder_of(plan.table, plan.as_of)
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
    made = storage.create_if_absent(snapshot.manifest_path(plan), content)
    found = manifest if made else snapshot.find(plan)
    _clean(plan, found)
    return found


def _file_entry(part: dict) -> dict:
    entry = {key: part[key] for key in ("path", "size", "sha256", "rows")}
    return entry | {"row_groups": part["row_groups"]} if "row_groups" in part else entry


def abandon(attempt: Attempt) -> Manifest | None:
    """Remove what an attempt wrote, unless it was committed. Returns the snapshot where one exists, whoever made it."""
    found = reuse(attempt.plan)
    if found is None:
        storage.delete_folder(attempt.folder)
    return found


def _clean(plan: Plan, kept: Manifest) -> None:
    """Remove folders of other attempts at this same identity: they lost or were killed and can never commit."""
    used = {file["path"].split("/")[0] for file in kept.files}
    folder = snapshot.folder_of(plan.table, plan.as_of)
    for name in storage.names(folder):
        if name.startswith(f"{plan.identity[:16]}-") and name not in used:
            storage.delete_folder(f"{folder}/{name}")
