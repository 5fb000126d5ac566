"""The point-in-time join of labels and feature views.

A label at t sees, of each view, the row of its key in the newest snapshot with `available_at = as_of + publish_lag`
strictly before t, the one that was live when the label happened. A key absent there has zeros, exactly as serving
would see; never a row of an older snapshot. Every label comes out exactly once.

Labels are looked up by the date that was live for them, so that each day's snapshot is read once and one at a time is in
memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import compiled, join_files
from features.join_files import Spread
from features.views import EXAMPLE_VIEWS, FEATURES, FeatureView, view
from lake import dates, snapshot, storage, writing
from lake.columns import one_array, one_chunk
from lake.hashing import BUCKETS
from lake.snapshot import Manifest
from lake.tables import table

_ROW = "_label_row"
EXAMPLES_PER_PART = 200_000  # they are wide: a task holds some 200 MB of so many
MOST_PAIRS = 1 << 24  # 128 MB: pairs of more are looked up by hash


def live_days(times_us: np.ndarray, publish_lag_us: int) -> np.ndarray:
    """int64[N]: for each instant the as_of day (days since 1970) that was live: the newest with as_of + lag < t."""
    return (times_us - publish_lag_us - 1) // dates.DAY_US


def days_live_at(times_us: np.ndarray) -> list[str]:
    """The distinct as_of dates that a label at any of these instants (int64[N]) sees in any view, ISO, ascending."""
    live = [live_days(times_us, view(name).publish_lag_us) for name in EXAMPLE_VIEWS]
    return [dates.day_of_us(int(day) * dates.DAY_US).isoformat() for day in np.unique(np.concatenate(live))]


@dataclass(frozen=True)
class ExampleWork:
    """Training examples to write into `folder`, in `parts` files. `snapshots`: by as_of, ascending, every date that was
    live at a label. Labels are looked up by date, so that each snapshot is read once; the rest of them stays in place."""

    labels: Manifest
    snapshots: dict[date, Manifest]
    folder: str
    parts: int

    def path(self, stage: str, number: int) -> str:
        return f"{self.folder}/scattered/{stage}-{number:05d}.arrow"

    def buckets(self, part: int) -> range:
        return range(part, BUCKETS, self.parts)


def write_examples(work: ExampleWork, spread: Spread) -> list[dict]:
    """Write them; what was written, by part. spread: as in `features.join_stages.run`."""
    if not work.snapshots:
        nothing = table("training_examples").schema.empty_table()
        return [writing.write_part("training_examples", work.folder, nothing, "part-00000")]
    days, rows = len(work.snapshots), work.labels.rows
    spread(lambda part: _scatter_by_day(work, part), [rows // work.parts] * work.parts)
    spread(lambda n: _join_day(work, n), [manifest.rows + rows // days for manifest in work.snapshots.values()])
    written = spread(lambda part: _write_part(work, part), [rows // work.parts] * work.parts)
    storage.delete_folder(f"{work.folder}/scattered")
    return written


def _scatter_by_day(work: ExampleWork, part: int) -> dict:
    labels = snapshot.read(work.labels, ["event_time", *_looked_up(EXAMPLE_VIEWS)], work.buckets(part))
    live = live_days(labels["event_time"].cast(pa.int64()).to_numpy(), view(EXAMPLE_VIEWS[0]).publish_lag_us)
    days = np.array([dates.midnight_us(day) // dates.DAY_US for day in work.snapshots])
    labels = labels.append_column(_ROW, pa.array(np.arange(labels.num_rows)))
    join_files.write_apart(work.path("labels", part), labels, np.searchsorted(days, live), len(days))
    return {}


def _join_day(work: ExampleWork, number: int) -> dict:
    pieces = [join_files.gather([work.path("labels", part)], [number])[0] for part in range(work.parts)]
    labels = pa.concat_tables(pieces)
    found = example_features(labels, {day: lambda m=manifest: snapshot.read(m) for day, manifest in work.snapshots.items()})
    join_files.write_apart(work.path("features", number), pa.table(found | {_ROW: labels[_ROW]}),
                           np.repeat(np.arange(work.parts), [piece.num_rows for piece in pieces]), work.parts)
    return {}


def _write_part(work: ExampleWork, part: int) -> dict:
    labels = snapshot.read(work.labels, buckets=work.buckets(part))
    try:
        found = join_files.gather_into([work.path("features", n) for n in range(len(work.snapshots))], part, _ROW,
                                       labels.num_rows)
    except ValueError as error:
        raise RuntimeError(f"labels of part {part}: {error}") from error
    return writing.write_part("training_examples", work.folder, with_features(labels, found), f"part-{part:05d}")


def _looked_up(names: Sequence[str]) -> list[str]:
    """The label columns that some views are looked up by."""
    return list(dict.fromkeys(column for name in names for column in (view(name).entity, view(name).attribute) if column))


def example_features(labels: pa.Table, snapshots: Mapping[date, Callable[[], pa.Table]]) -> dict[str, np.ndarray]:
    """Column name → int64[labels]: the features of EXAMPLE_VIEWS. labels: their event_time and what views are looked up
    by. snapshots: as_of → function that reads it."""
    found = snapshot_features(labels, labels["event_time"].cast(pa.int64()).to_numpy(), snapshots, EXAMPLE_VIEWS)
    return {f"{name}_{feature}": found[name][:, n] for name in EXAMPLE_VIEWS for n, feature in enumerate(FEATURES)}


def with_features(labels: pa.Table, features: Mapping[str, np.ndarray]) -> pa.Table:
    """Label rows, in the order given, with the columns of `example_features`."""
    for name, values in features.items():
        labels = labels.append_column(name, pa.array(values))
    return labels.select(table("training_examples").schema.names)


def snapshot_features(labels: pa.Table, times_us: np.ndarray, snapshots: Mapping[date, Callable[[], pa.Table]],
                      names: Sequence[str]) -> dict[str, np.ndarray]:
    """View name → int64[labels, FEATURES], as live at each label's time (int64[labels]). snapshots: as_of → function
    that reads it; KeyError when a date that was live is not there."""
    found = {name: np.zeros((labels.num_rows, len(FEATURES)), np.int64, "F") for name in names}
    live = {lag: live_days(times_us, lag) for lag in {view(name).publish_lag_us for name in names}}
    labels = one_chunk(labels.select(_looked_up(names)))
    for day in sorted({int(day) for days in live.values() for day in np.unique(days)}):
        features = snapshots[dates.day_of_us(day * dates.DAY_US)]()
        keys = one_chunk(features.select(["view", "entity_id", "attribute"]))
        values = [one_array(features[feature]).to_numpy() for feature in FEATURES]
        for name in names:
            rows = np.flatnonzero(live[view(name).publish_lag_us] == day)
            if len(rows) == labels.num_rows:
                found[name] = _look_up(labels, keys, values, view(name))
            else:
                found[name][rows] = _look_up(labels.take(pa.array(rows)), keys, values, view(name))
    return found


def _look_up(labels: pa.Table, keys: pa.Table, values: Sequence[np.ndarray], declared: FeatureView) -> np.ndarray:
    """int64[labels, FEATURES]: the features of each label's key in one snapshot; zeros for an absent or null key. keys: of
    the snapshot's rows; values: int64[rows] of each feature."""
    mine = np.flatnonzero(pc.equal(keys["view"], declared.name).to_numpy())
    entities, attributes = (one_array(keys[name]).take(pa.array(mine)) for name in ("entity_id", "attribute"))
    row_of = np.append(mine, -1)  # of the snapshot, by place among the view's own
    if declared.attribute:
        owner, place = _rows_of_pairs(labels, declared, entities, attributes)
        row, found = row_of[place], np.zeros((labels.num_rows, len(FEATURES)), np.int64, "F")
        for column, known in enumerate(values):
            compiled.add_up(known, row, owner, found[:, column])
    else:
        row = row_of[_places(one_array(labels[declared.entity]), entities)]
        found = np.empty((labels.num_rows, len(FEATURES)), np.int64, "F")
        for column, known in enumerate(values):
            compiled.look_up(known, row, found[:, column])
    return found


def _rows_of_pairs(labels: pa.Table, declared: FeatureView, entities: pa.Array,
                   attributes: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64[P] twice: for each distinct pair of a label and a value of its attribute, the label's row, and the row of the
    features whose (entity, attribute) that is, or -1. Feature keys are unique; nulls match nothing."""
    lists, entity = one_array(labels[declared.attribute]), one_array(labels[declared.entity])
    values = pc.list_flatten(lists).dictionary_encode()
    names, ids = values.dictionary, entity.drop_null().unique()
    width = max(len(names), 1)
    pairs = pc.list_parent_indices(lists).to_numpy().astype(np.int64) * width
    pairs = np.sort((pairs + values.indices.fill_null(0).to_numpy())[pc.is_valid(values).to_numpy(zero_copy_only=False)])
    owner, name = np.divmod(pairs[np.append(True, pairs[1:] != pairs[:-1])[:len(pairs)]], width)
    return owner, _places_of_pairs(_paired(_places(entity, ids)[owner], name, width), _paired(
        _places(entities, ids), _places(attributes, names), width), len(ids) * width)


def _paired(one: np.ndarray, other: np.ndarray, width: int) -> np.ndarray:
    """int64: one number per pair of numbers, -1 where a half is."""
    return np.where((one < 0) | (other < 0), -1, one * width + other)


def _places_of_pairs(asked: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    """int64: the place of each of the asked among the known, which are unique, or -1. All are below `count`, -1 is nobody."""
    if count > MOST_PAIRS:
        return np.where(asked < 0, -1, _places(pa.array(asked), pa.array(known)))
    place = np.full(count + 1, -1)
    place[known] = np.arange(len(known))
    place[-1] = -1
    return place[asked]


def _places(values: pa.Array, known: pa.Array) -> np.ndarray:
    """int64: the place of each value among the known ones, or -1; null is nowhere."""
    return pc.index_in(values, value_set=known, skip_nulls=True).fill_null(-1).to_numpy().astype(np.int64)
