"""A log with every input fault, planted and counted, through the whole night: every row is accounted for."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from jobs import block, build, recommendations, release, report
from lake import lineage, snapshot
from publishing.live import load_release
from tests.faults import inputs, promises, real
from tests.jobs.landing import landed, parquet

AS_OF = inputs.LAST
TOLD = inputs.log()
TABLES = ("feature_snapshots", "catalogue", "histories", "popularity", "labels", "training_examples")
SECRETS = {"AWS_SECRET_ACCESS_KEY": "hunter2hunter2", "MLFLOW_TRACKING_URI": "http://me:hunter2hunter2@127.0.0.1:9",
           "NIGHTREEL_SPARK_CONF": "spark.hadoop.fs.s3a.secret.key=hunter2hunter2"}


def night(folder: Path, files: int, seed: int, capsys: pytest.CaptureFixture) -> dict[str, str]:
    """Land the log and compute its night, in a home of its own; the content hashes."""
    os.environ.update(NIGHTREEL_HOME=str(folder / "home"), **real.SETTINGS)
    inputs.write(folder, TOLD, files, seed)
    command = [folder / "log", "--videos", folder / "videos.parquet", "--max-bad-share", "0.2"]
    code, said = landed(capsys, *command)
    assert code == 0, said
    assert "already landed" in landed(capsys, *command)[1], "the same files again change nothing"
    build.main([*build.BUILT, "--as-of", str(AS_OF)])
    return {name: lineage.resolve(name, AS_OF).content_hash for name in TABLES}


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    for name, value in {**SECRETS, "NIGHTREEL_HOME": str(tmp_path), **real.SETTINGS}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return tmp_path


def test_every_row_is_accounted_for_and_order_never_matters(home, capsys):
    hashes = night(home / "one", 1, 1, capsys)
    (entry,) = lineage.landings("raw_events")
    assert entry["quarantined"] == TOLD.bad
    assert entry["rows_in"] == len(TOLD.rows) == entry["rows"] + sum(TOLD.bad.values())
    assert entry["rows"] == TOLD.good + TOLD.duplicates
    events = lineage.chunks("events", AS_OF)[-1]
    assert (events.rows, events.extra["duplicates"], events.extra["conflicts"]) == (
        TOLD.good, TOLD.duplicates, TOLD.conflicts)
    assert lineage.resolve("labels", AS_OF).rows == lineage.resolve("training_examples", AS_OF).rows > 0
    with in_zone("Asia/Kolkata"):
        assert night(home / "many", 4, 2, capsys) == hashes, "other files, order and time zone, the same night"


@contextmanager
def in_zone(name: str) -> Iterator[None]:
    """This process believes to be in a time zone for a while."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


def test_every_arrival_day_is_accounted_for_by_itself(home, capsys):
    """Each day landed by a command of its own: rows in = rows out + quarantined + duplicates, as planted on that day."""
    days: dict[date, list[dict]] = {}
    for row in TOLD.rows:
        days.setdefault(row["arrived_at"].date(), []).append(row)
    names = {name: None for row in TOLD.rows for name in row}
    for day, rows in sorted(days.items()):
        log = parquet(home / f"{day}.parquet", [{**names, **row} for row in rows])
        code, said = landed(capsys, log, "--max-bad-share", "0.5")
        assert code == 0, said
    last = max(days) + timedelta(days=1)
    build.main(["events", "--as-of", str(last)])
    planted = {inputs.FIRST: sum(TOLD.bad.values())}
    for day, entry, events in zip(sorted(days), lineage.landings("raw_events"), lineage.chunks("events", last),
                                  strict=True):
        bad = sum(entry["quarantined"].values())
        assert (entry["start"], entry["rows_in"], bad) == (str(day), len(days[day]), planted.get(day, 0))
        assert entry["rows_in"] == events.rows + events.extra["duplicates"] + bad
        assert events.rows == len({row["event_id"] for row in days[day]}) - bad, "no id is told on two days"


def test_a_published_night_hides_what_it_must_and_tells_no_secret(home, capsys):
    night(home / "world", 2, 3, capsys)
    catalogue = snapshot.read(lineage.resolve("catalogue", AS_OF)).to_pylist()
    known = {row["video_id"]: row for row in catalogue}
    assert len(known) == len(catalogue) == inputs.VIDEOS + 1 and known[inputs.TWICE]["title"] == "renamed"
    assert not known[inputs.REMOVED]["eligible"] and known[inputs.UNKNOWN]["eligible"]
    day = ["--as-of", str(AS_OF), "--k", "5"]
    recommendations.main(day), release.main(day), block.main(["--video", str(inputs.UNSEEN), "--reason", "rights"])
    report.main(["--as-of", str(AS_OF)])
    assert promises.whole_release(home / "world/home")["tombstones"]["videos"] == [inputs.UNSEEN]
    lists = load_release()
    shown = {*lists.recommendations()["video_id"].to_pylist(), *lists.fallback["video_id"].to_pylist()}
    assert shown and not shown & {inputs.REMOVED, inputs.UNSEEN}
    assert lists.fallback_for("DE").num_rows == 5, "a user without history gets a full list"
    plays = snapshot.read(lineage.resolve("histories", AS_OF), columns=["user_id", "play_count"])
    told = {row["user_id"]: row["play_count"] for row in plays.to_pylist()}
    assert told[inputs.HEAVY] == sum(
        row["user_id"] == inputs.HEAVY and row["event_type"] == "play" and row["arrived_at"].date() < AS_OF
        for row in {row.get("event_id"): row for row in TOLD.rows}.values()), "the user of half the log, exactly"
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err
    assert not [path for path in home.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_a_late_row_is_seen_from_its_arrival_on(home, capsys):
    night(home / "world", 1, 4, capsys)
    build.main(["events", "tiles", "histories", "--as-of", str(inputs.FIRST + timedelta(days=2))])
    early, now = (pc.sum(snapshot.read(lineage.resolve("histories", as_of))["play_count"]).as_py()
                  for as_of in (inputs.FIRST + timedelta(days=2), AS_OF))
    true = TOLD.rows[:-sum(TOLD.bad.values())]
    for plays, as_of in ((early, inputs.FIRST + timedelta(days=2)), (now, AS_OF)):
        assert plays == len({row["event_id"] for row in true
                             if row["event_type"] == "play" and row["arrived_at"].date() < as_of})
    assert TOLD.late > 0
