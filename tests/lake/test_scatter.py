"""Rows come back once, in whole buckets, whatever had to wait on disk."""

import os
import random

import numpy as np
import pyarrow as pa
import pytest

from lake.hashing import bucket_of
from lake.scatter import Scatter
from lake.tables import table


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    return tmp_path


def users(ids: list[int]) -> pa.Table:
    arrived = pa.array(range(len(ids)), pa.timestamp("us", "UTC"))
    texts = pa.array([str(number) for number in ids], pa.string())
    columns = [pa.array(ids, pa.int64()), pa.nulls(len(ids), pa.string()), texts, arrived]
    return pa.table(columns, schema=table("raw_users").schema)


@pytest.mark.parametrize("limit", [7, 100, 10_000])
@pytest.mark.parametrize("batch", [5, 64, 1_000])
def test_every_row_once_and_buckets_whole(home, limit, batch):
    ids = [random.Random(limit * batch + n).randrange(200) for n in range(700)]
    rows = Scatter(table("raw_users"), limit)
    for at in range(0, len(ids), batch):
        rows.add(users(ids[at:at + batch]))
    groups = list(rows.groups())
    seen = [set(bucket_of(group["user_id"].to_numpy()).tolist()) for group in groups]
    assert sum(map(len, seen)) == len(set().union(*seen))
    assert sorted(number for group in groups for number in group["user_id"].to_pylist()) == sorted(ids)
    assert all(row["language"] == str(row["user_id"]) for group in groups for row in group.to_pylist())
    largest = np.bincount(bucket_of(np.array(ids))).max()
    assert limit >= len(ids) or all(group.num_rows <= max(limit, largest) for group in groups)
    assert rows.rows == len(ids)


def test_what_waits_on_disk_has_no_name(home):
    """A killed landing leaves nothing behind."""
    rows = Scatter(table("raw_users"), 10)
    rows.add(users(list(range(100))))
    assert os.listdir(home) == []


def test_no_rows_are_one_empty_group():
    (group,) = Scatter(table("raw_users")).groups()
    assert group.num_rows == 0 and group.schema == table("raw_users").schema
