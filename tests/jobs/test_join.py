"""`python -m jobs.join` through real Spark: a spine of one's own, with tables of one's own and with the lake."""

import os
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from features import any_join
from features.own_views import read_views
from features.views import view
from jobs import build, join, land, lay_out, simulate
from jobs.spark_context import spark_context
from lake import dates, lineage, snapshot
from lake.columns import TIMESTAMP
from lake.dimensions import versions
from lake.refusal import Refusal
from tests import join_world

OWN = """
[v]
mode = "event"
table = "{events}"
key = "name"
event_time = "happened"
arrived_at = "arrived"
tiebreak = "seq"
windows = {windows}
aggregates = {aggregates}
"""
LAKE = """
[watched]
mode = "event"
table = "events"
where = {event_type = ["play", "like"]}
key = ["user_id"]
windows = ["1h", "7d"]
aggregates = ["count", "sum watch_ms", "last 3 video_id"]

[facts]
mode = "version"
table = "raw_videos"
key = "video_id"
columns = ["categories", "duration_ms"]
"""


@pytest.mark.parametrize(("parts", "adaptive"), [("1", "false"), ("7", "true"), ("200", "false")])
def test_a_table_of_one_s_own(parts: str, adaptive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "var"))
    SparkSession(spark_context("nightreel")).conf.set("spark.sql.adaptive.enabled", adaptive)
    monkeypatch.setattr(join_world, "KEYS", ((("name", "name"),),))
    join_world.expected.cache_clear()
    spine, events = join_world.tables(5)
    pq.write_table(spine, tmp_path / "spine.parquet", row_group_size=8)
    pq.write_table(events, tmp_path / "events.parquet")
    table = tmp_path / "events.parquet"
    if parts == "7":
        table = tmp_path / "var" / "laid"
        lay_out.main([str(tmp_path / "events.parquet"), "--key", "name", "--key", "user,name", "--event-time", "happened",
                      "--arrived-at", "arrived", "--tiebreak", "seq", "--out", str(table)])
    (tmp_path / "views.toml").write_text(OWN.format(
        events=table, windows=list(join_world.WINDOWS), aggregates=list(join_world.AGGREGATES)))
    command = ["--spine", str(tmp_path / "spine.parquet"), "--views", "v", "--view-file", str(tmp_path / "views.toml")]
    out = ["--out", str(tmp_path / "out")]
    try:
        join.main([*command, *out, "--time", "t", "--parts", parts])
        assert join_world.plain(pq.read_table(tmp_path / "out")) == join_world.expected(5, "event")
    finally:
        join_world.expected.cache_clear()
    assert {path.name for path in tmp_path.iterdir()} - {"var"} == {"events.parquet", "out", "spine.parquet", "views.toml"}
    with pytest.raises(SystemExit):  # it exists
        join.main([*command, *out])
    with pytest.raises(Refusal, match="no column event_time"):
        join.main([*command, "--out", str(tmp_path / "other")])


def test_a_layout_is_kept_while_its_table_is_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "var"))
    spine, events = join_world.tables(5)
    pq.write_table(spine, tmp_path / "spine.parquet")
    (tmp_path / "events").mkdir()
    pq.write_table(events.slice(0, 30), tmp_path / "events" / "a.parquet")
    (tmp_path / "views.toml").write_text(OWN.format(
        events=tmp_path / "events", windows=list(join_world.WINDOWS), aggregates=list(join_world.AGGREGATES)))

    def joined(name: str, *more: str) -> list:
        join.main(["--spine", str(tmp_path / "spine.parquet"), "--views", "v", "--view-file", str(tmp_path / "views.toml"),
                   "--time", "t", "--out", str(tmp_path / name), *more])
        return join_world.plain(pq.read_table(tmp_path / name))

    def laid() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*")}

    keep = ["--layouts", str(tmp_path / "kept")]
    expected = joined("plain")
    assert joined("first", *keep) == expected
    before = laid()
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert joined("second", *keep) == expected
    assert laid() == before
    pq.write_table(events.slice(30), tmp_path / "events" / "b.parquet")
    assert joined("third", *keep) == joined("plain again") != expected
    assert len(list((tmp_path / "kept").iterdir())) == 1 and not set(laid()) & set(before) - {str(tmp_path / "kept")}
    (tmp_path / "events" / "b.parquet").unlink()
    assert joined("fourth", *keep) == expected


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight landed days with their events built."""
    home = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTREEL_HOME", str(home))
        simulate.main([str(home / "raw"), "--users", "40", "--videos", "60", "--days", "8", "--seed", "4"])
        land.main([str(home / "raw"), "--preset", "nightreel"])
        build.main(["events", "tiles", "--as-of", last_day().isoformat()])
    return home


def last_day() -> date:
    """The end of what is sealed: late rows of the last days arrive until then."""
    return date.fromisoformat(lineage.landings("raw_events")[-1]["end"])


def test_views_of_the_lake(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(lake))
    events = pa.concat_tables([snapshot.read(chunk) for chunk in lineage.chunks("events", last_day())])
    spine = events.select(["user_id", "video_id", "country", "event_time"]).slice(0, 200)
    pq.write_table(spine, tmp_path / "spine.parquet")
    (tmp_path / "views.toml").write_text(LAKE)
    command = ["--spine", str(tmp_path / "spine.parquet"), "--views", "user,country_video,watched,facts", "--view-file",
               str(tmp_path / "views.toml"), "--out", str(tmp_path / "out")]
    with pytest.raises(lineage.Missing, match="jobs.build events tiles feature_snapshots --from") as missing:
        join.main(command)
    build.main(str(missing.value).split("jobs.build ")[1].split())
    join.main(command)

    own = read_views(LAKE.encode())
    days = dates.days(date(2026, 1, 1), last_day() + timedelta(days=1))
    stored = {day: (lambda day=day: snapshot.read(lineage.resolve("feature_snapshots", day))) for day in days}
    empty = lineage.table("feature_snapshots").schema.empty_table()
    stored |= {day: lambda: empty for day in dates.days(date(2025, 12, 1), date(2026, 1, 2))}
    expected = any_join.join(spine, [view("user"), view("country_video"), *own.values()],
                             {"events": events, "raw_videos": versions("raw_videos", last_day())}, stored)
    found = pq.read_table(tmp_path / "out")
    assert found.equals(expected.replace_schema_metadata(None))
    assert sum(found["watched_count_7d"].to_pylist()) and sum(found["user_play_count_7d"].to_pylist())


def test_a_spine_beyond_what_has_arrived_names_the_day(lake: Path, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(lake))
    later = pa.table({"user_id": [1], "event_time": pa.array([dates.midnight_us(last_day()) + 1], TIMESTAMP)})
    pq.write_table(later, tmp_path / "spine.parquet")
    (tmp_path / "views.toml").write_text(LAKE)
    with pytest.raises(lineage.Missing, match=last_day().isoformat()):
        join.main(["--spine", str(tmp_path / "spine.parquet"), "--views", "watched", "--view-file",
                   str(tmp_path / "views.toml"), "--out", str(tmp_path / "out")])


def test_an_unknown_view_is_an_error_that_names_the_known(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        join.main(["--spine", "s.parquet", "--views", "user,watched", "--out", str(tmp_path / "out")])
    assert "no view 'watched'; known: user, video, creator" in capsys.readouterr().err


def test_a_command_that_ends_before_spark_has_started_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    ended = subprocess.run([sys.executable, "-m", "jobs.join", "--spine", str(tmp_path / "missing.parquet"), "--views", "user",
                            "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False, timeout=120,
                           cwd=Path(__file__).parents[2], env=os.environ | {"TMPDIR": str(temporary)})
    assert ended.returncode == 3 and "missing.parquet" in ended.stderr
    time.sleep(3)  # a Java that outlived it would write now
    assert not list(temporary.iterdir())
