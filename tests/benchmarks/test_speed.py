"""The two benchmarks of speed: the made-up lake is one that a night can be listed from, and what they tell is counted right."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import scoring_speed, scoring_world, training_speed
from benchmarks.scoring_world import AS_OF
from benchmarks.training_speed import Pass
from jobs import ann_index, recommendations
from lake import lineage, snapshot
from tests.benchmarks.test_quality import split


def test_the_made_up_lake_is_listed_by_the_job_with_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    monkeypatch.setenv("SPARK_MASTER", "in-process")
    scoring_world.write(scoring_world.Size(40, 600, mean_plays=20, width=8))
    ann_index.main(["--as-of", str(AS_OF)])
    recommendations.main(["--as-of", str(AS_OF)])
    made = lineage.resolve("recommendations", AS_OF, k=50, active_days=0)
    rows = snapshot.read(made)
    assert made.rows == 40 * 60 and made.extra["model"] == lineage.model_of(AS_OF).identity
    assert {"retrieval", "explained", "creator"} <= set(rows["source"].to_pylist())
    assert scoring_speed.faiss_alone()["dimension"] == 13


def test_users_per_second_are_those_of_the_difference() -> None:
    def night(users: int, lists_s: float, lists_gb: float) -> dict:
        return {"users": users, "index_s": 5.0, "lists_s": lists_s, "lists_gb": lists_gb, "faiss_users_per_s": 2_000.0}

    found = scoring_speed.told(night(1_000, 11.0, 1.0), night(5_000, 15.0, 1.2))
    assert (found["users_per_s"], found["ratio"]) == (1_000, 0.5)
    assert found["million_s"] == 5 + 15 + 995 and found["kb_per_more_user"] == 50.0


def test_time_to_the_quality_that_both_reach() -> None:
    races = {"ours 1024": [Pass(2.0, 10, 0.1), Pass(4.0, 10, 0.3)],
             "sasrec 128": [Pass(10.0, 10, 0.1), Pass(20.0, 10, 0.2)], "sasrec 32": [Pass(15.0, 10, 0.2)]}
    run = training_speed.Run(Path("."), Path("."), 1, 1.0, 1)
    found = training_speed.told(run, split({1: [0, 1]}, {1: [2]}), {"ours": {1024: 5.0}, "sasrec": {128: 1.0}}, races)
    assert found["reached_ndcg@10"] == 0.2 and found["seconds"] == {"ours": 4.0, "sasrec": 15.0}
    assert found["ratio"] == 3.75 and found["speed_ratio"] == 5.0


def test_lists_from_elsewhere_are_judged_alike(tmp_path: Path) -> None:
    judged = split({1: [0, 1], 2: [3]}, {1: [2], 2: [4]})
    pq.write_table(pa.table({"user_id": [2, 1, 1], "rank": [2, 1, 2], "video_id": [4, 7, 2]}), tmp_path / "lists.parquet")
    assert training_speed.ndcg(judged, tmp_path / "lists.parquet") == pytest.approx(1 / np.log2(3))
