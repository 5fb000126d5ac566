"""Snapshots: a manifest makes files exist, once; content has one hash; damage is named."""

import json
import multiprocessing
import random
from datetime import date
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import snapshot, writing
from lake.hashing import bucket_of
from lake.snapshot import Damaged, Plan
from lake.tables import table

D = date(2026, 2, 5)
PLAN = Plan("popularity", D, {"half_life_days": 14}, {"tiles": "abc"})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    return tmp_path


def popularity(videos: int = 300, seed: int = 0) -> pa.Table:
    rows = [{"country": country, "video_id": n, "play_count_all": n, "play_count_7d": n // 2,
             "decayed_play_count": n / 3, "slowly_decayed_play_count": n / 2}
            for n in range(videos) for country in ("", "DE")]
    random.Random(seed).shuffle(rows)
    return pa.Table.from_pylist(rows, schema=table("popularity").schema)


def by_bucket(rows: pa.Table, pieces: int) -> list[pa.Table]:
    buckets = bucket_of(rows["video_id"].to_numpy())
    return [rows.filter(pa.array(buckets % pieces == n)) for n in range(pieces)]


def committed(rows: list[pa.Table], plan: Plan = PLAN, **extra: object) -> snapshot.Manifest:
    attempt = writing.begin(plan)
    parts = [writing.write_part(plan.table, attempt.folder, piece, f"part-{n:05d}") for n, piece in enumerate(rows)]
    return writing.commit(attempt, parts, [], extra)


def test_what_was_committed_comes_back():
    assert snapshot.find(PLAN) is None
    manifest = committed([popularity()], note="kept")
    assert snapshot.find(PLAN) == manifest == snapshot.load("popularity", D, PLAN.identity)
    assert manifest.rows == 600 and manifest.extra == {"note": "kept"} and manifest.profile["duplicate_keys"] == 0
    found = snapshot.read(manifest)
    assert found.schema == table("popularity").schema
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, popularity().to_pylist()))
    assert snapshot.committed("popularity") == [(D, PLAN.identity)]
    snapshot.verify(manifest)


def test_identity_is_everything_that_decides_the_rows():
    others = [PLAN, Plan("popularity", date(2026, 2, 6), PLAN.parameters, PLAN.inputs),
              Plan("popularity", D, {"half_life_days": 7}, PLAN.inputs),
              Plan("popularity", D, PLAN.parameters, {"tiles": "d"}), Plan("fallback", D, PLAN.parameters, PLAN.inputs)]
    assert len({plan.identity for plan in others}) == len(others)
    again = Plan("popularity", D, dict(reversed(PLAN.parameters.items())), dict(PLAN.inputs))
    assert again.identity == PLAN.identity


@pytest.mark.parametrize(("pieces", "codec"), [(1, "zstd"), (2, "zstd"), (7, "snappy"), (64, "none")])
def test_content_hash_knows_no_order_files_or_codec(monkeypatch, pieces, codec):
    expected = committed([popularity()]).content_hash
    writer = pq.ParquetWriter
    monkeypatch.setattr(writing.pq, "ParquetWriter", lambda *a, **k: writer(*a, **{**k, "compression": codec}))
    shuffled = popularity(seed=pieces)
    chunked = pa.concat_tables([shuffled.slice(n, 11) for n in range(0, shuffled.num_rows, 11)])
    other = committed(by_bucket(chunked, pieces), Plan("popularity", D, PLAN.parameters, {"tiles": "other"}))
    assert other.content_hash == expected and len(other.files) == pieces


def test_other_content_has_another_hash():
    hashes = set()
    for n, rows in enumerate((popularity(), popularity(299), popularity().slice(1),
                              popularity().set_column(3, "play_count_7d", pa.array([7] * 600)))):
        hashes.add(committed([rows], Plan("popularity", D, {"n": n}, {})).content_hash)
    assert len(hashes) == 4


def test_one_bucket_in_two_files_is_an_error():
    rows = popularity()
    with pytest.raises(ValueError, match="bucket"):
        committed([rows.slice(0, 300), rows.slice(300)])
    assert snapshot.find(PLAN) is None


def test_rows_are_in_key_order_within_buckets_and_a_bucket_can_be_read_alone():
    manifest = committed([popularity()])
    for bucket in (0, 17, 63):
        rows = snapshot.read(manifest, buckets=[bucket])
        keys = list(zip(rows["country"].to_pylist(), rows["video_id"].to_pylist(), strict=True))
        assert keys == sorted(keys) and set(bucket_of(rows["video_id"].to_numpy())) <= {bucket}
    assert snapshot.read(manifest, columns=["video_id"]).column_names == ["video_id"]
    assert snapshot.read(manifest, buckets=[]).num_rows == 0


def test_the_second_writer_loses_and_changes_nothing(home):
    slow, fast = writing.begin(PLAN), writing.begin(PLAN)
    ours = [writing.write_part("popularity", slow.folder, popularity(5), "part-00000")]
    theirs = [writing.write_part("popularity", fast.folder, popularity(9), "part-00000")]
    winner = writing.commit(fast, theirs, [], {"who": "fast"})
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with pytest.raises(FileNotFoundError, match="run the command again"):
        writing.commit(slow, ours, [], {"who": "slow"})
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    assert snapshot.find(PLAN) == winner and snapshot.read(winner).num_rows == 18


def test_a_writer_that_comes_later_gets_the_first_manifest(home):
    winner = committed([popularity(9)])
    assert committed([popularity(5)]) == winner
    assert len(list(home.rglob("*.parquet"))) == 1


def _commit(start: Barrier, found: Queue, videos: int) -> None:
    attempt = writing.begin(PLAN)
    parts = [writing.write_part("popularity", attempt.folder, popularity(videos), "part-00000")]
    start.wait()
    try:
        found.put(writing.commit(attempt, parts, []).rows)
    except FileNotFoundError:
        found.put("lost")


def test_of_two_processes_one_commits():
    fresh = multiprocessing.get_context("spawn")
    start, found = fresh.Barrier(2), fresh.Queue()
    writers = [fresh.Process(target=_commit, args=(start, found, videos)) for videos in (10, 20)]
    for writer in writers:
        writer.start()
    outcomes = {found.get(timeout=60) for _ in writers} - {"lost"}
    for writer in writers:
        writer.join(60)
    manifest = snapshot.find(PLAN)
    assert manifest is not None and outcomes == {manifest.rows}
    snapshot.verify(manifest)


def test_without_a_manifest_nothing_exists_and_the_next_run_cleans_up(home):
    attempt = writing.begin(PLAN)
    writing.write_part("popularity", attempt.folder, popularity(), "part-00000")
    assert snapshot.find(PLAN) is None and snapshot.committed("popularity") == []
    committed([popularity()])
    assert not Path(attempt.folder).exists() and len(list(home.rglob("*.parquet"))) == 1


@pytest.mark.parametrize("damage", ["flipped", "truncated", "grown", "removed", "link", "folder"])
def test_a_damaged_file_is_refused_by_name(home, damage):
    manifest = committed(by_bucket(popularity(), 2))
    (path,) = home.rglob("part-00001.parquet")
    content = path.read_bytes()
    path.unlink()
    if damage == "flipped":
        flipped = bytearray(content)
        flipped[len(content) // 3] ^= 4
        path.write_bytes(flipped)
    elif damage in ("truncated", "grown"):
        path.write_bytes(content[:-1] if damage == "truncated" else content + b"\0")
    elif damage == "link":
        (home / "elsewhere").write_bytes(content)
        path.symlink_to(home / "elsewhere")
    elif damage == "folder":
        path.mkdir()
    with pytest.raises(Damaged, match="part-00001.parquet"):
        snapshot.read(manifest)
    with pytest.raises(Damaged, match="part-00001.parquet"):
        snapshot.verify(manifest)


def test_files_swapped_between_snapshots_are_noticed(home):
    one = committed([popularity(50)])
    two = committed([popularity(60)], Plan("popularity", D, {}, {"tiles": "other"}))
    paths = [Path(snapshot.paths(manifest)[0]) for manifest in (one, two)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        path.write_bytes(content)
    for manifest in (one, two):
        with pytest.raises(Damaged, match="part-00000"):
            snapshot.verify(manifest)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"null", b'{"as_of": "yesterday"}'])
def test_a_damaged_manifest_is_named(home, content):
    committed([popularity()])
    (path,) = home.rglob("*.json")
    path.write_bytes(content)
    with pytest.raises(Damaged, match=PLAN.identity[:16]):
        snapshot.find(PLAN)


def test_a_missing_manifest_is_named():
    with pytest.raises(Damaged, match="is missing"):
        snapshot.load("popularity", D, "0" * 64)


def test_duplicate_keys_are_counted_for_the_gate():
    attempt = writing.begin(PLAN)
    twice = pa.concat_tables([popularity(10), popularity(3)])
    parts = [writing.write_part("popularity", attempt.folder, twice, "part-00000")]
    assert writing.total_profile("popularity", parts)["duplicate_keys"] == 6


def test_an_empty_table_is_a_snapshot():
    manifest = committed([popularity(0)])
    assert manifest.rows == 0 and snapshot.read(manifest).num_rows == 0


def test_artifacts_are_verified_before_they_are_parsed(home):
    plan = Plan("ann_index", D, {}, {"model": "abc"})
    attempt = writing.begin(plan)
    manifest = writing.commit(attempt, [writing.write_file(attempt, "index.faiss", b"12345")], [], {"recall": 1.0})
    assert snapshot.read_verified(manifest, "index.faiss") == b"12345"
    with pytest.raises(KeyError, match="other.bin"):
        snapshot.read_verified(manifest, "other.bin")
    Path(manifest.path("index.faiss")).write_bytes(b"12346")
    with pytest.raises(Damaged, match="index.faiss"):
        snapshot.read_verified(manifest, "index.faiss")


def test_no_clock_in_any_hash(home):
    first = committed([popularity()])
    (path,) = home.rglob("*.json")
    recorded = json.loads(path.read_bytes())["recorded"]
    assert "committed_at" in recorded and PLAN.identity in path.name
    path.unlink()
    assert committed([popularity()]).content_hash == first.content_hash
