"""The yardstick itself: each peer does what its name says, one evaluator counts right, and nothing knows the answer."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import ablation, quality, quality_judge, quality_log, quality_moments, quality_ours, quality_peers
from benchmarks.quality_log import Plays, Split
from funnel import ragged
from funnel.ranking import FEATURE_NAMES
from lake.columns import TIMESTAMP
from lake.dates import DAY_US, midnight_us
from lake.tables import table
from tests.funnel.worlds import watching

AS_OF = date(2026, 1, 29)
NOW_US = midnight_us(AS_OF)


def split(histories: dict[int, list[int]], truth: dict[int, list[int]], videos: int = 8) -> Split:
    """Users and videos by small ids; plays an hour apart, the newest an hour before the cut."""
    users = np.array(sorted(histories))
    plays = [(row, video, NOW_US - (len(histories[user]) - place) * DAY_US // 24)
             for row, user in enumerate(users) for place, video in enumerate(histories[user])]
    row, video, time_us = (np.array(column, np.int64) for column in zip(*plays, strict=True))
    judged = np.searchsorted(users, sorted(truth))
    return Split("hand made", "-", AS_OF, np.arange(videos), np.full(videos, NOW_US - 30 * DAY_US), users, row, video,
                 time_us, judged, ragged.offsets_of(np.array([len(truth[user]) for user in sorted(truth)])),
                 np.concatenate([sorted(truth[user]) for user in sorted(truth)]))


def random_split(users: int, videos: int, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    histories = {user: rng.permutation(videos)[:rng.integers(3, videos // 2)].tolist() for user in range(users)}
    return split(histories, {0: [videos - 1]}, videos)


def test_ease_is_the_same_whichever_side_is_inverted() -> None:
    for users, videos in ((12, 30), (60, 20)):
        one = random_split(users, videos)
        played = quality_peers.matrix(one)
        gram = played.toarray().T @ played.toarray() + 5 * np.eye(videos)
        between = -np.linalg.inv(gram) / np.diag(np.linalg.inv(gram))
        np.fill_diagonal(between, 0)
        everyone = np.arange(users)
        assert np.allclose(quality_peers.ease(one, 5.0)(everyone), played.toarray() @ between, atol=1e-4)
        assert np.allclose(quality_peers._ease_by_users(played, played, 5.0)(everyone), played.toarray() @ between,
                           atol=1e-4)


def test_recency_lets_the_newest_play_count_most() -> None:
    one = split({1: [0, 1], 2: [0, 4], 3: [0, 4], 4: [1, 5], 5: [1, 5]}, {1: [5]})
    usual, recent = (quality_peers.ease(one, 1.0, kept)(np.array([0]))[0] for kept in (1.0, 0.1))
    assert np.isclose(usual[4], usual[5]) and recent[5] > recent[4], "user 1 played 0 long ago and 1 just now"


def test_rules_have_a_direction_and_popularity_a_window() -> None:
    one = split({1: [0, 1], 2: [0, 1], 3: [0], 4: [1]}, {3: [1]})
    rules = quality_peers.sequential_rules(one, 1, 1)(np.array([2, 3]))
    assert rules[0].argmax() == 1 and rules[1].max() == 0, "1 follows 0; nothing follows 1"
    old = replace(one, time_us=one.time_us - np.where(one.video == 0, 20 * DAY_US, 0))
    assert quality_peers.popular(old)(np.array([0]))[0].argmax() == 0
    assert quality_peers.popular_lately(old, 7)(np.array([0]))[0].argmax() == 1
    assert quality_peers.popular_decayed(old, 3.0)(np.array([0]))[0].argmax() == 1


def test_lists_are_unseen_and_tuning_knows_no_answer() -> None:
    one = random_split(40, 24)
    for peer in quality_peers.PEERS:
        lists = quality_peers.lists_of(one, peer.fit(one, **peer.grid[0]), np.arange(40))
        seen = quality_peers.matrix(one).toarray() > 0
        assert not any(seen[user, lists[user][lists[user] >= 0]].any() for user in range(40)), peer.name
    inner = quality_log.one_earlier(one)
    assert len(inner.user) == len(one.user) - 40 and len(inner.judged) == 40
    assert set(inner.truth) <= set(one.video), "the earlier window's answers are plays that are known anyway"


def test_the_evaluator_counts_by_hand() -> None:
    one = split({1: [0], 2: [0]}, {1: [3], 2: [4, 5]})
    ours, theirs = np.full((2, 100), -1), np.full((2, 100), -1)
    ours[0, :2], ours[1, 0], theirs[0, 0] = [2, 3], 5, 3
    pool = quality_judge.Pool()
    quality_judge.add(pool, one, {quality_judge.OURS: ours, "rival": theirs})
    told = quality_judge.told(pool)
    second = 1 / np.log2(3)
    assert told["ours"]["ndcg@10"] == round((second + 1 / (1 + second)) / 2, 5), "3 came second; 5 of 4 and 5 first"
    assert told["ours"]["recall@100"] == 0.75 and told["peers"]["rival"]["ndcg@10"] == 0.5
    assert told["best_peer"] == "rival" and told["judged_users"] == 2 and told["lower"] <= told["upper"]
    assert any("rival" in line for line in quality_judge.report("time_split", pool))


def test_without_last_takes_the_last_play_and_what_came_of_it(tmp_path) -> None:
    """User 1's last play (video 9, liked) goes, with its like; user 2 has fewer than 5 plays and keeps all."""
    rows = [(1, video, "play", hour) for hour, video in enumerate([5, 6, 7, 8, 9])]
    rows += [(1, 9, "like", 4), (1, 5, "like", 0), (2, 5, "play", 0), (2, 9, "play", 1)]
    rows.sort(key=lambda row: (row[0], row[3]))
    schema = table("raw_events").schema
    times = pa.array([NOW_US + row[3] * 3_600_000_000 for row in rows]).cast(TIMESTAMP)
    columns = {"event_id": pa.array(range(len(rows))), "user_id": [row[0] for row in rows],
               "video_id": [row[1] for row in rows], "event_type": [row[2] for row in rows], "event_time": times,
               "arrived_at": times}
    events = pa.table({field.name: pa.array(columns[field.name], field.type) if field.name in columns
                       else pa.nulls(len(rows), field.type) for field in schema}, schema=schema)
    quality_log.write_without_last(events, table("raw_videos").schema.empty_table(), tmp_path)
    held = pq.read_table(tmp_path / "held_out.parquet").to_pylist()
    kept = pq.read_table(tmp_path / "events" / "all.parquet")
    assert held == [{"user_id": 1, "video_id": 9}]
    assert kept.num_rows == len(rows) - 2 and 9 not in kept.filter(pa.compute.equal(kept["user_id"], 1))["video_id"].to_pylist()


def test_rolling_judges_weeks_that_end_where_the_time_split_does() -> None:
    user = np.repeat(np.arange(quality_moments.ENOUGH_USERS), 2)
    time_us = NOW_US + np.tile([-DAY_US, DAY_US], quality_moments.ENOUGH_USERS)
    plays, end = Plays(user, user, time_us, time_us), date(2026, 2, 5)
    assert quality_moments.cuts(end, plays, ["time_split", "rolling"], 3) == [
        (date(2026, 1, 15), None), (date(2026, 1, 22), None), (AS_OF, end)]
    assert quality_moments.cuts(end, plays, ["time_split"], 3) == [(AS_OF, end)]


def test_the_ablation_takes_every_column_of_the_ranker_away_once() -> None:
    grouped = [name for columns in ablation.GROUPS.values() for name in columns]
    assert len(grouped) == len(set(grouped)) and set(FEATURE_NAMES) - set(grouped) == {"found_catalogue", "category_count"}
    without = {name: len(part.without) for name, part in ablation.parts().items()}
    assert without["source: lately"] == 1 and without["the whole funnel"] == 0


@pytest.mark.parametrize(("argv", "said"), [
    ([], "name a FOLDER or --simulated"), (["folder", "--simulated"], "name a FOLDER or --simulated"),
    (["--simulated", "--ties-by-file"], "preset movielens"),
    (["folder", "--preset", "kuairand", "--ties-by-file"], "preset movielens")])
def test_what_can_not_be_asked_together_is_refused(monkeypatch, capsys, argv: list[str], said: str) -> None:
    monkeypatch.setattr("sys.argv", ["quality.py", *argv])
    with pytest.raises(SystemExit):
        quality.parse()
    assert said in capsys.readouterr().err


def test_next_plays_belong_to_their_users() -> None:
    users = watching({3: [1], 5: [2], 9: [1, 2]})
    plays = quality_ours.plays_after(users, pa.table({"user_id": [9, 3, 7], "video_id": [4, 6, 8]}))
    assert plays.offsets.tolist() == [0, 1, 1, 2] and plays.video_ids.tolist() == [6, 4]


def test_leave_one_out_learns_from_the_play_before_the_one_it_is_asked(tmp_path) -> None:
    """A ring of 80 videos, each mostly followed by the next one: 150 users, 12 plays each, whose start says nothing and
    of which the last three share their second, so that the file alone knows which was the last."""
    random, rows, ends = np.random.default_rng(3), ["userId,movieId,rating,timestamp"], []
    for user in range(1, 151):
        video, seen = int(random.integers(80)), set()
        for hour in range(12):
            while video in seen:
                video = int(random.integers(80))
            seen.add(video)
            rows.append(f"{user},{video + 1},4.0,{1_700_000_000 + 86_400 * int(user % 30) + 3_600 * min(hour, 9)}")
            ends += [(user, video + 1)] * (hour >= 10)
            video = (video + 1) % 80 if random.random() < 0.9 else int(random.integers(80))
    (tmp_path / "ratings.csv").write_text("\n".join(rows))
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n" + "\n".join(f"{n},v{n},Drama" for n in range(1, 81)))
    done = subprocess.run([sys.executable, str(quality.ROOT / "benchmarks" / "quality.py"), str(tmp_path), "--protocols",
                           "leave_one_out", "--peers", "most_popular", "sequential_rules", "--ties-by-file", "--scratch",
                           str(tmp_path / "scratch")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])["leave_one_out"]
    assert told["judged_users"] == 150 and told["best_peer"] == "sequential rules"
    assert told["ours"]["ndcg@10"] > 3 * told["peers"]["most popular"]["ndcg@10"], told
    assert "retrieval before the last plays epoch 1" in done.stdout and "ranker epoch 1" in done.stdout, "lists had answers"
    scratch, known = tmp_path / "scratch", []
    for name in ("home", "home-without-last", "home-without-last-two"):
        plays = quality_log.plays_of(quality_log.events_of(str(scratch / name), date(2024, 1, 1)))
        known.append(set(zip(plays.user_id.tolist(), plays.video_id.tolist(), strict=True)))
    held, taught = (pq.read_table(scratch / f"log-{name}" / "held_out.parquet").to_pydict().values()
                    for name in ("without-last", "without-last-two"))
    assert [len(each) for each in known] == [1800, 1650, 1500]
    assert known[0] - known[1] == set(zip(*held)) == set(ends[1::2])
    assert known[1] - known[2] == set(zip(*taught)) == set(ends[::2])
