"""Rows of feature views as arrays; a key that a snapshot lacks has the declared defaults, zeros."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funnel import ragged
from lake import snapshot
from lake.hashing import BUCKETS
from lake.snapshot import Manifest
from lake.tables import FEATURES

ROWS_AT_ONCE = 100_000
COLUMN = {name: place for place, name in enumerate(FEATURES)}


def feature_rows(manifest: Manifest, views: tuple[str, ...], buckets: list[int] | None = None) -> dict[str, pa.Table]:
    """Rows of some views of a feature snapshot; read a few buckets at a time, so that other views never pile up."""
    columns = ["view", "entity_id", "attribute", *FEATURES]
    wanted = list(range(BUCKETS)) if buckets is None else buckets
    step = max(1, BUCKETS * ROWS_AT_ONCE // max(manifest.rows, 1))
    found: dict[str, list[pa.Table]] = {view: [] for view in views}
    for start in range(0, len(wanted), step):
        rows = snapshot.read(manifest, columns=columns, buckets=wanted[start:start + step])
        for view in views:
            found[view].append(rows.filter(pc.equal(rows["view"], view)))
    return {view: pa.concat_tables(parts) for view, parts in found.items()}


def _values(rows: pa.Table) -> np.ndarray:
    """f32[rows, len(FEATURES)]."""
    values = np.empty((rows.num_rows, len(FEATURES)), np.float32)
    for name, place in COLUMN.items():
        values[:, place] = rows[name].to_numpy()
    return values


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """One view: ids i64[n] ascending, values f32[n, len(FEATURES)] in the order of lake.tables.FEATURES."""

    ids: np.ndarray
    values: np.ndarray

    @staticmethod
    def empty() -> "FeatureMatrix":
        return FeatureMatrix(np.zeros(0, np.int64), np.zeros((0, len(FEATURES)), np.float32))

    @staticmethod
    def of(rows: pa.Table) -> "FeatureMatrix":
        """From rows of a feature snapshot that hold one view with one-part keys."""
        rows = rows.sort_by("entity_id")
        return FeatureMatrix(rows["entity_id"].to_numpy(), _values(rows))

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """f32[len(ids), len(FEATURES)]; zeros for an id that is absent."""
        if not len(self.ids):
            return np.zeros((len(ids), len(FEATURES)), np.float32)
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where((self.ids[place] == ids)[:, None], self.values[place], np.float32(0))


@dataclass(frozen=True, eq=False)
class CategoryFeatures:
    """The user_category view of U users: offsets i64[U+1] into codes i32[n] (places in names) and values f32[n, F]."""

    offsets: np.ndarray
    names: list[str]
    codes: np.ndarray
    values: np.ndarray

    @staticmethod
    def empty() -> "CategoryFeatures":
        """No rows for any number of users: every value is its default."""
        return CategoryFeatures(np.zeros(0, np.int64), [], np.zeros(0, np.int32),
                                np.zeros((0, len(FEATURES)), np.float32))

    @staticmethod
    def of(rows: pa.Table, user_ids: np.ndarray) -> "CategoryFeatures":
        """From user_category rows of a feature snapshot, for users in ascending order of id."""
        rows = rows.filter(pa.array(np.isin(rows["entity_id"].to_numpy(), user_ids)))
        rows = rows.sort_by([("entity_id", "ascending"), ("attribute", "ascending")])
        starts = np.searchsorted(rows["entity_id"].to_numpy(), user_ids, "left")
        names, codes = np.unique(rows["attribute"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
        return CategoryFeatures(np.append(starts, rows.num_rows).astype(np.int64), names.tolist(),
                                codes.astype(np.int32), _values(rows))

    def take(self, rows: np.ndarray) -> "CategoryFeatures":
        """The users at these ascending places."""
        if not len(self.offsets):
            return self
        flat, offsets = ragged.take(self.offsets, rows)
        return CategoryFeatures(offsets, self.names, self.codes[flat], self.values[flat])
