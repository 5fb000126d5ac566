"""An earlier midnight, rebuilt from what is known today: nothing of the days between may show."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from funnel.night import smoothed
from funnel.rewind import rewind
from funnel.users import cut_users
from lake.dates import DAY_US, midnight_us
from tests.funnel.tables import commit, feature_rows
from tests.funnel.worlds import AS_OF, hand_made, random_features, watching

EARLIER = AS_OF - timedelta(days=2)


def test_a_rewound_night_knows_nothing_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    now = midnight_us(EARLIER)
    ages = np.array([30, 5, 2, 1]) * DAY_US
    night = hand_made([10, 11, 12, 13], published_us=midnight_us(AS_OF) - ages, category_names=["a", "b"],
                      category_offsets=np.array([0, 1, 2, 3, 4]), category_codes=np.array([0, 1, 0, 1], np.int32))
    users = watching({1: [10, 11, 10, 13], 2: [99, 11]}, countries=["DE", ""])
    users = replace(users, event_us=now + np.array([-10 * DAY_US, -DAY_US, DAY_US, DAY_US, -DAY_US, -14 * DAY_US]),
                    arrived_us=now + np.array([-DAY_US, -1, DAY_US, DAY_US, -DAY_US, -DAY_US]))
    features = hand_made([10, 11], features={"video": random_features(np.array([10, 11]), np.random.default_rng(0)),
                                             "creator": random_features(np.zeros(0, np.int64), np.random.default_rng(0))})
    commit("feature_snapshots", EARLIER, feature_rows(features, users))
    found = rewind(night, cut_users(users, now), EARLIER)
    assert found.as_of == EARLIER and found.video_ids.tolist() == [10, 11], "12 was published at that midnight, 13 later"
    assert found.popularity["all"].tolist() == [1, 2], "the second play of 10 came later; 99 is gone"
    assert found.popularity["7d"].tolist() == [0, 1]
    assert np.allclose(found.popularity["decayed"], [2 ** (-10 / 14), 2 ** (-1 / 14) + 0.5])
    slow = np.array([2 ** (-10 / 180), 2 ** (-1 / 180) + 2 ** (-14 / 180)])
    assert np.allclose(found.popularity["smoothed"], smoothed(found.popularity["decayed"], slow))
    index, plays = found.by_country["DE"]
    assert index.tolist() == [0, 1] and np.allclose(plays, [2 ** (-10 / 14), 2 ** (-1 / 14)])
    assert found.category_codes.tolist() == [0, 1] and found.titles == ["title 10", "title 11"]
    assert np.array_equal(found.features["video"].values, features.features["video"].values)
