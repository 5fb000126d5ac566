"""The join of any spine equals nested loops on hostile worlds, in any order and any parts, and broken joins do not."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import any_join, event_join, join, join_sources, join_stages, table_layout, version_join
from features.any_join import features_of_snapshot
from features.frames import balanced
from features.own_views import EventView, VersionView, aggregate, read_views
from features.views import EXAMPLE_VIEWS, FEATURES, view
from lake import dates
from lake.columns import TIMESTAMP
from lake.hashing import id_of_string
from tests import join_world, world
from validation import reference as oracle

WORLDS = range(100)
MODES = ("version", "event")


def joined(seed: int, mode: str) -> list[dict]:
    spine, events = join_world.tables(seed)
    return join_world.plain(any_join.join(spine, [join_world.view(seed, mode)], {"events": events}, time="t"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", WORLDS)
def test_the_join_equals_the_oracle_and_keeps_every_row(seed: int, mode: str) -> None:
    assert joined(seed, mode) == join_world.expected(seed, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(1, 12))
def test_no_order_of_the_input_matters(seed: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    spine, events = join_world.tables(seed)
    rows = rng.permutation(spine.num_rows)
    found = any_join.join(spine.take(pa.array(rows)), [join_world.view(seed, mode)],
                          {"events": events.take(pa.array(rng.permutation(events.num_rows)))}, time="t")
    expected = join_world.expected(seed, mode)
    assert join_world.plain(found) == [expected[row] for row in rows]


@pytest.mark.parametrize("mode", MODES)
def test_without_a_tiebreak_the_content_decides(mode: str) -> None:
    for seed in range(1, 8):
        spine, events = join_world.tables(seed)
        events = events.append_column("lists", pa.array([[n % 3] for n in range(events.num_rows)]))
        declared = replace(join_world.view(seed, mode), tiebreak=())
        if isinstance(declared, VersionView):
            declared = replace(declared, columns=("value", "lists"))
        turned = events.take(pa.array(np.arange(events.num_rows)[::-1]))
        first, second = (join_world.plain(any_join.join(spine, [declared], {"events": rows}, time="t"))
                         for rows in (events, turned))
        assert first == second


def work(seed: int, mode: str, parts: int, folder: Path) -> join_stages.Work:
    """The world as Parquet files of several small pieces."""
    spine, events = join_world.tables(seed)
    for name, rows in (("spine", spine), ("events", events)):
        (folder / name).mkdir()
        for n in range(2):
            half = rows.slice(n * (rows.num_rows // 2), None if n else rows.num_rows // 2)
            pq.write_table(half, folder / name / f"{n}.parquet", row_group_size=7)
    opened = [join_sources.of_path(str(folder / name), rows_per_run=9) for name in ("spine", "events")]
    declared = join_world.view(seed, mode)
    if parts > 100 and isinstance(declared, EventView):  # a few columns in so many parts
        declared = replace(declared, windows=("7d",), aggregates=tuple(map(aggregate, ("sum score", "last 3 value"))))
    return join_stages.Work(opened[0], "t", (declared,), {"events": opened[1]}, {}, {}, str(folder / "attempt"), parts)


in_turn = partial(balanced, None)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("seed", "parts"), [(1, 1), (2, 7), (5, 200), (6, 7), (0, 7), (13, 7)])
def test_parts_and_pieces_change_nothing(seed: int, parts: int, mode: str, tmp_path: Path) -> None:
    planned = work(seed, mode, parts, tmp_path)
    join_stages.check(planned)
    assert join_stages.run(planned, in_turn) == planned.spine.rows
    found = pq.read_table(tmp_path / "attempt" / "joined")
    assert join_world.plain(found) == [{name: row[name] for name in found.column_names}
                                       for row in join_world.expected(seed, mode)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("seed", "files", "parts"), [(1, 1, 1), (5, 7, 200), (6, 64, 7), (0, 3, 2), (13, 2, 7)])
def test_a_table_that_was_laid_out_joins_the_same(seed: int, files: int, parts: int, mode: str, tmp_path: Path) -> None:
    planned = work(seed, mode, parts, tmp_path)
    view, events = planned.views[0], planned.tables["events"]
    keys = (tuple(theirs for _, theirs in view.key), ("seq",))
    for laid, by in (("laid", keys), ("laid by another key", keys[1:])):
        layout = table_layout.LayoutWork(events, dict.fromkeys(by, tuple(events.schema.names)), "happened", "arrived",
                                         ("seq",), str(tmp_path / laid), files)
        table_layout.check(layout)
        assert table_layout.run(layout, in_turn) == events.rows
        source = join_sources.of_path(str(tmp_path / laid / "laid"))
        assert set(source.layouts) == set(by) and set(source.schema) == set(events.schema)
        again = replace(planned, tables={"events": source}, folder=str(tmp_path / f"{laid} joined"))
        assert (again.lookups[0].layout is not None) == (laid == "laid")
        assert join_stages.run(again, in_turn) == planned.spine.rows
        found = pq.read_table(tmp_path / f"{laid} joined" / "joined")
        assert join_world.plain(found) == [{name: row[name] for name in found.column_names}
                                           for row in join_world.expected(seed, mode)]


@pytest.mark.parametrize("mode", MODES)
def test_a_layout_keeps_only_the_columns_that_were_asked_for(mode: str, tmp_path: Path) -> None:
    planned = work(6, mode, 3, tmp_path)
    view, events = planned.views[0], planned.tables["events"]
    key = tuple(theirs for _, theirs in view.key)
    layout = table_layout.LayoutWork(events, {("tag",): (), key: tuple(view.columns_read)}, "happened", "arrived", ("seq",),
                                     str(tmp_path), 2)
    table_layout.run(layout, in_turn)
    source = join_sources.of_path(str(tmp_path / "laid"))
    assert set(source.schema_by(key).names) == {*key, "happened", "arrived", "seq", *view.columns_read}
    assert source.schema_by(("tag",)).names == ["tag", "happened", "arrived", "seq"]
    narrow = replace(planned, tables={"events": source}, folder=str(tmp_path / "narrow"))
    assert join_stages.run(narrow, in_turn) == join_stages.run(planned, in_turn)
    assert pq.read_table(tmp_path / "narrow" / "joined") == pq.read_table(tmp_path / "attempt" / "joined")
    without = replace(layout, keys={key: ()}, folder=str(tmp_path / "without"))
    if set(view.columns_read) - set(without.kept(key)):
        table_layout.run(without, in_turn)
        source = join_sources.of_path(str(tmp_path / "without" / "laid"))
        with pytest.raises(ValueError, match="has no column"):
            join_stages.check(replace(planned, tables={"events": source}))


@pytest.mark.parametrize(("change", "why"), [
    ({"keys": {("nobody",): ()}}, "no column nobody"), ({"keys": {("score",): ()}}, "keys are integers or strings"),
    ({"event_time": "seq"}, "with a time zone"), ({"keys": {("user",): ("gone",)}}, "no column gone")])
def test_what_can_t_be_laid_out_is_refused(change: dict, why: str, tmp_path: Path) -> None:
    events = work(1, "event", 1, tmp_path).tables["events"]
    layout = table_layout.LayoutWork(events, {("user",): ("tag",)}, "happened", "arrived", (), str(tmp_path), 1)
    with pytest.raises(ValueError, match=why):
        table_layout.check(replace(layout, **change))


def test_views_that_share_their_rows_are_looked_up_once_and_change_nothing(tmp_path: Path) -> None:
    planned = work(6, "event", 3, tmp_path)
    version = join_world.view(6, "version")
    version = replace(version, name="w", key=planned.views[0].key)
    both = replace(planned, views=(version, *planned.views))
    assert [len(one.views) for one in both.lookups] == [2]
    assert join_stages.run(both, in_turn) == planned.spine.rows
    spine, events = join_world.tables(6)
    assert join_world.plain(pq.read_table(tmp_path / "attempt" / "joined")) == join_world.plain(
        any_join.join(spine, both.views, {"events": events}, time="t"))


@pytest.mark.parametrize("mode", MODES)
def test_empty_sides_keep_every_column_and_type(mode: str) -> None:
    spine, events = join_world.tables(1)
    schemas = [any_join.join(left, [join_world.view(1, mode)], {"events": right}, time="t").schema
               for left in (spine, spine.slice(0, 0)) for right in (events, events.slice(0, 0))]
    assert schemas[0] == schemas[1] == schemas[2] == schemas[3]
    if mode == "event":
        names = ("count", "value_sum", "score_sum", "tag_last_1", "happened_max")
        assert [schemas[0].field(f"v_{name}_7d").type for name in names] == [pa.int64(), pa.int64(), pa.float64(), pa.list_(pa.string()), TIMESTAMP]


def events_of(rows: list[tuple[int, int, int, object]]) -> pa.Table:
    """(user, event time, arrival, value) with times in microseconds."""
    user, happened, arrived, values = zip(*rows, strict=True)
    return pa.table({"user": pa.array(user, pa.int64()), "happened": pa.array(happened, TIMESTAMP),
                     "arrived": pa.array(arrived, TIMESTAMP), "value": pa.array(values)})


def event_view(*aggregates: str, windows: tuple[str, ...] = ("10us",)) -> EventView:
    return EventView("v", "events", (("user", "user"),), "happened", "arrived", windows=windows,
                     aggregates=tuple(map(aggregate, aggregates)))


def asked(*times: int) -> pa.Table:
    return pa.table({"user": pa.array([1] * len(times), pa.int64()), "event_time": pa.array(times, TIMESTAMP)})


def test_a_late_event_counts_from_its_arrival_until_its_window_ends() -> None:
    rows = events_of([(1, 100, 105, 1), (1, 100, 200, 10)])  # the second arrives when no window holds it any more
    found = any_join.join(asked(100, 105, 106, 110, 111, 201), [event_view("sum value")], {"events": rows})
    assert found["v_value_sum_10us"].to_pylist() == [0, 0, 1, 1, 0, 0]


def test_the_example_of_the_documentation() -> None:
    minute = 60_000_000
    rows = events_of([(1, 600 * minute, 600 * minute, 100), (1, 604 * minute, 620 * minute, 10),
                      (1, 610 * minute, 610 * minute, 1)])
    last = VersionView("last", "events", (("user", "user"),), "happened", "arrived", columns=("value",))
    found = any_join.join(asked(600 * minute, 610 * minute, 610 * minute + 1, 621 * minute),
                          [event_view("sum value", windows=("10m",)), last], {"events": rows})
    assert found["v_value_sum_10m"].to_pylist() == [0, 100, 1, 0]
    assert found["last_value"].to_pylist() == [None, 100, 1, 1]


def test_string_ids_of_a_spine_become_the_lake_s() -> None:
    spine = pa.table({"viewer": pa.array(["ann", None, "bob"]), "shop": ["x", "y", "z"]})
    found = join_sources.with_lake_ids(spine, [("viewer", "user_id"), ("shop", "country")], {"user": "string"})
    assert found["viewer"].to_pylist() == [id_of_string("ann"), None, id_of_string("bob")]
    assert found["shop"] == spine["shop"]
    assert join_sources.with_lake_ids(spine, [("viewer", "user_id")], {"user": "int64"}) == spine


def test_integer_sums_are_exact_or_refused() -> None:
    rows = events_of([(1, n, n, 2**62 - 1) for n in range(4)])
    sums = any_join.join(asked(2), [event_view("sum value")], {"events": rows})["v_value_sum_10us"]
    assert sums.to_pylist() == [2**63 - 2] and sums.type == pa.int64()
    with pytest.raises(ValueError, match="larger than a 64-bit integer"):
        any_join.join(asked(3), [event_view("sum value")], {"events": rows})


def test_float_sums_are_those_of_fsum() -> None:
    rng = np.random.default_rng(0)
    for scale in (1, 50, 300):
        values = (rng.normal(size=300) * 10.0 ** rng.integers(-scale, scale, 300)).tolist()
        rows = events_of([(1, n, n, value) for n, value in enumerate(values)])
        found = any_join.join(asked(*range(301)), [event_view("sum value", windows=("40us",))], {"events": rows})
        assert found["v_value_sum_40us"].to_pylist() == [math.fsum(values[max(t - 40, 0):t]) for t in range(301)]


def test_instants_far_apart_and_many_keys() -> None:
    times = [-(2**62) - 5, -(2**62), 0, 2**62, 2**63 - 2]
    rows = events_of([(1, t, t, n) for n, t in enumerate(times)])
    found = any_join.join(asked(*(t + 1 for t in times)), [event_view("last value", "count", windows=("365d",))],
                          {"events": rows})
    assert found["v_value_last_365d"].to_pylist() == [0, 1, 2, 3, 4]
    assert found["v_count_365d"].to_pylist() == [1, 2, 1, 1, 1]


def test_what_can_t_be_joined_is_refused() -> None:
    spine, events = join_world.tables(1)
    declared = join_world.view(1, "event")
    naive = spine.set_column(4, "t", spine["t"].cast(pa.timestamp("us")))
    for wrong, rows, why in ((spine.drop_columns("t"), events, "no column t"), (naive, events, "with a time zone"),
                             (spine, events.drop_columns("tag"), "no column tag"),
                             (spine.append_column("v_count_7d", spine["row"]), events, "already has v_count_7d"),
                             (spine.set_column(2, "name", spine["row"]), events, "int64 in the spine")):
        with pytest.raises(ValueError, match=why):
            any_join.join(wrong, [declared], {"events": rows}, time="t")


@pytest.mark.parametrize("seed", [1, 2])
def test_nightly_views_are_the_snapshots_that_were_live(seed: int) -> None:
    events, videos = world.events(seed), world.videos(seed)
    plain, as_of = oracle.rows_of(events), world.FIRST_DAY + timedelta(days=20)
    labels = [row for row in oracle.labels(plain, oracle.versions_by("video_id", oracle.rows_of(videos)), as_of)]
    spine = pa.Table.from_pylist([*labels, {"user_id": None, "event_time": dates.midnight_us(as_of)}])
    spine = spine.set_column(spine.column_names.index("event_time"), "event_time", spine["event_time"].cast(TIMESTAMP))
    known = {day: oracle.features(plain, oracle.versions_by("video_id", oracle.rows_of(videos)), day)
             for day in dates.days(world.FIRST_DAY - timedelta(days=2), as_of)}
    stored = {day: (lambda rows=rows: snapshot_table(rows)) for day, rows in known.items()}
    expected = [oracle.example(row, known[oracle.live_as_of(row["event_time"])]) for row in labels]
    for name in EXAMPLE_VIEWS:
        found = features_of_snapshot(spine, view(name), stored, "event_time").to_pylist()
        columns = [f"{name}_{feature}" for feature in FEATURES]
        assert found[:-1] == [{column: row[column] for column in columns} for row in expected]
        assert set(found[-1].values()) == {0}
    in_country = features_of_snapshot(spine, view("country_video"), stored, "event_time")
    live = [max(day for day in known if dates.midnight_us(day) + oracle.LAG_US < row["event_time"]) for row in labels]
    assert in_country["country_video_play_count_28d"].to_pylist()[:-1] == [
        known[day].get(("country_video", row["video_id"], row["country"]), {}).get("play_count_28d", 0)
        for day, row in zip(live, labels, strict=True)]


def snapshot_table(rows: dict) -> pa.Table:
    schema = join.table("feature_snapshots").schema
    return pa.Table.from_pylist([dict(zip(("view", "entity_id", "attribute"), key, strict=True)) | values
                                 for key, values in rows.items()], schema)


# Joins that look right and are not: each changes one thing, and some world must tell.
def arrived_by_t(patch: pytest.MonkeyPatch) -> None:
    class Shifted(version_join.Rows):
        def __init__(self, keys, event_us, arrived_us, *rest) -> None:  # noqa: ANN001, ANN002
            super().__init__(keys, event_us, arrived_us - 1, *rest)
    patch.setattr(any_join, "Rows", Shifted)


def arrival_ignored(patch: pytest.MonkeyPatch) -> None:
    class OnTime(version_join.Rows):
        def __init__(self, keys, event_us, arrived_us, *rest) -> None:  # noqa: ANN001, ANN002
            super().__init__(keys, event_us, event_us, *rest)
    patch.setattr(any_join, "Rows", OnTime)


def arrival_ignored_in_windows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "known_at", lambda rows: rows.event_us)


def happening_ignored_in_windows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "known_at", lambda rows: rows.arrived_us)


def late_rows_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "known_at", lambda rows: np.where(
        rows.arrived_us > rows.event_us, np.iinfo(np.int64).max, rows.event_us))


def window_closed_at_t(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "known_at", lambda rows: np.maximum(rows.event_us, rows.arrived_us) - 1)


def window_open_at_its_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "later", lambda times, by: times + by - 1)


def window_a_microsecond_longer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "later", lambda times, by: times + by + 1)


def last_row_at_t_itself(patch: pytest.MonkeyPatch) -> None:
    class Inclusive(version_join.Timeline):
        def up_to(self, keys: np.ndarray, times: np.ndarray, less: int = 0) -> np.ndarray:
            return super().up_to(keys, times, max(less - 1, 0))
    patch.setattr(version_join, "Timeline", Inclusive)


def tie_by_input_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(version_join, "total_order", lambda line, arrived, *rest: _order(line)[np.lexsort(
        (_order(line), arrived[_order(line)], line.times, line.keys))])


def tie_before_arrival(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(version_join, "total_order", lambda line, arrived, rows, tiebreak: _order(line)[np.lexsort(
        (rows[tiebreak[0]].to_numpy()[_order(line)], line.times, line.keys))])


def _order(line: version_join.Timeline) -> np.ndarray:
    return np.arange(len(line.keys)) if line.order is None else line.order


def _by_arrival(keys: np.ndarray, times: np.ndarray, rows: version_join.Rows, size: int) -> np.ndarray:
    found = np.full((len(keys), size), -1, np.int64)
    for n, (key, t) in enumerate(zip(keys, times, strict=True)):
        seen = np.flatnonzero((rows.keys == key) & (rows.event_us < t) & (rows.arrived_us < t))
        seen = seen[np.lexsort((seen, rows.arrived_us[seen]))][::-1][:size]
        found[n, :len(seen)] = seen
    return found


def last_k_by_arrival(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "newest_rows", _by_arrival)


def version_by_arrival(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(version_join, "newest_rows", _by_arrival)


def last_k_newest_first(patch: pytest.MonkeyPatch) -> None:
    real = event_join._last
    def turned(one: object, column: pa.Array, last: np.ndarray, inside: np.ndarray) -> tuple:
        around = slice(one.size - 1, None, -1) if one.size else slice(None)
        return real(one, column, last[:, around], inside[:, around])
    patch.setattr(event_join, "_last", turned)


def one_row_per_key(patch: pytest.MonkeyPatch) -> None:
    real = any_join.key_codes
    def first_only(spine: list, rows: list) -> tuple:
        keys, row_keys = real(spine, rows)
        again = np.ones(len(keys), bool)
        again[np.unique(keys, return_index=True)[1]] = False
        return np.where(again, -1, keys), row_keys
    patch.setattr(any_join, "key_codes", first_only)


def null_keys_match(patch: pytest.MonkeyPatch) -> None:
    real = any_join.canonical
    def filled(column: pa.ChunkedArray, name: str) -> pa.Array:
        array = real(column, name)
        return array.fill_null(-999 if pa.types.is_integer(array.type) else "null")
    patch.setattr(any_join, "canonical", filled)


def first_key_column_only(patch: pytest.MonkeyPatch) -> None:
    real = any_join.key_codes
    patch.setattr(any_join, "key_codes", lambda spine, rows: real(spine[:1], rows[:1]))


def columns_stitched_from_several_rows(patch: pytest.MonkeyPatch) -> None:
    real = any_join.version_features
    def stitched(keys: np.ndarray, times: np.ndarray, rows: version_join.Rows, declared: VersionView) -> pa.Table:
        whole = real(keys, times, rows, declared)
        for n, name in enumerate(declared.columns):
            there = rows.column(name).is_valid().to_numpy(zero_copy_only=False)
            valued = version_join.Rows(rows.keys[there], rows.event_us[there], rows.arrived_us[there],
                                       rows.table.take(pa.array(np.arange(len(there))[there] if rows.order is None
                                                               else rows.order[there])), declared.tiebreak)
            whole = whole.set_column(n, f"v_{name}", real(keys, times, valued, declared)[f"v_{name}"])
        return whole
    patch.setattr(any_join, "version_features", stitched)


def max_age_exclusive(patch: pytest.MonkeyPatch) -> None:
    real = any_join.version_features
    patch.setattr(any_join, "version_features", lambda keys, times, rows, declared: real(
        keys, times, rows, replace(declared, max_age_us=declared.max_age_us and declared.max_age_us - 1)))


def max_age_ignored(patch: pytest.MonkeyPatch) -> None:
    real = any_join.version_features
    patch.setattr(any_join, "version_features", lambda keys, times, rows, declared: real(
        keys, times, rows, replace(declared, max_age_us=None)))


def integers_summed_as_floats(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "integer_sum", lambda values, most, summed: event_join.float_sum(
        values.astype(float), summed).astype(np.int64))


def floats_as_differences_of_running_totals(patch: pytest.MonkeyPatch) -> None:
    class Floating(event_join.Window):
        def summed(self, values: np.ndarray) -> np.ndarray:
            totals = np.append(0, np.cumsum(values))
            return totals[self.moments.before] - totals[self.start] - self._not_yet(values[self.moments.late])
    patch.setattr(event_join, "Window", Floating)
    patch.setattr(event_join, "float_sum", lambda values, summed: summed(values).astype(float))


def distinct_counts_values(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(event_join._AGGREGATES, "distinct", event_join._count)


def milliseconds(patch: pytest.MonkeyPatch) -> None:
    real = any_join.instants
    patch.setattr(any_join, "instants", lambda column, name: real(column, name) // 1000 * 1000)


def late_rows_counted_before_they_arrive(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "late_rows", lambda rows: np.empty(0, np.int64))


def late_rows_missing_after_they_arrive(patch: pytest.MonkeyPatch) -> None:
    class Never(event_join.Window):
        def _not_yet(self, values: np.ndarray | None) -> np.ndarray | int:
            self.late_end = np.full(len(self.moments.late), len(self.moments.keys))
            return super()._not_yet(values)
    patch.setattr(event_join, "Window", Never)


def windows_that_open_a_microsecond_later(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_join, "earlier", lambda times, by: times - by + 1)


BROKEN = (late_rows_counted_before_they_arrive, late_rows_missing_after_they_arrive,
          windows_that_open_a_microsecond_later, arrived_by_t, arrival_ignored, arrival_ignored_in_windows, happening_ignored_in_windows, late_rows_dropped,
          window_closed_at_t, window_open_at_its_start, window_a_microsecond_longer, last_row_at_t_itself,
          tie_by_input_order, tie_before_arrival, last_k_by_arrival, version_by_arrival, last_k_newest_first,
          one_row_per_key, null_keys_match, first_key_column_only, columns_stitched_from_several_rows,
          max_age_exclusive, max_age_ignored, integers_summed_as_floats, floats_as_differences_of_running_totals,
          distinct_counts_values, milliseconds)


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_join_is_caught(break_it: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    if not any(joined(seed, mode) != join_world.expected(seed, mode) for seed in WORLDS for mode in MODES):
        pytest.fail(f"{break_it.__name__} gave the right answer in every world: the worlds are not hostile enough")


VIEW_FILE = b"""
[price]
mode = "version"
table = "prices.parquet"
key = ["shop", "item_id=item"]
event_time = "valid_from"
arrived_at = "loaded_at"
columns = ["price"]
max_age = "30d"
[watched]
mode = "event"
table = "events"
where = { event_type = "play" }
key = "user_id"
windows = ["10m", "7d"]
aggregates = ["count", "sum watch_ms", "last 5 video_id"]
"""


def test_a_view_file_says_what_it_means() -> None:
    price, watched = read_views(VIEW_FILE).values()
    assert price == VersionView("price", "prices.parquet", (("shop", "shop"), ("item_id", "item")), "valid_from",
                                "loaded_at", columns=("price",), max_age_us=30 * dates.DAY_US)
    assert watched.tiebreak == ("event_id",) and [one.name for one in watched.aggregates] == [
        "count", "watch_ms_sum", "video_id_last_5"]


@pytest.mark.parametrize(("was", "becomes", "why"), [
    (b'"10m"', b'"10 minutes"', "is not a duration"), (b"max_age", b"maximum_age", "no setting maximum_age"),
    (b'"event"', b'"events"', "neither"), (b'"sum watch_ms"', b'"total watch_ms"', "no aggregate 'total'"),
    (b"loaded_at", b"", "''"), (b'arrived_at = "loaded_at"', b"", "arrived_at is not said"), (b"[price]", b"[price",
                                                                                           "docs/point-in-time.md")])
def test_an_unknown_name_in_a_view_file_is_an_error(was: bytes, becomes: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_views(VIEW_FILE.replace(was, becomes))


@pytest.mark.parametrize("apart_ns", [0, 1, 1_000])  # instants count by the microsecond
def test_a_tiebreak_is_read_from_a_layout_only_where_rows_tie(
        apart_ns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = [datetime(2026, 1, n, tzinfo=UTC) for n in range(1, 6)]
    third = dates.midnight_us(day[2].date()) * 1_000
    happened = [0, third, third + apart_ns, 0]
    pq.write_table(pa.table({"who": [1, 1, 1, 2], "at": pa.array(happened, pa.timestamp("ns", "UTC")),
                             "known": pa.array([day[3]] * 4, TIMESTAMP),
                             "seq": [4, 2, 3, 1], "value": ["a", "z", "c", "d"]}), tmp_path / "events.parquet")
    pq.write_table(pa.table({"who": [1, 2], "t": pa.array([day[4]] * 2, TIMESTAMP)}), tmp_path / "spine.parquet")
    events, spine = (join_sources.of_path(str(tmp_path / f"{name}.parquet")) for name in ("events", "spine"))
    layout = table_layout.LayoutWork(events, {("who",): ("value",)}, "at", "known", ("seq",), str(tmp_path / "attempt"), 1)
    table_layout.run(layout, in_turn)
    declared = VersionView("v", "events", (("who", "who"),), "at", "known", ("seq",), columns=("value",))
    laid, read, original = join_sources.of_path(str(tmp_path / "attempt" / "laid")), [], join_sources.read_buckets
    monkeypatch.setattr(join_sources, "read_buckets", lambda by, columns, buckets: read.append("seq" in columns)
                        or original(by, columns, buckets))
    planned = join_stages.Work(spine, "t", (declared,), {"events": laid}, {}, {}, str(tmp_path / "attempt"), 1)
    assert join_stages.run(planned, in_turn) == 2
    assert pq.read_table(tmp_path / "attempt" / "joined")["v_value"].to_pylist() == ["c", "d"]  # by content it were z
    assert any(read) == (apart_ns < 1_000)
