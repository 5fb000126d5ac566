"""What validation needs to know of a table, counted in the same pass that writes it."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.tables import Table


def profile_rows(declared: Table, rows: pa.Table) -> dict:
    """Counts for one part: rows, nulls, NaNs, trues, min and max per column (of lists: of their lengths).

    Minima and maxima of timestamps are microseconds; absent when a column has no value.
    """
    profile: dict = {"rows": rows.num_rows, "duplicate_keys": 0, "columns": {}}
    for name in declared.schema.names:
        column = rows[name]
        facts: dict = {"nulls": column.null_count}
        kind = column.type
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.int64())
        elif pa.types.is_date(kind):
            column = column.cast(pa.int32())
        if pa.types.is_floating(kind):
            facts["nans"] = int(pc.sum(pc.is_nan(column)).as_py() or 0)
        if pa.types.is_list(kind):
            column = pc.list_value_length(column)
        if pa.types.is_boolean(kind):
            facts["trues"] = int(pc.sum(column).as_py() or 0)
        elif not pa.types.is_string(kind):
            bounds = pc.min_max(column).as_py()
            facts |= {side: bounds[side] for side in ("min", "max") if _finite(bounds[side])}
        profile["columns"][name] = facts
    return profile


def _finite(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))


def key_duplicates(declared: Table, ordered: pa.Table) -> int:
    """Rows whose key equals the row before, in a table ordered by key. 0 for tables without a unique key."""
    if not declared.unique or ordered.num_rows < 2:
        return 0
    same = np.ones(ordered.num_rows - 1, bool)
    for key in declared.key:
        column = ordered[key].combine_chunks()
        equal = pc.equal(column.slice(1), column.slice(0, len(column) - 1))
        same &= equal.fill_null(False).to_numpy(zero_copy_only=False)
    return int(same.sum())


def merge_profiles(declared: Table, profiles: list[dict]) -> dict:
    """The profile of all parts together."""
    merged: dict = {"rows": sum(p["rows"] for p in profiles),
                    "duplicate_keys": sum(p["duplicate_keys"] for p in profiles), "columns": {}}
    for name in declared.schema.names:
        parts = [p["columns"][name] for p in profiles]
        facts: dict = {key: sum(p.get(key, 0) for p in parts)
                       for key in ("nulls", "nans", "trues") if any(key in p for p in parts)}
        facts.setdefault("nulls", 0)
        for side, choose in (("min", min), ("max", max)):
            values = [p[side] for p in parts if side in p]
            if values:
                facts[side] = choose(values)
        merged["columns"][name] = facts
    return merged
