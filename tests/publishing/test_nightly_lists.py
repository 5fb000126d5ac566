"""A worker's part of the lists: the same rows however the buckets are dealt, and from its model and index alone."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from funnel.neighbours import NeighbourRules
from funnel.night import load_night, night_tables
from funnel.ranking import FEATURE_NAMES, Features
from lake import numbered_log, snapshot, storage, writing
from publishing import ann_index, nightly_lists
from publishing.baseline import fallback_rows
from publishing.nightly_lists import Loaded, Task, rows_for, shared_by_workers, write_lists
from tests.funnel.tables import write_night
from tests.funnel.worlds import AS_OF, hand_made, random_night, random_users
from training import model_file

RULES = NeighbourRules(ridge=100.0, lately_fade=0.9)


class WholeNumbers:
    """A model whose sums are exact, so that no order of summing shows."""

    def video_vectors(self, night) -> np.ndarray:
        return np.random.default_rng(0).integers(-3, 4, (night.size, 8)).astype(np.float32)

    def user_vectors(self, users) -> np.ndarray:
        return (users.user_ids[:, None] >> np.arange(8) & 3).astype(np.float32) - 1

    def score(self, features: Features) -> dict[str, np.ndarray]:
        near = features.rows()[:, FEATURE_NAMES.index("retrieval_score")]
        return {"play": np.clip(near / 128 + 0.5, 0, 1).astype(np.float32)}


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A night with a model in a lake of its own."""
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    night = random_night(300)
    write_night(night, random_users(night, 120), removed={-8: "gone"})
    numbered_log.append("blocks", lambda _: {"video_id": int(night.video_ids[5]), "from": AS_OF.isoformat()})
    index = ann_index.build(WholeNumbers().video_vectors(load_night(AS_OF)))
    monkeypatch.setattr(nightly_lists, "_load", lambda task, night: Loaded(WholeNumbers(), ann_index.retrieval_of(index)))
    told = model_file.describe({"features": list(FEATURE_NAMES), "neighbours": asdict(RULES)}, {}, {})
    attempt = writing.begin(snapshot.Plan("model", AS_OF))
    model = writing.commit(attempt, [writing.write_file(attempt, model_file.NAME, told)], [])
    folder = storage.join("lake", "recommendations", "attempt")
    return Task(str(tmp_path), night_tables(AS_OF), model, model, "decayed", folder, 20, 0)


def buckets_of(accounts: list[dict]) -> dict[str, str]:
    return {bucket: value for account in accounts for bucket, value in account["buckets"].items()}


def test_parts_make_the_same_rows_however_they_are_dealt(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = shared_by_workers(task)
    assert shared.neighbours.rules == RULES, "the model's, not the usual ones"
    assert nightly_lists.groups(task.tables) == 1
    monkeypatch.setattr(nightly_lists, "USERS_PER_GROUP", 20)
    assert nightly_lists.groups(task.tables) == 8, "120 users, about 20 together, a power of two"
    dealt = {parts: [account for part in range(parts) for account in
                     write_lists(task, shared, part, list(range(part, 64, parts)))] for parts in (1, 2, 8)}
    assert buckets_of(dealt[1]) == buckets_of(dealt[2]) == buckets_of(dealt[8])
    assert dealt[1][0]["users"] == 120 and dealt[1][0]["short_users"] == 0 and json.dumps(dealt)
    with pytest.raises(ValueError, match="at most 8 parts"):
        write_lists(task, shared, 0, list(range(0, 64, 16)))


def test_lists_hold_spare_rows_and_nothing_that_may_not_be_shown(task: Task) -> None:
    account, = write_lists(task, shared_by_workers(task), 0, list(range(64)))
    rows = pq.read_table(f"{task.folder}/part-00000.parquet")
    assert rows.num_rows == account["rows"] == 120 * rows_for(20) and rows_for(20) == 27
    blocked, = task.tables.blocked
    assert blocked not in rows["video_id"].to_pylist() and -8 not in rows["video_id"].to_pylist()
    assert {"retrieval", "explore"} <= set(rows["source"].to_pylist())
    assert all(rows["reason"].to_pylist()) and rows["reason"].null_count == 0


def test_without_a_model_everybody_gets_the_baseline(task: Task) -> None:
    bare = Task(task.home, task.tables, None, None, "7d", task.folder, 20, 0)
    write_lists(bare, shared_by_workers(bare), 0, list(range(64)))
    rows = pq.read_table(f"{task.folder}/part-00000.parquet").sort_by([("user_id", "ascending"), ("rank", "ascending")])
    assert set(rows["source"].to_pylist()) == {"popular"} and rows.num_rows == 120 * rows_for(20)
    for user in rows["user_id"].unique().to_pylist()[:20]:
        score = rows.filter(pa.compute.equal(rows["user_id"], user))["score"].to_numpy()
        assert (np.diff(score) <= 0).all()


def test_fallback_has_the_world_and_countries_with_enough(task: Task) -> None:
    rows = fallback_rows(load_night(AS_OF), 50)
    assert set(rows["country"].to_pylist()) == {"", "DE"} and rows.num_rows == 100
    assert rows["reason"].to_pylist()[50] == "Popular in DE lately"
    assert (np.diff(rows["score"].to_numpy()[:50]) <= 0).all()


@pytest.mark.parametrize(("plays", "first", "reason"), [(0.1, 0, "Popular lately"), (100.0, 5, "Popular in DE lately")])
def test_a_country_with_few_plays_leans_on_the_world(plays: float, first: int, reason: str) -> None:
    world = np.append(100, np.ones(29)).astype(np.float32)
    night = hand_made(list(range(30)), by_country={"DE": (np.arange(5, 25), np.full(20, plays, np.float32))},
                      popularity={"smoothed": world})
    rows = fallback_rows(night, 30)
    assert rows["video_id"].to_pylist()[0] == 0 and rows["country"].to_pylist()[30] == "DE"
    assert rows["video_id"].to_pylist()[30] == first and rows["reason"].to_pylist()[30] == reason
    assert set(rows["video_id"].to_pylist()[31:51 - (first == 5)]) <= set(range(5, 25)) | {0}
