"""Loading: what the lake says is what the arrays say; and a cut forgets exactly what was not known yet."""

from dataclasses import replace

import numpy as np
import pytest

from funnel.feature_matrix import CategoryFeatures
from funnel.night import BASELINES, load_histories, load_night, load_users, smoothed
from funnel.users import cut_users, take_users
from lake import numbered_log
from lake.dates import DAY_US, midnight_us
from lake.hashing import bucket_of
from lake.lineage import Missing
from lake.tables import FEATURES
from tests.funnel.tables import write_night
from tests.funnel.worlds import AS_OF, random_features, random_night, random_users, watching


@pytest.fixture
def home(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))


def test_a_night_comes_back_as_it_was_written(home: None) -> None:
    night = random_night(50)
    write_night(night, random_users(night, 10), removed={-9: "gone"})
    found = load_night(AS_OF)
    for name in ("video_ids", "creator_ids", "category_offsets", "duration_ms", "published_us"):
        assert np.array_equal(getattr(found, name), getattr(night, name)), name
    named = [[one.category_names[code] for code in one.category_codes] for one in (found, night)]
    assert named[0] == named[1] and found.titles == night.titles and found.original_ids == night.original_ids
    assert all(np.array_equal(found.popularity[name], night.popularity[name]) for name in BASELINES)
    assert np.array_equal(found.by_country["DE"][0], night.by_country["DE"][0])
    for view in ("video", "creator"):
        assert np.array_equal(found.features[view].values, night.features[view].values)


def test_smoothed_plays_lean_on_the_slowly_decayed_ones_by_half_a_play_for_each_video(home: None) -> None:
    night = random_night(50)
    write_night(night, random_users(night, 10), slow=3.0)
    found = load_night(AS_OF)
    assert np.allclose(found.popularity["smoothed"], night.popularity["decayed"] + 0.5), "25 plays, shared out equally"
    assert np.array_equal(found.popularity["decayed"], night.popularity["decayed"])


def test_smoothed_follows_what_is_many_and_leans_where_it_is_few() -> None:
    few, many = np.array([1.0, 0.0, 2.0, 0.0]), np.array([10.0, 80.0, 10.0, 0.0])
    assert np.allclose(smoothed(few, many), [1.15, 1.2, 2.15, 0]), "three known videos are 1.5 plays"
    assert np.argsort(-smoothed(few / 10, many), kind="stable").tolist() == [1, 2, 0, 3]
    assert np.argsort(-smoothed(few * 10, many), kind="stable").tolist() == [2, 0, 1, 3]
    assert np.array_equal(smoothed(few, np.zeros(4)), few) and smoothed(few, many).dtype == np.float32
    assert len(smoothed(np.zeros(0), np.zeros(0))) == 0


def test_blocked_videos_are_not_in_the_night(home: None) -> None:
    night = random_night(20)
    write_night(night, random_users(night, 4))
    blocked = int(night.video_ids[3])
    numbered_log.append("blocks", lambda _: {"video_id": blocked, "from": AS_OF.isoformat(), "reason": "a test"})
    assert blocked not in load_night(AS_OF).video_ids and blocked in load_night(AS_OF, exclude_blocked=False).video_ids


def test_users_come_back_by_bucket_and_activity(home: None) -> None:
    night = random_night(50)
    users = random_users(night, 30)
    random = np.random.default_rng(5)
    view = CategoryFeatures(np.arange(31), ["category 0", "category 3"], np.arange(30, dtype=np.int32) % 2,
                            random.integers(0, 9, (30, len(FEATURES))).astype(np.float32))
    users = replace(users, features=random_features(users.user_ids, random), category_features=view)
    write_night(night, users)
    found = load_users(AS_OF)
    for name in ("user_ids", "offsets", "video_ids", "event_us", "arrived_us", "liked", "seen_offsets",
                 "seen_video_ids", "play_count"):
        assert np.array_equal(getattr(found, name), getattr(users, name)), name
    assert found.countries == users.countries and found.original_ids == users.original_ids
    assert np.array_equal(found.features.values, users.features.values)
    assert np.array_equal(found.category_features.values, view.values)
    some = load_users(AS_OF, [0, 1, 2, 3])
    assert np.array_equal(some.user_ids, users.user_ids[bucket_of(users.user_ids) < 4])
    taken = take_users(users, np.flatnonzero(bucket_of(users.user_ids) < 4))
    assert np.array_equal(some.category_features.values, taken.category_features.values)
    last = np.array([users.event_us[end - 1] for end in users.offsets[1:]])
    active = load_histories(AS_OF, active_days=2)
    assert np.array_equal(active.user_ids, users.user_ids[last >= midnight_us(AS_OF) - 2 * DAY_US])


def test_a_night_that_is_not_built_says_how_to_build_it(home: None) -> None:
    with pytest.raises(Missing, match="jobs.build catalogue --as-of 2026-02-05"):
        load_night(AS_OF)


def test_a_cut_keeps_strictly_before_in_both_clocks() -> None:
    users = watching({1: [10, 11, 12, 13]})
    hour = 3_600_000_000
    late = replace(users, arrived_us=users.arrived_us + np.array([0, 100 * hour, 0, 0]))
    found = cut_users(late, midnight_us(AS_OF) - 2 * hour)
    assert found.video_ids.tolist() == [10], "11 arrived later, 12 happened at the cut, 13 after it"
    assert found.seen_video_ids.tolist() == [10] and found.play_count.tolist() == [1]


def test_a_cut_keeps_what_was_also_seen_earlier() -> None:
    users = watching({1: [10, 11, 10]})
    users = replace(users, seen_video_ids=np.array([9, 10, 11]), seen_offsets=np.array([0, 3]))
    found = cut_users(users, midnight_us(AS_OF) - 2 * 3_600_000_000)
    assert found.seen_video_ids.tolist() == [9, 10], "9 is older than the history, 10 was played before the cut too"
