"""What a release is online: its keys, and each list packed as one small value."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lake import snapshot
from lake.hashing import canonical_json, sha256_of
from publishing import lists, live
from publishing.release_file import Release

HASHES = 64


@dataclass(frozen=True)
class OnlineRow:
    """One place of a list; `video_original_id` is the video's id in the log."""

    rank: int
    video_original_id: str
    score: float
    source: str
    reason: str


@dataclass(frozen=True)
class Generation:
    """One release online: its number, and `tag`, JSON that says which release it is."""

    number: int
    tag: bytes

    @property
    def keys(self) -> list[str]:
        """Every key of it: the tag, the hashes of users, the fallback."""
        hashes = [f"nightreel:{self.number}:users:{n}" for n in range(HASHES)]
        return [f"nightreel:{self.number}:release", *hashes, fallback_key(self.number)]


def generation_of(release: Release) -> Generation:
    tag = {"as_of": release.as_of, "k": release.k, "model": release.model, "users": release.counts["users"],
           "rows": release.counts["rows"], "sha256": sha256_of(canonical_json(release.as_json()))}
    return Generation(release.number, canonical_json(tag))


def users_key(number: int, user: str) -> str:
    """The hash that holds a user's list, by the user's id in the log."""
    return f"nightreel:{number}:users:{zlib.crc32(user.encode()) % HASHES}"


def fallback_key(number: int) -> str:
    return f"nightreel:{number}:fallback"


def entries(loaded: live.Loaded) -> Iterator[tuple[str, str, bytes]]:
    """(key, field, list) of a whole release: every user's, row group after row group, then the fallback."""
    release, table = loaded.release, loaded.manifests["recommendations"]
    hidden = release.tombstones
    for buckets in (group for file in table.files for group in file["row_groups"]):
        rows = snapshot.read(table, buckets=buckets)
        rows = lists.shown(rows, "user_id", release.k, hidden["videos"], hidden["users"])
        for user, packed in _packed(rows, "user_id", "user_original_id"):
            yield users_key(release.number, user), user, packed
    for country, packed in _packed(loaded.fallback, "country", "country"):
        yield fallback_key(release.number), country, packed


def _packed(rows: pa.Table, group: str, name: str) -> Iterator[tuple[str, bytes]]:
    """(name, list) per group of rows that lie together, in order of rank."""
    starts = np.sort(np.unique(rows[group].to_numpy(), return_index=True)[1]).tolist()
    columns = {"videos": rows["video_original_id"], "scores": rows["score"].cast(pa.string()).cast(pa.float64()),
               "sources": rows["source"], "reasons": rows["reason"]}
    for start, end in zip(starts, [*starts[1:], rows.num_rows], strict=True):
        cut = {column: values.slice(start, end - start).to_pylist() for column, values in columns.items()}
        text = json.dumps(cut, ensure_ascii=False, separators=(",", ":"))
        yield rows[name][start].as_py(), zlib.compress(text.encode(), 1)


def unpacked(packed: bytes) -> tuple[OnlineRow, ...]:
    """The rows of a list, best first."""
    told = json.loads(zlib.decompress(packed))
    columns = (told["videos"], told["scores"], told["sources"], told["reasons"])
    return tuple(OnlineRow(n + 1, *row) for n, row in enumerate(zip(*columns, strict=True)))
