"""What the other heads learn from does not depend on the files that the examples lie in."""

import numpy as np
import pyarrow as pa
import pytest

from lake.tables import table
from training import response


def examples(count: int) -> pa.Table:
    """Examples of a log that tells whole seconds, so that many of them are of one microsecond."""
    rng = np.random.default_rng(5)
    made = {"event_id": rng.permutation(count), "user_id": rng.integers(0, 40, count),
            "event_time": rng.integers(0, count // 20, count) * 1_000_000,
            "categories": [["a", "b"][:n] for n in rng.integers(0, 3, count)]}
    schema = table("training_examples").schema
    for field in schema:
        if pa.types.is_boolean(field.type):
            made[field.name] = rng.random(count) < 0.5
        elif pa.types.is_int64(field.type) and field.name not in made:
            made[field.name] = rng.integers(1, 1000, count)
    return pa.table({name: pa.array(made[name], schema.field(name).type) for name in response.TABLE_COLUMNS})


@pytest.mark.parametrize("most", [10**6, 333])
def test_rows_of_one_moment_stand_in_the_same_order_however_they_were_written(most, monkeypatch):
    monkeypatch.setattr(response, "MOST_ROWS", most)
    rows, rng = examples(1000), np.random.default_rng(6)
    made = response.of_table(rows)
    assert len(made.truth) == min(most, 1000)
    for _ in range(3):
        again = response.of_table(rows.take(rng.permutation(1000)))
        assert again.features.tobytes() == made.features.tobytes() and again.truth.tobytes() == made.truth.tobytes()
