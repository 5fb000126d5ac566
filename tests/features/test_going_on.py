"""A night that goes on from the night before equals one that begins anew, on hostile worlds and through the lake."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features import catalogue, histories, tiles, windows
from jobs import build, land, simulate
from lake import dates, lineage, storage
from lake.dimensions import last_of_each
from lake.tables import table
from tests import world
from validation import reference

NIGHTS = [world.FIRST_DAY + timedelta(days=n) for n in (1, 2, 3, 4, 5, 9, 10, 11, 20, 21, 30, 44)]
SEEDS = range(1, 14)
HALF_LIVES = {"decayed_play_count": 14, "slowly_decayed_play_count": 180}


def between(rows: pa.Table, since: date, as_of: date, *columns: str) -> pa.Table:
    """Rows whose last of some instants is in [since, as_of)."""
    known = np.maximum.reduce([rows[name].cast(pa.int64()).to_numpy() for name in columns])
    low = dates.midnight_us(since) if since > date.min else np.iinfo(np.int64).min
    return rows.filter(pa.array((known >= low) & (known < dates.midnight_us(as_of))))


def users(seed: int) -> pa.Table:
    """Versions of user rows: some users have none, some lose their country, some rows come long before an event."""
    rng = np.random.default_rng(seed)
    rows = [{"user_id": user, "arrived_at": dates.midnight_us(world.FIRST_DAY) + int(day) * dates.DAY_US + user % 7,
             "country": [None, "FR", "DE"][int(rng.integers(3))]}
            for user in (-(2**62), 1, 2) for day in rng.choice(40, int(rng.integers(0, 4)), replace=False) - 2]
    rows.sort(key=lambda row: (row["user_id"], row["arrived_at"]))
    return pa.Table.from_pylist(rows, table("raw_users").schema) if rows else table("raw_users").schema.empty_table()


def history(old: pa.Table, since: date, as_of: date, seed: int) -> pa.Table:
    told = last_of_each("raw_users", between(users(seed), since, as_of, "arrived_at"))
    every = last_of_each("raw_users", between(users(seed), date.min, as_of, "arrived_at"))
    events = between(world.events(seed).select(histories._COLUMNS), since, as_of, "event_time", "arrived_at")
    return histories.history_rows(old, events, 5, told, lambda ids: every.filter(
        pa.array(np.isin(every["user_id"].to_numpy(), ids))))


def popularity(old: pa.Table, since: date, as_of: date, seed: int) -> pa.Table:
    known = world.videos(seed)
    found = tiles.partial_tiles(world.events(seed), known).sort_by([(name, "ascending") for name in table("tiles").key])
    keep = np.isin(np.array(found["view"].to_pylist(), object), ["video", "country_video"])
    return windows.popularity_rows(old, since, found.filter(pa.array(keep, pa.bool_())), as_of, HALF_LIVES)


def videos(old: pa.Table, since: date, as_of: date, seed: int) -> pa.Table:
    events = between(world.events(seed), since, as_of, "arrived_at").group_by("video_id").aggregate([("arrived_at", "min")])
    first = events.rename_columns(["video_id", "first_arrival"]).cast(catalogue._ARRIVAL)
    return catalogue.catalogue_rows(old, between(world.videos(seed), since, as_of, "arrived_at"), first, as_of)


@pytest.mark.parametrize(("name", "rows"), [("histories", history), ("popularity", popularity), ("catalogue", videos)])
def test_going_on_equals_beginning_anew(name: str, rows: Callable) -> None:
    for seed in SEEDS:
        old, since = table(name).schema.empty_table(), date.min
        empty = old
        for as_of in NIGHTS:
            anew = rows(empty, date.min, as_of, seed)
            gone_on = rows(old.select([c for c in old.column_names if c in empty.column_names]), since, as_of, seed)
            assert gone_on.equals(anew), (name, seed, as_of)
            names = pa.array([""] * anew.num_rows, pa.string())
            old = anew.append_column("original_id", names) if "original_id" in empty.column_names else anew
            old, since = old.select(empty.column_names).cast(empty.schema), as_of


@pytest.mark.parametrize("seed", SEEDS)
def test_beginning_anew_equals_the_reference(seed: int) -> None:
    as_of, events = NIGHTS[8], reference.rows_of(world.events(seed))
    of_user = {user: [e for e in events if e["user_id"] == user] for user in (1, 2, 3, -(2**62))}
    told = {row["user_id"]: row for row in reference.rows_of(between(users(seed), date.min, as_of, "arrived_at"))}
    found = history(table("histories").schema.empty_table(), date.min, as_of, seed)
    for name in ("event_times", "arrived_times"):
        place = found.column_names.index(name)
        found = found.set_column(place, name, found[name].cast(pa.list_(pa.int64())))
    for row in reference.rows_of(found):
        expected = reference.history(of_user[row["user_id"]], told.get(row["user_id"], {}), as_of, 5)
        assert {name: row[name] for name in expected} == expected
    counted = reference.popularity(events, as_of, HALF_LIVES)
    for row in popularity(table("popularity").schema.empty_table(), date.min, as_of, seed).to_pylist():
        expected = counted.pop((row.pop("country"), row.pop("video_id")))
        assert row == pytest.approx(expected, rel=1e-12)
    assert not counted
    for row in reference.rows_of(videos(table("catalogue").schema.empty_table(), date.min, as_of, seed)):
        arrived = [e["arrived_at"] for e in events if e["video_id"] == row["video_id"]
                   and e["arrived_at"] < dates.midnight_us(as_of)]
        versions = [v for v in reference.rows_of(world.videos(seed)) if v["video_id"] == row["video_id"]]
        expected = reference.catalogue_row(versions, min(arrived, default=None), as_of)
        assert {name: row[name] for name in expected} == expected


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight days of a small service, and no JVM."""
    monkeypatch.setenv("SPARK_MASTER", "in-process")
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "unused"))
    simulate.main([str(tmp_path / "raw"), "--users", "40", "--videos", "60", "--days", "8", "--seed", "3"])
    return tmp_path / "raw"


TABLES = ("catalogue", "histories", "popularity")


def lake(home: Path, raw: Path, portions: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Land portions [first, last] of January, and build the night after each; the hashes of the last."""
    monkeypatch.setenv("NIGHTREEL_HOME", str(home))
    for first, last in portions:
        part = home / f"part-{first}"
        for file in (raw / name / f"2026-01-{day:02d}.parquet" for name in ("events", "videos", "users")
                     for day in range(first, last + 1)):
            if file.exists():
                (part / file.parent.name).mkdir(parents=True, exist_ok=True)
                (part / file.parent.name / file.name).hardlink_to(file)
        land.main([str(part), "--preset", "nightreel"])
        as_of = date(2026, 1, last) + timedelta(days=1)
        build.main(["events", "tiles", "feature_snapshots", *TABLES, "--as-of", as_of.isoformat()])
    return {name: lineage.resolve(name, as_of).content_hash for name in ("feature_snapshots", *TABLES)}


def test_nights_in_turn_equal_one_that_begins_anew(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anew = lake(tmp_path / "anew", raw, [(1, 7)], monkeypatch)
    assert lake(tmp_path / "in turn", raw, [(1, 4), (5, 5), (6, 6), (7, 7)], monkeypatch) == anew


def test_a_night_goes_on_without_what_is_older_and_begins_anew_where_it_can_t(
        raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anew = lake(tmp_path / "anew", raw, [(1, 7)], monkeypatch)
    lake(tmp_path / "lake", raw, [(1, 4), (5, 6)], monkeypatch)
    damaged = Path(lineage.resolve("popularity", date(2026, 1, 7)).path("part-00000.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    for entry in (lineage.chunks("events", date(2026, 1, 5)))[:1]:
        storage.delete_folder(str(Path(entry.path("part-00000.parquet")).parent))
    assert {name: found for name, found in lake(tmp_path / "lake", raw, [(7, 7)], monkeypatch).items()} == anew
