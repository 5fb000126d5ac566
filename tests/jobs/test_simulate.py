"""The simulated world: same seed, same bytes; what is planted is what is found; nothing happens that could not."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from jobs import simulate
from lake.columns import EVENT, EVENT_TYPES, USER, VIDEO
from lake.dates import DAY_US
from lake.refusal import Refusal
from simulation.days import SHOWN_MAX, TAKEDOWN_NOTICE_US, State, draw, live, show_policy
from simulation.log import OVERSIZED_CHARACTERS
from simulation.world import Size, World, make_world, stream

SIZES = ["--users", "300", "--videos", "400", "--days", "12", "--start", "2026-01-29", "--seed", "3"]
SIZE = Size(users=300, videos=400, days=12, start=simulate.parse_date("2026-01-29"), seed=3)


@dataclass(frozen=True)
class Written:
    """One simulated world on disk, read back: tables by name, truth, and the log's rows by what was planted in them."""

    out: Path
    home: Path
    events: pa.Table
    videos: pa.Table
    users: pa.Table
    truth: dict

    def kinds(self) -> np.ndarray:
        """Per row of events: event, duplicate, duplicate_other_content or a poison's reason."""
        planted = pq.read_table(self.home / "truth" / "planted.parquet").to_pylist()
        by_row = {(row["event_id"], row["arrived_at"]): row["kind"] for row in planted}
        keys = zip(self.events["event_id"].to_pylist(), self.events["arrived_at"].to_pylist())
        return np.array([by_row.get(key, "event") for key in keys])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    root = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTREEL_HOME", str(root / "home"))
        simulate.main([str(root / "out"), *SIZES])
    tables = [pq.read_table(root / "out" / name) for name in simulate.TABLES]
    return Written(root / "out", root / "home", *tables, json.loads((root / "home/truth/world.json").read_text()))


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "home"))


def us(column: pa.ChunkedArray) -> np.ndarray:
    """Microseconds, nulls as the smallest int64."""
    return column.cast(pa.int64()).fill_null(-2**63).to_numpy()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_arguments_same_bytes_another_seed_other_rows(written: Written, tmp_path: Path) -> None:
    simulate.main([str(tmp_path / "again"), *SIZES])
    assert contents(tmp_path / "again") == contents(written.out)
    assert contents(tmp_path / "home") == contents(written.home)
    other = next(live(make_world(Size(users=300, videos=400, days=12, start=SIZE.start, seed=4))))
    mine = next(live(make_world(SIZE)))
    assert len(other["user"]) != len(mine["user"]) or (other["video"] != mine["video"]).any()


def test_columns_are_the_vocabulary_of_the_lake(written: Written) -> None:
    for name, declared in (("events", EVENT), ("videos", VIDEO), ("users", USER)):
        expected = pa.schema([(column.name, column.type) for column in declared])
        for path in (written.out / name).iterdir():
            assert pq.read_schema(path).equals(expected), path


def test_sizes_are_options(written: Written) -> None:
    assert written.users.num_rows == 300
    assert pc.count_distinct(written.videos["video_id"]).as_py() == 400
    assert written.truth["parameters"] == {
        "version": 1, "users": 300, "videos": 400, "days": 12, "start": "2026-01-29", "seed": 3}
    assert written.events.num_rows > 5_000


def test_files_hold_their_arrival_day_and_nothing_outlives_the_world(written: Written) -> None:
    for name in simulate.TABLES:
        for path in (written.out / name).iterdir():
            arrived = us(pq.read_table(path)["arrived_at"])
            assert {str(simulate.day_of_us(int(day) * DAY_US)) for day in np.unique(arrived // DAY_US)} == {path.stem}
            assert arrived.min() >= SIZE.start_us and arrived.max() < SIZE.end_us, path


def test_counts_in_the_truth_are_found_in_the_files(written: Written) -> None:
    kinds, counts = written.kinds(), written.truth["counts"]
    found = dict(zip(*np.unique(kinds, return_counts=True)))
    assert counts["rows"] == written.events.num_rows
    assert found["event"] == counts["events"]
    assert found["duplicate"] == counts["duplicates"] > 10
    assert found["duplicate_other_content"] == counts["duplicates_other_content"] >= 1
    assert {reason: found[reason] for reason in counts["poison"]} == counts["poison"]
    assert counts["rows"] == sum([counts["events"], counts["duplicates"], counts["duplicates_other_content"],
                                  *counts["poison"].values()])
    assert sum(counts["poison"].values()) < 0.01 * counts["rows"]
    arrived = us(written.events["arrived_at"])
    for day, there in written.truth["arrival_days"].items():
        start = simulate.parse_date(day)
        here = arrived // DAY_US == (start - simulate.day_of_us(0)).days
        assert there["rows"] == here.sum() and there["events"] == (kinds[here] == "event").sum(), day


def test_late_events_are_counted_by_lateness(written: Written) -> None:
    good = written.kinds() == "event"
    delay = (us(written.events["arrived_at"]) - us(written.events["event_time"]))[good]
    assert delay.min() >= 1_000_000
    late = written.truth["counts"]["late"]
    assert late == {"hours": ((delay >= 20 * 60_000_000) & (delay < DAY_US)).sum()} | {
        f"{days}_days": (delay // DAY_US == days).sum() for days in range(1, 8)}
    assert 0.01 < late["hours"] / good.sum() < 0.03 and late["1_days"] > 0
    assert 0.001 < sum(late[f"{days}_days"] for days in range(1, 8)) / good.sum() < 0.008
    assert written.truth["dropped_after_end"] > 0


def test_every_poison_row_is_what_its_reason_says_and_good_rows_are_not(written: Written) -> None:
    events, kinds = written.events, written.kinds()
    watch = events["watch_ms"].fill_null(0).to_numpy()
    broken = {
        "event_time_after_arrival": us(events["event_time"]) > us(events["arrived_at"]) + DAY_US,
        "null_user": events["user_id"].is_null().to_numpy(),
        "null_video": events["video_id"].is_null().to_numpy(),
        "null_time": events["event_time"].is_null().to_numpy(),
        "negative_watch": watch < 0,
        "absurd_watch": watch > DAY_US // 1000,
        "unknown_event_type": pc.invert(pc.is_in(events["event_type"], pa.array(EVENT_TYPES))).to_numpy(),
        "oversized_string": pc.utf8_length(events["surface"]).to_numpy() >= OVERSIZED_CHARACTERS}
    for reason, rows in broken.items():
        assert rows.any() and (rows == (kinds == reason)).all(), reason


def test_duplicates_arrive_later_and_only_the_planted_ones_differ(written: Written) -> None:
    kinds, rows = written.kinds(), written.events.to_pylist()
    first = {row["event_id"]: row for row, kind in zip(rows, kinds) if kind == "event"}
    for row, kind in zip(rows, kinds):
        if not kind.startswith("duplicate"):
            continue
        original = first[row["event_id"]]
        assert row["arrived_at"] > original["arrived_at"]
        differs = {name for name in row if row[name] != original[name]} - {"arrived_at"}
        assert differs == ({"watch_ms"} if kind == "duplicate_other_content" else set())


def test_no_event_outside_the_life_of_its_video_or_user(written: Written) -> None:
    good = pa.array(np.isin(written.kinds(), ["event", "duplicate"]))
    events = written.events.filter(good)
    time, video, user = us(events["event_time"]), events["video_id"].to_numpy(), events["user_id"].to_numpy()
    published, removed = np.zeros(401, dtype=np.int64), np.full(401, 2**62)
    published[written.videos["video_id"].to_numpy()] = us(written.videos["published_at"])
    taken_down = written.videos.filter(written.videos["removed_at"].is_valid())
    removed[taken_down["video_id"].to_numpy()] = us(taken_down["removed_at"])
    assert taken_down.num_rows >= 3 and (us(taken_down["arrived_at"]) >= us(taken_down["removed_at"])).all()
    assert (time > published[video]).all() and (time < removed[video]).all()
    joined = np.zeros(301, dtype=np.int64)
    joined[written.users["user_id"].to_numpy()] = us(written.users["arrived_at"])
    assert (time > joined[user]).all()
    on_the_way = np.isin(np.unique(written.videos["video_id"].to_numpy()), np.flatnonzero(published > SIZE.start_us))
    assert 0.15 < on_the_way.mean() < 0.5


def test_plays_follow_impressions_of_their_request(written: Written) -> None:
    rows = [row for row, kind in zip(written.events.to_pylist(), written.kinds()) if kind == "event"]
    shown = {(row["request_id"], row["video_id"]): row for row in rows if row["event_type"] == "impression"}
    assert all(row["watch_ms"] is None and 0 < row["propensity"] <= 1 and 0 <= row["position"] < SHOWN_MAX
               for row in shown.values())
    plays = [row for row in rows if row["event_type"] == "play"]
    assert all(row["watch_ms"] > 0 and row["propensity"] is None and row["position"] is None for row in plays)
    told = [row for row in plays if (row["request_id"], row["video_id"]) in shown]
    assert 0.85 < len(told) / len(plays) < 0.96
    for row in told:
        impression = shown[row["request_id"], row["video_id"]]
        assert impression["user_id"] == row["user_id"] and impression["event_time"] < row["event_time"]


def fresh_state(world: World) -> State:
    users, videos = world.size.users, world.size.videos
    return State(stream(0, "test"), np.full(users, -1), np.zeros(users, dtype=np.int64),
                 *np.zeros((2, users, videos), dtype=bool), np.zeros(videos), np.zeros(videos, dtype=np.int64))


def test_policy_sums_to_one_over_what_is_up() -> None:
    world = make_world(SIZE)
    user, time = np.arange(50), np.full(50, SIZE.start_us + 5 * DAY_US)
    q = show_policy(world, fresh_state(world), 5, user, time)
    assert np.allclose(q.sum(axis=1), 1, atol=1e-5)
    up = (world.videos.arrived_at <= time[0]) & (world.videos.removed_at > time[0] + DAY_US)
    down = (world.videos.arrived_at > time[0]) | (world.videos.removed_at <= time[0])
    assert (q[:, up] > 0).all() and (q[:, down] == 0).all()


def test_propensity_is_the_frequency_of_the_draw() -> None:
    """20,000 draws from one small q: frequencies at the first place, and at the second given the first, match."""
    q = np.array([0.4, 0.2, 0.1] + [0.3 / 13] * 13, dtype=np.float32)
    video, propensity = draw(stream(1, "test"), np.tile(q, (20_000, 1)))
    assert (np.sort(video, axis=1)[:, 1:] != np.sort(video, axis=1)[:, :-1]).all()
    assert np.allclose(propensity[:, 0], q[video[:, 0]])
    assert abs((video[:, 0] == 0).mean() - 0.4) < 0.015
    after_first = video[:, 0] == 0
    assert np.allclose(propensity[after_first, 1], q[video[after_first, 1]] / 0.6, rtol=1e-5)
    assert abs((video[after_first, 1] == 1).mean() - 0.2 / 0.6) < 0.02


def test_logged_propensities_weigh_back_to_every_video_once(written: Written) -> None:
    """At the top place the mean of 1 / propensity is the number of videos that were up (within sampling noise)."""
    events = written.events.filter(pa.array(written.kinds() == "event"))
    top = events.filter(pc.equal(events["position"], 0).fill_null(False))
    videos = make_world(SIZE).videos
    time = us(top["event_time"])[:, None]
    up = (videos.arrived_at <= time) & (time < videos.removed_at - TAKEDOWN_NOTICE_US)
    assert abs(np.mean(1 / top["propensity"].to_numpy()) / up.sum(axis=1).mean() - 1) < 0.15


def test_taste_is_learnable_and_popularity_is_not_everything(written: Written) -> None:
    """Users play the videos that their true taste likes: plays have a clearly higher affinity than impressions."""
    taste = np.stack(pq.read_table(written.home / "truth/users.parquet")["taste"].to_numpy())
    vector = np.stack(pq.read_table(written.home / "truth/videos.parquet")["vector"].to_numpy())
    events = written.events.filter(pa.array(written.kinds() == "event"))
    affinity = np.einsum("nd,nd->n", taste[events["user_id"].to_numpy() - 1], vector[events["video_id"].to_numpy() - 1])
    kind = events["event_type"].to_numpy()
    mean = {name: affinity[kind == name].mean() for name in EVENT_TYPES}
    everything = (taste @ vector.T).mean()
    assert mean["not_interested"] < mean["impression"] < mean["play"] < mean["like"]
    assert mean["impression"] > everything + 0.5 and mean["play"] > mean["impression"] + 0.5


def test_the_same_world_again_is_a_quick_no_op(written: Written, capsys: pytest.CaptureFixture, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(written.home))
    before = {path: path.stat().st_mtime_ns for path in written.out.rglob("*")}
    simulate.main([str(written.out), *SIZES])
    assert "nothing to do" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in written.out.rglob("*")}


SMALL = ["--users", "30", "--videos", "60", "--days", "3"]


@pytest.mark.parametrize(
    "obstacle", ["another world", "someone's file", "a changed file", "another truth", "a plain file"])
def test_refuses_to_overwrite(obstacle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    if obstacle == "someone's file":
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    elif obstacle == "a plain file":
        out.write_text("mine")
    else:
        seed = [] if obstacle == "a changed file" else ["--seed", "8"]
        simulate.main([str(out), *SMALL, *seed])
    if obstacle == "a changed file":
        next((out / "events").iterdir()).write_bytes(b"")
    if obstacle == "another truth":
        out = tmp_path / "elsewhere"
    elif obstacle == "another world":
        monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "other home"))
    before = contents(tmp_path)
    with pytest.raises(Refusal, match=str(tmp_path)):
        simulate.main([str(out), *SMALL])
    assert contents(tmp_path) == before


def test_an_interrupted_run_is_started_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    simulate.main([str(out), *SMALL])
    whole = contents(out)
    (out / "world.json").rename(out / "unfinished.json")
    (out / "events" / "torn.parquet").write_bytes(b"PAR1")
    simulate.main([str(out), *SMALL])
    assert contents(out) == whole


@pytest.mark.parametrize("arguments", [
    ["--users", "5"], ["--videos", "3"], ["--days", "0"], ["--seed", "-1"], ["--start", "01.02.2026"],
    ["--start", "2026-02-30"], ["--users", "1000000", "--videos", "1000000"]])
def test_impossible_sizes_are_refused_before_anything_is_written(arguments: list[str], tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        simulate.main([str(tmp_path / "out"), *arguments])
    assert ended.value.code == 2 and "error: " in capsys.readouterr().err
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("out", ["", "s3://bucket/raw", "a\0b"])
def test_hostile_folders_are_refused(out: str) -> None:
    with pytest.raises(Refusal, match="OUT must be a local folder"):
        simulate.main([out, *SMALL])
