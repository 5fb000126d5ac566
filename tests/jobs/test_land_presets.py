"""Landing logs of known shape: MovieLens, KuaiRand, and the simulator's."""

import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import lineage, snapshot
from tests.jobs.landing import at, event, landed, parquet, rows_of
from validation import gate

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(gate, "judge", lambda plan, profile: [])
    return tmp_path / "home"


RATINGS = [(1, 10, 4.0, 1_000_000_000), (1, 20, 3.5, 1_000_000_100), (2, 10, 5.0, 1_000_090_000),
           (2, 30, 0.5, 1_000_090_001)]
MOVIES = [(10, "Star Wars: Episode IV (1977)", "Action|Sci-Fi"), (20, 'Say "Hi", Bob (1999)', "(no genres listed)"),
          (30, "Amélie (2001)", "Comedy"), (40, "Never Seen (1950)", "Drama")]


def movielens(folder: Path, kind: str) -> Path:
    """A tiny MovieLens as .csv (ml-latest), .dat (ml-1m, Latin-1) or .parquet."""
    folder.mkdir(parents=True)
    (folder / "README.txt").write_text("terms of use")
    if kind == "csv":
        lines = [f"{u},{m},{r},{t}" for u, m, r, t in RATINGS]
        (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *lines]) + "\n")
        titles = [title.replace('"', '""') for _, title, _ in MOVIES]
        lines = [f'{m[0]},"{title}",{m[2]}' for m, title in zip(MOVIES, titles, strict=True)]
        (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *lines]) + "\n")
    elif kind == "parquet":
        columns = zip(("userId", "movieId", "rating", "timestamp"), zip(*RATINGS, strict=True), strict=True)
        pq.write_table(pa.table({name: list(values) for name, values in columns}), folder / "ratings.parquet")
        columns = zip(("movieId", "title", "genres"), zip(*MOVIES, strict=True), strict=True)
        pq.write_table(pa.table({name: list(values) for name, values in columns}), folder / "movies.parquet")
    else:
        (folder / "ratings.dat").write_text("".join(f"{u}::{m}::{r:g}::{t}\n" for u, m, r, t in RATINGS))
        lines = ["::".join(map(str, movie)) + "\n" for movie in MOVIES]
        (folder / "movies.dat").write_bytes("".join(lines).encode("latin-1"))
    return folder


@pytest.mark.parametrize("kind", ["csv", "dat", "parquet"])
def test_a_rating_is_a_play_and_a_good_one_a_like(home, tmp_path, capsys, kind):
    code, said = landed(capsys, "--preset", "movielens", movielens(tmp_path / "ml", kind))
    assert code == 0, said
    rows = rows_of("raw_events")
    assert Counter(row["event_type"] for row in rows) == {"play": 4, "like": 2}
    assert len({row["event_id"] for row in rows}) == 6
    assert {(row["user_id"], row["video_id"]) for row in rows if row["event_type"] == "like"} == {(1, 10), (2, 10)}
    assert all(row["event_time"] == row["arrived_at"] for row in rows)
    assert min(row["event_time"] for row in rows) == at("2001-09-09 01:46:40")
    videos = {row["video_id"]: row for row in rows_of("raw_videos")}
    assert videos[10]["title"] == "Star Wars: Episode IV (1977)" and videos[10]["categories"] == ["Action", "Sci-Fi"]
    assert videos[20]["title"] == 'Say "Hi", Bob (1999)' and videos[20]["categories"] == []
    assert videos[30]["title"] == "Amélie (2001)"
    assert videos[30]["arrived_at"] == at("2001-09-10 02:46:41")
    assert videos[40]["arrived_at"] == at("2001-09-10 00:00:00")
    (entry,) = lineage.landings("raw_events")
    assert entry["arrival"] == "assumed" and entry["rows_in"] == entry["rows"] == 6
    assert {"impression", "watch_ms"} <= set(entry["lacks"]) and lineage.landings("ids") == []


@pytest.mark.parametrize("kind", ["dat", "parquet"])
def test_every_kind_is_the_same_log(home, tmp_path, monkeypatch, capsys, kind):
    landed(capsys, "--preset", "movielens", movielens(tmp_path / "a", "csv"))
    first = {name: lineage.landings(name)[0]["content_hash"] for name in ("raw_events", "raw_videos")}
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "other"))
    landed(capsys, "--preset", "movielens", movielens(tmp_path / "b", kind))
    assert {name: lineage.landings(name)[0]["content_hash"] for name in first} == first


def test_a_line_without_its_fields_is_refused(home, tmp_path, capsys):
    folder = movielens(tmp_path / "ml", "dat")
    with open(folder / "ratings.dat", "a") as stream:
        stream.write("1::2::3\n")
    code, said = landed(capsys, "--preset", "movielens", folder)
    assert code == 3 and "ratings.dat" in said and "userId::movieId::rating::timestamp" in said


def test_the_real_movielens(home, tmp_path, capsys):
    folder = Path(os.environ.get("NIGHTREEL_REAL_DATA", SHARED)) / "ml-latest-small"
    if not folder.exists():
        pytest.skip(f"the real data is absent: no {folder.name} in NIGHTREEL_REAL_DATA or ../shared/data")
    code, said = landed(capsys, "--preset", "movielens", folder)
    assert code == 0 and "100,836 rows read, 149,416 landed, sealed 1996-03-29 … 2018-09-24" in said
    types = snapshot.read(lineage.landed(lineage.landings("raw_events")[0]), columns=["event_type"])["event_type"]
    assert Counter(types.to_pylist()) == {"play": 100_836, "like": 48_580}
    videos = {row["video_id"]: row for row in rows_of("raw_videos")}
    assert len(videos) == 9_742 and videos[1]["title"] == "Toy Story (1995)"
    assert videos[1]["categories"] == ["Adventure", "Animation", "Children", "Comedy", "Fantasy"]


LOG = ("user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
       "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n")
VIDEO = ("video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,server_height,"
         "music_id,music_type,tag\n")


def kuairand(folder: Path) -> Path:
    """A tiny KuaiRand-Pure, with the published names and columns."""
    folder.mkdir(parents=True)
    (folder / "log_standard_4_08_to_4_21_pure.csv").write_text(
        LOG + "1,10,20220408,400,1649361601000,1,1,0,0,1,0,1,5000,9000,0,0,0,0,1\n"
              "1,11,20220408,400,1649361602000,0,0,0,0,0,1,0,700,9000,0,0,0,0,1\n")
    (folder / "log_random_4_22_to_5_08_pure.csv").write_text(
        LOG + "2,10,20220422,1200,1650600000123,1,0,0,0,0,0,0,9000,9000,0,0,0,1,4\n")
    (folder / "video_features_basic_pure.csv").write_text(
        VIDEO + '10,7,NORMAL,2022-04-01,ShortImport,1,17200.0,720,1280,9,4,"12,65"\n'
                "11,8,AD,2022-04-08,ShortImport,1,,720,1280,9,4,\n99,8,NORMAL,,ShortImport,1,5000.0,720,1280,9,4,3\n")
    (folder / "video_features_statistic_pure.csv").write_text("video_id,counts\n10,5\n")
    (folder / "user_features_pure.csv").write_text("user_id,user_active_degree\n1,full_active\n2,x\n3,UNKNOWN\n")
    return folder


def test_every_kuairand_row_is_an_impression_and_a_click_a_play(home, tmp_path, capsys):
    code, said = landed(capsys, "--preset", "kuairand", kuairand(tmp_path / "kuai"))
    assert code == 0, said
    rows = rows_of("raw_events")
    assert Counter(row["event_type"] for row in rows) == {
        "impression": 3, "play": 2, "like": 1, "share": 1, "not_interested": 1}
    watched = {row["event_type"]: row["watch_ms"] for row in rows if row["video_id"] == 10 and row["user_id"] == 1}
    assert watched == {"impression": None, "play": 5_000, "like": None, "share": None}
    requests = {row["request_id"] for row in rows if row["video_id"] == 10 and row["user_id"] == 1}
    assert requests == {"1649361601000"}
    assert {row["surface"] for row in rows} == {"1", "4"}
    assert max(row["event_time"] for row in rows).microsecond == 123_000
    videos = {row["video_id"]: row for row in rows_of("raw_videos")}
    assert videos[10] | {"arrived_at": 0} == {
        "video_id": 10, "creator_id": 7, "categories": ["12", "65"], "duration_ms": 17_200, "title": None,
        "published_at": at("2022-03-31 16:00:00"), "removed_at": None, "arrived_at": 0}
    assert videos[11]["duration_ms"] is None and videos[11]["categories"] is None and videos[99]["published_at"] is None
    assert videos[10]["arrived_at"] == at("2022-04-07 20:00:01")
    assert videos[99]["arrived_at"] == at("2022-04-22 00:00:00")
    assert {row["user_id"] for row in rows_of("raw_users")} == {1, 2, 3}


def test_a_bad_row_counts_once_whatever_it_tells(home, tmp_path, capsys):
    folder = kuairand(tmp_path / "kuai")
    with open(folder / "log_random_4_22_to_5_08_pure.csv", "a") as stream:
        stream.write(",10,20220422,1200,1650600000123,1,1,0,0,1,0,0,9000,9000,0,0,0,1,4\n")
        stream.write("5,10,20220422,1200,1650600000123,yes,1,0,0,1,0,0,9000,9000,0,0,0,1,4\n")
    assert landed(capsys, "--preset", "kuairand", folder)[0] == 0
    (entry,) = lineage.landings("raw_events")
    assert entry["quarantined"] == {"null_user": 1, "unreadable": 1} and entry["rows_in"] == entry["rows"] + 2 == 10


def test_a_preset_names_the_column_that_its_file_lacks(home, tmp_path, capsys):
    folder = kuairand(tmp_path / "kuai")
    log = folder / "log_random_4_22_to_5_08_pure.csv"
    log.write_text(log.read_text().replace("is_click", "clicked"))
    code, said = landed(capsys, "--preset", "kuairand", folder)
    assert code == 3 and "clicked" in said and log.name in said and not home.exists()


def test_the_simulator_writes_what_preset_nightreel_reads(home, tmp_path, capsys):
    parquet(tmp_path / "out/events/2026-01-01.parquet", [event(event_id=5)])
    known = at("2026-01-01 00:00:00")
    parquet(tmp_path / "out/videos/2026-01-01.parquet", [{"video_id": 2, "title": "t", "arrived_at": known}])
    code, said = landed(capsys, "--preset", "nightreel", tmp_path / "out")
    assert code == 0 and "raw_videos: 1 rows read" in said and rows_of("raw_events")[0]["event_id"] == 5
