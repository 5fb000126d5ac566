"""Landing: cells that can't be true, files that are not whole, ids, and columns that are not what they say."""

import gzip
import json
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import identities, lineage, snapshot, sources
from lake.hashing import id_of_string
from tests.jobs.landing import at, event, events, files_under, landed, parquet, rows_of
from validation import gate

NAN = float("nan")
POISON = {
    "null_user": {"user_id": None}, "null_video": {"video_id": None}, "null_time": {"event_time": None},
    "absurd_time": {"event_time": at("1985-01-01 00:00:00")}, "unknown_event_type": {"event_type": "watch"},
    "event_time_after_arrival": {"event_time": at("2026-01-01 10:06:00")}, "negative_watch": {"watch_ms": -1},
    "absurd_watch": {"watch_ms": 86_400_001}, "nan": {"propensity": NAN}, "absurd_propensity": {"propensity": 1.5},
    "negative_position": {"position": -1}, "oversized_string": {"surface": "x" * 10_001},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(gate, "judge", lambda plan, profile: [])
    return tmp_path / "home"


def quarantine() -> list[dict]:
    return [row for entry in lineage.landings("quarantine") for row in snapshot.read(lineage.landed(entry)).to_pylist()]


def test_each_impossibility_is_kept_with_its_reason_and_row(home, tmp_path, capsys):
    rows = [*events(), *(event(**cells) for cells in POISON.values()), event(user_id=77)]
    code, said = landed(capsys, parquet(tmp_path / "a.parquet", rows))
    assert code == 0 and f"{len(POISON)} quarantined" in said
    found = quarantine()
    assert {row["reason"]: row["source_row"] for row in found} == {
        reason: 12 + n for n, reason in enumerate(POISON)}
    assert {row["source"] for row in found} == {"a.parquet"}
    (entry,) = lineage.landings("raw_events")
    assert entry["quarantined"] == dict.fromkeys(POISON, 1)
    assert entry["rows_in"] == entry["rows"] + len(POISON) == len(rows)
    assert {row["user_id"] for row in rows_of("raw_events")} >= {77}
    assert all(len(row["content"]) <= 2_000 for row in found)
    content = json.loads(next(row["content"] for row in found if row["reason"] == "negative_watch"))
    assert content["watch_ms"] == -1 and content["user_id"] == 1


def test_borders_of_what_can_be_true(home, tmp_path, capsys):
    noon = at("2026-01-01 12:00:00")
    rows = [event(watch_ms=0), event(watch_ms=86_400_000), event(surface="x" * 10_000), event(propensity=1.0),
            event(event_time=noon + timedelta(minutes=5), arrived_at=noon), event(watch_ms=None), event(position=0),
            event(event_time=at("1990-01-01 00:00:00"))]
    assert landed(capsys, parquet(tmp_path / "a.parquet", rows))[0] == 0
    assert len(rows_of("raw_events")) == len(rows)


def test_one_row_has_one_reason(home, tmp_path, capsys):
    landed(capsys, parquet(tmp_path / "a.parquet", [*events(), event(user_id=None, watch_ms=-1, event_type="x")]))
    assert [row["reason"] for row in quarantine()] == ["null_user"]


def test_too_many_bad_rows_fail_the_landing(home, tmp_path, capsys):
    rows = [*(event(user_id=n) for n in range(5_000)), *(event(user_id=None) for _ in range(60)),
            *(event(watch_ms=-1) for _ in range(40))]
    log = parquet(tmp_path / "a.parquet", rows)
    code, said = landed(capsys, log)
    assert code == 3 and "null_user 60, negative_watch 40" in said and files_under(home) == {}
    assert landed(capsys, log, "--max-bad-share", "0.02")[0] == 0
    later = at("2026-01-02 00:00:00")
    few = parquet(tmp_path / "b.parquet", [event(user_id=None, arrived_at=later) for _ in range(99)])
    assert landed(capsys, few, "--seal-through", "2026-01-02")[0] == 0


def test_a_bad_row_is_found_in_any_batch(home, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sources, "BATCH_ROWS", 7)
    rows = [event(user_id=None if n in (0, 6, 7, 99) else n) for n in range(100)]
    landed(capsys, parquet(tmp_path / "a.parquet", rows))
    assert [row["source_row"] for row in sorted(quarantine(), key=lambda row: row["source_row"])] == [0, 6, 7, 99]


def test_floats_that_are_whole_are_milliseconds(home, tmp_path, capsys):
    log = parquet(tmp_path / "a.parquet", [event(watch_ms=1499.6), event(watch_ms=None), event(watch_ms=NAN),
                                           event(watch_ms=float("inf"))], watch_ms=pa.float64())
    assert landed(capsys, log)[0] == 0
    assert sorted(str(row["watch_ms"]) for row in rows_of("raw_events")) == ["1500", "None"]
    assert Counter(row["reason"] for row in quarantine()) == {"nan": 1, "unreadable": 1}


@pytest.mark.parametrize(("column", "kind", "cells", "why"), [
    ("user_id", pa.float64(), 1.0, "ids are double"), ("event_time", pa.string(), "2026-01-01", "is string"),
    ("event_time", pa.timestamp("us"), at("2026-01-01 00:00:00"), "without a time zone"),
    ("event_time", pa.int64(), 1_767_225_600, "--time-unit"),
    ("arrived_at", pa.date32(), at("2026-01-01 00:00:00"), "is date32"),
    ("watch_ms", pa.string(), "5", "is string"), ("surface", pa.float64(), 1.0, "is double"),
    ("event_type", pa.bool_(), True, "is bool")])
def test_types_that_cannot_be_meant_are_refused_by_name(home, tmp_path, capsys, column, kind, cells, why):
    code, said = landed(capsys, parquet(tmp_path / "a.parquet", [event(**{column: cells})], **{column: kind}))
    assert code == 3 and why in said and "a.parquet" in said and f"'{column}'" in said
    assert not home.exists()


@pytest.mark.parametrize("column", ["user_id", "video_id", "event_type", "event_time"])
def test_missing_columns_are_refused_by_name(home, tmp_path, capsys, column):
    row = event()
    del row[column]
    code, said = landed(capsys, parquet(tmp_path / "a.parquet", [row]))
    assert code == 3 and f"no column '{column}'" in said and "a.parquet" in said and f"--map {column}=" in said


def test_a_mapped_column_must_be_there(home, tmp_path, capsys):
    log = parquet(tmp_path / "a.parquet", [event()])
    code, said = landed(capsys, log, "--map", "watch_ms=seconds")
    assert code == 3 and "no column 'seconds' for watch_ms" in said
    code, said = landed(capsys, log, "--map", "title=name")
    assert code == 3 and "--map title" in said


def test_two_schemas_in_one_landing_are_refused(home, tmp_path, capsys):
    parquet(tmp_path / "log/a.parquet", [event()])
    parquet(tmp_path / "log/b.parquet", [event(user_id="one")], user_id=pa.string())
    code, said = landed(capsys, tmp_path / "log")
    assert code == 3 and "b.parquet" in said and "'user_id' is string, but int64 in a.parquet" in said
    parquet(tmp_path / "log/b.parquet", [event(country="DE")])
    code, said = landed(capsys, tmp_path / "log")
    assert code == 3 and "a.parquet: has no column 'country'" in said and not home.exists()


def test_columns_are_read_by_name(home, tmp_path, capsys):
    parquet(tmp_path / "log/a.parquet", [event(user_id=5)])
    parquet(tmp_path / "log/b.parquet", [dict(reversed(event(user_id=6).items()))])
    assert landed(capsys, tmp_path / "log")[0] == 0
    assert {(row["user_id"], row["video_id"]) for row in rows_of("raw_events")} == {(5, 2), (6, 2)}


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "flipped", "footer"])
def test_files_that_are_not_whole_are_refused_by_name(home, tmp_path, capsys, damage):
    parquet(tmp_path / "log/a.parquet", events())
    bad = parquet(tmp_path / "log/b.parquet", [event(user_id=n, surface=str(n)) for n in range(2_000)])
    content = bytearray(bad.read_bytes())
    if damage == "flipped":
        content[len(content) // 3] ^= 1
    elif damage == "footer":
        content[-40] ^= 0xFF
    else:
        content = {"empty": b"", "truncated": content[:len(content) // 2], "text": b"user_id,video_id\n1,2\n"}[damage]
    bad.write_bytes(content)
    code, said = landed(capsys, tmp_path / "log")
    assert code == 3 and "b.parquet" in said and files_under(home) == {}


def test_a_flipped_bit_is_refused_or_changed_nothing(tmp_path):
    """Page checksums cover every value; what they do not cover in front of the footer is not read."""
    log = parquet(tmp_path / "a.parquet", [event(user_id=n, surface=str(n)) for n in range(500)])
    content, names = log.read_bytes(), sorted(event(surface=""))
    whole = pa.Table.from_batches(sources.batches(sources.find(str(log))[0], names))
    footer = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    rng, refused = random.Random(1), 0
    for _ in range(200):
        flipped = bytearray(content)
        flipped[rng.randrange(4, footer)] ^= 1 << rng.randrange(8)
        log.write_bytes(flipped)
        try:
            found = sources.batches(sources.find(str(log))[0], names)
            assert pa.Table.from_batches(found, whole.schema).equals(whole)
        except sources.Refused as error:
            assert "a.parquet" in str(error)
            refused += 1
    assert refused > 150


def test_a_file_that_changes_while_it_is_read_is_refused(home, tmp_path, monkeypatch, capsys):
    log = parquet(tmp_path / "a.parquet", events())
    sha256 = sources.sha256

    def written_to(file):
        found = sha256(file)
        parquet(log, events(days=4))
        return found

    monkeypatch.setattr(sources, "sha256", written_to)
    code, said = landed(capsys, log)
    assert code == 3 and "changed while it was read" in said and files_under(home) == {}


CSV = "user_id,video_id,event_type,event_time,arrived_at,watch_ms,country\n"


def csv(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CSV + "".join(f"{line}\n" for line in lines))
    return path


def test_csv_cells_are_read_one_by_one(home, tmp_path, capsys):
    log = csv(tmp_path / "a.csv", "1,2,play,2026-01-01T10:00:00Z,2026-01-01T12:00:00+02:00,5000,NA",
              "1,3,play,2026-01-01 10:00:00.123456Z,2026-01-01T12:00:00Z,1500.4,", '1,4,play,"2026-01-01T10:00:00Z",'
              '2026-01-01T12:00:00Z,,"D,E\nF"', "1,5,play,yesterday,2026-01-01T12:00:00Z,5,",
              "1,6,play,2026-01-01T10:00:00,2026-01-01T12:00:00Z,5,",
              "1,7,play,2026-01-01T10:00:00Z,2026-01-01T12:00:00Z,x,",
              ",8,play,2026-01-01T10:00:00Z,2026-01-01T12:00:00Z,5,",
              "1,9,play,2026-01-01T10:00:00Z,2026-01-01T12:00:00Z,nan,")
    assert landed(capsys, log)[0] == 0
    rows = {row["video_id"]: row for row in rows_of("raw_events")}
    assert {video: row["watch_ms"] for video, row in rows.items()} == {2: 5000, 3: 1500, 4: None}
    assert [rows[video]["country"] for video in (2, 3, 4)] == ["NA", None, "D,E\nF"]
    assert rows[2]["arrived_at"] == at("2026-01-01 10:00:00") and rows[3]["event_time"].microsecond == 123456
    assert {row["source_row"]: row["reason"] for row in quarantine()} == {
        3: "unreadable", 4: "unreadable", 5: "unreadable", 6: "null_user", 7: "nan"}


def test_integer_times_count_what_is_said(home, tmp_path, capsys):
    log = csv(tmp_path / "a.csv", "1,2,play,1767261600,1767261600,5,")
    code, said = landed(capsys, log)
    assert code == 3 and "--time-unit" in said and "'event_time'" in said
    assert landed(capsys, log, "--time-unit", "ms")[0] == 3
    assert landed(capsys, log, "--time-unit", "s")[0] == 0
    assert rows_of("raw_events")[0]["event_time"] == at("2026-01-01 10:00:00")


def test_naive_text_stamps_are_refused(home, tmp_path, capsys):
    code, said = landed(capsys, csv(tmp_path / "a.csv", "1,2,play,2026-01-01 10:00:00,2026-01-01T10:00:00Z,5,"))
    assert code == 3 and "zone" in said and "'event_time'" in said and "a.csv" in said


def test_a_compressed_csv_is_a_csv_and_a_broken_one_is_not(home, tmp_path, capsys):
    text = CSV + "1,2,play,2026-01-01T10:00:00Z,2026-01-01T10:00:00Z,5,\n" * 3_000
    packed = gzip.compress(text.encode())
    (tmp_path / "a.csv.gz").write_bytes(packed[:-30])
    assert landed(capsys, tmp_path / "a.csv.gz")[0] == 3
    (tmp_path / "a.csv.gz").write_bytes(packed)
    assert landed(capsys, tmp_path / "a.csv.gz")[0] == 0 and len(rows_of("raw_events")) == 3_000


@pytest.mark.parametrize("text", ["", "user_id,video_id\n", "user_id,user_id\n1,2\n", CSV + "1,2,play\n",
                                  CSV + '1,2,play,"2026-01-01T10:00:00Z,2026-01-01T10:00:00Z,5\n'])
def test_a_csv_that_is_not_one_is_refused(home, tmp_path, capsys, text):
    (tmp_path / "a.csv").write_text(text)
    code, said = landed(capsys, tmp_path / "a.csv")
    assert code == 3 and "a.csv" in said and files_under(home) == {}


@pytest.mark.parametrize("odd", ["abc", "1.0", "007", " 7", "+7", "99999999999999999999", "-0", "é"])
def test_ids_that_are_not_all_integers_are_strings(home, tmp_path, capsys, odd):
    lines = [f"{user},2,play,2026-01-01T10:00:00Z,2026-01-01T10:00:00Z,5," for user in ("7", odd, "-7")]
    assert landed(capsys, csv(tmp_path / "a.csv", *lines))[0] == 0
    assert {row["user_id"] for row in rows_of("raw_events")} == {id_of_string(text) for text in ("7", odd, "-7")}
    (entry,) = lineage.landings("ids")
    kept = snapshot.read(lineage.landed(entry)).to_pylist()
    assert {(row["kind"], row["original_id"]) for row in kept} == {("user", text) for text in ("7", odd, "-7")}
    assert entry["id_types"] == {"user": "string", "video": "int64"}


def test_integer_ids_stay_themselves(home, tmp_path, capsys):
    ids = [0, -5, 9, 10, 2**63 - 1, -(2**63), 10**18, 10**18 - 1, -10]
    lines = [f"{user},2,play,2026-01-01T10:00:00Z,2026-01-01T10:00:00Z,5," for user in ids]
    assert landed(capsys, csv(tmp_path / "a.csv", *lines))[0] == 0
    assert {row["user_id"] for row in rows_of("raw_events")} == set(ids) and lineage.landings("ids") == []


def test_string_ids_come_back_from_parquet_too(home, tmp_path, capsys):
    rows = [event(user_id=f"u{n % 3}", video_id=f"v{n}", event_id=f"e{n}") for n in range(6)]
    log = parquet(tmp_path / "a.parquet", rows, user_id=pa.dictionary(pa.int32(), pa.string()),
                  video_id=pa.large_string(), event_id=pa.string())
    assert landed(capsys, log)[0] == 0
    kept = snapshot.read(lineage.landed(lineage.landings("ids")[0])).to_pylist()
    assert {(row["kind"], row["original_id"]): row["id"] for row in kept} == {
        **{("user", f"u{n}"): id_of_string(f"u{n}") for n in range(3)},
        **{("video", f"v{n}"): id_of_string(f"v{n}") for n in range(6)}}
    assert {row["event_id"] for row in rows_of("raw_events")} == {id_of_string(f"e{n}") for n in range(6)}


def test_days_that_look_like_integers_stay_strings(home, tmp_path, capsys):
    line = "{},2,play,2026-01-0{}T10:00:00Z,2026-01-0{}T10:00:00Z,5,"
    landed(capsys, csv(tmp_path / "a.csv", line.format("bob", 1, 1)))
    assert landed(capsys, csv(tmp_path / "b.csv", line.format("12", 2, 2)))[0] == 0
    assert {row["user_id"] for row in rows_of("raw_events")} == {id_of_string("bob"), id_of_string("12")}


def test_integers_and_strings_do_not_mix_across_landings(home, tmp_path, capsys):
    landed(capsys, parquet(tmp_path / "a.parquet", [event()]))
    before = files_under(home)
    later = {"event_time": at("2026-01-02 10:00:00"), "arrived_at": at("2026-01-02 10:00:00")}
    code, said = landed(capsys, parquet(tmp_path / "b.parquet", [event(user_id="x", **later)], user_id=pa.string()))
    assert code == 3 and "landing 1" in said and "user ids are string" in said
    code, said = landed(capsys, csv(tmp_path / "b.csv", "bob,2,play,2026-01-02T10:00:00Z,2026-01-02T10:00:00Z,5,"))
    assert code == 3 and "landing 1" in said and files_under(home) == before


def test_a_csv_of_digits_beside_parquet_strings_is_strings(home, tmp_path, capsys):
    log = csv(tmp_path / "a.csv", "1,2,play,2026-01-01T10:00:00Z,2026-01-01T10:00:00Z,5,")
    videos = parquet(tmp_path / "v.parquet", [{"video_id": "2", "title": "two"}], video_id=pa.string())
    assert landed(capsys, log, "--videos", videos)[0] == 0
    assert rows_of("raw_events")[0]["video_id"] == rows_of("raw_videos")[0]["video_id"] == id_of_string("2")


def test_colliding_ids_are_refused(home, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(identities, "id_of_string", lambda text: len(text))
    log = parquet(tmp_path / "a.parquet", [event(user_id="ab"), event(user_id="cd")], user_id=pa.string())
    code, said = landed(capsys, log)
    assert code == 3 and "'ab' and 'cd'" in said and files_under(home) == {}
    assert landed(capsys, parquet(tmp_path / "b.parquet", [event(user_id="ab")], user_id=pa.string()))[0] == 0
    later = event(user_id="cd", event_time=at("2026-01-02 10:00:00"), arrived_at=at("2026-01-02 10:00:00"))
    code, said = landed(capsys, parquet(tmp_path / "c.parquet", [later], user_id=pa.string()))
    assert code == 3 and "'cd' has the same 63-bit hash as 'ab' of landing 1" in said


def test_unsigned_ids_beyond_int64_are_refused(home, tmp_path, capsys):
    log = parquet(tmp_path / "a.parquet", [event(user_id=2**63)], user_id=pa.uint64())
    code, said = landed(capsys, log)
    assert code == 3 and "int64" in said and "'user_id'" in said


def test_events_without_ids_get_the_same_ones_again(home, tmp_path, capsys):
    rows = [event(), event(), event(event_type="like"), event(user_id=2, video_id=1), event(video_id=3)]
    landed(capsys, parquet(tmp_path / "a.parquet", rows))
    found = Counter(row["event_id"] for row in rows_of("raw_events"))
    assert sorted(found.values()) == [1, 1, 1, 2] and min(found) >= 0


def test_a_log_of_plays_only_needs_no_types(home, tmp_path, capsys):
    row = event()
    del row["event_type"]
    log = parquet(tmp_path / "a.parquet", [row])
    assert landed(capsys, log, "--event-type", "play")[0] == 0
    assert rows_of("raw_events")[0]["event_type"] == "play"


def test_types_can_be_translated(home, tmp_path, capsys):
    log = parquet(tmp_path / "a.parquet", [event(event_type=theirs) for theirs in ("view", "heart", "play", "boo")])
    assert landed(capsys, log, "--event-type", "impression=view", "like=heart")[0] == 0
    assert sorted(row["event_type"] for row in rows_of("raw_events")) == ["impression", "like", "play"]
    assert [row["reason"] for row in quarantine()] == ["unknown_event_type"]


def test_categories_as_lists_or_text(home, tmp_path, capsys):
    when = {"arrived_at": at("2026-01-01 10:00:00")}
    landed(capsys, "--table", "videos", parquet(tmp_path / "a.parquet", [
        {"video_id": 1, "categories": "a|b||c", **when}, {"video_id": 2, "categories": "", **when},
        {"video_id": 3, "categories": None, **when}], categories=pa.string()))
    assert {row["video_id"]: row["categories"] for row in rows_of("raw_videos")} == {1: ["a", "b", "c"], 2: [], 3: None}
    later = {"arrived_at": at("2026-01-02 10:00:00")}
    landed(capsys, "--table", "videos", parquet(tmp_path / "b.parquet", [
        {"video_id": 4, "categories": ["x", "y"], **later}, {"video_id": 5, "categories": ["x", None], **later},
        {"video_id": 6, "categories": ["x" * 10_001], **later}], categories=pa.large_list(pa.string())))
    assert {row["video_id"]: row["categories"] for row in rows_of("raw_videos")}[4] == ["x", "y"]
    assert Counter(row["reason"] for row in quarantine()) == {"unreadable": 1, "oversized_string": 1}


def test_other_zones_and_units_are_the_same_instants(home, tmp_path, capsys):
    rows = [event(event_time=at("2026-01-01 10:00:00"))]
    log = parquet(tmp_path / "a.parquet", rows, event_time=pa.timestamp("ns", "America/New_York"),
                  arrived_at=pa.timestamp("ms", "Asia/Kolkata"))
    assert landed(capsys, log)[0] == 0
    assert rows_of("raw_events")[0]["event_time"] == at("2026-01-01 10:00:00")


def test_files_with_one_name_in_two_folders_are_two_sources(home, tmp_path, capsys):
    for day in ("x", "y"):
        parquet(tmp_path / f"log/{day}/a.parquet", [event(user_id=None), event()])
    parquet(tmp_path / "log/_temporary/a.parquet", [event(user_id=9)])
    assert landed(capsys, tmp_path / "log")[0] == 0
    assert [row["source"] for row in quarantine()] == ["x/a.parquet", "y/a.parquet"]
    assert {row["user_id"] for row in rows_of("raw_events")} == {1}


def test_text_that_is_not_utf8_is_refused(home, tmp_path, capsys):
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    columns = pa.table({**pa.table({key: [value] for key, value in event().items()}).to_pydict()})
    schema = pa.schema([(name, {"event_time": pa.timestamp("us", "UTC"), "arrived_at": pa.timestamp("us", "UTC")}.get(
        name, columns.schema.field(name).type)) for name in columns.column_names])
    pq.write_table(columns.cast(schema).append_column("surface", broken), tmp_path / "a.parquet")
    code, said = landed(capsys, tmp_path / "a.parquet")
    assert code == 3 and "UTF-8" in said and "'surface'" in said and files_under(home) == {}
