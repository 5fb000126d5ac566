"""Windows, labels and the join equal the oracle on hostile worlds, and joins that are broken on purpose do not."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from features import join, labels, tiles, windows
from lake import dates
from lake.tables import FEATURES, MEASURES, table
from tests import world
from validation import reference as oracle

WORLDS = range(60)
AS_OF = world.FIRST_DAY + timedelta(days=31)


def snapshot_rows(events: pa.Table, videos: pa.Table, as_of: date) -> pa.Table:
    """Feature rows through the real tiles, in a shuffled order and two separately summed pieces."""
    rng = np.random.default_rng(events.num_rows)
    shuffled = events.take(pa.array(rng.permutation(events.num_rows)))
    half = events.num_rows // 2
    pieces = pa.concat_tables([tiles.partial_tiles(shuffled.slice(0, half), videos),
                               tiles.partial_tiles(shuffled.slice(half), videos)])
    ordered = pieces.sort_by([(name, "ascending") for name in table("tiles").key])
    return windows.window_rows(windows.TileColumns(ordered), as_of)


def label_table(events: pa.Table, videos: pa.Table, as_of: date) -> pa.Table:
    known = np.asarray(events["arrived_at"].cast(pa.int64())) < dates.midnight_us(as_of)
    rows = labels.label_rows(events.filter(pa.array(known)), oracle.WINDOW_US)
    matured = np.asarray(rows["event_time"].cast(pa.int64())) + oracle.WINDOW_US <= dates.midnight_us(as_of)
    return labels.with_video_facts(rows.filter(pa.array(matured)), videos)


@pytest.mark.parametrize("seed", WORLDS)
def test_windows_equal_the_oracle(seed: int) -> None:
    events, videos = world.events(seed), world.videos(seed)
    for as_of in (world.FIRST_DAY, AS_OF, AS_OF + timedelta(days=20)):
        expected = oracle.features(oracle.rows_of(events), oracle.versions_by("video_id", oracle.rows_of(videos)), as_of)
        found = {(row["view"], row["entity_id"], row["attribute"]): {name: row[name] for name in FEATURES}
                 for row in snapshot_rows(events, videos, as_of).to_pylist()}
        assert found == expected


@pytest.mark.parametrize("seed", WORLDS)
def test_labels_equal_the_oracle(seed: int) -> None:
    events, videos = world.events(seed), world.videos(seed)
    expected = oracle.labels(oracle.rows_of(events), oracle.versions_by("video_id", oracle.rows_of(videos)), AS_OF)
    found = oracle.rows_of(label_table(events, videos, AS_OF))
    assert [{name: row[name] for name in expected[0]} for row in found] == expected if expected else found == []


def examples(seed: int, change: Callable[[pa.Table, dict], tuple] = lambda rows, snapshots: (rows, snapshots),
             ) -> tuple[list[dict], list[dict]]:
    """Joined rows and the oracle's, of one world."""
    events, videos = world.events(seed), world.videos(seed)
    plain_events, plain_videos = oracle.rows_of(events), oracle.versions_by("video_id", oracle.rows_of(videos))
    days = dates.days(world.FIRST_DAY - timedelta(days=2), AS_OF)
    snapshots = {day: lambda day=day: snapshot_rows(events, videos, day) for day in days}
    rows = label_table(events, videos, AS_OF)
    known = {day: oracle.features(plain_events, plain_videos, day) for day in days}
    expected = [oracle.example(row, known[oracle.live_as_of(row["event_time"])]) for row in oracle.labels(plain_events, plain_videos, AS_OF)]
    changed, changed_snapshots = change(rows, snapshots)
    found = oracle.rows_of(join.with_features(changed, join.example_features(changed, changed_snapshots)))
    return [{name: row[name] for name in expected[0]} for row in found] if expected else found, expected


@pytest.mark.parametrize("seed", range(20))
def test_the_join_equals_the_oracle_and_loses_no_label(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "MOST_PAIRS", seed % 2 * join.MOST_PAIRS)  # pairs are looked up by hash, or in an array
    found, expected = examples(seed)
    assert found == expected


def test_a_label_at_the_very_moment_of_publication_sees_the_day_before() -> None:
    at = dates.midnight_us(AS_OF) + oracle.LAG_US
    live = join.live_days(np.array([at, at + 1]), oracle.LAG_US)
    assert [dates.day_of_us(int(day) * dates.DAY_US) for day in live] == [AS_OF - timedelta(days=1), AS_OF]


# Joins that look right and are not: each changes one thing, and some world must tell.
def not_strictly_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(join, "live_days", lambda times, lag: (times - lag) // dates.DAY_US)


def publish_lag_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(join, "live_days", lambda times, lag: (times - 1) // dates.DAY_US)


def snapshot_of_the_next_night(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(join, "live_days", lambda times, lag: np.minimum((times - lag - 1) // dates.DAY_US + 1, _LAST))


def snapshot_of_the_night_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(join, "live_days", lambda times, lag: (times - lag - 1) // dates.DAY_US - 1)


def arrival_ignored(patch: pytest.MonkeyPatch) -> None:
    class Columns(windows.TileColumns):
        def __init__(self, rows: pa.Table) -> None:
            super().__init__(rows)
            self.arrival_day = self.event_day

    patch.setattr(windows, "TileColumns", Columns)


def window_one_day_longer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(windows, "WINDOWS_DAYS", (2, 8, 28))
    patch.setattr(windows, "FEATURES", tuple(f"{m}_{d}d" for m in MEASURES for d in (2, 8, 28)))
    real = windows.window_rows
    patch.setattr(windows, "window_rows", lambda columns, day: real(columns, day).rename_columns(
        ["view", "entity_id", "attribute", *FEATURES]))


def one_category_only(patch: pytest.MonkeyPatch) -> None:
    real = join._rows_of_pairs
    def first(*arguments: object) -> tuple:
        owner, row = real(*arguments)
        _, kept = np.unique(owner, return_index=True)
        return owner[kept], row[kept]
    patch.setattr(join, "_rows_of_pairs", first)


def attribute_of_the_key_ignored(patch: pytest.MonkeyPatch) -> None:
    real = join._paired
    patch.setattr(join, "_paired", lambda one, other, width: real(one, np.zeros_like(other), width))


def plays_forgotten_by_request(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(labels, "_codes", _without(labels._codes, "request_id"))


def video_facts_as_of_now(patch: pytest.MonkeyPatch) -> None:
    real = labels.last_before
    patch.setattr(labels, "last_before", lambda ids, times, vids, vtimes: real(ids, times + 10**15, vids, vtimes))


def video_facts_at_the_same_instant(patch: pytest.MonkeyPatch) -> None:
    real = labels.last_before
    patch.setattr(labels, "last_before", lambda ids, times, vids, vtimes: real(ids, times + 1, vids, vtimes))


def window_closed_on_both_sides(patch: pytest.MonkeyPatch) -> None:
    real = labels._last_within
    patch.setattr(labels, "_last_within", lambda *a: real(*a[:-1], a[-1] + 1))


_LAST = (AS_OF - date(1970, 1, 1)).days - 1
BROKEN = (not_strictly_before, publish_lag_forgotten, snapshot_of_the_next_night, snapshot_of_the_night_before,
          arrival_ignored, window_one_day_longer, one_category_only, attribute_of_the_key_ignored,
          plays_forgotten_by_request, video_facts_as_of_now, video_facts_at_the_same_instant,
          window_closed_on_both_sides)


def _without(real: Callable, column: str) -> Callable:
    return lambda tables, names: real(tables, [name for name in names if name != column])


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_join_is_caught(break_it: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    for seed in WORLDS:
        try:
            found, expected = examples(seed)
        except KeyError:
            return  # it asked for a night that did not exist yet
        if found != expected:
            return
    pytest.fail(f"{break_it.__name__} gave the right answer in every world: the worlds are not hostile enough")
